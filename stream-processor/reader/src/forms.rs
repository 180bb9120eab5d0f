//! Forms: spans of a resource that differ in nothing but ids, times, and texts that nothing follows from or nothing but
//! a request's key. What such spans say is worked out once; the next ones are recognised by their bytes.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use otlp::{SpanField, Text, Value as Wire};
use rustc_hash::FxBuildHasher;
use schemas::semconv::SpanFact;
use self_cell::self_cell;
use stitcher::span::{Kind, Span};

use crate::content;
use crate::facts::NOBODY;
use crate::read::{Body, span_of};
use crate::resources::Emitter;
use crate::said::{Facts, Said, bounded};
use crate::semconv::Semconv;
use crate::text::{before_path, without_query};
use crate::value::Value;

/// Bytes of forms that are remembered, of all of them together: what a core's second-level cache can hold. Comparing with what
/// has to come from memory takes longer than reading the span.
const MAX_BYTES: usize = 2 << 20;
/// What a form takes beside the span it was learnt from.
const FORM_BYTES: usize = 1_024;
/// After so many spans for which there was no room all forms are forgotten: others may be frequent by now.
const MAX_REFUSED: u32 = 1 << 20;
/// Forms of spans with one name, kind and resource.
const ALIKE: usize = 8;
/// So many more misses than hits show that a name's spans are all different, or have changed.
const MISSES: i32 = 64;
/// Names that were met once; a power of two.
const MET: usize = 4_096;

/// No two forms of a process have one number, whoever learnt them.
static NEXT_NUMBER: AtomicU64 = AtomicU64::new(1);

/// Facts that may differ within a form: only a request's key follows from them, and from paths and URLs what is checked.
const FREE: Facts = Facts::of(&[
    SpanFact::UrlPath,
    SpanFact::UrlFull,
    SpanFact::UrlQuery,
    SpanFact::DbStatement,
    SpanFact::RequestKey,
]);
/// Facts of which there is no form: they are new every time, or said by the first span of a flow only.
const OWN: Facts = Facts::of(&[
    SpanFact::Baggage,
    SpanFact::SessionId,
    SpanFact::UserId,
    SpanFact::UiEvent,
    SpanFact::MessagingBatch,
]);

/// The forms that one reader knows.
pub(crate) struct Forms {
    semconv: Arc<Semconv>,
    /// By name, kind and resource.
    alike: HashMap<u64, Alike, FxBuildHasher>,
    forms: Vec<Form>,
    bytes: usize,
    refused: u32,
    met: Box<[u64]>,
}

/// Forms of one name, kind and resource, as places in `forms`: the likely ones first.
#[derive(Default)]
struct Alike {
    forms: Vec<u32>,
    /// How many more spans had none of them than had one, within [`MISSES`] below.
    misses: i32,
}

self_cell!(
    struct Form {
        owner: Sample,
        #[covariant]
        dependent: Span,
    }
);

/// The span from which a form was learnt, and what other spans must have in common with it.
struct Sample {
    semconv: Arc<Semconv>,
    emitter: Arc<Emitter>,
    span: Box<[u8]>,
    kind: Kind,
    has_parent: bool,
    name: Range<u32>,
    trace_state: Range<u32>,
    /// Where ids, times and name end.
    tail_at: usize,
    /// What follows them.
    pieces: Vec<Piece>,
    /// The key of the request, as far as it follows from what is the same.
    request_key: u64,
}

/// A part of what comes after a span's ids, times and name.
enum Piece {
    /// These bytes of the sample.
    Same(Range<u32>),
    /// An attribute of the key at this place of the sample, with any value of that role.
    Free(Range<u32>, Role),
}

/// What follows from a free attribute's value.
enum Role {
    Nothing,
    /// A part of the request's key: the value, mixed with this.
    Key(u64),
    /// … and it is a path, with the same scheme and host before it, which stand here in the sample, and no probe's.
    Path {
        key: u64,
        before: Range<u32>,
    },
}

/// A form's span, whose ids, times and content are another's, and the request's key of that one.
pub(crate) struct Found<'f> {
    form: &'f mut Form,
    request_key: u64,
}

impl Found<'_> {
    /// Gives on the span with ids, times and content put in by `complete`.
    pub(crate) fn give(self, complete: impl FnOnce(&mut Span<'_>), each: &mut dyn FnMut(&Span<'_>)) {
        self.form.with_dependent_mut(|_, span| {
            span.facts.request_key = self.request_key;
            complete(span);
            each(span);
        });
    }
}

impl Forms {
    pub(crate) fn new(semconv: Arc<Semconv>) -> Self {
        let (alike, forms, met) = (HashMap::default(), Vec::new(), vec![0; MET].into());
        Self { semconv, alike, forms, bytes: 0, refused: 0, met }
    }

