//! What is looked through: spans without a service and sidecars that only repeat what the application says.
//! What is left are opaque spans, each with an owner and its nearest opaque ancestor.

use crate::names::{Names, NodeId, Source};
use crate::record::{Link, Record};
use crate::shape::Shape;
use crate::span::{Kind, MessagingOperation};
use crate::tree::{NONE, Tree, blank};
use alloc::vec;
use alloc::vec::Vec;

/// Sidecars in a row that are looked through in one step; real meshes have two.
const MOST_PROXIES: usize = 8;

/// What was found by looking through one trace, in room for the next one.
#[derive(Default)]
pub(crate) struct Looks {
    /// The span whose service it belongs to: itself, or who a nameless CLIENT works for; [`NONE`]: transparent.
    owner: Vec<u32>,
    /// That service's node.
    node: Vec<Option<NodeId>>,
    /// Nearest opaque ancestor.
    above: Vec<u32>,
    /// Nearest opaque ancestor that is no INTERNAL span of the same service.
    boundary: Vec<u32>,
    /// Nothing opaque above, and the topmost span names a parent that is not here.
    lost: Vec<bool>,
    has_proxies: bool,
}

/// A trace, with what its spans say.
#[derive(Clone, Copy)]
pub(crate) struct Spans<'a> {
    pub records: &'a [Record],
    /// Of messaging spans, by their place.
    pub links: &'a [Link],
    pub names: &'a Names,
    /// Longer spans are streams, µs.
    pub stream_us: u64,
}

impl<'a> Spans<'a> {
    #[inline]
    pub fn shape(&self, i: u32) -> &'a Shape {
        self.names.shape(self.records[i as usize].shape())
    }

    #[inline]
    pub fn source(&self, i: u32) -> &'a Source {
        self.names.source(self.shape(i).source)
    }

    pub fn link(&self, i: u32) -> Option<&'a Link> {
        let at = self.links.binary_search_by_key(&i, |link| link.at).ok()?;
        self.links.get(at)
    }

    pub fn messages(&self, i: u32) -> u32 {
        self.link(i).map_or(1, |link| link.messages)
    }

    /// Counted, but its length is no latency.
    pub fn is_stream(&self, i: u32) -> bool {
        self.shape(i).marks.stream || self.records[i as usize].duration_us > self.stream_us
    }

    /// Its length, unless it is a stream's.
    pub fn latency_us(&self, i: u32) -> Option<u64> {
        (!self.is_stream(i)).then(|| self.records[i as usize].duration_us)
    }

    /// Hands messages to a topic.
    pub fn hands_over(&self, i: u32) -> bool {
        matches!(self.shape(i).messaging, Some(MessagingOperation::Create | MessagingOperation::Send))
    }

    /// Takes messages from a topic.
    pub fn takes(&self, i: u32) -> bool {
        matches!(self.shape(i).messaging, Some(MessagingOperation::Receive | MessagingOperation::Process))
    }
}

/// A trace with everything transparent looked through.
pub(crate) struct View<'a> {
    pub spans: Spans<'a>,
    pub records: &'a [Record],
    pub tree: &'a Tree,
    looks: &'a Looks,
}

impl<'a> View<'a> {
    pub fn new(spans: Spans<'a>, tree: &'a Tree, looks: &'a mut Looks) -> Self {
        looks.look(spans, tree);
        Self { spans, records: spans.records, tree, looks }
    }

    /// Whose span it is; `None`: transparent.
    #[inline]
    pub fn owner(&self, i: u32) -> Option<&'a Source> {
        self.looks.owner(self.spans, i)
    }

    pub fn is_opaque(&self, i: u32) -> bool {
        self.looks.owner[i as usize] != NONE
    }

    pub fn node(&self, i: u32) -> Option<NodeId> {
        self.looks.node[i as usize]
    }

    /// Nearest opaque ancestor.
    #[inline]
    pub fn above(&self, i: u32) -> u32 {
        self.looks.above[i as usize]
    }

    /// Nearest opaque ancestor that is no INTERNAL span of the same service.
    #[inline]
    pub fn boundary(&self, i: u32) -> u32 {
        self.looks.boundary[i as usize]
    }

    /// There are sidecars, seen or looked through.
    pub fn has_proxies(&self) -> bool {
        self.looks.has_proxies
    }

    /// Nothing opaque above, and the topmost span names a parent that is not here.
    pub fn is_lost(&self, i: u32) -> bool {
        self.looks.lost[i as usize]
    }

    /// Work inside a service: it has no side of a call of its own.
    pub fn is_inner(&self, i: u32) -> bool {
        is_inner(self.spans, i)
    }

    /// Both opaque, and of one service.
    pub fn same_service(&self, i: u32, other: u32) -> bool {
        self.looks.same_service(i, other)
    }

    /// The transparent spans between `i` and the nearest opaque one above it.
    pub fn through(&self, i: u32) -> impl Iterator<Item = u32> + '_ {
        let mut at = self.tree.parent[i as usize];
        core::iter::from_fn(move || {
            if at == NONE || self.is_opaque(at) {
                return None;
            }
            let proxy = at;
            at = self.tree.parent[at as usize];
            Some(proxy)
        })
        .take(MOST_PROXIES)
    }
}

