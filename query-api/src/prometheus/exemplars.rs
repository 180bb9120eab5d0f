//! Flows to look at, by edge and bucket: single calls of flows whose graph is stored.

use super::labels::{EdgeLabels, Labels};
use super::sums::{BUCKETS, place_of};
use crate::access::Allowed;
use crate::flows::WhichWords;
use crate::limits::Limits;
use crate::node::{Kind, Node};
use crate::stored::Stored;
use clickhouse::Row;
use serde::Deserialize;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// Scrapes that come closer to each other share an answer of ClickHouse.
const ASK_EVERY: Duration = Duration::from_secs(30);
/// A scrape doesn't wait longer than this; it has ten seconds by default.
const PATIENCE: Duration = Duration::from_secs(2);
/// Newest flows that are looked at: by id, each costs a granule.
const FLOWS: u32 = 500;
/// Edges with exemplars.
const MOST_EDGES: usize = 5_000;

/// One flow of a bucket.
#[derive(Debug, Clone, PartialEq)]
pub struct Exemplar {
    /// 32 hexadecimal digits.
    pub trace_id: String,
    /// How long the call took, µs.
    pub duration_us: i64,
    /// When the flow began, µs since the epoch.
    pub at_us: i64,
    /// The flow belongs to it.
    root_namespace: String,
}

/// By edge and bucket.
type Known = HashMap<EdgeLabels, [Option<Exemplar>; BUCKETS]>;

/// What was found last. A lock, because scrapes share it; whoever comes first asks.
#[derive(Debug, Default)]
pub struct Exemplars(Mutex<Found>);

#[derive(Debug, Default)]
struct Found {
    asked: Option<Instant>,
    known: Arc<Known>,
}

/// The exemplars of one page.
#[derive(Debug)]
pub struct Shown {
    known: Arc<Known>,
    allowed: Allowed,
}

#[derive(Debug, Row, Deserialize)]
struct FoundRow {
    trace_id: String,
    environment: String,
    root_namespace: String,
    at_us: i64,
    client: (String, String, String, String),
    server: (String, String, String, String),
    duration_us: i64,
}

impl Exemplars {
    /// What somebody may see. Without ClickHouse that is nothing: what was found before may have been corrected.
    pub async fn shown(&self, stored: &Stored, limits: &Limits, allowed: &Allowed, now_us: i64) -> Shown {
        let mut found = self.0.lock().await;
        if found.asked.is_none_or(|asked| asked.elapsed() >= ASK_EVERY) {
            found.asked = Some(Instant::now());
            let rows = match tokio::time::timeout(PATIENCE, ask(stored, limits, now_us)).await {
                Ok(Ok(rows)) => rows,
                Ok(Err(error)) => {
                    tracing::debug!(%error, "no exemplars from ClickHouse");
                    Vec::new()
                }
                Err(_) => {
                    tracing::debug!("ClickHouse takes too long for exemplars");
                    Vec::new()
                }
            };
            found.known = Arc::new(newest(rows));
        }
        Shown { known: found.known.clone(), allowed: allowed.clone() }
    }
}

impl Shown {
    /// None of any edge.
    pub fn none() -> Self {
        Self { known: Arc::default(), allowed: Allowed::default() }
    }

    /// The exemplar of a bucket.
    pub fn of(&self, labels: &EdgeLabels, bucket: usize) -> Option<&Exemplar> {
        let exemplar = self.known.get(labels)?[bucket].as_ref()?;
        let visible = labels.visible(&self.allowed) && self.allowed.namespace(&exemplar.root_namespace);
        visible.then_some(exemplar)
    }
}

/// Prometheus refuses an exemplar that is older than the one before it.
fn newest(rows: Vec<FoundRow>) -> Known {
    let mut known = Known::new();
    for row in rows {
        let (labels, exemplar) = row.read();
        if known.len() >= MOST_EDGES && !known.contains_key(&labels) {
            continue;
        }
        let place = place_of(u64::try_from(exemplar.duration_us).unwrap_or_default());
        let newest = &mut known.entry(labels).or_default()[place];
        if newest.as_ref().is_none_or(|newest| newest.at_us < exemplar.at_us) {
            *newest = Some(exemplar);
        }
    }
    known
}

