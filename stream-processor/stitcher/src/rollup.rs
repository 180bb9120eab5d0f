//! Adds up changes between two commits. A change is a handful of additions in a row, and a number of eight bytes for each
//! measured time: at the commit these are sorted, and equal ones counted.

use crate::caps::Caps;
use crate::delta::{
    Deltas, EdgeCounts, EdgeKey, EndpointCounts, EndpointKey, OperationCounts, OperationKey, ServiceCounts,
    ServiceKey,
};
use crate::flow::FlowStatus;
use crate::histogram::{Histogram, MAX_US, bucket_of};
use crate::names::{EMPTY, Id, NameId, Names, NodeId, USER_NODE};
use crate::resolve::{Body, EdgeMark, Mark, ServiceMark};
use alloc::vec;
use alloc::vec::Vec;
use core::mem;
use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;

/// Environment and operation that a trace counts under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Under {
    pub environment: NameId,
    pub operation: NameId,
}

crate::saved::saved_struct!(Under: environment, operation);

/// What a row is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Kind {
    Edge,
    Service,
    Operation,
    Endpoint,
}

/// Which counter a change belongs to. What a kind has no use for is constant.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Key {
    pub kind: Kind,
    pub environment: NameId,
    pub operation: NameId,
    /// An edge's caller, else the node.
    pub client: NodeId,
    /// An edge's callee.
    pub server: NodeId,
    pub version: NameId,
    pub entry: NameId,
    window_s: u32,
    weight_milli: u32,
}

/// One counter.
struct Row {
    key: Key,
    /// What of its names found no room: bits of [`crate::caps`].
    replaced: u32,
    counts: [i64; 8],
    sums_us: [i64; 3],
    /// How many times were added, and taken back.
    values: [u32; 2],
}

/// Rows and times since the last commit.
#[derive(Default)]
pub(crate) struct Rollup {
    rows: Vec<Row>,
    /// By what was asked for, and whether the names in it had been admitted before.
    places: HashMap<(Key, bool), u32, FxBuildHasher>,
    /// Times added and taken back: row, measure and bucket in one number.
    values: [Vec<u64>; 2],
}

impl Rollup {
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// Other names may be admitted from now on.
    pub fn start_anew(&mut self) {
        self.places.clear();
    }

    /// Counts a mark; names that find no room go under `__other__`. Returns what was replaced.
    pub fn add(&mut self, mark: &Mark, under: Under, caps: &mut Caps, names: &mut Names) -> u32 {
        let asked = Key::of(mark, under);
        let at = match self.places.get(&(asked, false)) {
            Some(at) => *at,
            None => {
                let mut key = asked;
                let replaced = caps.admit(&mut key, names);
                self.place((asked, false), key, replaced)
            }
        };
        self.count(at, mark, 1);
        let replaced = self.rows[at as usize].replaced;
        caps.overflowed += u64::from(replaced != 0);
        replaced
    }

    /// Takes back a mark that had been counted with `replaced`.
    pub fn take_back(&mut self, mark: &Mark, under: Under, replaced: u32, names: &mut Names) {
        let mut key = Key::of(mark, under);
        key.replace(replaced, names);
        let at = match self.places.get(&(key, true)) {
            Some(at) => *at,
            None => self.place((key, true), key, replaced),
        };
        self.count(at, mark, -1);
    }

    fn place(&mut self, asked: (Key, bool), key: Key, replaced: u32) -> u32 {
        let at = self.rows.len() as u32;
        self.rows.push(Row { key, replaced, counts: [0; 8], sums_us: [0; 3], values: [0; 2] });
        self.places.insert(asked, at);
        at
    }

    fn count(&mut self, at: u32, mark: &Mark, sign: i64) {
        let row = &mut self.rows[at as usize];
        let (flags, times) = numbers(mark);
        for (count, flag) in row.counts.iter_mut().zip(flags) {
            *count += sign * i64::from(flag);
        }
        let taken_back = usize::from(sign < 0);
        let values = &mut self.values[taken_back];
        for (measure, time_us) in (0_u64..).zip(times) {
            if let Some(time_us) = time_us {
                row.values[taken_back] += 1;
                row.sums_us[measure as usize] += sign * time_us.min(MAX_US).cast_signed();
                values.push(u64::from(at) << 32 | measure << 16 | u64::from(bucket_of(time_us)));
            }
        }
    }

