//! What a service is called for: its entry points with their numbers.

use super::Problems;
use crate::App;
use crate::access::Access;
use crate::answer::{Plan, with_stored};
use crate::ask::{Ask, At};
use crate::conditions::Conditions;
use crate::error::ApiError;
use crate::filter::{Around, Filter, checked};
use crate::graph::Latency;
use crate::histogram::Histogram;
use crate::hub::frame::WindowAnswer;
use crate::live::feed::{locked, now_us};
use crate::live::shards::Staleness;
use crate::number::{Count, rate, share};
use crate::range::Asked;
use crate::series::Additive;
use crate::shown::{Meant, Shown};
use crate::stored::{Segment, Tier, histogram};
use crate::sums::Columns;
use axum::Json;
use axum::extract::State;
use clickhouse::Row;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(endpoints))
}

/// Which requests.
#[derive(Debug, Default, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct EndpointsParameters {
    /// The service's namespace, where several have one of this name.
    pub namespace: Option<String>,
    /// The service's cluster; those of several are taken together without.
    pub cluster: Option<String>,
    /// Exactly this environment.
    pub environment: Option<String>,
    /// Exactly this version of the service.
    pub version: Option<String>,
    /// The last `90s`, `15m`, `2h`, `7d` …, rounded outward to minutes; 15 minutes by default.
    pub window: Option<String>,
    /// Instead of `window`: RFC 3339, a number since 1970 in s, ms, µs or ns, `now` or `now-1h`.
    pub start_time: Option<String>,
    /// As `startTime`; now by default.
    pub end_time: Option<String>,
}

/// Entry points of a service.
#[derive(Debug, Serialize, ToSchema)]
#[allow(missing_docs, reason = "the names say it")]
pub struct EndpointsAnswer {
    pub name: String,
    pub namespace: String,
    pub environment: Option<String>,
    pub version: Option<String>,
    /// Most requests first, those of health checks among them: tables know entry points of no operation. At most 200 a service are told apart; the others are `__other__`.
    pub endpoints: Vec<Endpoint>,
    /// Whole minutes.
    pub window: WindowAnswer,
    /// Always `clickhouse`: memory doesn't know entry points.
    pub source: &'static str,
    pub staleness: Staleness,
}

/// One entry point.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the names say it")]
pub struct Endpoint {
    /// A route, an RPC method or a topic.
    pub name: String,
    pub request_count: Count,
    pub error_count: Count,
    pub raw_request_count: i64,
    pub error_rate: f64,
    /// Requests a second.
    pub rate: f64,
    #[serde(flatten)]
    pub latency: Latency,
}

/// An entry point in a table.
#[derive(Debug, Row, Deserialize)]
struct EndpointRow {
    entry: String,
    counts: Vec<i64>,
    raw: i64,
    histograms: Vec<(Vec<u16>, Vec<i64>)>,
    sums: Vec<i64>,
}

#[derive(Debug, Default)]
struct EndpointTotals {
    requests: i64,
    errors: i64,
    raw_requests: i64,
    latency: Histogram,
}

const COLUMNS: Columns = Columns {
    table: "endpoints",
    counts: &["requests", "errors"],
    raw: "raw_requests",
    histograms: &[("latency", "latency_sum_us")],
    means: &[],
};

/// A service's entry points with counts, rates and latencies
#[utoipa::path(get, path = "/api/v1/services/{name}/endpoints", tag = "services",
    params(("name" = String, Path, description = "The service's name, url-encoded"), EndpointsParameters),
    responses((status = 200, body = EndpointsAnswer), Problems))]
async fn endpoints(
    State(app): State<App>,
    access: Access,
    At(name): At<String>,
    Ask(parameters): Ask<EndpointsParameters>,
) -> Result<Json<EndpointsAnswer>, ApiError> {
    Ok(Json(of_service(&app, &access, name, parameters).await?))
}

