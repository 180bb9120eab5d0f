//! Collects what the attributes of one span say, the best-ranked name of each fact winning.

use otlp::{KeyValue, Malformed, Text, Usual};
use schemas::semconv::{Marker, SpanFact};
use stitcher::span::Failure;

use crate::content;
use crate::semconv::{Rule, Semconv};
use crate::value::{Value, text_of};

/// Longest text that is passed on, in bytes: names beyond it are noise, and every one of them is kept in memory.
pub const MAX_TEXT_BYTES: usize = 512;

const FACTS: usize = SpanFact::ALL.len();
const _: () = assert!(FACTS <= 64, "`Said::present` has 64 bits");

/// A set of facts.
#[derive(Clone, Copy)]
pub(crate) struct Facts(u64);

impl Facts {
    pub(crate) const fn of(facts: &[SpanFact]) -> Self {
        let (mut set, mut next) = (0, 0);
        while next < facts.len() {
            set |= 1 << facts[next] as u32;
            next += 1;
        }
        Self(set)
    }

    pub(crate) const fn contains(self, fact: SpanFact) -> bool {
        self.0 & 1 << fact as u32 != 0
    }
}

/// What one span said. Reused from span to span: only the sets are cleared.
pub(crate) struct Said<'a> {
    /// Of facts in `texts_present`.
    texts: [&'a str; FACTS],
    /// Of the others in `present`.
    values: [Value<'a>; FACTS],
    ranks: [u8; FACTS],
    present: u64,
    texts_present: u64,
    marks: u8,
    extra_request_key: u64,
    /// An exception was recorded.
    pub(crate) exception: bool,
    /// … and the last one that the table knows means this.
    pub(crate) exception_means: Option<Failure>,
    /// A text was not UTF-8 and has been cut short.
    pub(crate) repaired: bool,
}

impl<'a> Said<'a> {
    pub(crate) fn new() -> Self {
        Self {
            texts: [""; FACTS],
            values: [Value::None; FACTS],
            ranks: [0; FACTS],
            present: 0,
            texts_present: 0,
            marks: 0,
            extra_request_key: 0,
            exception: false,
            exception_means: None,
            repaired: false,
        }
    }

    pub(crate) fn clear(&mut self) {
        self.present = 0;
        self.texts_present = 0;
        self.marks = 0;
        self.extra_request_key = 0;
        self.exception = false;
        self.exception_means = None;
        self.repaired = false;
    }

    /// Takes in one attribute of the span.
    #[inline(always)]
    pub(crate) fn attribute(&mut self, semconv: &Semconv, pair: KeyValue<'a>) -> Result<(), Malformed> {
        match pair.usual() {
            Some((key, Usual::String(text))) => {
                self.take(semconv, key, |repaired| Value::Text(text_of(text, repaired)));
            }
            Some((key, Usual::Int(number))) => self.take(semconv, key, |_| Value::Int(number)),
            None => self.unusual_attribute(semconv, pair)?,
        }
        Ok(())
    }

    #[inline(never)]
    fn unusual_attribute(&mut self, semconv: &Semconv, pair: KeyValue<'a>) -> Result<(), Malformed> {
        let (key, value) = pair.read()?;
        self.take(semconv, key, |repaired| Value::of(value, repaired));
        Ok(())
    }

    /// Most attributes say nothing that matters: their values are not looked at.
    #[inline(always)]
    fn take(&mut self, semconv: &Semconv, key: Text<'_>, value: impl FnOnce(&mut bool) -> Value<'a>) {
        match semconv.of_span(key.bytes()) {
            Some(rule) => {
                let value = value(&mut self.repaired);
                self.obey(rule, value);
            }
            None if semconv.is_request_key(key) => {
                let value = value(&mut self.repaired);
                let part = content::join(content::hash(key.bytes()), value.hash());
                self.extra_request_key = self.extra_request_key.wrapping_add(part);
            }
            None => {}
        }
    }

    #[inline(always)]
    fn obey(&mut self, rule: &Rule<SpanFact>, value: Value<'a>) {
        if !rule.marks.is_empty() {
            self.mark(rule, value);
        }
        let Some((fact, rank)) = rule.takes else { return };
        let index = fact as usize;
        let bit = 1 << index;
        if self.present & bit != 0 && rank >= self.ranks[index] {
            return;
        }
        match value {
            // An empty text says nothing, except in Zipkin's `error` tag.
            Value::None => return,
            Value::Text("") if fact != SpanFact::Error => return,
            Value::Text(text) => {
                self.texts[index] = text;
                self.texts_present |= bit;
            }
            value => {
                self.values[index] = value;
                self.texts_present &= !bit;
            }
        }
        self.present |= bit;
        self.ranks[index] = rank;
    }

    fn mark(&mut self, rule: &Rule<SpanFact>, value: Value<'a>) {
        for (marker, when) in &rule.marks {
            if when.holds(&value) {
                self.marks |= 1 << *marker as u8;
            }
        }
    }

    /// Takes in one attribute of a span event.
    pub(crate) fn event_attribute(&mut self, semconv: &Semconv, pair: KeyValue<'a>) -> Result<(), Malformed> {
        let (key, value) = pair.read()?;
        if semconv.is_exception_type(key)
            && let Some(text) = Value::of(value, &mut self.repaired).text()
        {
            self.exception = true;
            self.exception_means = semconv.failure(text).or(self.exception_means);
        }
        Ok(())
    }

    /// Whether any of these facts was said: most spans say few, and composing nothing should cost nothing.
    #[inline]
    pub(crate) fn says_any(&self, facts: Facts) -> bool {
        self.present & facts.0 != 0
    }

    #[inline]
    pub(crate) fn value(&self, fact: SpanFact) -> Value<'a> {
        let bit = 1 << fact as usize;
        if self.texts_present & bit != 0 {
            Value::Text(self.texts[fact as usize])
        } else if self.present & bit != 0 {
            self.values[fact as usize]
        } else {
            Value::None
        }
    }

    /// The fact's text, bounded; empty when it isn't said or isn't text.
    #[inline]
    pub(crate) fn text(&self, fact: SpanFact) -> &'a str {
        bounded(self.whole_text(fact))
    }

    /// The fact's text, however long.
    #[inline]
    pub(crate) fn whole_text(&self, fact: SpanFact) -> &'a str {
        if self.texts_present & (1 << fact as usize) == 0 { "" } else { self.texts[fact as usize] }
    }

    pub(crate) fn int(&self, fact: SpanFact) -> Option<i64> {
        self.value(fact).int()
    }

    /// Which of its names the fact was taken from.
    pub(crate) fn rank(&self, fact: SpanFact) -> u8 {
        self.ranks[fact as usize]
    }

    pub(crate) fn is(&self, marker: Marker) -> bool {
        self.marks & (1 << marker as u8) != 0
    }

    /// Hash of what tells this request from others; doesn't depend on the order of attributes. 0: nothing does.
    pub(crate) fn request_key(&self, semconv: &Semconv) -> u64 {
        let mut key = self.extra_request_key;
        let mut left = self.present & semconv.in_request_key.0;
        while left != 0 {
            let index = left.trailing_zeros() as usize;
            let value = self.value(SpanFact::ALL[index]);
            key = key.wrapping_add(content::join(index as u64 + 1, value.hash()));
            left &= left - 1;
        }
        key
    }
}

/// A text cut to [`MAX_TEXT_BYTES`].
#[inline]
pub(crate) fn bounded(text: &str) -> &str {
    if text.len() <= MAX_TEXT_BYTES { text } else { &text[..text.floor_char_boundary(MAX_TEXT_BYTES)] }
}