    /// Everything since the last commit. The order of numbers never leaves: rows are sorted by what they say.
    pub fn take(&mut self, names: &Names) -> Deltas {
        self.places.clear();
        let rows = mem::take(&mut self.rows);
        let mut order: Vec<u32> = (0..rows.len() as u32).collect();
        let ranks = Ranks::of(&rows, names);
        order.sort_unstable_by_key(|at| ranks.of_row(&rows[*at as usize]));
        let values =
            [0, 1].map(|sign| Values::by_row(&self.values[sign], rows.iter().map(|row| row.values[sign])));
        let mut deltas = Deltas::default();
        for alike in order.chunk_by(|a, b| rows[*a as usize].key == rows[*b as usize].key) {
            let mut sum = Sum::default();
            alike.iter().for_each(|at| sum.add(&rows[*at as usize], &values, *at));
            sum.tell(&rows[alike[0] as usize].key, names, &mut deltas);
        }
        self.values.iter_mut().for_each(Vec::clear);
        self.rows = rows;
        self.rows.clear();
        deltas
    }
}

impl Key {
    fn of(mark: &Mark, Under { environment, operation }: Under) -> Self {
        let (window_s, weight_milli) = (mark.window_s, mark.weight_milli);
        let nobody = USER_NODE;
        let (kind, operation, client, server, version, entry) = match mark.body {
            Body::Edge(EdgeMark { client, server, version, .. }) => {
                (Kind::Edge, operation, client, server, version, EMPTY)
            }
            Body::Service(ServiceMark { node, version, .. }) => {
                (Kind::Service, operation, node, nobody, version, EMPTY)
            }
            Body::Endpoint { node, version, entry, .. } => {
                (Kind::Endpoint, EMPTY, node, nobody, version, entry)
            }
            Body::Flow { .. } => (Kind::Operation, operation, nobody, nobody, EMPTY, EMPTY),
        };
        Self { kind, environment, operation, client, server, version, entry, window_s, weight_milli }
    }
}

/// What a mark adds to the counts of its row, in their order, and the times it measured.
fn numbers(mark: &Mark) -> ([u32; 8], [Option<u64>; 3]) {
    let flags = |flags: [bool; 4]| flags.map(u32::from);
    match &mark.body {
        Body::Edge(edge) => {
            let verdict = edge.verdict;
            let [errors, client_errors, retries, timeouts] =
                flags([verdict.error, verdict.client_error, edge.retry, verdict.timeout]);
            let [rejected, paired] = [verdict.rejected, edge.paired].map(u32::from);
            let counts = [1, errors, client_errors, retries, timeouts, rejected, edge.messages, paired];
            (counts, [edge.callee_us, edge.caller_us, edge.wait_us])
        }
        Body::Service(service) => {
            let [errors, client_errors] = [service.error, service.client_error].map(u32::from);
            (
                [1, errors, client_errors, 0, 0, 0, 0, 0],
                [service.latency_us, service.self_us, service.critical_us],
            )
        }
        Body::Endpoint { error, latency_us, .. } => {
            ([1, u32::from(*error), 0, 0, 0, 0, 0, 0], [*latency_us, None, None])
        }
        Body::Flow { status, duration_us } => {
            let [errors, timeouts] =
                [*status != FlowStatus::Success, *status == FlowStatus::Timeout].map(u32::from);
            ([1, errors, timeouts, 0, 0, 0, 0, 0], [*duration_us, None, None])
        }
    }
}

/// Where names and nodes stand in the order of what they say.
struct Ranks {
    names: Vec<u32>,
    nodes: Vec<u32>,
}

impl Ranks {
    fn of(rows: &[Row], names: &Names) -> Self {
        let texts = rows.iter().map(|row| &row.key);
        let texts = texts.flat_map(|key| [key.environment, key.operation, key.version, key.entry]);
        let nodes = rows.iter().flat_map(|row| [row.key.client, row.key.server]);
        Self {
            names: ranked(texts, |a, b| names.text_of(*a).cmp(names.text_of(*b))),
            nodes: ranked(nodes, |a, b| names.node(*a).cmp(names.node(*b))),
        }
    }

    fn of_row(&self, row: &Row) -> (Kind, [u32; 8]) {
        let Key { kind, environment, operation, client, server, version, entry, window_s, weight_milli } =
            row.key;
        let [environment, operation, version, entry] =
            [environment, operation, version, entry].map(|name| self.names[name.0 as usize]);
        let [client, server] = [client, server].map(|node| self.nodes[node.0 as usize]);
        (kind, [environment, operation, client, server, version, entry, window_s, weight_milli])
    }
}

fn ranked<T>(
    ids: impl Iterator<Item = Id<T>>,
    order: impl Fn(&Id<T>, &Id<T>) -> core::cmp::Ordering,
) -> Vec<u32> {
    const UNUSED: u32 = u32::MAX;
    let (mut ranks, mut distinct) = (Vec::new(), Vec::new());
    for id in ids {
        let at = id.0 as usize;
        if ranks.len() <= at {
            ranks.resize(at + 1, UNUSED);
        }
        if mem::replace(&mut ranks[at], 0) == UNUSED {
            distinct.push(id);
        }
    }
    distinct.sort_unstable_by(order);
    (0..).zip(&distinct).for_each(|(rank, id)| ranks[id.0 as usize] = rank);
    ranks
}

