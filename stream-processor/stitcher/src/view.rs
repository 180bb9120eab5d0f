//! What is looked through: spans without a service and sidecars that only repeat what the application says.
//! What is left are opaque spans, each with an owner and its nearest opaque ancestor.

use crate::names::Source;
use crate::record::Record;
use crate::span::Kind;
use crate::tree::{NONE, Tree};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

/// Sidecars in a row that are looked through in one step; real meshes have two.
const MOST_PROXIES: usize = 8;

/// A trace with everything transparent looked through.
pub(crate) struct View<'a> {
    pub records: &'a [Record],
    pub tree: &'a Tree,
    /// Whose span it is; `None`: transparent.
    pub owner: Vec<Option<Arc<Source>>>,
    /// Nearest opaque ancestor.
    pub above: Vec<u32>,
    /// Nearest opaque ancestor that is no INTERNAL span of the same service.
    pub boundary: Vec<u32>,
    /// Nothing opaque above, and the topmost span names a parent that is not here.
    pub lost: Vec<bool>,
}

impl<'a> View<'a> {
    pub fn new(records: &'a [Record], tree: &'a Tree) -> Self {
        let many = records.len();
        let mut view = Self {
            records,
            tree,
            owner: vec![None; many],
            above: vec![NONE; many],
            boundary: vec![NONE; many],
            lost: vec![false; many],
        };
        let standing = standing_proxies(records, tree);
        for i in tree.order.iter().map(|i| *i as usize) {
            view.look_up(i, standing[i]);
        }
        view
    }

    fn look_up(&mut self, i: usize, stands: bool) {
        let parent = self.tree.parent[i];
        if parent == NONE {
            self.lost[i] = self.tree.lost[i];
        } else if self.owner[parent as usize].is_some() {
            self.above[i] = parent;
        } else {
            self.above[i] = self.above[parent as usize];
            self.lost[i] = self.lost[parent as usize];
        }
        let above = self.above[i];
        self.owner[i] = self.owner_of(i, stands);
        self.boundary[i] = match above {
            NONE => NONE,
            _ if self.same_service(i, above) && self.is_inner(above) => self.boundary[above as usize],
            _ => above,
        };
    }

    /// A nameless CLIENT belongs to its nearest named ancestor; other nameless spans to nobody.
    fn owner_of(&self, i: usize, stands: bool) -> Option<Arc<Source>> {
        let record = &self.records[i];
        if record.marks.proxy && !stands {
            return None;
        }
        if record.source.is_named() {
            return Some(record.source.clone());
        }
        match self.above[i] {
            NONE => None,
            above if record.calls_out() => self.owner[above as usize].clone(),
            _ => None,
        }
    }

    /// Work inside a service: it has no side of a call of its own.
    pub fn is_inner(&self, i: u32) -> bool {
        matches!(self.records[i as usize].kind, Kind::Internal | Kind::Unspecified)
    }

    /// Both opaque, and of one service. Nodes are shared, so equal ones are the same one.
    pub fn same_service(&self, i: usize, other: u32) -> bool {
        match (&self.owner[i], &self.owner[other as usize]) {
            (Some(a), Some(b)) => Arc::ptr_eq(&a.node, &b.node),
            _ => false,
        }
    }

    /// The transparent spans between `i` and the nearest opaque one above it.
    pub fn through(&self, i: usize) -> impl Iterator<Item = &'a Record> + '_ {
        let mut at = self.tree.parent[i];
        core::iter::from_fn(move || {
            if at == NONE || self.owner[at as usize].is_some() {
                return None;
            }
            let record = &self.records[at as usize];
            at = self.tree.parent[at as usize];
            Some(record)
        })
        .take(MOST_PROXIES)
    }
}

/// A proxy stands for its service only where the application has no span on that side of the call.
fn standing_proxies(records: &[Record], tree: &Tree) -> Vec<bool> {
    let mut stands = vec![false; records.len()];
    if !records.iter().any(|record| record.marks.proxy) {
        return stands;
    }
    let mut covered = vec![false; records.len()];
    let mut app_above = vec![NONE; records.len()];
    for i in tree.order.iter().map(|i| *i as usize) {
        let parent = tree.parent[i];
        if parent != NONE {
            let is_app = !records[parent as usize].marks.proxy && records[parent as usize].source.is_named();
            app_above[i] = if is_app { parent } else { app_above[parent as usize] };
        }
        if !records[i].marks.proxy && records[i].source.is_named() {
            cover(i, records, tree, &mut covered);
        }
    }
    for (i, record) in records.iter().enumerate().filter(|(_, record)| record.marks.proxy) {
        let app_calls = app_above[i] != NONE && {
            let app = &records[app_above[i] as usize];
            app.calls_out() && app.source.node.name == record.source.node.name
        };
        stands[i] = record.source.is_named() && if record.answers() { !covered[i] } else { !app_calls };
    }
    stands
}

/// The proxies right above an application span need not stand for it.
fn cover(app: usize, records: &[Record], tree: &Tree, covered: &mut [bool]) {
    let mut at = tree.parent[app];
    for _ in 0..MOST_PROXIES {
        if at == NONE || !records[at as usize].marks.proxy {
            return;
        }
        covered[at as usize] |= records[at as usize].source.node.name == records[app].source.node.name;
        at = tree.parent[at as usize];
    }
}
