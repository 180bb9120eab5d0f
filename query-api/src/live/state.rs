//! All groups together, their bounds, and the questions they answer.

use super::group::{Group, touching};
use super::kept::{OverTime, Seconds};
use super::known::Known;
use super::shards::{Sequences, Shards, Staleness, Verdict};
use crate::builder::GraphBuilder;
use crate::change::{Change, Commit, What};
use crate::counts::OperationCounts;
use crate::filter::{Filter, UNKNOWN};
use crate::histogram::Histogram;
use crate::limits::Limits;
use crate::node::Node;
use crate::totals::FlowTotals;
use hashbrown::HashSet;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Calls that are younger than this and have no operation may still get one: shards wait 6 s for a name, and
/// exporters up to 5 s before.
const NAMING_S: u32 = 12;

/// The last 15 minutes of every (environment, operation).
#[derive(Debug)]
pub struct Live {
    limits: Limits,
    groups: BTreeMap<(Arc<str>, Arc<str>), Group>,
    /// One allocation a node, however many operations it takes part in.
    nodes: HashSet<Arc<Node>>,
    known: Known,
    bytes: usize,
    /// First second that is complete.
    complete_from_s: u32,
    loaded_from: &'static str,
    shards: Shards,
    /// Parts of commits whose last part has not come yet: at most what one commit may be, 8 MiB, a shard.
    parts: BTreeMap<u32, Vec<Change>>,
    tally: Tally,
}

/// What was not added, and why. Numbers only grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Tally {
    pub too_old: u64,
    pub too_far_ahead: u64,
    pub unreadable: u64,
    pub repeated_commits: u64,
    pub holes: u64,
    pub changes: u64,
}

/// A range that ends now.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LatestRange {
    /// First second.
    pub from_s: u32,
    /// The second after the last one.
    pub to_s: u32,
    /// Seconds that rates divide by: less than the range while the first flows are younger than it.
    pub seconds: f64,
}

/// The flows of one operation in one environment over a range.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "the names say it")]
pub struct OperationFlows {
    pub environment: String,
    pub operation: String,
    pub counts: OperationCounts,
    pub durations: Histogram,
    /// Newest second in which anything of it ended.
    pub newest_s: u32,
}