impl FoundRow {
    fn read(self) -> (EdgeLabels, Exemplar) {
        let Self { trace_id, environment, root_namespace, at_us, client, server, duration_us } = self;
        let node = |(cluster, namespace, name, kind): (String, String, String, String)| {
            let kind = Kind::of_text(&kind);
            Node { cluster, namespace, name, kind }
        };
        let labels = EdgeLabels::new(&environment.into(), &node(client), &node(server));
        (labels, Exemplar { trace_id, duration_us, at_us, root_namespace })
    }
}

/// The calls of the newest flows that were the only ones of their edge: how long each took is known. Flows of the last 15
/// minutes without health checks, each by its newest revision: an earlier one may have another root and other edges.
async fn ask(stored: &Stored, limits: &Limits, now_us: i64) -> anyhow::Result<Vec<FoundRow>> {
    let which = WhichWords::default().read("", &Allowed::default(), now_us, limits)?;
    let sql = format!(
        "WITH newest AS (SELECT lower(hex(id)) AS trace_id, revision, root_namespace FROM flows_by_start WHERE {} \
             ORDER BY start DESC LIMIT {{flows:UInt32}}), \
         graphs AS (SELECT * FROM flow_graphs WHERE trace_id IN (SELECT trace_id FROM newest) \
             AND start >= toDateTime64({}, 6)) \
         SELECT trace_id, toString(environment) AS environment, toString(root_namespace) AS root_namespace, \
             toUnixTimestamp64Micro(start) AS at_us, \
             (nodes[edge.1].1, nodes[edge.1].2, nodes[edge.1].3, nodes[edge.1].4) AS client, \
             (nodes[edge.2].1, nodes[edge.2].2, nodes[edge.2].3, nodes[edge.2].4) AS server, \
             edge.9 AS duration_us \
         FROM graphs ARRAY JOIN edges AS edge INNER JOIN newest USING (trace_id, revision) \
         WHERE edge.3 = 1 LIMIT {{rows:UInt32}}",
        which.sql(),
        which.from_s
    );
    let (query, _turn) = stored.query(&sql).await;
    Ok(which.bind(query).param("flows", FLOWS).fetch_all().await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_US: i64 = 1_700_000_000_000_000;

    fn row(trace_id: &str, at_us: i64, duration_us: i64) -> FoundRow {
        let node = |name: &str| (String::new(), "shop".to_owned(), name.to_owned(), "service".to_owned());
        FoundRow {
            trace_id: trace_id.to_owned(),
            environment: "prod".to_owned(),
            root_namespace: "web".to_owned(),
            at_us,
            client: node("cart"),
            server: node("payment"),
            duration_us,
        }
    }

    fn traces(known: &Known) -> Vec<(usize, &str)> {
        let buckets = known.values().flat_map(|buckets| buckets.iter().enumerate());
        buckets.filter_map(|(at, found)| Some((at, found.as_ref()?.trace_id.as_str()))).collect()
    }

    #[test]
    fn each_bucket_has_its_newest() {
        let rows = [("a", 5, 500), ("b", 9, 600), ("c", 9, 3_000), ("d", 7, 700), ("e", 0, 2_500)];
        let rows = rows.map(|(trace, ago_us, us)| row(trace, NOW_US - ago_us, us));
        assert_eq!(traces(&newest(rows.into())), [(0, "a"), (2, "e")]);
    }

    #[test]
    fn a_flow_is_shown_to_those_who_may_see_it() {
        let known = Arc::new(newest(vec![row("a", NOW_US, 500)]));
        let labels = known.keys().next().unwrap().clone();
        let shown = |namespaces: &[&str]| {
            let names = namespaces.iter().map(|name| (*name).to_owned()).collect();
            let allowed = Allowed { namespaces: Some(Arc::new(names)), ..Allowed::default() };
            Shown { known: known.clone(), allowed }.of(&labels, 0).is_some()
        };
        assert!(shown(&["shop", "web"]));
        assert!(!shown(&["shop"]) && !shown(&["web"]));
    }
}
