//! The same traces at another time.

use opentelemetry_proto::tonic::trace::v1::TracesData;

/// An amount that is added to every time; 0 (unknown) stays 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shift {
    ns: i64,
}

impl Shift {
    /// What turns `from` into `to`.
    pub fn between(from_ns: u64, to_ns: u64) -> Self {
        Self { ns: to_ns.cast_signed().wrapping_sub(from_ns.cast_signed()) }
    }

    /// Moves every time of the document.
    pub fn apply(self, document: &mut TracesData) {
        if self.ns == 0 {
            return;
        }
        let scopes = document.resource_spans.iter_mut().flat_map(|resource| &mut resource.scope_spans);
        for span in scopes.flat_map(|scope| &mut scope.spans) {
            self.time(&mut span.start_time_unix_nano);
            self.time(&mut span.end_time_unix_nano);
            span.events.iter_mut().for_each(|event| self.time(&mut event.time_unix_nano));
        }
    }

    fn time(self, ns: &mut u64) {
        if *ns != 0 {
            *ns = ns.saturating_add_signed(self.ns);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::trace::v1::span::Event;
    use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};

    fn document(start: u64, end: u64, event: u64) -> TracesData {
        let events = vec![Event { time_unix_nano: event, ..Event::default() }];
        let span = Span { start_time_unix_nano: start, end_time_unix_nano: end, events, ..Span::default() };
        let scope = ScopeSpans { spans: vec![span], ..ScopeSpans::default() };
        TracesData {
            resource_spans: vec![ResourceSpans { scope_spans: vec![scope], ..ResourceSpans::default() }],
        }
    }

    #[test]
    fn distances_stay_and_the_unknown_stays_unknown() {
        let mut moved = document(1_000, 3_000, 0);
        Shift::between(3_000, 10_000).apply(&mut moved);
        assert_eq!(moved, document(8_000, 10_000, 0));
        Shift::between(10_000, 3_000).apply(&mut moved);
        assert_eq!(moved, document(1_000, 3_000, 0));
    }
}