/// A service's entry points.
///
/// # Errors
/// There is no such service, or several; the parameters can't be; ClickHouse can't answer.
pub async fn of_service(
    app: &App,
    access: &Access,
    name: String,
    parameters: EndpointsParameters,
) -> Result<EndpointsAnswer, ApiError> {
    let EndpointsParameters { namespace, cluster, environment, version, window, start_time, end_time } =
        parameters;
    let (start, end) = (start_time.as_deref(), end_time.as_deref());
    let asked = Asked::parse(window.as_deref(), start, end, now_us(), &app.limits)?;
    let version = checked("version", version, &app.limits)?;
    let place = Around::read(None, namespace, cluster, &app.limits)?;
    let filter = Filter::new(None, environment, true, &app.limits)?.within(&access.allowed);
    let meant = Shown::of(app, &filter, asked, true).await?.service(&name, &place, &access.allowed)?;
    let plan = Plan::of_tables(asked, Tier::Minute.width_s(), now_us());
    let staleness = locked(&app.live).staleness(now_us());
    let staleness = with_stored(app, plan, staleness).await?;
    let totals = totals(app, plan, &conditions(&filter, &meant, version.as_deref())).await?;
    Ok(EndpointsAnswer {
        name,
        namespace: meant.shown.first().map(|node| node.namespace.clone()).unwrap_or_default(),
        environment: filter.environment,
        version,
        endpoints: listed(totals, plan.seconds),
        window: plan.window(),
        source: plan.source(),
        staleness,
    })
}

fn conditions(filter: &Filter, service: &Meant, version: Option<&str>) -> Conditions {
    let mut conditions = Conditions::default();
    conditions.equal("e.environment", filter.environment.as_deref());
    conditions.among("e.environment", &filter.allowed.environments);
    // Only services have entry points, so the tables have no column for what a node is.
    let columns = ["e.cluster", "e.namespace", "e.service", "'service'"];
    conditions.node("e.environment", columns, service.nodes());
    conditions.equal("e.version", version);
    conditions
}

async fn totals(
    app: &App,
    plan: Plan,
    conditions: &Conditions,
) -> Result<BTreeMap<String, EndpointTotals>, ApiError> {
    let mut totals: BTreeMap<String, EndpointTotals> = BTreeMap::new();
    for segment in plan.stored() {
        for row in rows(app, segment, conditions).await? {
            let [requests, errors] = *row.counts else { continue };
            let sum = totals.entry(row.entry).or_default();
            sum.requests += requests;
            sum.errors += errors;
            sum.raw_requests += row.raw;
            row.histograms
                .iter()
                .zip(&row.sums)
                .for_each(|(lists, us)| sum.latency.add(&histogram(lists, *us)));
        }
    }
    Ok(totals)
}

async fn rows(app: &App, segment: Segment, conditions: &Conditions) -> Result<Vec<EndpointRow>, ApiError> {
    let sql = format!(
        "SELECT toString(e.entry) AS entry, {} FROM {}_{} AS e \
         WHERE e.window >= toDateTime({{from:UInt32}}) AND e.window < toDateTime({{to:UInt32}}) AND {} \
         GROUP BY entry LIMIT {{rows:UInt32}}",
        COLUMNS.sums(),
        COLUMNS.table,
        segment.tier.suffix(),
        conditions.sql(),
    );
    let (query, _turn) = app.stored.query(&sql).await;
    let query = conditions.bind(query.param("from", segment.from_s).param("to", segment.to_s));
    query.fetch_all().await.map_err(|error| ApiError::store_unavailable(&error))
}

/// Most requests first; what corrections have brought to nothing is left out.
fn listed(totals: BTreeMap<String, EndpointTotals>, seconds: f64) -> Vec<Endpoint> {
    let answer = |(name, totals): (String, EndpointTotals)| Endpoint {
        name,
        request_count: Count(totals.requests),
        error_count: Count(totals.errors),
        raw_request_count: totals.raw_requests,
        error_rate: share(totals.errors, totals.requests),
        rate: rate(totals.requests, seconds),
        latency: Latency::of(&totals.latency),
    };
    let mut endpoints: Vec<Endpoint> =
        totals.into_iter().filter(|(_, totals)| totals.requests != 0).map(answer).collect();
    endpoints.sort_by(|a, b| b.request_count.cmp(&a.request_count).then_with(|| a.name.cmp(&b.name)));
    endpoints
}
