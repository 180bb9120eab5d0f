//! From commits to series: what is counted once, and from when on.

use super::labels::{EdgeLabels, EndpointLabels};
use super::nets::Nets;
use super::table::Table;
use crate::change::{Commit, What};
use crate::node::Kind;
use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Series of edges, and of entry points. A scrape of so many is 70 MB of text before compression.
const MOST_EDGES: usize = 5_000;
const MOST_ENDPOINTS: usize = 5_000;
/// Names of topics that are known: as many virtual nodes as shards let through in an environment.
const MOST_TOPICS: usize = 5_000;

/// A lock, because one thread adds to it while scrapes read; each holds it for one record or one copy.
pub type SharedCounters = Arc<Mutex<Counters>>;

/// Reads the lock even after a panic of another holder, as [`crate::live::feed::locked`] does.
pub fn locked(counters: &Mutex<Counters>) -> MutexGuard<'_, Counters> {
    counters.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Everything that is counted for Prometheus. It counts what is committed while this process runs: what was committed
/// before has been counted by another one, and Prometheus takes a lower value for a new beginning.
#[derive(Debug)]
pub struct Counters {
    /// Calls between nodes.
    pub edges: Table<EdgeLabels>,
    /// Requests of entry points.
    pub endpoints: Table<EndpointLabels>,
    /// By partition of `flow_deltas`.
    positions: BTreeMap<i32, Position>,
    /// Of commits whose last part has not come yet, by partition.
    begun: BTreeMap<i32, Nets>,
    /// Entry points of these names are messages, not requests.
    topics: HashSet<Box<str>>,
    left_out: u64,
}

#[derive(Debug, Clone, Copy)]
struct Position {
    /// The record that was not taken yet.
    next: i64,
    /// Whether the end of the log has been reached: what came before it is history.
    counts: bool,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            edges: Table::new(MOST_EDGES),
            endpoints: Table::new(MOST_ENDPOINTS),
            positions: BTreeMap::new(),
            begun: BTreeMap::new(),
            topics: HashSet::new(),
            left_out: 0,
        }
    }
}

impl Counters {
    /// A partition will be read from this offset on. Whoever has read further before goes on there.
    pub fn begin(&mut self, partition: i32, offset: i64) {
        self.positions.entry(partition).or_insert(Position { next: offset, counts: false });
    }

    /// Offsets mean something else now: the topic was made anew.
    pub fn begin_anew(&mut self) {
        self.positions.clear();
        self.begun.clear();
    }

    /// A partition has been read to its end.
    pub fn at_end(&mut self, partition: i32) {
        if let Some(position) = self.positions.get_mut(&partition) {
            position.counts = true;
        }
    }

    /// Takes one record, unless it was taken before. A commit is added as a whole, with its last part.
    pub fn take(&mut self, commit: &Commit, partition: i32, offset: i64, now_s: i64) {
        let Some(position) = self.positions.get_mut(&partition) else { return };
        if offset < position.next {
            return;
        }
        position.next = offset + 1;
        if !position.counts {
            return;
        }
        let mut nets = self.begun.remove(&partition).unwrap_or_default();
        if commit.part == 0 {
            // Not empty only where the end of the commit before is missing.
            self.add(std::mem::take(&mut nets), now_s);
        }
        self.learn_topics(commit);
        nets.add(commit, &self.topics);
        if commit.part + 1 < commit.parts {
            self.begun.insert(partition, nets);
        } else {
            self.add(nets, now_s);
        }
    }

    /// Lets go of series that have not changed for long.
    pub fn forget(&mut self, now_s: i64) {
        self.edges.forget(now_s);
        self.endpoints.forget(now_s);
    }

