//! The UI operation a span names, and what a captured `baggage` header carries beside it.

use std::borrow::Cow;

use schemas::semconv::{BaggageFact, SpanFact};
use stitcher::span::{OperationSource, Text};

use crate::said::{Facts, MAX_TEXT_BYTES, Said, bounded};
use crate::semconv::Semconv;
use crate::text::percent_decoded;

/// What a `baggage` header says, percent-decoded.
#[derive(Default)]
pub(crate) struct Baggage<'a> {
    values: [Option<Cow<'a, str>>; BaggageFact::ALL.len()],
}

impl<'a> Baggage<'a> {
    /// Nothing.
    pub(crate) const NONE: Self = Self { values: [const { None }; BaggageFact::ALL.len()] };

    /// Reads `key=value;property,key=value` as W3C Baggage has it. Members that aren't of that form are skipped.
    pub(crate) fn read(semconv: &Semconv, header: &'a str) -> Self {
        let mut ranks = [u8::MAX; BaggageFact::ALL.len()];
        let mut baggage = Self::default();
        for member in header.split(',') {
            let Some((key, value)) = member.split(';').next().unwrap_or_default().split_once('=') else {
                continue;
            };
            let Some((fact, rank)) = semconv.of_baggage(key.trim()) else { continue };
            let value = percent_decoded(value.trim());
            if !value.is_empty() && rank < ranks[fact as usize] {
                ranks[fact as usize] = rank;
                baggage.values[fact as usize] = Some(value);
            }
        }
        baggage
    }

    /// The value of a fact; empty when the header doesn't carry it.
    pub(crate) fn text(&self, fact: BaggageFact) -> &str {
        self.values[fact as usize].as_deref().map_or("", bounded)
    }

    fn owned(&self, fact: BaggageFact) -> Option<Text<'a>> {
        self.values[fact as usize].clone().map(shortened)
    }
}

const OPERATION: Facts = Facts::of(&[
    SpanFact::Operation,
    SpanFact::Baggage,
    SpanFact::OperationHeader,
    SpanFact::OperationVendor,
    SpanFact::OperationWidget,
]);

/// The best explicit operation name of a span.
pub(crate) fn operation<'a>(said: &Said<'a>, baggage: &Baggage<'a>) -> Option<(OperationSource, Text<'a>)> {
    if !said.says_any(OPERATION) {
        return None;
    }
    let attribute = |fact: SpanFact| match said.value(fact).number_text() {
        Some(number) => Some(Cow::Owned(number)),
        None => Some(said.text(fact).trim()).filter(|text| !text.is_empty()).map(Cow::Borrowed),
    };
    let sources = [
        (OperationSource::Attribute, attribute(SpanFact::Operation)),
        (OperationSource::Baggage, baggage.owned(BaggageFact::Operation)),
        (OperationSource::Header, attribute(SpanFact::OperationHeader)),
        (
            OperationSource::Vendor,
            attribute(SpanFact::OperationVendor).or_else(|| baggage.owned(BaggageFact::OperationVendor)),
        ),
        (OperationSource::Widget, attribute(SpanFact::OperationWidget)),
    ];
    sources.into_iter().find_map(|(source, name)| Some((source, name?)))
}

fn shortened(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(bounded(text)),
        Cow::Owned(mut text) => {
            text.truncate(text.floor_char_boundary(MAX_TEXT_BYTES));
            Cow::Owned(text)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn baggage_members_are_found_and_decoded() {
        let semconv = Semconv::embedded();
        let header = "userId=x , weir.operation = create%20vm;ttl=3,session.id=s-1,sentry-transaction=%2Fcheckout,broken";
        let baggage = Baggage::read(&semconv, header);
        assert_eq!(baggage.text(BaggageFact::Operation), "create vm");
        assert_eq!(baggage.text(BaggageFact::SessionId), "s-1");
        assert_eq!(baggage.text(BaggageFact::OperationVendor), "/checkout");
        assert_eq!(baggage.text(BaggageFact::UserId), "");
    }
}