/// Times by row, sorted: measure and bucket in one number.
struct Values {
    values: Vec<u32>,
    /// By row, where its times end.
    ends: Vec<u32>,
}

impl Values {
    /// `many` says how many each row has.
    fn by_row(values: &[u64], many: impl Iterator<Item = u32>) -> Self {
        let begins = many.scan(0, |next, many| {
            let begins = *next;
            *next += many;
            Some(begins)
        });
        let mut ends: Vec<u32> = begins.collect();
        let mut by_row = vec![0; values.len()];
        for value in values {
            let next = &mut ends[(value >> 32) as usize];
            by_row[*next as usize] = *value as u32;
            *next += 1;
        }
        let mut from = 0;
        for end in &ends {
            by_row[from..*end as usize].sort_unstable();
            from = *end as usize;
        }
        Self { values: by_row, ends }
    }

    fn of_row(&self, row: u32) -> &[u32] {
        let from = row.checked_sub(1).map_or(0, |before| self.ends[before as usize]);
        &self.values[from as usize..self.ends[row as usize] as usize]
    }
}

/// What rows of one key add up to.
#[derive(Default)]
struct Sum {
    counts: [i64; 8],
    times: [Histogram; 3],
}

impl Sum {
    fn add(&mut self, row: &Row, [added, taken_back]: &[Values; 2], at: u32) {
        self.counts.iter_mut().zip(row.counts).for_each(|(sum, count)| *sum += count);
        self.times.iter_mut().zip(row.sums_us).for_each(|(times, sum_us)| times.sum_us += sum_us);
        self.count(added.of_row(at), 1);
        self.count(taken_back.of_row(at), -1);
    }

    /// Sorted times, equal ones beside each other.
    fn count(&mut self, values: &[u32], sign: i64) {
        for measured in values.chunk_by(|a, b| a >> 16 == b >> 16) {
            let times = &mut self.times[(measured[0] >> 16) as usize];
            let buckets = || measured.chunk_by(|a, b| a == b);
            let counts = buckets().map(|same| (same[0] as u16, sign * same.len() as i64));
            if times.buckets.is_empty() {
                times.buckets.reserve_exact(buckets().count());
                times.buckets.extend(counts);
            } else {
                counts.for_each(|(bucket, count)| times.add_bucket(bucket, count));
            }
        }
    }

    fn tell(self, key: &Key, names: &Names, to: &mut Deltas) {
        let is_nothing = self.counts == [0; 8] && self.times.iter().all(Histogram::is_empty);
        if is_nothing {
            return;
        }
        let name = |id| names.name(id);
        let node = |id| names.node(id).clone();
        let Key { kind, window_s, weight_milli, .. } = *key;
        let environment = name(key.environment);
        let [a, b, c] = self.times;
        match kind {
            Kind::Edge => {
                let [calls, errors, client_errors, retries, timeouts, rejected, messages, paired] =
                    self.counts;
                let (client, server) = (node(key.client), node(key.server));
                let (operation, version) = (name(key.operation), name(key.version));
                let key = EdgeKey { environment, operation, client, server, version, window_s, weight_milli };
                let (callee_latency, caller_latency, wait) = (a, b, c);
                to.edges.push((
                    key,
                    EdgeCounts {
                        calls,
                        errors,
                        client_errors,
                        retries,
                        timeouts,
                        rejected,
                        messages,
                        paired,
                        callee_latency,
                        caller_latency,
                        wait,
                    },
                ));
            }
            Kind::Service => {
                let [requests, errors, client_errors, ..] = self.counts;
                let (operation, version) = (name(key.operation), name(key.version));
                let node = node(key.client);
                let key = ServiceKey { environment, operation, node, version, window_s, weight_milli };
                let (latency, self_time, critical_path) = (a, b, c);
                let counts =
                    ServiceCounts { requests, errors, client_errors, latency, self_time, critical_path };
                to.services.push((key, counts));
            }
            Kind::Operation => {
                let [flows, errors, timeouts, ..] = self.counts;
                let key =
                    OperationKey { environment, operation: name(key.operation), window_s, weight_milli };
                to.operations.push((key, OperationCounts { flows, errors, timeouts, duration: a }));
            }
            Kind::Endpoint => {
                let [requests, errors, ..] = self.counts;
                let (version, entry, node) = (name(key.version), name(key.entry), node(key.client));
                let key = EndpointKey { environment, node, version, entry, window_s, weight_milli };
                to.endpoints.push((key, EndpointCounts { requests, errors, latency: a }));
            }
        }
    }
}
