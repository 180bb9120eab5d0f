//! Who depends on whom.

use super::Problems;
use crate::App;
use crate::access::Access;
use crate::answer::{Plan, Summed, summed_with_flows, with_stored};
use crate::ask::Ask;
use crate::by_version;
use crate::error::ApiError;
use crate::filter::{Around, Filter};
use crate::graph::Graph;
use crate::grouping::{Group, grouped};
use crate::hub::frame::{self, WindowAnswer};
use crate::live::feed::{locked, now_us};
use crate::live::shards::Staleness;
use crate::range::{Asked, rfc3339};
use crate::rows;
use crate::sums::of_filter;
use crate::totals::{FlowTotals, Totals};
use crate::traversal::{Way, reached};
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Calls that a question may go away from a service: a request that goes through more services is hardly ever seen.
const DEEPEST: u32 = 10;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(dependencies))
}

/// Which part of the graph, of which flows, and when.
#[derive(Debug, Default, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct DependenciesParameters {
    /// Around the services of this namespace; with `service`, around the one in it.
    pub namespace: Option<String>,
    /// Around the services of this name, or of a name that joined one.
    pub service: Option<String>,
    /// Around the services of this cluster; with `service` or `namespace`, around those of them that are in it.
    pub cluster: Option<String>,
    /// How many calls away from these, 1 to 10; 1 by default. Without any of these all is shown anyway.
    #[param(minimum = 1, maximum = 10)]
    pub depth: Option<u32>,
    /// Which way to go from these.
    #[param(inline)]
    pub direction: Option<Way>,
    /// What becomes one node.
    #[param(inline)]
    pub group: Option<Group>,
    /// Exactly this operation.
    pub operation: Option<String>,
    /// Exactly this environment.
    pub environment: Option<String>,
    /// The last `90s`, `15m`, `2h`, `7d` …; 15 minutes by default.
    pub window: Option<String>,
    /// Instead of `window`: RFC 3339, a number since 1970 in s, ms, µs or ns, `now` or `now-1h`.
    pub start_time: Option<String>,
    /// As `startTime`; now by default.
    pub end_time: Option<String>,
    /// Whether health checks count too.
    #[serde(default)]
    pub probes: bool,
}

/// A part of the graph.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the names say it")]
pub struct DependenciesAnswer {
    #[serde(flatten)]
    pub graph: Graph,
    /// All flows of the operation and environment together, whatever is left out of the graph.
    pub totals: frame::Totals,
    pub metadata: DependenciesMetadata,
    pub window: WindowAnswer,
    /// `live`, `clickhouse` or `clickhouse+live`.
    pub source: &'static str,
    pub staleness: Staleness,
}

/// What was asked for.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the names say it")]
pub struct DependenciesMetadata {
    pub namespace: Option<String>,
    pub service: Option<String>,
    pub cluster: Option<String>,
    pub environment: Option<String>,
    pub operation: Option<String>,
    pub depth: u32,
    pub direction: Way,
    pub group: Group,
    pub node_count: usize,
    pub edge_count: usize,
    /// The end of the range, or now where it ends later, RFC 3339. `staleness` says what may be missing before it.
    pub last_updated: String,
}

/// A question that can be answered.
struct Question {
    filter: Filter,
    asked: Asked,
    around: Around,
    depth: u32,
    way: Way,
    group: Group,
}

/// What answers it.
struct Found {
    plan: Plan,
    graph: Graph,
    flows: FlowTotals,
    staleness: Staleness,
}

/// A service or all of a namespace with those that it depends on and that depend on it
#[utoipa::path(get, path = "/api/v1/dependencies", tag = "graph", params(DependenciesParameters),
    responses((status = 200, body = DependenciesAnswer), Problems))]
async fn dependencies(
    State(app): State<App>,
    access: Access,
    Ask(parameters): Ask<DependenciesParameters>,
) -> Result<Json<DependenciesAnswer>, ApiError> {
    Ok(Json(of(&app, &access, parameters).await?))
}

