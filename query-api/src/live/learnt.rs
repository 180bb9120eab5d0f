//! How far a flow is, estimated from how many spans the operation's last flows had.

use crate::hub::{Event, FlowOutcome, ProgressFrom};
use std::collections::HashMap;

/// Operations that are known; more than the processor lets through in an hour.
const OPERATIONS: usize = 10_000;
/// Flows after which an operation's size is believed.
const LEARNT_AFTER: u32 = 3;
/// How much a new flow changes what was learnt: the last dozen flows or so count.
const WEIGHT: f64 = 0.15;
/// A flow that isn't over is never said to be.
const NOT_OVER: u32 = 99;

/// Sizes of the flows that succeeded, by environment and operation.
#[derive(Debug, Default)]
pub struct Learnt {
    sizes: HashMap<(String, String), Size>,
}

#[derive(Debug)]
struct Size {
    spans: f64,
    flows: u32,
}

impl Learnt {
    /// Learns from a flow that ended, and says of one that goes on how far it is.
    pub fn tell(&mut self, event: &mut Event) {
        let key = (event.environment.clone(), event.operation_name.clone());
        if let Some(outcome) = &event.outcome {
            if outcome.status == FlowOutcome::Success && outcome.complete {
                self.learn(key, event.span_count);
            }
            return;
        }
        let Some(size) = self.sizes.get(&key).filter(|size| size.flows >= LEARNT_AFTER) else { return };
        let share = f64::from(event.span_count) / size.spans.max(1.0);
        event.progress = ((share * 100.0) as u32).min(NOT_OVER);
        event.progress_from = ProgressFrom::Learnt;
    }

    fn learn(&mut self, key: (String, String), spans: u32) {
        if self.sizes.len() >= OPERATIONS && !self.sizes.contains_key(&key) {
            // Rather learn anew than not at all, or without an end.
            self.sizes.clear();
        }
        let spans = f64::from(spans);
        let size = self.sizes.entry(key).or_insert(Size { spans, flows: 0 });
        size.spans += (spans - size.spans) * WEIGHT;
        size.flows = size.flows.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemas::v1::{FlowEvent, FlowEventKind, FlowStatus, FlowTrace};

    fn event(kind: FlowEventKind, spans: u32, status: FlowStatus) -> Event {
        let summary = FlowTrace { complete: true, ..FlowTrace::default() };
        Event::from(FlowEvent {
            kind: kind.into(),
            operation: "login".into(),
            progress: 50,
            spans,
            status: status.into(),
            summary: Some(summary),
            ..FlowEvent::default()
        })
    }

    fn progress(learnt: &mut Learnt, spans: u32) -> (u32, ProgressFrom) {
        let mut event = event(FlowEventKind::Update, spans, FlowStatus::Success);
        learnt.tell(&mut event);
        (event.progress, event.progress_from)
    }

    #[test]
    fn progress_is_the_share_of_what_such_flows_had() {
        let mut learnt = Learnt::default();
        for _ in 0..LEARNT_AFTER {
            assert_eq!(progress(&mut learnt, 5), (50, ProgressFrom::Answered), "not known yet");
            learnt.tell(&mut event(FlowEventKind::Complete, 20, FlowStatus::Success));
        }
        assert_eq!(progress(&mut learnt, 5), (25, ProgressFrom::Learnt));
        assert_eq!(progress(&mut learnt, 400).0, 99, "it isn't over");
        learnt.tell(&mut event(FlowEventKind::Complete, 1, FlowStatus::Error));
        assert_eq!(progress(&mut learnt, 5).0, 25, "failed flows end early, and teach nothing");
        (0..60).for_each(|_| learnt.tell(&mut event(FlowEventKind::Complete, 10, FlowStatus::Success)));
        assert_eq!(progress(&mut learnt, 5).0, 49, "what changed is learnt");
    }

    #[test]
    fn what_is_learnt_is_bounded() {
        let mut learnt = Learnt::default();
        for at in 0..OPERATIONS + 5 {
            learnt.learn((String::new(), at.to_string()), 1);
        }
        assert!(learnt.sizes.len() <= OPERATIONS);
    }
}