impl Live {
    /// Empty, and not loaded from anywhere yet.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            groups: BTreeMap::new(),
            nodes: HashSet::new(),
            known: Known::default(),
            bytes: 0,
            complete_from_s: u32::MAX,
            loaded_from: "none",
            shards: Shards::default(),
            parts: BTreeMap::new(),
            tally: Tally::default(),
        }
    }

    /// Begins anew: forgets everything but the tally. `loaded_from` says where the state comes from, and
    /// `complete_from_s` from which second on nothing is missing.
    pub fn begin(&mut self, loaded_from: &'static str, complete_from_s: u32, shards: u32) {
        let tally = self.tally;
        *self = Self { tally, complete_from_s, loaded_from, ..Self::new(self.limits.clone()) };
        self.shards.expect(shards);
    }

    /// Becomes `loaded`, and keeps its own tally.
    pub fn replace(&mut self, loaded: Self) {
        let before = self.tally;
        *self = loaded;
        self.tally.add(&before);
    }

    /// Takes one record of `flow_deltas`, unless it was taken before. A commit is added as a whole, with its last part:
    /// corrections move counts from one part to another, and no answer may hold one half of them.
    pub fn commit(&mut self, commit: Commit, now_us: i64) -> Verdict {
        self.tally.unreadable += commit.unreadable;
        let verdict = self.shards.accept(&commit, now_us);
        match verdict {
            Verdict::Repeated => self.tally.repeated_commits += 1,
            Verdict::AfterHole => self.tally.holes += 1,
            Verdict::Next => {}
        }
        if verdict != Verdict::Repeated {
            let mut parts = self.parts.remove(&commit.shard).unwrap_or_default();
            if commit.part == 0 {
                // Not empty only where the end of the commit before is missing.
                parts.drain(..).for_each(|change| self.add(change, now_us));
            }
            parts.extend(commit.changes);
            if commit.part + 1 < commit.parts {
                self.parts.insert(commit.shard, parts);
            } else {
                parts.into_iter().for_each(|change| self.add(change, now_us));
            }
        }
        verdict
    }

    /// Adds one change, from a record or from a table.
    pub fn add(&mut self, mut change: Change, now_us: i64) {
        if change.window_s < self.complete_from_s {
            self.tally.too_old += 1;
            return;
        }
        if change.window_s > seconds(now_us).saturating_add(self.limits.ahead_s) {
            self.tally.too_far_ahead += 1;
            return;
        }
        self.tally.changes += 1;
        self.share_nodes(&mut change.what);
        self.bytes += self.known.add(&change);
        let group = self.groups.entry((change.environment, change.operation)).or_default();
        self.bytes += group.add(change.window_s, &change.what);
    }

    /// Lets go of what is older than the live range, and of more where memory is short. Call it every second.
    pub fn forget(&mut self, now_us: i64) {
        let now_s = seconds(now_us);
        let oldest_s = now_s.saturating_sub(self.limits.live_s);
        if self.complete_from_s < oldest_s {
            self.forget_before(oldest_s, now_s);
        }
        while self.bytes > self.limits.live_bytes && !self.groups.is_empty() {
            let oldest_s = self.groups.values().filter_map(Group::oldest_s).min().unwrap_or(u32::MAX - 10);
            let from_s = touching(oldest_s.max(self.complete_from_s)) + super::group::HISTOGRAM_S;
            self.forget_before(from_s, now_s);
        }
        self.shards.forget_trouble_before(i64::from(oldest_s) * 1_000_000);
    }

    /// The last `window_s` seconds as of `now_us`, the running second included.
    pub fn latest(&self, filter: &Filter, window_s: u32, now_us: i64) -> LatestRange {
        let to_s = seconds(now_us) + 1;
        let from_s = to_s.saturating_sub(window_s).max(self.complete_from_s().min(to_s));
        let first_s = self.matching(filter).filter_map(|(_, group)| group.oldest_s()).min().unwrap_or(from_s);
        let since_first_us = now_us - i64::from(first_s.max(from_s)) * 1_000_000;
        LatestRange { from_s, to_s, seconds: (since_first_us as f64 / 1e6).clamp(1.0, f64::from(window_s)) }
    }

    /// Adds what happened in `[from_s, to_s)` to a graph. Names may mean any service of the last 15 minutes: were it
    /// those of the range, a name would join in one window and not in another, and to and fro in a short one.
    pub fn add_to(&self, graph: &mut GraphBuilder, filter: &Filter, from_s: u32, to_s: u32) {
        if from_s >= to_s {
            return;
        }
        self.known.add_to(graph, filter);
        for ((environment, _), group) in self.matching(filter) {
            group.add_to(graph.within(environment.clone()), Seconds { from_s, to_s });
        }
    }

    /// The same for the last `window_s` seconds, with the flows that ended in them. That costs what has changed since
    /// they were last asked for: all who watch the same share sums.
    pub fn add_latest_to(
        &mut self,
        graph: &mut GraphBuilder,
        filter: &Filter,
        window_s: u32,
        range: LatestRange,
    ) -> FlowTotals {
        let LatestRange { from_s, to_s, .. } = range;
        let mut flows = FlowTotals::default();
        if from_s >= to_s {
            return flows;
        }
        self.known.add_to(graph, filter);
        let matching =
            |(environment, operation): &(Arc<str>, Arc<str>)| filter.matches(environment, operation);
        for ((environment, _), group) in self.groups.iter_mut().filter(|(key, _)| matching(key)) {
            let to = (graph.within(environment.clone()), &mut flows);
            group.add_recent_to(to, window_s, Seconds { from_s, to_s });
        }
        flows
    }

    /// The services that names can mean.
    pub(super) fn known(&self) -> &Known {
        &self.known
    }

    /// Flows that ended in `[from_s, to_s)` by environment and operation: counts, durations and the newest second.
    pub fn flows(&self, filter: &Filter, from_s: u32, to_s: u32) -> Vec<OperationFlows> {
        let seen = self
            .matching(filter)
            .filter(|(_, group)| group.newest_s().is_some_and(|newest_s| newest_s >= from_s));
        seen.map(|((environment, operation), group)| {
            let mut flows = FlowTotals::default();
            group.flows().add_seconds_to(&mut flows, from_s, to_s);
            OperationFlows {
                environment: environment.to_string(),
                operation: operation.to_string(),
                counts: flows.counts,
                durations: flows.durations,
                newest_s: group.newest_s().unwrap_or_default(),
            }
        })
        .collect()
    }

    /// Environments that are known of, in order.
    pub fn environments(&self) -> Vec<String> {
        let names: BTreeSet<&str> = self.groups.keys().map(|(environment, _)| &**environment).collect();
        names.into_iter().map(str::to_owned).collect()
    }

    /// Calls so young that the operation they belong to may not be known yet.
    pub fn being_named(&self, filter: &Filter, now_us: i64) -> i64 {
        let filter = Filter { operation: Some(UNKNOWN.to_owned()), ..filter.clone() };
        let to_s = seconds(now_us) + 1;
        self.matching(&filter).map(|(_, group)| group.calls(to_s.saturating_sub(NAMING_S), to_s)).sum()
    }

    /// How current answers are.
    pub fn staleness(&self, now_us: i64) -> Staleness {
        let complete_from = i64::from(self.complete_from_s().min(seconds(now_us))) * 1_000_000;
        self.shards.staleness(now_us, complete_from, self.loaded_from)
    }

    /// Last complete commit of each shard.
    pub fn sequences(&self) -> Sequences {
        self.shards.sequences()
    }

    /// The shards, to tell them what the reader learns.
    pub fn shards_mut(&mut self) -> &mut Shards {
        &mut self.shards
    }

    /// The shards.
    pub fn shards(&self) -> &Shards {
        &self.shards
    }

    /// First second from which on nothing is missing. None yet where the cut at start went through a commit: until its
    /// last part has come, there would be one half of it in the answers.
    pub fn complete_from_s(&self) -> u32 {
        if self.shards.torn() { u32::MAX } else { self.complete_from_s }
    }

    /// What was left out.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// Memory in use, roughly.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The groups that match, by environment and operation.
    pub(super) fn matching(&self, filter: &Filter) -> impl Iterator<Item = (&(Arc<str>, Arc<str>), &Group)> {
        self.groups.iter().filter(|((environment, operation), _)| filter.matches(environment, operation))
    }

    fn forget_before(&mut self, from_s: u32, now_s: u32) {
        self.complete_from_s = from_s;
        for group in self.groups.values_mut() {
            self.bytes = self.bytes.saturating_sub(group.forget_before(from_s, now_s));
        }
        self.groups.retain(|_, group| !group.is_empty());
        self.bytes = self.bytes.saturating_sub(self.known.forget_before(from_s));
        self.nodes.retain(|node| Arc::strong_count(node) > 1);
    }

    fn share_nodes(&mut self, what: &mut What) {
        match what {
            What::Edge { client, server, .. } => {
                share_node(&mut self.nodes, client);
                share_node(&mut self.nodes, server);
            }
            What::Service { node, .. } => share_node(&mut self.nodes, node),
            What::Operation { .. } => {}
        }
    }
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.too_old += other.too_old;
        self.too_far_ahead += other.too_far_ahead;
        self.unreadable += other.unreadable;
        self.repeated_commits += other.repeated_commits;
        self.holes += other.holes;
        self.changes += other.changes;
    }
}

