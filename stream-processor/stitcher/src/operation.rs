//! What the user asked for: the flow's name, and the span that stands for the flow (DESIGN 4.5).

use crate::names::{self, EMPTY, NameId};
use crate::record;
use crate::shape::Fallback;
use crate::span::OperationSource;
use crate::tree::NONE;
use crate::view::View;

/// Name of the operation that health checks get.
pub(crate) const PROBE: &str = "__probe__";

/// Nearest the root, then earliest, then smallest span id: never by arrival.
type Place = (u32, record::Place);

fn place(view: &View<'_>, i: usize) -> Place {
    (view.tree.depth[i], view.records[i].place())
}

/// The flow's root: the earliest span without a parent id.
pub(crate) fn root(view: &View<'_>) -> Option<u32> {
    let roots = (0..view.records.len()).filter(|i| view.tree.parent[*i] == NONE && !view.tree.lost[*i]);
    roots.min_by_key(|i| place(view, *i)).map(|i| i as u32)
}

/// The span that stands for a flow whose root was never seen: the earliest entry span, else the earliest span.
pub(crate) fn stand_in(view: &View<'_>, entry: &[bool]) -> Option<u32> {
    let earliest = |i: &usize| view.records[*i].place();
    let all = || 0..view.records.len();
    all().filter(|i| entry[*i]).min_by_key(earliest).or_else(|| all().min_by_key(earliest)).map(|i| i as u32)
}

/// The name somebody set, on any span.
pub(crate) fn explicit(view: &View<'_>) -> Option<NameId> {
    let said = |i: usize| {
        let (source, name) = view.spans.shape(i as u32).operation?;
        Some(((source, place(view, i)), name))
    };
    let strongest: Option<((OperationSource, Place), NameId)> =
        (0..view.records.len()).filter_map(said).min_by_key(|(rank, _)| *rank);
    strongest.map(|(_, name)| name)
}

/// The name that follows from what the spans did.
pub(crate) fn fallback(view: &View<'_>, entry: &[bool]) -> Option<NameId> {
    let outermost = (0..view.records.len()).filter(|i| entry[*i]).min_by_key(|i| place(view, *i));
    if outermost.is_some_and(|i| view.spans.shape(i as u32).marks.probe) {
        return Some(names::PROBE);
    }
    let said = |i: usize| {
        let (rank, name) = view.spans.shape(i as u32).fallback?;
        (rank != Fallback::Entry || entry[i]).then_some(((rank, place(view, i)), name))
    };
    (0..view.records.len()).filter_map(said).min_by_key(|(rank, _)| *rank).map(|(_, name)| name)
}

/// The root's environment, else that of the span nearest to it that names one.
pub(crate) fn environment(view: &View<'_>) -> Option<NameId> {
    let environment = |i: usize| view.spans.source(i as u32).environment;
    let named = (0..view.records.len()).filter(|i| environment(*i) != EMPTY);
    named.min_by_key(|i| place(view, *i)).map(environment)
}

/// The name of the earliest span without a parent id, its own included.
pub(crate) fn root_name(view: &View<'_>) -> NameId {
    let name = |i: usize| view.spans.shape(i as u32).root_name;
    let named = (0..view.records.len()).filter(|i| name(*i) != EMPTY);
    named.min_by_key(|i| view.records[*i].place()).map_or(EMPTY, name)
}

/// When the flow began: a client program's clock may be anybody's, then the first SERVER span's counts.
pub(crate) fn start_us(view: &View<'_>, root: u32) -> i64 {
    let record = &view.records[root as usize];
    if !view.owner(root).is_some_and(|owner| owner.is_client) {
        return record.start_us;
    }
    let servers = view.records.iter().filter(|record| record.answers());
    match servers.map(|server| (server.start_us, server.end_us())).min() {
        Some((start, end)) if start < record.start_us || end > record.end_us() => start,
        _ => record.start_us,
    }
}
