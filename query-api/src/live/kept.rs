//! Sums of the last so many seconds, kept for as long as somebody asks for them every now and then. They move on with
//! time: what comes in is added and what falls out is taken away, so that a look costs what has changed since the
//! last one, not all that the window holds.

use super::group::touching;
use crate::totals::Sum;
use std::ops::Range;
use std::sync::Arc;

/// What is kept by window and can be added up.
pub trait OverTime: Default {
    /// Its sums, and what changes them.
    type Totals: Sum;
    /// Adds a change in the second `window_s`; returns how many bytes that took.
    fn add(&mut self, window_s: u32, change: &Self::Totals) -> usize;
    /// Adds the windows of some seconds.
    fn add_to(&self, totals: &mut Self::Totals, windows: &Windows);
    /// Takes away again what [`OverTime::add_to`] has added.
    fn take_from(&self, totals: &mut Self::Totals, windows: &Windows);
    /// Adds `[from_s, to_s)`.
    fn add_seconds_to(&self, totals: &mut Self::Totals, from_s: u32, to_s: u32) {
        self.add_to(totals, &Seconds { from_s, to_s }.windows());
    }
}

/// Something over time with its sums, one for each of its group's [`Recent`] seconds.
#[derive(Debug, Default)]
pub struct Kept<T: OverTime> {
    /// All of it.
    pub over_time: T,
    /// Shared with the graphs that show them.
    pub sums: Vec<Arc<T::Totals>>,
}

/// The last so many seconds as of the last time that somebody asked for them.
#[derive(Debug)]
pub struct Recent {
    /// How many were asked for. There may be fewer.
    pub length_s: u32,
    /// Which they are.
    pub seconds: Seconds,
    /// When they were last asked for.
    pub asked_s: u32,
}

/// From the first to the one after the last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Seconds {
    pub from_s: u32,
    pub to_s: u32,
}

/// Where windows start: those of counts, and the wider ones of histograms.
#[derive(Debug)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Windows {
    pub counts: Range<u32>,
    pub histograms: Range<u32>,
}

impl Seconds {
    /// All windows. Percentiles come from every ten seconds that touch a second; no second touches none.
    pub fn windows(self) -> Windows {
        let first_s = if self.from_s < self.to_s { touching(self.from_s) } else { self.to_s };
        Windows { counts: self.from_s..self.to_s, histograms: first_s..self.to_s }
    }

    /// The windows that are there no more when these seconds have become `next` …
    fn leaving(self, next: Self) -> Windows {
        let histograms = touching(self.from_s)..touching(next.from_s);
        Windows { counts: self.from_s..next.from_s, histograms }
    }

    /// … and those that are new.
    fn entering(self, next: Self) -> Windows {
        Windows { counts: self.to_s..next.to_s, histograms: self.to_s..next.to_s }
    }

    /// Whether these seconds become `next` by moving on a little.
    fn move_on_to(self, next: Self) -> bool {
        (self.from_s..self.to_s).contains(&next.from_s) && self.to_s <= next.to_s
    }
}

impl<T: OverTime> Kept<T> {
    /// Nothing yet.
    pub fn new(recent: &[Recent]) -> Self {
        Self { over_time: T::default(), sums: vec![Arc::default(); recent.len()] }
    }

    /// Adds a change in the second `window_s`; returns how many bytes that took, sums apart.
    pub fn add(&mut self, recent: &[Recent], window_s: u32, change: &T::Totals) -> usize {
        for (sum, recent) in self.sums.iter_mut().zip(recent) {
            let Windows { counts, histograms } = recent.seconds.windows();
            if histograms.contains(&touching(window_s)) {
                let sum = Arc::make_mut(sum);
                sum.add_histograms(change);
                if counts.contains(&window_s) {
                    sum.add_counts(change);
                }
            }
        }
        self.over_time.add(window_s, change)
    }

    /// Makes one of the sums that of other seconds.
    pub fn move_on(&mut self, at: usize, before: Seconds, next: Seconds) {
        let Some(sum) = self.sums.get_mut(at).map(Arc::make_mut) else { return };
        if before.move_on_to(next) {
            self.over_time.take_from(sum, &before.leaving(next));
            self.over_time.add_to(sum, &before.entering(next));
        } else {
            *sum = T::Totals::default();
            self.over_time.add_to(sum, &next.windows());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Seconds;
    use crate::builder::GraphBuilder;
    use crate::change::{Change, What};
    use crate::counts::{EdgeCounts, OperationCounts, ServiceCounts};
    use crate::filter::Filter;
    use crate::graph::{Graph, StatusRules};
    use crate::histogram::Histogram;
    use crate::hub::frame;
    use crate::limits::Limits;
    use crate::live::Live;
    use crate::node::{Kind, Node};
    use crate::series::Additive;
    use crate::totals::{EdgeTotals, FlowTotals, ServiceTotals};
    use std::sync::Arc;

    const RULES: StatusRules = StatusRules { degraded: 0.05, down: 0.5, least_requests: 10 };
    /// More than a group keeps sums of.
    const LENGTHS_S: [u32; 6] = [1, 7, 60, 61, 300, 900];

    /// Numbers that are the same for the same seed (xorshift64).
    struct Random(u64);

    impl Random {
        fn below(&mut self, end: u32) -> u32 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 % u64::from(end)) as u32
        }

        fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
            all[self.below(all.len() as u32) as usize]
        }