/// A part of the graph.
///
/// # Errors
/// The parameters can't be, or ClickHouse is needed and can't answer.
pub async fn of(
    app: &App,
    access: &Access,
    parameters: DependenciesParameters,
) -> Result<DependenciesAnswer, ApiError> {
    let question = Question::read(app, access, parameters)?;
    let Found { plan, graph, flows, staleness } = match question.group {
        Group::Version => question.versions(app).await?,
        _ => question.graph(app).await?,
    };
    let newest_us = staleness.shards.values().map(|shard| shard.clock).filter(|clock| *clock > 0).min();
    let newest_s = u32::try_from(newest_us.unwrap_or_else(now_us) / 1_000_000).unwrap_or(u32::MAX);
    let Question { filter, around, depth, way: direction, group, .. } = question;
    let Around { service, namespace, cluster } = around;
    Ok(DependenciesAnswer {
        metadata: DependenciesMetadata {
            namespace,
            service,
            cluster,
            environment: filter.environment,
            operation: filter.operation,
            depth,
            direction,
            group,
            node_count: graph.nodes.len(),
            edge_count: graph.edges.len(),
            last_updated: rfc3339(plan.to_s.min(newest_s)),
        },
        graph,
        totals: frame::Totals::of(&flows, plan.seconds),
        window: plan.window(),
        source: plan.source(),
        staleness,
    })
}

impl Question {
    fn read(app: &App, access: &Access, parameters: DependenciesParameters) -> Result<Self, ApiError> {
        let DependenciesParameters { namespace, service, cluster, depth, direction, group, .. } = parameters;
        let (start, end) = (parameters.start_time.as_deref(), parameters.end_time.as_deref());
        let asked = Asked::parse(parameters.window.as_deref(), start, end, now_us(), &app.limits)?;
        let around = Around::read(service, namespace, cluster, &app.limits)?;
        let depth = depth.unwrap_or(1);
        if !(1..=DEEPEST).contains(&depth) {
            return Err(ApiError::bad_request(format!("depth is 1 to {DEEPEST}")));
        }
        if around.is_anywhere() && (depth > 1 || direction.is_some()) {
            return Err(ApiError::bad_request(
                "depth and direction are counted from a service, a namespace or a cluster: say which",
            ));
        }
        let (operation, environment) = (parameters.operation, parameters.environment);
        let filter = Filter::new(operation, environment, parameters.probes, &app.limits)?;
        Ok(Self {
            filter: filter.within(&access.allowed),
            asked,
            around,
            depth,
            way: direction.unwrap_or_default(),
            group: group.unwrap_or_default(),
        })
    }

    async fn graph(&self, app: &App) -> Result<Found, ApiError> {
        let (Summed { plan, mut totals, staleness }, flows) =
            summed_with_flows(app, &self.filter, self.asked).await?;
        self.narrow(&mut totals);
        let totals = if self.group == Group::Service { totals } else { grouped(&totals, self.group) };
        Ok(Found { plan, graph: Graph::of(&totals, plan.seconds, &app.rules), flows, staleness })
    }

    async fn versions(&self, app: &App) -> Result<Found, ApiError> {
        let plan = Plan::of_tables(self.asked, 1, now_us());
        let staleness = locked(&app.live).staleness(now_us());
        let staleness = with_stored(app, plan, staleness).await?;
        let environment = self.filter.environment.as_deref();
        let keep = |outline: &mut Totals| {
            self.filter.narrow(outline);
            self.narrow(outline);
        };
        let (segments, conditions) = (plan.stored(), of_filter(&self.filter));
        let (versions, flows) = tokio::try_join!(
            by_version::of(app, plan, &conditions, environment, keep),
            rows::flows(app, &segments, &conditions)
        )?;
        let mut graph = Graph::of(&versions.totals, plan.seconds, &app.rules);
        versions.name(&mut graph);
        Ok(Found { plan, graph, flows, staleness })
    }

    /// Leaves what is around the services that were asked for.
    fn narrow(&self, totals: &mut Totals) {
        if !self.around.is_anywhere() {
            reached(totals, |node| self.around.is(node), self.way, self.depth);
        }
    }
}
