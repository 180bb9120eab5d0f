//! Mends texts that are not UTF-8. SDKs that limit the length of a value cut in the middle of a character, and that
//! is no reason to lose a span; but in Kafka such a text would make strict readers refuse the whole message.

use crate::shape::{TRACES, each_text};
use crate::wire::Malformed;

/// A request whose texts are UTF-8.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mended {
    /// The request, of the same length.
    pub request: Vec<u8>,
    /// How many texts were changed.
    pub texts: u64,
}

/// Replaces every byte that makes a text no UTF-8 by `?`, so that no length changes.
///
/// # Errors
/// The request is malformed beyond its texts.
pub fn texts(request: &[u8]) -> Result<Mended, Malformed> {
    let mut mended = Mended { request: request.to_vec(), texts: 0 };
    each_text(&TRACES, request, |text| {
        let mut at = text.as_ptr() as usize - request.as_ptr() as usize;
        let mut whole = true;
        for chunk in text.utf8_chunks() {
            at += chunk.valid().len();
            mended.request[at..at + chunk.invalid().len()].fill(b'?');
            at += chunk.invalid().len();
            whole &= chunk.invalid().is_empty();
        }
        mended.texts += u64::from(!whole);
    })?;
    Ok(mended)
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::trace::v1::span::Event;
    use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, TracesData};
    use prost::Message;

    #[test]
    fn only_the_bytes_that_are_no_text_change() {
        let event = Event { name: "cut €".into(), ..Event::default() };
        let span = Span { name: "fine".into(), events: vec![event], ..Span::default() };
        let scope_spans = vec![ScopeSpans { spans: vec![span], ..ScopeSpans::default() }];
        let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }];
        let mut request = TracesData { resource_spans }.encode_to_vec();
        // The last byte of the euro sign is overwritten.
        let cut = request.windows(3).position(|window| window == "€".as_bytes()).unwrap() + 2;
        request[cut] = b'!';
        let mended = texts(&request).unwrap();
        assert_eq!((mended.texts, mended.request.len()), (1, request.len()));
        let traces = TracesData::decode(&mended.request[..]).unwrap();
        let span = &traces.resource_spans[0].scope_spans[0].spans[0];
        assert_eq!((span.name.as_str(), span.events[0].name.as_str()), ("fine", "cut ??!"));
    }
}
