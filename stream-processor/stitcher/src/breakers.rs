//! Circuit breakers: calls that were never sent, and who they would have gone to (DESIGN 4.3).

use crate::calls::Call;
use crate::delta::{Name, Node};
use crate::record::Place;
use crate::tree::NONE;
use crate::view::View;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

/// The breaker around each span, and which rejections are only an echo.
pub(crate) struct Breakers {
    around: Vec<Option<Name>>,
    /// A rejection further down explains this span's own.
    pub below: Vec<bool>,
}

impl Breakers {
    pub fn new(view: &View<'_>) -> Self {
        let many = view.records.len();
        let mut breakers = Self { around: vec![None; many], below: vec![false; many] };
        for i in view.tree.order.iter().map(|i| *i as usize) {
            let above = view.above[i];
            let inherited = above != NONE && view.is_inner(above) && view.same_service(i, above);
            breakers.around[i] = match &view.records[i].breaker {
                None if inherited => breakers.around[above as usize].clone(),
                own => own.clone(),
            };
        }
        for i in view.tree.order.iter().rev().map(|i| *i as usize) {
            let parent = view.tree.parent[i];
            if parent != NONE && (view.records[i].verdict.rejected || breakers.below[i]) {
                breakers.below[parent as usize] = true;
            }
        }
        breakers
    }

    pub fn around(&self, i: u32) -> Option<&Name> {
        self.around[i as usize].as_ref()
    }

    /// Callee of each breaker's earliest call, by service and breaker.
    pub fn targets(&self, view: &View<'_>, calls: &[Call]) -> BTreeMap<(Name, Name), Arc<Node>> {
        let mut earliest: BTreeMap<(Name, Name), (Place, Arc<Node>)> = BTreeMap::new();
        for call in calls.iter().filter(|call| call.client != NONE) {
            let Some(breaker) = self.around(call.client) else { continue };
            let client = &view.records[call.client as usize];
            let at = client.place();
            let known = earliest
                .entry((call.caller.name.clone(), breaker.clone()))
                .or_insert_with(|| (at, call.callee.clone()));
            if at < known.0 {
                *known = (at, call.callee.clone());
            }
        }
        earliest.into_iter().map(|(key, (_, callee))| (key, callee)).collect()
    }
}