impl Looks {
    fn look(&mut self, spans: Spans<'_>, tree: &Tree) {
        let many = spans.records.len();
        blank(&mut self.owner, many, NONE);
        blank(&mut self.node, many, None);
        blank(&mut self.above, many, NONE);
        blank(&mut self.boundary, many, NONE);
        blank(&mut self.lost, many, false);
        let standing = standing_proxies(spans, tree);
        self.has_proxies = standing.is_some();
        for i in tree.order.iter().copied() {
            let stands = standing.as_ref().is_some_and(|standing| standing[i as usize]);
            self.look_up(spans, tree, i, stands);
        }
    }

    fn look_up(&mut self, spans: Spans<'_>, tree: &Tree, i: u32, stands: bool) {
        let (at, parent) = (i as usize, tree.parent[i as usize]);
        if parent == NONE {
            self.lost[at] = tree.lost[at];
        } else if self.owner[parent as usize] != NONE {
            self.above[at] = parent;
        } else {
            self.above[at] = self.above[parent as usize];
            self.lost[at] = self.lost[parent as usize];
        }
        let above = self.above[at];
        self.owner[at] = self.owner_of(spans, i, stands);
        self.node[at] = self.owner(spans, i).map(|owner| owner.node);
        self.boundary[at] = match above {
            NONE => NONE,
            _ if is_inner(spans, above) && self.same_service(i, above) => self.boundary[above as usize],
            _ => above,
        };
    }

    /// A nameless CLIENT belongs to its nearest named ancestor; other nameless spans to nobody.
    fn owner_of(&self, spans: Spans<'_>, i: u32, stands: bool) -> u32 {
        if spans.shape(i).marks.proxy && !stands {
            return NONE;
        }
        if spans.source(i).is_named {
            return i;
        }
        match self.above[i as usize] {
            NONE => NONE,
            above if spans.records[i as usize].calls_out() => self.owner[above as usize],
            _ => NONE,
        }
    }

    fn owner<'a>(&self, spans: Spans<'a>, i: u32) -> Option<&'a Source> {
        match self.owner[i as usize] {
            NONE => None,
            owner => Some(spans.source(owner)),
        }
    }

    fn same_service(&self, i: u32, other: u32) -> bool {
        self.node[i as usize].is_some() && self.node[i as usize] == self.node[other as usize]
    }
}

fn is_inner(spans: Spans<'_>, i: u32) -> bool {
    matches!(spans.records[i as usize].kind(), Kind::Internal | Kind::Unspecified)
}

/// A proxy stands for its service only where the application has no span on that side of the call. `None`: there are no
/// proxies.
fn standing_proxies(spans: Spans<'_>, tree: &Tree) -> Option<Vec<bool>> {
    let many = spans.records.len();
    let is_proxy = |i: u32| spans.shape(i).marks.proxy;
    let is_app = |i: u32| !is_proxy(i) && spans.source(i).is_named;
    if !(0..many as u32).any(is_proxy) {
        return None;
    }
    let (mut stands, mut covered, mut app_above) = (vec![false; many], vec![false; many], vec![NONE; many]);
    for i in tree.order.iter().copied() {
        let parent = tree.parent[i as usize];
        if parent != NONE {
            app_above[i as usize] = if is_app(parent) { parent } else { app_above[parent as usize] };
        }
        if is_app(i) {
            cover(i, spans, tree, &mut covered);
        }
    }
    for i in (0..many as u32).filter(|i| is_proxy(*i)) {
        let app = app_above[i as usize];
        let app_calls = app != NONE && spans.records[app as usize].calls_out() && same_name(spans, app, i);
        let answers = spans.records[i as usize].answers();
        stands[i as usize] =
            spans.source(i).is_named && if answers { !covered[i as usize] } else { !app_calls };
    }
    Some(stands)
}

/// The proxies right above an application span need not stand for it.
fn cover(app: u32, spans: Spans<'_>, tree: &Tree, covered: &mut [bool]) {
    let mut at = tree.parent[app as usize];
    for _ in 0..MOST_PROXIES {
        if at == NONE || !spans.shape(at).marks.proxy {
            return;
        }
        covered[at as usize] |= same_name(spans, at, app);
        at = tree.parent[at as usize];
    }
}

fn same_name(spans: Spans<'_>, a: u32, b: u32) -> bool {
    let [a, b] = [a, b].map(|i| &spans.names.node(spans.source(i).node).name);
    a == b
}