        fn node(&mut self) -> Arc<Node> {
            let (cluster, namespace) = (String::new(), String::new());
            Arc::new(Node {
                cluster,
                namespace,
                name: self.one_of(&["a", "b", "c"]).into(),
                kind: Kind::Service,
            })
        }

        fn histogram(&mut self, sign: i64) -> Histogram {
            let mut histogram = Histogram::default();
            for _ in 0..self.below(4) {
                let (bucket, count) = (self.below(300), sign * i64::from(1 + self.below(3)) * 1_000);
                histogram.add(&Histogram::from_buckets([(bucket, count)], i64::from(bucket) * count).0);
            }
            histogram
        }

        /// Something that happens at `now_s`, or happened up to a minute before, or is taken back.
        fn change(&mut self, now_s: u32) -> Change {
            let sign = self.one_of(&[1, 1, 1, -1]);
            let number = sign * i64::from(1 + self.below(5)) * 1_000;
            let late_s = self.one_of(&[0, 0, 1, 5, 58, 62, 700]);
            let kind = self.below(3);
            // A version that was seen ahead of the clock is known anew at once, and kept from its second on.
            let window_s = now_s - late_s - if kind == 1 { 2 } else { 0 };
            let what = match kind {
                0 => {
                    let counts = EdgeCounts { calls: number, raw_calls: sign, ..EdgeCounts::default() };
                    let (callee, caller) = (self.histogram(sign), self.histogram(sign));
                    let calls = EdgeTotals { counts, callee, caller, wait: self.histogram(sign) };
                    What::Edge { client: self.node(), server: self.node(), calls }
                }
                1 => {
                    let counts = ServiceCounts { requests: number, ..ServiceCounts::default() };
                    let versions = [self.one_of(&["1", "2", "3"]).into()].into();
                    let (latency, self_time) = (self.histogram(sign), self.histogram(sign));
                    let critical_path = self.histogram(sign);
                    let requests = ServiceTotals { counts, latency, self_time, critical_path, versions };
                    What::Service { node: self.node(), requests }
                }
                _ => {
                    let counts = OperationCounts { flows: number, ..OperationCounts::default() };
                    What::Operation { flows: FlowTotals { counts, durations: self.histogram(sign) } }
                }
            };
            let operation = self.one_of(&["login", "logout"]).into();
            Change { environment: "prod".into(), operation, window_s, what }
        }
    }

    /// The graph and the flows of recent seconds: from sums that are kept, or added up anew.
    fn seen(
        live: &mut Live,
        filter: &Filter,
        length_s: u32,
        now_us: i64,
        kept: bool,
    ) -> (Graph, frame::Totals) {
        let range = live.latest(filter, length_s, now_us);
        let mut builder = GraphBuilder::default();
        let flows = if kept {
            live.add_latest_to(&mut builder, filter, length_s, range)
        } else {
            live.add_to(&mut builder, filter, range.from_s, range.to_s);
            live.all_flows(filter, range.from_s, range.to_s)
        };
        (Graph::of(&builder.join(), range.seconds, &RULES), frame::Totals::of(&flows, range.seconds))
    }

    #[test]
    fn no_seconds_have_no_windows() {
        let windows = |from_s, to_s| Seconds { from_s, to_s }.windows();
        assert_eq!(
            (windows(1_005, 1_005).histograms, windows(1_005, 1_006).histograms),
            (1_005..1_005, 1_000..1_006)
        );
    }

    #[test]
    fn sums_that_are_kept_are_what_adding_up_anew_gives() {
        let filters = ["login", "logout", ""]
            .map(|operation| Filter::new(Some(operation.into()), None, false, &Limits::default()).unwrap());
        for seed in 1..=30 {
            let mut random = Random(seed);
            let (mut now_us, mut latest_us) = (1_700_000_000_000_000, 0);
            let mut live = Live::new(Limits::default());
            live.begin("kafka", 1_700_000_000 - 900, 1);
            for step in 0..400 {
                for _ in 0..random.below(4) {
                    let change = random.change((now_us / 1_000_000) as u32);
                    live.add(change, now_us);
                }
                // Mostly on by less than a second; now and then far, or back, as clocks do.
                let on_us = [0, 250_000, 250_000, 1_000_000, 9_000_000, 61_000_000, -2_000_000];
                latest_us = now_us.max(latest_us);
                now_us = (now_us + random.one_of(&on_us)).max(latest_us - 2_000_000);
                if random.below(10) == 0 {
                    live.forget(now_us);
                }
                let (filter, length_s) = (&filters[random.below(3) as usize], random.one_of(&LENGTHS_S));
                let [kept, anew] = [true, false].map(|kept| seen(&mut live, filter, length_s, now_us, kept));
                assert_eq!(kept, anew, "seed {seed}, step {step}, the last {length_s} s of {filter:?}");
            }
        }
    }
}