    /// The form that this span has, if it is known.
    pub(crate) fn find(
        &mut self,
        emitter: &Emitter,
        head: &Body<'_>,
        tail: otlp::Span<'_>,
    ) -> Option<Found<'_>> {
        let alike = self.alike.get_mut(&hash(emitter, head))?;
        if alike.misses > MISSES {
            return None;
        }
        let key_by = |form: &u32| {
            let sample = self.forms[*form as usize].borrow_owner();
            sample.is_like(emitter, head).then(|| sample.request_key_of(&self.semconv, tail)).flatten()
        };
        let found = alike.forms.iter().enumerate().find_map(|(at, form)| Some((at, key_by(form)?)));
        let Some((at, request_key)) = found else {
            alike.misses += 1;
            return None;
        };
        alike.misses = (alike.misses - 1).max(-MISSES);
        let form = &mut self.forms[alike.forms[at] as usize];
        alike.forms.swap(at, at.saturating_sub(1));
        Some(Found { form, request_key })
    }

    /// Learns the form of a span that was read, once its name is met again.
    pub(crate) fn learn<'a>(
        &mut self,
        emitter: &Arc<Emitter>,
        (head, whole, tail): (&Body<'a>, &'a [u8], otlp::Span<'a>),
        said: &Said<'a>,
    ) {
        let hash = hash(emitter, head);
        let met = &mut self.met[hash as usize % MET];
        if *met != hash {
            *met = hash;
            return;
        }
        let known = self.alike.get(&hash);
        // What happens now and then, such as errors, is not worth a form.
        let is_enough = |alike: &Alike| alike.forms.len() == ALIKE || alike.misses <= 0;
        if known.is_some_and(is_enough) || said.says_any(OWN) {
            return;
        }
        if self.bytes + whole.len() + FORM_BYTES > MAX_BYTES {
            self.refused += 1;
            if self.refused > MAX_REFUSED {
                *self = Self::new(Arc::clone(&self.semconv));
            }
            return;
        }
        // What differs once differs often.
        let ignored_is_free = known.is_some();
        let Some(sample) = Sample::new(&self.semconv, emitter, (head, whole, tail), said, ignored_is_free)
        else {
            return;
        };
        let form = Form::new(sample, |sample| Span {
            form: NEXT_NUMBER.fetch_add(1, Ordering::Relaxed),
            ..sample.read()
        });
        self.bytes += whole.len() + FORM_BYTES;
        let alike = self.alike.entry(hash).or_default();
        let takes_in = |older: &u32| {
            let older = self.forms[*older as usize].borrow_owner();
            let sample = form.borrow_owner();
            older.is_like(emitter, head) && sample.request_key_of(&self.semconv, older.tail()).is_some()
        };
        // A form that takes in an older one replaces it.
        match alike.forms.iter().position(takes_in) {
            Some(at) => self.forms[alike.forms[at] as usize] = form,
            None => {
                alike.forms.push(self.forms.len() as u32);
                self.forms.push(form);
            }
        }
    }
}

impl Sample {
    /// `None`: no other span could be like it. Ignored attributes are free, or the same as everything else.
    fn new<'a>(
        semconv: &Arc<Semconv>,
        emitter: &Arc<Emitter>,
        (head, whole, tail): (&Body<'a>, &'a [u8], otlp::Span<'a>),
        said: &Said<'a>,
        ignored_is_free: bool,
    ) -> Option<Self> {
        let said_twice = facts_said_twice(semconv, tail);
        let mut request_key = said.request_key(semconv);
        let mut pieces = Vec::new();
        let (mut rest, mut same) = (tail, whole.len() - tail.rest().len());
        while !rest.rest().is_empty() {
            let start = whole.len() - rest.rest().len();
            let pair = match rest.next()?.ok()? {
                SpanField::Attribute(pair) => pair,
                SpanField::Status(_)
                | SpanField::Flags(_)
                | SpanField::DroppedAttributesCount(_)
                | SpanField::DroppedEventsCount(_)
                | SpanField::DroppedLinksCount(_) => continue,
                _ => return None,
            };
            let (key, value) = pair.read().ok()?;
            let role = Role::of(semconv, said_twice, whole, key, value);
            let Some(role) = role.filter(|role| ignored_is_free || !matches!(role, Role::Nothing)) else {
                continue;
            };
            request_key = request_key.wrapping_sub(role.part(semconv, whole, value)?);
            pieces.push(Piece::Same(range(same..start)));
            pieces.push(Piece::Free(place_in(whole, key.bytes()), role));
            same = whole.len() - rest.rest().len();
        }
        pieces.push(Piece::Same(range(same..whole.len())));
        Some(Self {
            semconv: Arc::clone(semconv),
            emitter: Arc::clone(emitter),
            span: whole.into(),
            kind: head.kind,
            has_parent: head.has_parent(),
            name: place_in(whole, head.name.bytes()),
            trace_state: place_in(whole, head.trace_state.bytes()),
            tail_at: whole.len() - tail.rest().len(),
            pieces,
            request_key,
        })
    }

