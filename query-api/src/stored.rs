//! Questions to ClickHouse. Table names come from the enum below and everything a caller says is bound as a
//! parameter: no text of a caller is ever part of a query.

use crate::counts::{EdgeCounts, OperationCounts, ServiceCounts};
use crate::filter::{Filter, PROBE};
use crate::histogram::Histogram;
use crate::limits::Limits;
use crate::node::{Kind, Node};
use crate::progress::{self, Progress};
use clickhouse::error::Error;
use clickhouse::query::Query;
use clickhouse::{Client, Compression, Row};
use prometheus_client::metrics::counter::Counter;
use schemas::topics::FLOW_DELTAS;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long an answer about the store's progress is used: it is asked before every question, and costs as much as a
/// small one.
const PROGRESS_KEPT: Duration = Duration::from_secs(1);

/// When it was asked for, and what it was.
type KeptProgress = (Instant, Arc<[Progress]>);

/// A client with bounds on time, rows and parallel queries.
#[derive(Clone)]
pub struct Stored {
    client: Client,
    /// The same, for answers so large that compressing them takes longer than sending them.
    plain: Client,
    asked: Counter,
    rows: u32,
    progress: Arc<Mutex<Option<KeptProgress>>>,
    // Shared by all requests: ClickHouse's memory is what a crowd of them would exhaust.
    turns: Arc<Semaphore>,
}

/// Where rollups of one width are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    /// `…_1s`
    Second,
    /// `…_1m`
    Minute,
    /// `…_10m`
    TenMinutes,
    /// `…_1h`
    Hour,
}

/// Part of a range that one tier answers exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Which rollup.
    pub tier: Tier,
    /// First second.
    pub from_s: u32,
    /// The second after the last one.
    pub to_s: u32,
}

impl Segment {
    /// How many windows it has.
    pub fn windows(self) -> u32 {
        (self.to_s - self.from_s) / self.tier.width_s()
    }
}

/// How to cut rows of the 1 s tables: those of one lane up to one batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpTo {
    /// The lane.
    pub lane: u16,
    /// Its last batch.
    pub batch: u64,
}

/// How the rows of an answer are grouped in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grouping {
    /// One row for the whole range.
    Whole,
    /// Counts only, by the second.
    CountsBySecond,
    /// Histograms only, by ten seconds.
    HistogramsByTen,
}

impl Stored {
    /// Bounds `client`.
    pub fn new(client: Client, limits: &Limits, asked: Counter) -> Self {
        let client = client
            .with_setting("max_execution_time", limits.query_timeout.as_secs().to_string())
            .with_setting("max_memory_usage", "2000000000")
            // Nothing here writes, and ClickHouse stops a query whose client has gone only where it can't.
            .with_setting("readonly", "2")
            .with_setting("cancel_http_readonly_queries_on_client_close", "1")
            .with_setting("max_result_rows", (u64::from(limits.rows) * 100).to_string());
        let plain = client.clone().with_compression(Compression::None);
        let turns = Arc::new(Semaphore::new(limits.queries));
        Self { client, plain, asked, rows: limits.rows, progress: Arc::default(), turns }
    }

    /// Whether ClickHouse answers, is new enough and holds Weir's tables.
    ///
    /// # Errors
    /// It doesn't or isn't.
    pub async fn check(&self) -> Result<(), Error> {
        let version: String =
            self.ask("SELECT version() FROM (SELECT count() FROM store_progress)").fetch_one().await?;
        if is_new_enough(&version) {
            return Ok(());
        }
        let (year, month) = OLDEST;
        Err(Error::Other(
            format!("ClickHouse {version} is too old: {year}.{month} or newer is needed").into(),
        ))
    }

    /// A turn to ask; it ends when the returned guard does.
    pub async fn turn(&self) -> OwnedSemaphorePermit {
        // The semaphore is never closed.
        #[allow(clippy::expect_used, reason = "see above")]
        self.turns.clone().acquire_owned().await.expect("the semaphore stays open")
    }

    /// A query.
    pub fn ask(&self, sql: &str) -> Query {
        self.asked.inc();
        self.client.query(sql)
    }

    /// A query in its turn.
    pub async fn query(&self, sql: &str) -> (Query, OwnedSemaphorePermit) {
        let turn = self.turn().await;
        (self.ask(sql).param("rows", self.rows), turn)
    }

