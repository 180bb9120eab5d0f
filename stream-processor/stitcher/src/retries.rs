//! Which calls try again what just failed (DESIGN 4.3). A call is at most one retry.

use crate::calls::Call;
use crate::names::NodeId;
use crate::record::Place;
use crate::tree::NONE;
use crate::view::View;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// By the first attempt under a CLIENT, the last one at the same service.
type LastAttempts = BTreeMap<usize, usize>;

/// Room to put calls in order.
#[derive(Default)]
pub(crate) struct Retries {
    attempts: Vec<Attempt>,
    siblings: Vec<Sibling>,
}

/// A call under a CLIENT: that one, where it stands, and which call.
type Attempt = (u32, Place, usize);

/// A call under a span: that one, who was called with what, where it stands, and which call.
type Sibling = (u64, NodeId, u32, Place, usize);

impl Retries {
    /// Marks the retries among the calls, and lets only the first of the calls under one CLIENT carry its length.
    pub fn mark(&mut self, view: &View<'_>, calls: &mut [Call]) {
        let last = under_one_client(view, calls, &mut self.attempts);
        beside_each_other(view, calls, &last, &mut self.siblings);
    }
}

/// The side that tells one attempt from another.
fn top(call: &Call) -> u32 {
    if call.client == NONE { call.server } else { call.client }
}

/// Of several SERVERs under one CLIENT, those of the same service that follow a failed attempt.
fn under_one_client(view: &View<'_>, calls: &mut [Call], order: &mut Vec<Attempt>) -> LastAttempts {
    let both_sides = calls.iter().enumerate().filter(|(_, call)| call.client != NONE && call.server != NONE);
    order.clear();
    order.extend(both_sides.map(|(i, call)| (call.client, view.records[call.server as usize].place(), i)));
    order.sort_unstable();
    let under_one = order.chunk_by(|a, b| a.0 == b.0).filter(|attempts| attempts.len() > 1);
    under_one.map(|attempts| of_one_client(view, calls, attempts)).collect()
}

fn of_one_client(view: &View<'_>, calls: &mut [Call], attempts: &[Attempt]) -> (usize, usize) {
    let first = attempts[0].2;
    // The previous attempt of the same service, whoever answered in between.
    let mut previous: BTreeMap<NodeId, usize> = BTreeMap::new();
    for (_, _, i) in attempts {
        let failed = previous.insert(calls[*i].callee, *i).is_some_and(|before| {
            let [before_it, it] = [before, *i].map(|i| &view.records[calls[i].server as usize]);
            let in_turn = before_it.end_us() <= it.start_us;
            let retryable = view.spans.shape(calls[before].server).verdict.retryable;
            // Only an attempt that outlived its time-out may still be running.
            (in_turn && retryable) || calls[before].verdict.timeout
        });
        calls[*i].retry = failed;
        calls[*i].caller_measured = *i == first;
    }
    (first, previous[&calls[first].callee])
}

/// A resend by its own word, or the call right after a sibling that failed in a retryable way.
fn beside_each_other(view: &View<'_>, calls: &mut [Call], last: &LastAttempts, order: &mut Vec<Sibling>) {
    let may_retry = |call: &Call| call.verdict.retryable || view.spans.shape(top(call)).marks.resend;
    if !calls.iter().any(may_retry) {
        return;
    }
    let record = |call: &Call| &view.records[top(call) as usize];
    order.clear();
    for (i, call) in calls.iter().enumerate().filter(|(_, call)| call.caller_measured) {
        let top = record(call);
        order.push((top.parent_id, call.callee, top.attempt, top.place(), i));
    }
    order.sort_unstable();
    let mut previous: Option<usize> = None;
    for (_, _, _, _, i) in order.iter().copied() {
        let this = record(&calls[i]);
        let marks = view.spans.shape(top(&calls[i])).marks;
        let sibling = previous.filter(|p| {
            let (call, before) = (&calls[*p], record(&calls[*p]));
            this.parent_id != 0
                && before.parent_id == this.parent_id
                && call.callee == calls[i].callee
                && before.attempt == this.attempt
        });
        let (sent_again, follows_failure) = match sibling {
            None => (marks.resend, false),
            Some(p) => {
                let before = record(&calls[p]);
                let redirected = view.spans.shape(top(&calls[p])).verdict.redirected;
                // What its CLIENT tried again itself and got done has not failed.
                let verdict = calls[last.get(&p).copied().unwrap_or(p)].verdict;
                let in_turn = before.end_us() <= this.start_us;
                (marks.resend && !redirected, in_turn && verdict.retryable)
            }
        };
        let never_sent = calls[i].verdict.rejected;
        calls[i].retry |= (sent_again || follows_failure) && !never_sent;
        previous = Some(i);
    }
}