fn share_node(nodes: &mut HashSet<Arc<Node>>, node: &mut Arc<Node>) {
    match nodes.get(node) {
        Some(known) => *node = known.clone(),
        None => {
            nodes.insert(node.clone());
        }
    }
}

fn seconds(us: i64) -> u32 {
    u32::try_from(us / 1_000_000).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counts::EdgeCounts;
    use crate::filter::PROBE;
    use crate::graph::{Graph, StatusRules};
    use crate::live::shards::Place;
    use crate::node::Kind;
    use crate::totals::EdgeTotals;

    const NOW_S: u32 = 1_700_000_000;
    const NOW_US: i64 = NOW_S as i64 * 1_000_000 + 500_000;
    const RULES: StatusRules = StatusRules { degraded: 0.05, down: 0.5, least_requests: 10 };

    fn node(name: &str) -> Arc<Node> {
        Arc::new(Node {
            cluster: String::new(),
            namespace: String::new(),
            name: name.into(),
            kind: Kind::Service,
        })
    }

    fn edge(operation: &str, window_s: u32, calls: i64) -> Change {
        let counts = EdgeCounts { calls: calls * 1_000, raw_calls: calls, ..EdgeCounts::default() };
        let callee = Histogram::from_buckets([(100, calls)], 100 * calls).0;
        let calls = EdgeTotals { counts, callee, ..EdgeTotals::default() };
        let what = What::Edge { client: node("web"), server: node("auth"), calls };
        Change { environment: "prod".into(), operation: operation.into(), window_s, what }
    }

    fn flows(operation: &str, window_s: u32, flows: i64) -> Change {
        let counts = OperationCounts { flows: flows * 1_000, raw_flows: flows, ..OperationCounts::default() };
        let durations = Histogram::from_buckets([(200, flows)], 200 * flows).0;
        let what = What::Operation { flows: FlowTotals { counts, durations } };
        Change { environment: "prod".into(), operation: operation.into(), window_s, what }
    }

    fn live(changes: impl IntoIterator<Item = Change>) -> Live {
        let mut live = Live::new(Limits::default());
        live.begin("kafka", NOW_S - 900, 1);
        changes.into_iter().for_each(|change| live.add(change, NOW_US));
        live
    }

    fn filter(operation: &str) -> Filter {
        Filter::new(Some(operation.into()), None, false, &Limits::default()).unwrap()
    }

    fn calls(live: &Live, operation: &str, from_s: u32, to_s: u32) -> i64 {
        let mut builder = GraphBuilder::default();
        live.add_to(&mut builder, &filter(operation), from_s, to_s);
        let graph = Graph::of(&builder.join(), 1.0, &RULES);
        graph.edges.iter().map(|edge| edge.raw_call_count).sum()
    }

    #[test]
    fn windows_add_up_by_operation_and_second() {
        let live = live([edge("login", NOW_S, 2), edge("login", NOW_S - 1, 3), edge("logout", NOW_S, 7)]);
        assert_eq!(calls(&live, "login", NOW_S, NOW_S + 1), 2);
        assert_eq!(calls(&live, "login", NOW_S - 1, NOW_S + 1), 5);
        assert_eq!(calls(&live, "", NOW_S - 60, NOW_S + 1), 12);
    }

    #[test]
    fn a_correction_moves_calls_from_one_operation_to_another() {
        let mut live = live([edge("unknown", NOW_S - 20, 3)]);
        live.add(edge("unknown", NOW_S - 20, -3), NOW_US);
        live.add(edge("login", NOW_S - 20, 3), NOW_US);
        assert_eq!((calls(&live, "unknown", 0, u32::MAX), calls(&live, "login", 0, u32::MAX)), (0, 3));
    }

    #[test]
    fn young_unknown_calls_are_being_named() {
        let live = live([edge(UNKNOWN, NOW_S - 3, 4), edge(UNKNOWN, NOW_S - 100, 9)]);
        let in_dev = Filter { environment: Some("dev".to_owned()), ..Filter::default() };
        assert_eq!((live.being_named(&Filter::default(), NOW_US), live.being_named(&in_dev, NOW_US)), (4, 0));
    }

    #[test]
    fn probes_are_hidden_unless_asked_for() {
        let live = live([edge(PROBE, NOW_S, 4)]);
        assert_eq!((calls(&live, "", 0, u32::MAX), calls(&live, PROBE, 0, u32::MAX)), (0, 4));
    }

    #[test]
    fn a_name_means_the_services_of_all_operations_until_they_are_forgotten() {
        let mut live = live([]);
        let what = |kind: Kind, namespace: &str| {
            let mut change = edge("", 0, 1);
            if let What::Edge { server, .. } = &mut change.what {
                *server = Arc::new(Node { kind, namespace: namespace.into(), ..(**server).clone() });
            }
            change.what
        };
        let changes = [
            ("login", NOW_S, what(Kind::External, "")),
            ("create_vm", NOW_S - 800, what(Kind::Service, "shop")),
        ];
        for (operation, window_s, what) in changes {
            let (environment, operation) = ("prod".into(), operation.into());
            live.add(Change { environment, operation, window_s, what }, NOW_US);
        }
        let callee = |live: &Live| {
            let mut builder = GraphBuilder::default();
            live.add_to(&mut builder, &filter("login"), NOW_S - 9, NOW_S + 1);
            Graph::of(&builder.join(), 1.0, &RULES).edges[0].to.clone()
        };
        assert_eq!(callee(&live), "shop/auth");
        live.forget(NOW_US + 101_000_000);
        assert_eq!(callee(&live), "external:auth");
    }

    #[test]
    fn everything_older_than_the_range_is_forgotten_and_its_memory_given_back() {
        let mut live = live([edge("login", NOW_S - 899, 1), flows("login", NOW_S - 899, 1)]);
        assert!(live.bytes() > 0);
        live.forget(NOW_US + 20_000_000);
        assert_eq!((live.bytes(), live.environments().len(), live.nodes.len()), (0, 0, 0));
        live.add(edge("login", NOW_S - 899, 1), NOW_US);
        assert_eq!((live.tally().too_old, live.complete_from_s()), (1, NOW_S + 20 - 900));
    }

    #[test]
    fn too_much_state_shortens_the_range_and_says_so() {
        let mut live = live((0..900).map(|age_s| edge("login", NOW_S - age_s, 1)));
        live.limits.live_bytes = live.bytes() / 2;
        live.forget(NOW_US);
        assert!(live.bytes() <= live.limits.live_bytes);
        let from_s = live.complete_from_s();
        assert!((NOW_S - 500..NOW_S - 300).contains(&from_s), "{} s are left", NOW_S - from_s);
        assert_eq!(calls(&live, "login", 0, u32::MAX), i64::from(NOW_S - from_s + 1));
        assert_eq!(live.staleness(NOW_US).complete_from, i64::from(from_s) * 1_000_000);
    }

    #[test]
    fn windows_far_ahead_are_refused() {
        let live = live([edge("login", NOW_S + 3_600, 1)]);
        assert_eq!((live.tally().too_far_ahead, live.bytes()), (1, 0));
    }

    #[test]
    fn a_repeated_commit_counts_once() {
        let mut live = live([]);
        let commit =
            |seq| Commit { seq, parts: 1, changes: vec![edge("login", NOW_S, 1)], ..Commit::default() };
        let verdicts = [1, 2, 2].map(|seq| live.commit(commit(seq), NOW_US));
        assert_eq!(verdicts, [Verdict::Next, Verdict::Next, Verdict::Repeated]);
        assert_eq!((calls(&live, "login", 0, u32::MAX), live.tally().repeated_commits), (2, 1));
    }

    #[test]
    fn a_commit_is_added_as_a_whole() {
        let mut live = live([]);
        let part = |seq, part, calls| {
            let changes = vec![edge("login", NOW_S, calls)];
            Commit { seq, part, parts: 2, changes, ..Commit::default() }
        };
        live.commit(part(1, 0, -3), NOW_US);
        assert_eq!(calls(&live, "login", 0, u32::MAX), 0);
        live.commit(part(1, 1, 5), NOW_US);
        assert_eq!(calls(&live, "login", 0, u32::MAX), 2);
        live.commit(part(2, 0, 7), NOW_US);
        live.commit(part(3, 0, 100), NOW_US);
        assert_eq!(calls(&live, "login", 0, u32::MAX), 9, "the end of commit 2 is missing, which is told");
        assert_eq!(live.tally().holes, 1);
    }

    #[test]
    fn a_cut_through_a_commit_is_no_answer_until_the_rest_has_come() {
        let mut live = live([edge("login", NOW_S, 3)]);
        live.shards_mut().begin_after(0, Place { seq: 7, part: 0, parts: 2, clock_us: NOW_US });
        assert_eq!((live.complete_from_s(), live.sequences()), (u32::MAX, Sequences::from([(0, 6)])));
        assert_eq!(live.latest(&filter("login"), 60, NOW_US).from_s, NOW_S + 1);
        let rest = Commit { seq: 7, part: 1, parts: 2, ..Commit::default() };
        assert_eq!(live.commit(rest, NOW_US), Verdict::Next);
        assert_eq!((live.complete_from_s(), live.sequences()), (NOW_S - 900, Sequences::from([(0, 7)])));
    }

    #[test]
    fn rates_of_a_young_graph_divide_by_its_age() {
        let live = live([edge("login", NOW_S - 9, 1)]);
        let range = live.latest(&filter("login"), 60, NOW_US);
        assert_eq!((range.from_s, range.to_s, range.seconds), (NOW_S - 59, NOW_S + 1, 9.5));
    }

    #[test]
    fn flows_are_summed_by_operation() {
        let live = live([flows("login", NOW_S, 2), flows("login", NOW_S - 5, 1), edge("unknown", NOW_S, 1)]);
        let found = live.flows(&Filter::default(), NOW_S - 60, NOW_S + 1);
        let counts: Vec<_> =
            found.iter().map(|flows| (flows.operation.as_str(), flows.counts.raw_flows)).collect();
        assert_eq!(counts, [("login", 3), ("unknown", 0)]);
        assert_eq!(found[0].durations.quantile_us(0.5), Some(200));
    }
}