    /// Changes of series for which there was no room.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    fn add(&mut self, nets: Nets, now_s: i64) {
        let edges = nets.edges.into_iter().map(|(labels, net)| self.edges.add(labels, &net, now_s));
        let refused = edges.filter(|admitted| !admitted).count();
        let endpoints =
            nets.endpoints.into_iter().map(|(labels, net)| self.endpoints.add(labels, &net, now_s));
        self.left_out += (refused + endpoints.filter(|admitted| !admitted).count()) as u64;
    }

    fn learn_topics(&mut self, commit: &Commit) {
        for change in &commit.changes {
            let What::Edge { client, .. } = &change.what else { continue };
            if client.kind == Kind::Topic && !self.topics.contains(client.name.as_str()) {
                if self.topics.len() >= MOST_TOPICS {
                    // Rather learn anew than without an end.
                    self.topics.clear();
                }
                self.topics.insert(client.name.as_str().into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Allowed;
    use crate::change::{Change, Endpoint};
    use crate::counts::EdgeCounts;
    use crate::filter::{PROBE, UNKNOWN};
    use crate::histogram::Histogram;
    use crate::node::Node;

    const NOW_S: i64 = 1_700_000_000;

    fn node(name: &str, kind: Kind) -> Arc<Node> {
        Arc::new(Node { cluster: String::new(), namespace: "shop".into(), name: name.into(), kind })
    }

    fn calls(operation: &str, client: &Arc<Node>, server: &Arc<Node>, calls: i64) -> Change {
        let counts = EdgeCounts { calls: calls * 1_000, ..EdgeCounts::default() };
        let what = What::Edge {
            client: client.clone(),
            server: server.clone(),
            counts,
            callee: Histogram::from_buckets([(100, calls * 1_000)], calls * 100_000).0,
            caller: Histogram::from_buckets([(200, calls * 1_000)], calls * 200_000).0,
            wait: Histogram::default(),
        };
        Change { environment: "prod".into(), operation: operation.into(), window_s: 1, what }
    }

    fn commit(part: u32, parts: u32, changes: Vec<Change>) -> Commit {
        Commit { part, parts, changes, ..Commit::default() }
    }

    /// One partition, read to its end.
    fn counters() -> Counters {
        let mut counters = Counters::default();
        counters.begin(0, 0);
        counters.at_end(0);
        counters
    }

    /// Client, server and calls of every edge.
    fn shown(counters: &Counters) -> Vec<(String, String, i64)> {
        let shown = counters.edges.shown(&Allowed::default(), NOW_S + 100);
        shown
            .into_iter()
            .map(|(labels, net)| {
                (labels.client.name.to_string(), labels.server.name.to_string(), net.total / 1_000)
            })
            .collect()
    }

    fn total(counters: &Counters) -> i64 {
        shown(counters).iter().map(|(.., calls)| calls).sum()
    }

    #[test]
    fn what_was_committed_before_the_end_of_the_log_was_reached_is_history() {
        let (web, auth) = (node("web", Kind::Service), node("auth", Kind::Service));
        let one = || commit(0, 1, vec![calls("login", &web, &auth, 1)]);
        let mut counters = Counters::default();
        counters.begin(0, 5);
        counters.take(&one(), 0, 5, NOW_S);
        counters.at_end(0);
        assert_eq!(total(&counters), 0);
        counters.take(&one(), 0, 7, NOW_S);
        // A session that starts over reads the last 15 minutes again.
        counters.begin(0, 2);
        (2..9).for_each(|offset| counters.take(&one(), 0, offset, NOW_S));
        assert_eq!(total(&counters), 2);
        counters.begin_anew();
        counters.begin(0, 0);
        counters.take(&one(), 0, 0, NOW_S);
        assert_eq!(total(&counters), 2, "another topic has another history");
    }

    #[test]
    fn a_correction_of_one_series_is_nothing_however_its_commit_is_cut() {
        let (web, auth) = (node("web", Kind::Service), node("auth", Kind::Service));
        let mut counters = counters();
        counters.take(&commit(0, 1, vec![calls(UNKNOWN, &web, &auth, 4)]), 0, 0, NOW_S);
        let renamed = [calls("login", &web, &auth, 4), calls(UNKNOWN, &web, &auth, -4)];
        for (part, change) in (0..).zip(renamed) {
            counters.take(&commit(part, 2, vec![change]), 0, 1 + i64::from(part), NOW_S);
        }
        counters.take(&commit(0, 1, vec![calls("login", &web, &auth, 1)]), 0, 3, NOW_S);
        assert_eq!(total(&counters), 5);
    }

    #[test]
    fn a_corrected_edge_keeps_what_it_showed_until_it_has_caught_up() {
        let (web, auth, peer) =
            (node("web", Kind::Service), node("auth", Kind::Service), node("auth:80", Kind::External));
        let mut counters = counters();
        let mut take = |offset, changes| counters.take(&commit(0, 1, changes), 0, offset, NOW_S);
        take(0, vec![calls("login", &web, &peer, 3)]);
        take(1, vec![calls("login", &web, &peer, -2), calls("login", &web, &auth, 2)]);
        take(2, vec![calls("login", &web, &peer, 3)]);
        let expected = [("auth", 2), ("auth:80", 4)];
        let expected = expected.map(|(server, calls)| ("web".to_owned(), server.to_owned(), calls));
        assert_eq!(shown(&counters), expected);
    }

    #[test]
    fn probes_are_left_out_and_the_silent_are_measured_by_their_callers() {
        let (web, auth, database) =
            (node("web", Kind::Service), node("auth", Kind::Service), node("pg", Kind::Database));
        let mut counters = counters();
        let changes = vec![
            calls(PROBE, &web, &auth, 9),
            calls("login", &web, &auth, 1),
            calls("login", &web, &database, 1),
        ];
        counters.take(&commit(0, 1, changes), 0, 0, NOW_S);
        let sums: Vec<_> = counters
            .edges
            .shown(&Allowed::default(), NOW_S + 100)
            .into_iter()
            .map(|(_, net)| (net.total, net.server.sum, net.client.sum))
            .collect();
        assert_eq!(sums, [(1_000, 100_000, 200_000), (1_000, 200_000, 200_000)]);
    }

    #[test]
    fn entry_points_that_are_topics_are_consumers() {
        let endpoint = |entry: &str, requests: i64| Endpoint {
            environment: "prod".into(),
            node: node("mailer", Kind::Service),
            entry: entry.into(),
            requests: requests * 1_000,
            errors: 1_000,
            latency: Histogram::default(),
        };
        let mut counters = counters();
        let delivered = calls("login", &node("kafka:mails", Kind::Topic), &node("mailer", Kind::Service), 2);
        let endpoints = vec![endpoint("kafka:mails", 2), endpoint("GET /", 5)];
        counters.take(&Commit { endpoints, ..commit(0, 1, vec![delivered]) }, 0, 0, NOW_S);
        let found: Vec<_> = counters
            .endpoints
            .shown(&Allowed::default(), NOW_S + 100)
            .into_iter()
            .map(|(labels, net)| (labels.entry.to_string(), labels.span_kind, net.total, net.failed))
            .collect();
        let expected = [
            ("GET /", "SPAN_KIND_SERVER", 4_000, 1_000),
            ("kafka:mails", "SPAN_KIND_CONSUMER", 1_000, 1_000),
        ];
        assert_eq!(found, expected.map(|(entry, kind, fine, failed)| (entry.to_owned(), kind, fine, failed)));
    }
}
