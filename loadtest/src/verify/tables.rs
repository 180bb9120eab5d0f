//! The answer of ClickHouse: rollups fine and coarse, raw spans, summaries.

use super::compare::compare;
use super::report::Check;
use crate::demo::Targets;
use crate::truth::{EdgeCounts, EdgeKey, FlowStatus, Node, OperationCounts, OperationKey, Truth};
use anyhow::Context;
use clickhouse::{Client, Row};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Flows may begin this long before their first span ends, seconds.
const LONGEST_FLOW_S: i64 = 15;

pub(super) struct Tables<'a> {
    client: Client,
    truth: &'a Truth,
    environments: Vec<String>,
    from_s: i64,
    to_s: i64,
}

#[derive(Row, Deserialize)]
struct EdgeRow {
    environment: String,
    operation: String,
    client: String,
    client_namespace: String,
    client_kind: String,
    server: String,
    server_namespace: String,
    server_kind: String,
    calls: i64,
    errors: i64,
    client_errors: i64,
    retries: i64,
    rejected: i64,
    timeouts: i64,
}

#[derive(Row, Deserialize)]
struct OperationRow {
    environment: String,
    operation: String,
    flows: i64,
    errors: i64,
    timeouts: i64,
}

#[derive(Row, Deserialize)]
struct SpansRow {
    trace: String,
    spans: i64,
}

#[derive(Row, Deserialize)]
struct SummaryRow {
    environment: String,
    operation: String,
    status: String,
    flows: i64,
}

impl<'a> Tables<'a> {
    pub fn new(targets: &Targets, truth: &'a Truth) -> Self {
        let (from_s, to_s) = truth.window_s();
        Self { client: targets.clickhouse.client(), truth, environments: truth.environments(), from_s, to_s }
    }

    pub async fn checks(&self) -> anyhow::Result<Vec<Check>> {
        let mut checks = vec![self.spans().await.context("otel_traces can't be read")?];
        let edges = self.edges("edges_1s", (self.from_s, self.to_s)).await?;
        checks.push(compare("ClickHouse edges_1s", &self.truth.edges, &edges, EdgeKey::to_string));
        let operations = self.operations("operations_1s", (self.from_s, self.to_s)).await?;
        let place = "ClickHouse operations_1s";
        checks.push(compare(place, &self.truth.operations, &operations, operation_name));
        for (step, step_s) in [("1m", 60), ("10m", 600), ("1h", 3_600)] {
            checks.push(self.coarse_edges(step, step_s).await?);
            checks.push(self.coarse_operations(step, step_s).await?);
        }
        checks.push(self.summaries().await.context("traces can't be read")?);
        Ok(checks)
    }

    /// Whole windows of `step_s` seconds around the run. Another run may have used their other seconds, so what
    /// they must equal is the sum of the seconds in them: those of this run equal the truth.
    fn whole_windows(&self, step_s: i64) -> (i64, i64) {
        (self.from_s / step_s * step_s, (self.to_s + step_s - 1) / step_s * step_s)
    }

    async fn coarse_edges(&self, step: &str, step_s: i64) -> anyhow::Result<Check> {
        let windows = self.whole_windows(step_s);
        let (fine, coarse) =
            (self.edges("edges_1s", windows).await?, self.edges(&format!("edges_{step}"), windows).await?);
        Ok(compare(format!("ClickHouse edges_{step} against edges_1s"), &fine, &coarse, EdgeKey::to_string))
    }

    async fn coarse_operations(&self, step: &str, step_s: i64) -> anyhow::Result<Check> {
        let windows = self.whole_windows(step_s);
        let fine = self.operations("operations_1s", windows).await?;
        let coarse = self.operations(&format!("operations_{step}"), windows).await?;
        Ok(compare(
            format!("ClickHouse operations_{step} against operations_1s"),
            &fine,
            &coarse,
            operation_name,
        ))
    }

    async fn edges(&self, table: &str, windows: (i64, i64)) -> anyhow::Result<BTreeMap<EdgeKey, EdgeCounts>> {
        let rows: Vec<EdgeRow> = self
            .client
            .query(&format!(
                "SELECT environment, operation, client, client_namespace, client_kind, server, server_namespace, \
                 server_kind, toInt64(sum(calls)) AS calls, toInt64(sum(errors)) AS errors, \
                 toInt64(sum(client_errors)) AS client_errors, toInt64(sum(retries)) AS retries, \
                 toInt64(sum(rejected)) AS rejected, toInt64(sum(timeouts)) AS timeouts FROM {table} \
                 WHERE window >= toDateTime(?, 'UTC') AND window < toDateTime(?, 'UTC') AND has(?, toString(environment)) \
                 GROUP BY environment, operation, client, client_namespace, client_kind, server, server_namespace, \
                 server_kind"
            ))
            .bind(windows.0)
            .bind(windows.1)
            .bind(&self.environments)
            .fetch_all()
            .await
            .with_context(|| format!("{table} can't be read"))?;
        Ok(rows.into_iter().map(EdgeRow::split).collect())
    }