    /// A query in its turn, for an answer of many MB.
    pub async fn large(&self, sql: &str) -> (Query, OwnedSemaphorePermit) {
        let turn = self.turn().await;
        self.asked.inc();
        (self.plain.query(sql).param("rows", self.rows), turn)
    }

    /// Operations of a segment.
    ///
    /// # Errors
    /// ClickHouse can't answer.
    pub async fn operations(&self, segment: Segment, filter: &Filter) -> Result<Vec<OperationRow>, Error> {
        let (query, _turn) = self.query(&operations_sql(segment.tier, Grouping::Whole, false)).await;
        bind(query, segment, filter).fetch_all().await
    }

    /// How far the store is with `flow_deltas`, as of at most [`PROGRESS_KEPT`] ago: rows that are asked for now hold at
    /// least that.
    ///
    /// # Errors
    /// ClickHouse can't answer.
    pub async fn progress(&self) -> Result<Arc<[Progress]>, Error> {
        let kept = || self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, progress)) = kept().as_ref().filter(|(at, _)| at.elapsed() < PROGRESS_KEPT) {
            return Ok(progress.clone());
        }
        let (_turn, at) = (self.turn().await, Instant::now());
        let progress: Arc<[Progress]> = progress::of_topic(self, FLOW_DELTAS).await?.into();
        *kept() = Some((at, progress.clone()));
        Ok(progress)
    }

    /// A query over rows of a 1 s table up to a batch, for the cut at start. It is not bounded in rows: what it
    /// returns is folded row by row into state that is bounded in bytes.
    pub fn cut(&self, sql: &str, from_s: u32, up_to: UpTo) -> Query {
        let everything = Filter { probes: true, ..Filter::default() };
        let segment = Segment { tier: Tier::Second, from_s, to_s: u32::MAX };
        bind(self.ask(sql), segment, &everything)
            .param("rows", u32::MAX)
            .param("lane", up_to.lane)
            .param("batch", up_to.batch)
            .with_setting("max_result_rows", "0")
            .with_setting("max_execution_time", "60")
    }
}

/// The version that Weir is tested with.
const OLDEST: (u32, u32) = (26, 7);

fn is_new_enough(version: &str) -> bool {
    let mut parts = version.split('.').map(|part| part.parse().unwrap_or_default());
    (parts.next().unwrap_or_default(), parts.next().unwrap_or_default()) >= OLDEST
}

fn bind(query: Query, segment: Segment, filter: &Filter) -> Query {
    query
        .param("from", segment.from_s)
        .param("to", segment.to_s)
        .param("any_operation", filter.operation.is_none())
        .param("operation", filter.operation.as_deref().unwrap_or_default())
        .param("hidden", if filter.probes { "" } else { PROBE })
        .param("any_environment", filter.environment.is_none())
        .param("environment", filter.environment.as_deref().unwrap_or_default())
        .param("all_environments", filter.allowed.environments.is_none())
        .param("environments", filter.allowed.environments.as_deref().unwrap_or(&BTreeSet::new()))
}

impl Tier {
    /// Name of the tables' suffix.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Second => "1s",
            Self::Minute => "1m",
            Self::TenMinutes => "10m",
            Self::Hour => "1h",
        }
    }

    /// Width of a window.
    pub fn width_s(self) -> u32 {
        match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::TenMinutes => 600,
            Self::Hour => 3_600,
        }
    }

    fn finer(self) -> Option<Self> {
        match self {
            Self::Hour => Some(Self::TenMinutes),
            Self::TenMinutes => Some(Self::Minute),
            Self::Minute => Some(Self::Second),
            Self::Second => None,
        }
    }
}

/// Seconds that the 1 s tables hold, less an hour for the time that expiry takes.
const SECONDS_KEPT_S: u32 = 5 * 3_600;
/// Seconds that the tables of minutes hold, less a day.
const MINUTES_KEPT_S: u32 = 29 * 86_400;

/// The finest tables that still hold a second.
pub fn finest(second: u32, now_s: u32) -> Tier {
    match now_s.saturating_sub(second) {
        age_s if age_s > MINUTES_KEPT_S => Tier::Hour,
        age_s if age_s > SECONDS_KEPT_S => Tier::Minute,
        _ => Tier::Second,
    }
}