    fn tail(&self) -> otlp::Span<'_> {
        otlp::Span::of(&self.span[self.tail_at..])
    }

    /// What the span says.
    fn read(&self) -> Span<'_> {
        let (mut head, mut said) = (Body::default(), Said::new());
        // It was read before.
        let _ = head
            .read_head(otlp::Span::of(&self.span))
            .and_then(|tail| head.read_tail(tail, &self.semconv, &mut said));
        span_of(&self.semconv, &self.emitter, &head, &said, &NOBODY)
    }

    #[inline]
    fn is_like(&self, emitter: &Emitter, head: &Body<'_>) -> bool {
        self.emitter.number == emitter.number
            && self.kind == head.kind
            && self.has_parent == head.has_parent()
            && *at(&self.span, &self.name) == *head.name.bytes()
            && *at(&self.span, &self.trace_state) == *head.trace_state.bytes()
    }

    /// The key of the request of a span that ends like this, if its end has this form.
    fn request_key_of(&self, semconv: &Semconv, mut tail: otlp::Span<'_>) -> Option<u64> {
        let mut request_key = self.request_key;
        for piece in &self.pieces {
            match piece {
                Piece::Same(bytes) => {
                    tail = otlp::Span::of(tail.rest().strip_prefix(at(&self.span, bytes))?);
                }
                Piece::Free(key, role) => {
                    let Some(Ok(SpanField::Attribute(pair))) = tail.next() else { return None };
                    let (its_key, value) = pair.read().ok()?;
                    if its_key.bytes() != at(&self.span, key) {
                        return None;
                    }
                    request_key = request_key.wrapping_add(role.part(semconv, &self.span, value)?);
                }
            }
        }
        tail.rest().is_empty().then_some(request_key)
    }
}

impl Role {
    /// What this attribute does in a form; `None`: it has to be the same.
    fn of(semconv: &Semconv, said_twice: u64, sample: &[u8], key: Text<'_>, value: Wire<'_>) -> Option<Self> {
        let Some(rule) = semconv.of_span(key.bytes()) else {
            return Some(match semconv.is_request_key(key) {
                true => Self::Key(content::hash(key.bytes())),
                false => Self::Nothing,
            });
        };
        let (fact, _) = rule.takes.filter(|(fact, _)| {
            rule.marks.is_empty()
                && FREE.contains(*fact)
                && semconv.in_request_key.contains(*fact)
                && said_twice & 1 << *fact as u32 == 0
        })?;
        let key = fact as u64 + 1;
        let role = match (fact, value) {
            (SpanFact::UrlPath | SpanFact::UrlFull, Wire::String(text)) => {
                Self::Path { key, before: place_in(sample, before_path(text.str().ok()?).as_bytes()) }
            }
            (SpanFact::UrlPath | SpanFact::UrlFull, _) => return None,
            _ => Self::Key(key),
        };
        // The first of its form has to fit into it.
        role.part(semconv, sample, value).is_some().then_some(role)
    }

    /// What this value adds to the key of the request; `None`: it isn't of the form.
    #[inline]
    fn part(&self, semconv: &Semconv, sample: &[u8], value: Wire<'_>) -> Option<u64> {
        let key = match self {
            Self::Nothing => return Some(0),
            Self::Key(key) | Self::Path { key, .. } => *key,
        };
        let value = match value {
            // An empty text says nothing.
            Wire::String(text) if !text.bytes().is_empty() => Value::Text(text.str().ok()?),
            Wire::Int(number) => Value::Int(number),
            _ => return None,
        };
        if let Self::Path { before, .. } = self {
            let text = value.text()?;
            let begins_alike = text.as_bytes().starts_with(at(sample, before));
            let path = without_query(text.get(before.len()..).filter(|_| begins_alike)?);
            if !path.starts_with('/') || semconv.is_probe_path(bounded(path)) {
                return None;
            }
        }
        Some(content::join(key, value.hash()))
    }
}

/// Facts of which several attributes speak: which of them counts depends on all of them.
fn facts_said_twice(semconv: &Semconv, tail: otlp::Span<'_>) -> u64 {
    let (mut once, mut twice) = (0, 0);
    for field in tail.flatten() {
        let SpanField::Attribute(pair) = field else { continue };
        let rule = pair.read().ok().and_then(|(key, _)| semconv.of_span(key.bytes()));
        if let Some((fact, _)) = rule.and_then(|rule| rule.takes) {
            let bit = 1_u64 << fact as u32;
            (once, twice) = (once | bit, twice | once & bit);
        }
    }
    twice
}

/// Where in `whole` a part of it stands.
fn place_in(whole: &[u8], part: &[u8]) -> Range<u32> {
    let start = (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize);
    if part.is_empty() { 0..0 } else { range(start..start + part.len()) }
}

/// No message is larger.
fn range(places: Range<usize>) -> Range<u32> {
    places.start as u32..places.end as u32
}

#[inline]
fn at<'a>(whole: &'a [u8], place: &Range<u32>) -> &'a [u8] {
    &whole[place.start as usize..place.end as usize]
}

fn hash(emitter: &Emitter, head: &Body<'_>) -> u64 {
    let beside = emitter.number << 4 | (head.kind as u64) << 1 | u64::from(head.has_parent());
    content::join(content::hash(head.name.bytes()), beside)
}
