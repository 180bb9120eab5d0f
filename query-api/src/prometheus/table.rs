//! Series by their labels: how many there may be, and how long they stay.

use super::labels::Labels;
use super::sums::{Net, Sums};
use crate::access::Allowed;
use std::collections::BTreeMap;

/// For so long a new series shows zeros. Prometheus counts what a series grew by between two scrapes: without a zero to
/// begin with, what it shows at first would be in no rate. It has to be longer than the time between two scrapes.
const FIRST_ZERO_S: i64 = 30;
/// A series without changes goes after this long; if it comes back, it begins at zero.
const IDLE_S: i64 = 15 * 60;

/// Series of one kind.
#[derive(Debug)]
pub struct Table<L> {
    series: BTreeMap<L, Series>,
    most: usize,
}

#[derive(Debug)]
struct Series {
    born_s: i64,
    changed_s: i64,
    sums: Sums,
}

impl<L: Labels> Table<L> {
    /// Without series, and at most this many.
    pub fn new(most: usize) -> Self {
        Self { series: BTreeMap::new(), most }
    }

    /// Adds what one commit changes in a series; returns whether there was room for it.
    pub fn add(&mut self, labels: L, net: &Net, now_s: i64) -> bool {
        if net.is_zero() {
            return true;
        }
        let has_room = self.series.len() < self.most;
        if let Some(series) = self.series.get_mut(&labels) {
            series.sums.add(net);
            series.changed_s = now_s;
        } else if net.total.saturating_add(net.failed) > 0 {
            // Anything else corrects what this process has never shown.
            if !has_room {
                return false;
            }
            let mut series = Series { born_s: now_s, changed_s: now_s, sums: Sums::default() };
            series.sums.add(net);
            self.series.insert(labels, series);
        }
        true
    }

    /// Lets go of series that have not changed for long.
    pub fn forget(&mut self, now_s: i64) {
        self.series.retain(|_, series| now_s - series.changed_s < IDLE_S);
    }

    /// What somebody may see, in the order of labels.
    pub fn shown(&self, allowed: &Allowed, now_s: i64) -> Vec<(L, Net)> {
        let visible = self.series.iter().filter(|(labels, _)| labels.visible(allowed));
        visible.map(|(labels, series)| (labels.clone(), series.shown(now_s))).collect()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.series.len()
    }
}

impl Series {
    fn shown(&self, now_s: i64) -> Net {
        if now_s - self.born_s < FIRST_ZERO_S { Net::default() } else { self.sums.shown() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prometheus::labels::{EndpointLabels, Peer};
    use std::sync::Arc;

    const NOW_S: i64 = 1_700_000_000;

    fn labels(namespace: &str, environment: &str) -> EndpointLabels {
        EndpointLabels {
            environment: Arc::from(environment),
            service: Peer { namespace: namespace.into(), name: "auth".into() },
            entry: "GET /".into(),
            span_kind: "SPAN_KIND_SERVER",
        }
    }

    fn calls(total: i64) -> Net {
        Net { total, ..Net::default() }
    }

    fn totals(table: &Table<EndpointLabels>, now_s: i64) -> Vec<i64> {
        table.shown(&Allowed::default(), now_s).iter().map(|(_, net)| net.total).collect()
    }

    #[test]
    fn a_series_begins_with_zeros_and_again_after_it_was_idle() {
        let mut table = Table::new(9);
        table.add(labels("", "prod"), &calls(7), NOW_S);
        assert_eq!((totals(&table, NOW_S + 29), totals(&table, NOW_S + 30)), (vec![0], vec![7]));
        table.forget(NOW_S + 899);
        assert_eq!(totals(&table, NOW_S + 899), [7]);
        table.forget(NOW_S + 900);
        assert_eq!(totals(&table, NOW_S + 900), [0; 0]);
        table.add(labels("", "prod"), &calls(2), NOW_S + 1_000);
        assert_eq!((totals(&table, NOW_S + 1_001), totals(&table, NOW_S + 1_030)), (vec![0], vec![2]));
    }

    #[test]
    fn there_are_so_many_series_and_no_more() {
        let mut table = Table::new(1);
        assert!(table.add(labels("a", "prod"), &calls(1), NOW_S));
        assert!(!table.add(labels("b", "prod"), &calls(1), NOW_S));
        assert!(table.add(labels("a", "prod"), &calls(1), NOW_S));
        assert_eq!((totals(&table, NOW_S + 60), table.len()), (vec![2], 1));
    }

    #[test]
    fn corrections_of_what_was_never_shown_make_no_series() {
        let mut table = Table::new(9);
        assert!(
            table.add(labels("a", "prod"), &calls(-3), NOW_S)
                && table.add(labels("b", "prod"), &calls(0), NOW_S)
        );
        assert_eq!(table.len(), 0);
    }

    #[test]
    fn nobody_sees_more_than_is_allowed() {
        let mut table = Table::new(9);
        for (namespace, environment) in [("shop", "prod"), ("shop", "dev"), ("bank", "prod")] {
            table.add(labels(namespace, environment), &calls(1), NOW_S);
        }
        let only = |name: &str| Some(Arc::new([name.to_owned()].into()));
        let allowed = Allowed { environments: only("prod"), namespaces: only("shop") };
        let seen = table.shown(&allowed, NOW_S);
        assert_eq!(
            seen.iter().map(|(labels, _)| labels.clone()).collect::<Vec<_>>(),
            [labels("shop", "prod")]
        );
    }
}