/// The range that can be answered exactly and holds `[from_s, to_s)`: old ranges are rounded outward to minutes or
/// hours, because finer windows have expired.
pub fn answerable(from_s: u32, to_s: u32, now_s: u32) -> (u32, u32) {
    let width_s = finest(from_s, now_s).width_s();
    (from_s - from_s % width_s, to_s.div_ceil(width_s).saturating_mul(width_s))
}

/// The fewest and coarsest windows that make up `[from_s, to_s)`.
pub fn segments(from_s: u32, to_s: u32) -> Vec<Segment> {
    segments_of(Tier::Hour, from_s, to_s)
}

/// The fewest windows that make up `[from_s, to_s)`, none coarser than these.
pub fn segments_of(coarsest: Tier, from_s: u32, to_s: u32) -> Vec<Segment> {
    let mut found = Vec::new();
    cover(coarsest, from_s, to_s, &mut found);
    found
}

fn cover(tier: Tier, from_s: u32, to_s: u32, found: &mut Vec<Segment>) {
    if from_s >= to_s {
        return;
    }
    let width_s = tier.width_s();
    let (first_s, end_s) = (from_s.div_ceil(width_s).saturating_mul(width_s), to_s - to_s % width_s);
    let Some(finer) = tier.finer() else {
        return found.push(Segment { tier, from_s, to_s });
    };
    if first_s >= end_s {
        return cover(finer, from_s, to_s, found);
    }
    cover(finer, from_s, first_s, found);
    found.push(Segment { tier, from_s: first_s, to_s: end_s });
    cover(finer, end_s, to_s, found);
}

/// One edge.
#[derive(Debug, Row, Deserialize)]
#[allow(missing_docs, reason = "the columns are documented in schemas/clickhouse")]
pub struct EdgeRow {
    pub window: u32,
    pub environment: String,
    pub operation: String,
    pub client: String,
    pub client_namespace: String,
    pub client_cluster: String,
    pub client_kind: String,
    pub server: String,
    pub server_namespace: String,
    pub server_cluster: String,
    pub server_kind: String,
    pub calls: i64,
    pub errors: i64,
    pub client_errors: i64,
    pub retries: i64,
    pub timeouts: i64,
    pub rejected: i64,
    pub messages: i64,
    pub paired: i64,
    pub raw_calls: i64,
    pub callee: (Vec<u16>, Vec<i64>),
    pub callee_sum: i64,
    pub caller: (Vec<u16>, Vec<i64>),
    pub caller_sum: i64,
    pub wait: (Vec<u16>, Vec<i64>),
    pub wait_sum: i64,
}

/// One service in one version.
#[derive(Debug, Row, Deserialize)]
#[allow(missing_docs, reason = "the columns are documented in schemas/clickhouse")]
pub struct ServiceRow {
    pub window: u32,
    pub environment: String,
    pub operation: String,
    pub service: String,
    pub namespace: String,
    pub cluster: String,
    pub kind: String,
    pub version: String,
    pub requests: i64,
    pub errors: i64,
    pub client_errors: i64,
    pub raw_requests: i64,
    pub latency: (Vec<u16>, Vec<i64>),
    pub latency_sum: i64,
    pub self_time: (Vec<u16>, Vec<i64>),
    pub self_sum: i64,
    pub critical_path: (Vec<u16>, Vec<i64>),
    pub critical_sum: i64,
}

/// One operation in one environment.
#[derive(Debug, Row, Deserialize)]
#[allow(missing_docs, reason = "the columns are documented in schemas/clickhouse")]
pub struct OperationRow {
    pub window: u32,
    pub environment: String,
    pub operation: String,
    pub flows: i64,
    pub errors: i64,
    pub timeouts: i64,
    pub raw_flows: i64,
    pub duration: (Vec<u16>, Vec<i64>),
    pub duration_sum: i64,
    pub last_seen: u32,
}

impl EdgeRow {
    /// Caller and callee.
    pub fn nodes(&self) -> (Arc<Node>, Arc<Node>) {
        let node = |cluster: &str, namespace: &str, name: &str, kind: &str| {
            let (cluster, namespace, name) = (cluster.to_owned(), namespace.to_owned(), name.to_owned());
            Arc::new(Node { cluster, namespace, name, kind: Kind::of_text(kind) })
        };
        (
            node(&self.client_cluster, &self.client_namespace, &self.client, &self.client_kind),
            node(&self.server_cluster, &self.server_namespace, &self.server, &self.server_kind),
        )
    }