    async fn operations(
        &self,
        table: &str,
        windows: (i64, i64),
    ) -> anyhow::Result<BTreeMap<OperationKey, OperationCounts>> {
        let rows: Vec<OperationRow> = self
            .client
            .query(&format!(
                "SELECT environment, operation, toInt64(sum(flows)) AS flows, toInt64(sum(errors)) AS errors, \
                 toInt64(sum(timeouts)) AS timeouts FROM {table} \
                 WHERE window >= toDateTime(?, 'UTC') AND window < toDateTime(?, 'UTC') AND has(?, toString(environment)) \
                 GROUP BY environment, operation"
            ))
            .bind(windows.0)
            .bind(windows.1)
            .bind(&self.environments)
            .fetch_all()
            .await
            .with_context(|| format!("{table} can't be read"))?;
        Ok(rows.into_iter().map(OperationRow::split).collect())
    }

    /// Every trace has exactly its spans; a re-delivery may stand there twice.
    async fn spans(&self) -> anyhow::Result<Check> {
        let rows: Vec<SpansRow> = self
            .client
            .query(
                "SELECT TraceId AS trace, toInt64(count()) AS spans FROM \
                 (SELECT DISTINCT TraceId, SpanId, SpanKind FROM otel_traces \
                  WHERE Timestamp >= toDateTime64(?, 9, 'UTC') AND Timestamp < toDateTime64(?, 9, 'UTC') \
                  AND has(?, toString(Environment))) GROUP BY TraceId",
            )
            .bind(self.from_s - LONGEST_FLOW_S)
            .bind(self.to_s)
            .bind(&self.environments)
            .fetch_all()
            .await?;
        let found: BTreeMap<String, i64> = rows.into_iter().map(|row| (row.trace, row.spans)).collect();
        if self.truth.forgotten_flows > 0 {
            let count = |spans: i64| BTreeMap::from([("all".to_owned(), spans)]);
            let sum = found.values().sum();
            return Ok(compare(
                "ClickHouse otel_traces",
                &count(self.truth.spans.cast_signed()),
                &count(sum),
                Clone::clone,
            ));
        }
        let expected =
            self.truth.flows.iter().map(|(trace, flow)| (trace.clone(), i64::from(flow.spans))).collect();
        Ok(compare("ClickHouse otel_traces, distinct spans by trace", &expected, &found, |trace| {
            format!("trace {trace}")
        }))
    }

    async fn summaries(&self) -> anyhow::Result<Check> {
        let rows: Vec<SummaryRow> = self
            .client
            .query(
                "SELECT environment, operation, status, toInt64(count()) AS flows FROM traces FINAL \
                 WHERE start >= toDateTime64(?, 6, 'UTC') AND start < toDateTime64(?, 6, 'UTC') \
                 AND has(?, toString(environment)) GROUP BY environment, operation, status",
            )
            .bind(self.from_s - LONGEST_FLOW_S)
            .bind(self.to_s)
            .bind(&self.environments)
            .fetch_all()
            .await?;
        let mut found = BTreeMap::new();
        for row in rows {
            found.insert((row.environment, row.operation, row.status), row.flows);
        }
        Ok(compare(
            "ClickHouse traces",
            &by_status(self.truth),
            &found,
            |(environment, operation, status)| format!("{environment} {operation} {status} flows"),
        ))
    }

    /// Says so when the tables hold something that this run didn't send.
    pub async fn strangers(&self) -> anyhow::Result<Option<String>> {
        let outside: u64 = self
            .client
            .query(
                "SELECT count() FROM otel_traces WHERE Timestamp < toDateTime64(?, 9, 'UTC') \
                 OR Timestamp >= toDateTime64(?, 9, 'UTC') OR NOT has(?, toString(Environment))",
            )
            .bind(self.from_s - LONGEST_FLOW_S)
            .bind(self.to_s)
            .bind(&self.environments)
            .fetch_one()
            .await?;
        Ok((outside > 0).then(|| {
            format!("{outside} spans of others are stored too; only this run's time and environments were compared")
        }))
    }
}

impl EdgeRow {
    fn split(self) -> (EdgeKey, EdgeCounts) {
        let key = EdgeKey {
            environment: self.environment,
            operation: self.operation,
            client: Node { kind: self.client_kind, namespace: self.client_namespace, name: self.client },
            server: Node { kind: self.server_kind, namespace: self.server_namespace, name: self.server },
        };
        let counts = EdgeCounts {
            calls: self.calls,
            errors: self.errors,
            client_errors: self.client_errors,
            retries: self.retries,
            rejected: self.rejected,
            timeouts: self.timeouts,
        };
        (key, counts)
    }
}

impl OperationRow {
    fn split(self) -> (OperationKey, OperationCounts) {
        let counts = OperationCounts { flows: self.flows, errors: self.errors, timeouts: self.timeouts };
        ((self.environment, self.operation), counts)
    }
}

pub(super) fn operation_name((environment, operation): &OperationKey) -> String {
    format!("{environment} {operation}")
}

/// Flows by environment, operation and status.
fn by_status(truth: &Truth) -> BTreeMap<(String, String, String), i64> {
    let mut flows = BTreeMap::new();
    for ((environment, operation), counts) in &truth.operations {
        let mut put = |status: FlowStatus, count: i64| {
            if count > 0 {
                flows.insert((environment.clone(), operation.clone(), status.as_str().to_owned()), count);
            }
        };
        put(FlowStatus::Success, counts.flows - counts.errors);
        put(FlowStatus::Error, counts.errors - counts.timeouts);
        put(FlowStatus::Timeout, counts.timeouts);
    }
    flows
}
