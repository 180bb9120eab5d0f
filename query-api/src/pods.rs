//! Which pods a service ran on, from the resources of raw spans.

use crate::App;
use crate::conditions::Conditions;
use crate::error::ApiError;
use crate::filter::Filter;
use crate::node::Node;
use crate::spans::NAMESPACE;
use clickhouse::Row;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Spans that are looked at for pods. Resources are maps of text, so 1,000,000 of them take ClickHouse a second or
/// two; of busier times pods are not counted.
const MOST_SPANS: u64 = 1_000_000;
/// Seconds before the end of a range in which pods are looked for: a pod that served nothing for so long is gone.
const RECENT_S: u32 = 15 * 60;

/// A pod of a service. Where pods aren't named, the instance or the host stands for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the names say it")]
pub struct Pod {
    pub name: String,
    pub version: String,
    /// Where it runs; "" if it isn't known.
    pub node: String,
    /// Requests whose spans are stored: not adjusted for sampling.
    pub request_count: u64,
    /// End of its newest span, µs.
    pub last_seen: i64,
}

/// A pod in a table.
#[derive(Debug, Row, Deserialize)]
pub struct PodRow {
    /// Where.
    pub environment: String,
    /// The service's.
    pub cluster: String,
    /// The service's.
    pub namespace: String,
    /// The service.
    pub service: String,
    pod: String,
    version: String,
    node: String,
    requests: u64,
    last_seen: i64,
}

/// As `schemas/semconv.toml` reads a resource.
const POD: &str = "multiIf(\
    ResourceAttributes['k8s.pod.name'] != '', ResourceAttributes['k8s.pod.name'], \
    ResourceAttributes['service.instance.id'] != '', ResourceAttributes['service.instance.id'], \
    ResourceAttributes['host.name'] != '', ResourceAttributes['host.name'], \
    ResourceAttributes['hostname'])";

const RANGE: &str =
    "Timestamp >= toDateTime64({from:UInt32}, 9) AND Timestamp < toDateTime64({to:UInt32}, 9)";

/// The pods of all services, or of those of one name, in the last minutes of `[from_s, to_s)`. `None` where there
/// are more spans than may be looked at.
///
/// # Errors
/// ClickHouse can't answer.
pub async fn pods(
    app: &App,
    filter: &Filter,
    service: Option<&str>,
    (from_s, to_s): (u32, u32),
) -> Result<Option<Vec<PodRow>>, ApiError> {
    let failed = |error| ApiError::store_unavailable(&error);
    let from_s = from_s.max(to_s.saturating_sub(RECENT_S));
    let mut conditions = Conditions::default();
    conditions.equal("Environment", filter.environment.as_deref());
    conditions.among("Environment", &filter.allowed.environments);
    conditions.equal("ServiceName", service);
    let bound = |query: clickhouse::query::Query| {
        conditions.bind(query.param("from", from_s).param("to", to_s).param("most_spans", MOST_SPANS + 1))
    };
    let count = format!(
        "SELECT count() FROM (SELECT 1 FROM otel_traces WHERE {RANGE} AND {} LIMIT {{most_spans:UInt64}})",
        conditions.sql()
    );
    let (query, turn) = app.stored.query(&count).await;
    if bound(query).fetch_one::<u64>().await.map_err(failed)? > MOST_SPANS {
        return Ok(None);
    }
    drop(turn);
    let sql = format!(
        "SELECT toString(Environment) AS environment, ResourceAttributes['k8s.cluster.name'] AS cluster, \
                {NAMESPACE} AS namespace, toString(ServiceName) AS service, {POD} AS pod, ResourceAttributes['service.version'] AS version, \
                any(ResourceAttributes['k8s.node.name']) AS node, \
                uniqExactIf((TraceId, SpanId), SpanKind IN ('Server', 'Consumer')) AS requests, \
                max(toUnixTimestamp64Micro(Timestamp) + toInt64(intDiv(Duration, 1000))) AS last_seen \
         FROM otel_traces WHERE {RANGE} AND {} GROUP BY environment, cluster, namespace, service, pod, version \
         ORDER BY environment, cluster, namespace, service, pod, version LIMIT {{rows:UInt32}}",
        conditions.sql()
    );
    let (query, _turn) = app.stored.query(&sql).await;
    Ok(Some(bound(query).fetch_all().await.map_err(failed)?))
}

impl PodRow {
    /// The pod.
    pub fn name(&self) -> &str {
        &self.pod
    }

    /// Whether it is a pod of this service: spans of some services name none.
    pub fn is_of(&self, service: &Node) -> bool {
        !self.pod.is_empty()
            && (&self.cluster, &self.namespace, &self.service)
                == (&service.cluster, &service.namespace, &service.name)
    }
}

impl From<PodRow> for Pod {
    fn from(row: PodRow) -> Self {
        let PodRow { pod: name, version, node, requests: request_count, last_seen, .. } = row;
        Self { name, version, node, request_count, last_seen }
    }
}