    /// The counts.
    pub fn counts(&self) -> EdgeCounts {
        EdgeCounts {
            calls: self.calls,
            errors: self.errors,
            client_errors: self.client_errors,
            retries: self.retries,
            timeouts: self.timeouts,
            rejected: self.rejected,
            messages: self.messages,
            paired: self.paired,
            raw_calls: self.raw_calls,
        }
    }
}

impl ServiceRow {
    /// The service.
    pub fn node(&self) -> Arc<Node> {
        let kind = Kind::of_text(&self.kind);
        let (cluster, namespace, name) = (self.cluster.clone(), self.namespace.clone(), self.service.clone());
        Arc::new(Node { cluster, namespace, name, kind })
    }

    /// The counts.
    pub fn counts(&self) -> ServiceCounts {
        ServiceCounts {
            requests: self.requests,
            errors: self.errors,
            client_errors: self.client_errors,
            raw_requests: self.raw_requests,
        }
    }
}

impl OperationRow {
    /// The counts.
    pub fn counts(&self) -> OperationCounts {
        OperationCounts {
            flows: self.flows,
            errors: self.errors,
            timeouts: self.timeouts,
            raw_flows: self.raw_flows,
        }
    }
}

/// A histogram from its columns.
pub fn histogram(lists: &(Vec<u16>, Vec<i64>), sum_milli_us: i64) -> Histogram {
    let buckets = lists.0.iter().map(|bucket| u32::from(*bucket)).zip(lists.1.iter().copied());
    Histogram::from_buckets(buckets, sum_milli_us).0
}

/// Edges by the names of their nodes.
pub fn edges_sql(tier: Tier, grouping: Grouping, cut: bool) -> String {
    let names = "environment, operation, client, client_namespace, client_cluster, client_kind, \
                 server, server_namespace, server_cluster, server_kind";
    let counts =
        ["calls", "errors", "client_errors", "retries", "timeouts", "rejected", "messages", "paired"];
    let histograms = [
        ("callee_latency", "callee_sum_us", "callee"),
        ("caller_latency", "caller_sum_us", "caller"),
        ("wait", "wait_sum_us", "wait"),
    ];
    sql(
        &Columns { table: "edges", names, counts: &counts, raw: "raw_calls", histograms: &histograms },
        tier,
        grouping,
        cut,
    )
}

/// Services by name and version.
pub fn services_sql(tier: Tier, grouping: Grouping, cut: bool) -> String {
    let names = "environment, operation, service, namespace, cluster, kind, version";
    let counts = ["requests", "errors", "client_errors"];
    let histograms = [
        ("latency", "latency_sum_us", "latency"),
        ("self_time", "self_sum_us", "self"),
        ("critical_path", "critical_sum_us", "critical"),
    ];
    sql(
        &Columns { table: "services", names, counts: &counts, raw: "raw_requests", histograms: &histograms },
        tier,
        grouping,
        cut,
    )
}

/// Operations by name.
pub fn operations_sql(tier: Tier, grouping: Grouping, cut: bool) -> String {
    let names = "environment, operation";
    let counts = ["flows", "errors", "timeouts"];
    let histograms = [("duration", "duration_sum_us", "duration")];
    sql(
        &Columns { table: "operations", names, counts: &counts, raw: "raw_flows", histograms: &histograms },
        tier,
        grouping,
        cut,
    )
}

/// What a table of rollups holds. All of it is fixed text of this file.
struct Columns<'a> {
    table: &'a str,
    names: &'a str,
    counts: &'a [&'a str],
    raw: &'a str,
    histograms: &'a [(&'a str, &'a str, &'a str)],
}

