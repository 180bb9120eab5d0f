//! Which calls try again what just failed (DESIGN 4.3). A call is at most one retry.

use crate::calls::Call;
use crate::record::Record;
use crate::tree::NONE;
use crate::view::View;
use alloc::vec::Vec;

/// Marks the retries among the calls, and lets only the first of the calls under one CLIENT carry its length.
pub(crate) fn mark(view: &View<'_>, calls: &mut [Call]) {
    under_one_client(view, calls);
    beside_each_other(view, calls);
}

fn top<'a>(view: &View<'a>, call: &Call) -> &'a Record {
    &view.records[if call.client == NONE { call.server } else { call.client } as usize]
}

/// Of several SERVERs under one CLIENT, those of the same service that follow a failed attempt.
fn under_one_client(view: &View<'_>, calls: &mut [Call]) {
    let mut order: Vec<u32> = (0..calls.len() as u32)
        .filter(|i| calls[*i as usize].client != NONE && calls[*i as usize].server != NONE)
        .collect();
    let key = |call: &Call| {
        let server = &view.records[call.server as usize];
        (call.client, server.start_us, server.span_id)
    };
    order.sort_unstable_by_key(|i| key(&calls[*i as usize]));
    for pair in 1..order.len() {
        let (before, this) = (order[pair - 1] as usize, order[pair] as usize);
        if calls[before].client != calls[this].client {
            continue;
        }
        calls[this].caller_measured = false;
        // The previous attempt of the same service, whoever answered in between.
        let previous = order[..pair]
            .iter()
            .rev()
            .map(|i| *i as usize)
            .take_while(|i| calls[*i].client == calls[this].client)
            .find(|i| calls[*i].callee == calls[this].callee);
        let failed = previous.is_some_and(|i| {
            let verdict = view.records[calls[i].server as usize].verdict;
            verdict.retryable || calls[i].verdict.timeout
        });
        calls[this].retry = failed;
    }
}

/// A resend by its own word, or the call right after a sibling that failed in a retryable way.
fn beside_each_other(view: &View<'_>, calls: &mut [Call]) {
    let mut order: Vec<u32> =
        (0..calls.len() as u32).filter(|i| calls[*i as usize].caller_measured).collect();
    order.sort_unstable_by(|a, b| {
        let [a, b] = [a, b].map(|i| (&calls[*i as usize], top(view, &calls[*i as usize])));
        let of = |(call, top): (&Call, &Record)| {
            (top.parent_id, call.callee.clone(), top.attempt, top.start_us, top.span_id)
        };
        of(a).cmp(&of(b))
    });
    let mut previous: Option<usize> = None;
    for i in order.into_iter().map(|i| i as usize) {
        let this = top(view, &calls[i]);
        let sibling = previous.filter(|p| {
            let (call, before) = (&calls[*p], top(view, &calls[*p]));
            this.parent_id != 0
                && before.parent_id == this.parent_id
                && call.callee == calls[i].callee
                && before.attempt == this.attempt
        });
        let (sent_again, follows_failure) = match sibling {
            None => (this.marks.resend, false),
            Some(p) => {
                let before = top(view, &calls[p]);
                let verdict = calls[p].verdict;
                let in_turn = before.end_us() <= this.start_us;
                (this.marks.resend && !before.verdict.redirected, in_turn && verdict.retryable)
            }
        };
        let never_sent = calls[i].verdict.rejected;
        calls[i].retry |= (sent_again || follows_failure) && !never_sent;
        previous = Some(i);
    }
}
