//! Flows to look at: examples of what a node or an edge did, from the stored graphs of failed, slow and sampled flows.

use crate::App;
use crate::answer::Plan;
use crate::conditions::Conditions;
use crate::error::ApiError;
use crate::filter::{Filter, PROBE};
use crate::number::ms;
use crate::shown::Meant;
use crate::steps::Step;
use clickhouse::Row;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Examples of one step.
const OF_A_STEP: u32 = 3;
/// Examples of an answer.
const MOST: u32 = 300;
/// Stored graphs that are looked through at most; what is beyond isn't, for these are examples only.
const MOST_GRAPHS: u64 = 2_000_000;

/// A flow to look at.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the names say it")]
pub struct Exemplar {
    pub trace_id: String,
    pub operation_name: String,
    pub environment: String,
    /// When the flow began, µs.
    pub time: i64,
    /// Calls or requests of the flow that are meant.
    pub calls: u32,
    /// Of these, failed.
    pub errors: u32,
    /// How long they took on average, µs.
    pub duration: i64,
    /// The same in milliseconds.
    pub latency: f64,
}

/// Of what.
#[derive(Debug)]
pub enum Subject<'a> {
    /// Requests of a node.
    Node(&'a Meant),
    /// Calls from some nodes to others.
    Edge(&'a Meant, &'a Meant),
}

#[derive(Debug, Row, Deserialize)]
struct ExemplarRow {
    trace_id: String,
    operation: String,
    environment: String,
    time: i64,
    calls: u32,
    errors: u32,
    duration: i64,
}

/// Examples of the flows that began in the plan's range, the failed ones first, then the slow ones, in order of time.
///
/// # Errors
/// ClickHouse can't answer.
pub async fn of(
    app: &App,
    filter: &Filter,
    subject: &Subject<'_>,
    (plan, step): (Plan, Step),
) -> Result<Vec<Exemplar>, ApiError> {
    let mut conditions = Conditions::default();
    conditions.equal("g.operation", filter.operation.as_deref());
    if filter.operation.is_none() && !filter.probes {
        conditions.with_text("g.operation != ?", Some(PROBE));
    }
    conditions.equal("g.environment", filter.environment.as_deref());
    conditions.among("g.environment", &filter.allowed.environments);
    if filter.allowed.namespaces.is_some() {
        let mut of_root = Conditions::default();
        of_root.among("root_namespace", &filter.allowed.namespaces);
        conditions.within(
            "g.trace_id IN (SELECT trace_id FROM traces WHERE start >= toDateTime64({from:UInt32}, 6, 'UTC') \
             AND start < toDateTime64({to:UInt32}, 6, 'UTC') AND ?)",
            of_root,
        );
    }
    let list = match subject {
        Subject::Node(meant) => {
            conditions.node("g.environment", ["part.1", "part.2", "part.3", "part.4"], meant.nodes());
            "arrayMap(node -> (node.cluster, node.namespace, node.name, node.kind, '', '', '', '', \
             node.requests, node.errors, node.duration_us), g.nodes)"
        }
        Subject::Edge(clients, servers) => {
            conditions.node("g.environment", ["part.1", "part.2", "part.3", "part.4"], clients.nodes());
            conditions.node("g.environment", ["part.5", "part.6", "part.7", "part.8"], servers.nodes());
            "arrayMap(edge -> (g.nodes[edge.client].cluster, g.nodes[edge.client].namespace, \
             g.nodes[edge.client].name, g.nodes[edge.client].kind, g.nodes[edge.server].cluster, \
             g.nodes[edge.server].namespace, g.nodes[edge.server].name, g.nodes[edge.server].kind, \
             edge.calls, edge.errors, edge.duration_us), g.edges)"
        }
    };
    let sql = sql(list, &conditions);
    let (query, _turn) = app.stored.query(&sql).await;
    let query = query
        .param("from", plan.from_s)
        .param("to", plan.to_s)
        .param("step", step.length_s)
        .param("of_a_step", OF_A_STEP)
        .param("most", MOST)
        .with_setting("max_rows_to_read", MOST_GRAPHS.to_string())
        .with_setting("read_overflow_mode", "break");
    let rows: Vec<ExemplarRow> =
        conditions.bind(query).fetch_all().await.map_err(|error| ApiError::store_unavailable(&error))?;
    let mut exemplars: Vec<Exemplar> = rows.into_iter().map(Exemplar::from).collect();
    exemplars.sort_by_key(|exemplar| exemplar.time);
    Ok(exemplars)
}

/// A graph that was stored again after late spans stands there in several revisions, the last one counts.
fn sql(parts: &str, conditions: &Conditions) -> String {
    format!(
        "SELECT trace_id, operation, environment, time, calls, errors, intDiv(duration_us, toInt64(calls)) AS duration \
         FROM (SELECT g.trace_id AS trace_id, toString(g.operation) AS operation, \
                      toString(g.environment) AS environment, toUnixTimestamp64Micro(g.start) AS time, \
                      g.revision AS revision, toUInt32(sum(part.9)) AS calls, \
                      toUInt32(sum(part.10)) AS errors, sum(part.11) AS duration_us \
               FROM flow_graphs AS g ARRAY JOIN {parts} AS part \
               WHERE g.start >= toDateTime64({{from:UInt32}}, 6, 'UTC') \
                 AND g.start < toDateTime64({{to:UInt32}}, 6, 'UTC') AND {} \
               GROUP BY ALL HAVING calls != 0 ORDER BY revision DESC LIMIT 1 BY trace_id) \
         ORDER BY errors != 0 DESC, duration DESC, trace_id \
         LIMIT {{of_a_step:UInt32}} BY intDiv(time, toInt64({{step:UInt32}}) * 1000000) LIMIT {{most:UInt32}}",
        conditions.sql()
    )
}

impl From<ExemplarRow> for Exemplar {
    fn from(row: ExemplarRow) -> Self {
        Self {
            trace_id: row.trace_id,
            operation_name: row.operation,
            environment: row.environment,
            time: row.time,
            calls: row.calls,
            errors: row.errors,
            duration: row.duration,
            latency: ms(row.duration as f64),
        }
    }
}