fn sql(columns: &Columns<'_>, tier: Tier, grouping: Grouping, cut: bool) -> String {
    let window = match grouping {
        Grouping::Whole => "toUInt32(0)",
        Grouping::CountsBySecond => "toUInt32(e.window)",
        Grouping::HistogramsByTen => "toUInt32(intDiv(toUInt32(e.window), 10) * 10)",
    };
    let mut select = vec![format!("{window} AS window"), columns.names.to_owned()];
    let with_counts = grouping != Grouping::HistogramsByTen;
    for name in columns.counts {
        let sum = if with_counts { format!("sum(e.{name}) * 1000") } else { "0".to_owned() };
        select.push(format!("toInt64({sum}) AS {name}"));
    }
    let raw = if with_counts { format!("sum(e.{})", columns.raw) } else { "0".to_owned() };
    select.push(format!("toInt64({raw}) AS {}", columns.raw));
    for (lists, sum, name) in columns.histograms {
        select.push(if grouping == Grouping::CountsBySecond {
            format!("(emptyArrayUInt16(), emptyArrayInt64()) AS {}, toInt64(0) AS {name}_sum", alias(lists))
        } else {
            format!("sumMap(e.{lists}) AS {}, toInt64(sum(e.{sum}) * 1000) AS {name}_sum", alias(lists))
        });
    }
    if columns.table == "operations" {
        select.push("toUInt32(max(e.window)) AS last_seen".to_owned());
    }
    let cut = if cut { "AND e.lane = {lane:UInt16} AND e.batch <= {batch:UInt64}" } else { "" };
    format!(
        "SELECT {} FROM {}_{} AS e \
         WHERE e.window >= toDateTime({{from:UInt32}}) AND e.window < toDateTime({{to:UInt32}}) \
         AND (if({{any_operation:Bool}}, e.operation != {{hidden:String}}, e.operation = {{operation:String}})) \
         AND ({{any_environment:Bool}} OR e.environment = {{environment:String}}) \
         AND ({{all_environments:Bool}} OR has({{environments:Array(String)}}, toString(e.environment))) {cut} \
         GROUP BY ALL LIMIT {{rows:UInt32}}",
        select.join(", "),
        columns.table,
        tier.suffix(),
    )
}

/// The two latencies of an edge are named by who measured them.
fn alias(column: &str) -> &str {
    column.strip_suffix("_latency").unwrap_or(column)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_year_and_month() {
        for (version, enough) in [
            ("26.7.3.1", true),
            ("26.10.1.2", true),
            ("27.1", true),
            ("26.6.9.1", false),
            ("25.12", false),
            ("", false),
        ] {
            assert_eq!(is_new_enough(version), enough, "{version}");
        }
    }

    #[test]
    fn a_range_is_covered_once_by_the_coarsest_windows() {
        let hour = 1_700_002_800;
        let found = segments(hour - 3_725, hour + 7_265);
        let tiers: Vec<_> =
            found.iter().map(|segment| (segment.tier, segment.to_s - segment.from_s)).collect();
        assert_eq!(
            tiers,
            [
                (Tier::Second, 5),
                (Tier::Minute, 120),
                (Tier::Hour, 3 * 3_600),
                (Tier::Minute, 60),
                (Tier::Second, 5),
            ]
        );
        assert!(found.windows(2).all(|pair| pair[0].to_s == pair[1].from_s));
        for segment in found {
            assert_eq!(
                (segment.from_s % segment.tier.width_s(), segment.to_s % segment.tier.width_s()),
                (0, 0)
            );
        }
    }

    #[test]
    fn short_and_empty_ranges() {
        assert_eq!(segments(1_000, 1_000), []);
        assert_eq!(segments(1_001, 1_003), [Segment { tier: Tier::Second, from_s: 1_001, to_s: 1_003 }]);
    }

    #[test]
    fn old_ranges_are_rounded_outward() {
        let now_s = 1_700_000_000;
        assert_eq!(answerable(now_s - 61, now_s - 1, now_s), (now_s - 61, now_s - 1));
        let (from_s, to_s) = answerable(now_s - 7 * 3_600 - 7, now_s - 3, now_s);
        assert_eq!(
            (from_s % 60, to_s % 60, from_s <= now_s - 7 * 3_600 - 7, to_s >= now_s - 3),
            (0, 0, true, true)
        );
        assert_eq!(answerable(now_s - 40 * 86_400 - 7, now_s, now_s).0 % 3_600, 0);
    }

    #[test]
    fn queries_hold_no_values() {
        for sql in [
            edges_sql(Tier::Hour, Grouping::Whole, false),
            services_sql(Tier::Second, Grouping::HistogramsByTen, true),
            operations_sql(Tier::Second, Grouping::CountsBySecond, true),
        ] {
            assert!(!sql.contains('\''), "{sql}");
            assert!(sql.contains("{operation:String}") && sql.contains("{environment:String}"), "{sql}");
        }
    }
}
