//! Circuit breakers: calls that were never sent, and who they would have gone to (DESIGN 4.3).

use crate::calls::Call;
use crate::delta::Name;
use crate::names::NodeId;
use crate::record::Place;
use crate::tree::{NONE, blank};
use crate::view::View;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// The breaker around each span, and which rejections are only an echo.
#[derive(Default)]
pub(crate) struct Breakers {
    /// Some span says that a call was rejected. If none does, nothing else is worked out.
    pub says_rejected: bool,
    around: Vec<Option<NodeId>>,
    /// A rejection further down explains this span's own.
    below: Vec<bool>,
}

impl Breakers {
    pub fn look(&mut self, view: &View<'_>) {
        let many = view.records.len();
        self.says_rejected = (0..many as u32).any(|i| view.spans.shape(i).verdict.rejected);
        if !self.says_rejected {
            return;
        }
        blank(&mut self.around, many, None);
        blank(&mut self.below, many, false);
        for i in view.tree.order.iter().copied() {
            let above = view.above(i);
            let inherits = above != NONE && view.is_inner(above) && view.same_service(i, above);
            let inherited = if inherits { self.around[above as usize] } else { None };
            self.around[i as usize] = view.spans.shape(i).breaker.or(inherited);
        }
        for i in view.tree.order.iter().rev().copied() {
            let parent = view.tree.parent[i as usize];
            if parent != NONE && (view.spans.shape(i).verdict.rejected || self.below[i as usize]) {
                self.below[parent as usize] = true;
            }
        }
    }

    /// A rejection further down explains this span's own.
    pub fn is_echo(&self, i: u32) -> bool {
        self.says_rejected && self.below[i as usize]
    }

    pub fn around(&self, i: u32) -> Option<NodeId> {
        self.around[i as usize]
    }

    /// Callee of each breaker's earliest call, by service and breaker.
    pub fn targets<'a>(&self, view: &View<'a>, calls: &[Call]) -> BTreeMap<(&'a Name, NodeId), NodeId> {
        let mut earliest: BTreeMap<(&'a Name, NodeId), (Place, NodeId)> = BTreeMap::new();
        for call in calls.iter().filter(|call| call.client != NONE) {
            let Some(breaker) = self.around(call.client) else { continue };
            let at = view.records[call.client as usize].place();
            let known = earliest
                .entry((&view.spans.names.node(call.caller).name, breaker))
                .or_insert((at, call.callee));
            if at < known.0 {
                *known = (at, call.callee);
            }
        }
        earliest.into_iter().map(|(key, (_, callee))| (key, callee)).collect()
    }
}
