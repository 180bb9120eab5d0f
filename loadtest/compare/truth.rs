//! What is right, and where an answer differs from it.

use std::collections::BTreeMap;
use std::fmt::Debug;

/// Calls and, of these, errors.
pub type Counts = [i64; 2];
/// By operation, caller and callee.
pub type Edges = BTreeMap<(String, String, String), Counts>;
/// Spans by service, name, kind (as OTLP numbers them) and whether they failed.
pub type Series = BTreeMap<(String, String, i32, bool), i64>;

/// Everything that is counted.
#[derive(Clone, Debug, Default)]
pub struct Truth {
    edges: Edges,
    requests: BTreeMap<(String, String), Counts>,
    series: Series,
    spans: u64,
}

impl Truth {
    /// A request from outside.
    pub fn request(&mut self, operation: &str, service: &str) {
        self.requests.entry((operation.to_owned(), service.to_owned())).or_default()[0] += 1;
        self.span(service, operation, 2, false);
    }

    /// A call, seen by both sides under this name.
    pub fn call(&mut self, operation: &str, caller: &str, callee: &str, name: &str, fails: bool) {
        let edge = (operation.to_owned(), caller.to_owned(), callee.to_owned());
        let counts = self.edges.entry(edge).or_default();
        *counts = [counts[0] + 1, counts[1] + i64::from(fails)];
        self.span(caller, name, 3, fails);
        self.span(callee, name, 2, fails);
    }

    /// Work within a service.
    pub fn step(&mut self, service: &str, name: &str) {
        self.span(service, name, 1, false);
    }

    fn span(&mut self, service: &str, name: &str, kind: i32, fails: bool) {
        self.spans += 1;
        *self.series.entry((service.to_owned(), name.to_owned(), kind, fails)).or_default() += 1;
    }

    /// Makes it wrong by one call and one span, to see that checks notice.
    pub fn falsify(&mut self) {
        self.edges.values_mut().take(1).for_each(|counts| counts[0] += 1);
        self.series.values_mut().take(1).for_each(|spans| *spans += 1);
    }

    /// Spans in all.
    pub fn spans(&self) -> u64 {
        self.spans
    }

    /// Calls between services.
    pub fn edges(&self) -> &Edges {
        &self.edges
    }

    /// The same for those who don't know operations.
    pub fn callers(&self) -> BTreeMap<(String, String), Counts> {
        callers(&self.edges)
    }

    /// Requests from outside, by operation and service.
    pub fn requests(&self) -> &BTreeMap<(String, String), Counts> {
        &self.requests
    }

    /// Spans by service, name, kind and status.
    pub fn series(&self) -> &Series {
        &self.series
    }
}

/// Calls by caller and callee.
pub fn callers(edges: &Edges) -> BTreeMap<(String, String), Counts> {
    let mut sums: BTreeMap<_, Counts> = BTreeMap::new();
    for ((_, caller, callee), [calls, errors]) in edges {
        let counts = sums.entry((caller.clone(), callee.clone())).or_default();
        *counts = [counts[0] + calls, counts[1] + errors];
    }
    sums
}

/// Compares an answer with the truth, key by key.
///
/// # Errors
/// Says how many keys differ, and some of them.
pub fn compare<K: Ord + Debug, V: PartialEq + Debug>(
    what: &str,
    truth: &BTreeMap<K, V>,
    found: &BTreeMap<K, V>,
) -> anyhow::Result<()> {
    let wrong = truth.iter().filter(|(key, value)| found.get(key) != Some(value));
    let wrong = wrong.map(|(key, value)| format!("{key:?}: {:?} instead of {value:?}", found.get(key)));
    let strange = found.iter().filter(|(key, _)| !truth.contains_key(key));
    let strange = strange.map(|(key, value)| format!("{key:?}: {value:?} instead of nothing"));
    let differences: Vec<String> = wrong.chain(strange).collect();
    let some = differences.iter().take(5).map(|one| format!("\n    {one}")).collect::<String>();
    anyhow::ensure!(differences.is_empty(), "{what}: {} of {} differ{some}", differences.len(), truth.len());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_call_more_one_edge_less_or_one_too_many_is_noticed() {
        let mut truth = Truth::default();
        for _ in 0..3 {
            truth.call("buy", "shop", "stock", "GET /stock", false);
        }
        truth.call("buy", "shop", "bank", "POST /pay", true);
        assert_eq!((truth.spans(), truth.callers().len()), (8, 2));
        let right = truth.edges().clone();
        assert!(compare("edges", truth.edges(), &right).is_ok());

        let stock = || ("buy".to_owned(), "shop".to_owned(), "stock".to_owned());
        let more = Edges::from_iter([(stock(), [4, 0])])
            .into_iter()
            .chain(right.clone().into_iter().take(1))
            .collect();
        let said = compare("edges", truth.edges(), &more).unwrap_err().to_string();
        assert!(
            said.starts_with("edges: 1 of 2 differ") && said.contains("Some([4, 0]) instead of [3, 0]"),
            "{said}"
        );

        let mut less = right.clone();
        less.remove(&stock());
        assert!(compare("edges", truth.edges(), &less).is_err());
        let mut strange = right;
        strange.insert(("buy".to_owned(), "stock".to_owned(), "shop".to_owned()), [1, 0]);
        assert!(compare("edges", truth.edges(), &strange).is_err());
        assert!(compare("edges", truth.edges(), &Edges::new()).is_err());
    }
}
