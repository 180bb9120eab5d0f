//! Services: all of them, and one with its neighbours and pods.

use super::Problems;
use crate::App;
use crate::access::Access;
use crate::answer::{Gathered, Plan, gathered};
use crate::ask::{Ask, At};
use crate::error::ApiError;
use crate::filter::{Around, Filter};
use crate::graph::{NodeAnswer, NodeMetrics, Status, node_answer};
use crate::hub::frame::WindowAnswer;
use crate::live::feed::now_us;
use crate::live::shards::Staleness;
use crate::node::{Kind, Node};
use crate::pods::{Pod, PodRow, pods};
use crate::range::Asked;
use crate::totals::{ServiceTotals, Sum, Totals};
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(services)).routes(routes!(service))
}

/// Which services, and of which time.
#[derive(Debug, Default, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct ServicesParameters {
    /// Exactly this namespace.
    pub namespace: Option<String>,
    /// Exactly this cluster.
    pub cluster: Option<String>,
    /// Exactly this environment.
    pub environment: Option<String>,
    /// The last `90s`, `15m`, `2h`, `7d` …; 15 minutes by default.
    pub window: Option<String>,
    /// Instead of `window`: RFC 3339, a number since 1970 in s, ms, µs or ns, `now` or `now-1h`.
    pub start_time: Option<String>,
    /// As `startTime`; now by default.
    pub end_time: Option<String>,
    /// Whether health checks count too. Pods count them in any case.
    #[serde(default)]
    pub probes: bool,
}

/// Services of a range.
#[derive(Debug, Serialize, ToSchema)]
#[allow(missing_docs, reason = "the names say it")]
pub struct ServicesAnswer {
    /// By environment, namespace and name.
    pub services: Vec<ServiceAnswer>,
    pub window: WindowAnswer,
    /// `live`, `clickhouse` or `clickhouse+live`.
    pub source: &'static str,
    pub staleness: Staleness,
}

/// A service in one environment.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the names say it")]
pub struct ServiceAnswer {
    /// As graphs show it.
    pub id: String,
    pub name: String,
    pub namespace: String,
    pub cluster: String,
    pub environment: String,
    /// Pods that sent spans in the last 15 minutes of the range; null where spans don't name pods, and where there
    /// are more spans than may be looked at.
    pub pod_count: Option<usize>,
    /// The newest of `versions` in the order of text; "" if none is known.
    pub version: String,
    pub versions: Vec<String>,
    /// By the shares of errors that `--degraded-error-rate`, `--down-error-rate` and `--status-least-requests` set.
    pub status: Status,
    pub metrics: ServiceMetrics,
}

/// Requests of a service.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceMetrics {
    /// Requests a second, the same as `rate`.
    pub request_rate: f64,
    /// All of them.
    #[serde(flatten)]
    pub of_node: NodeMetrics,
}

/// One service in a range.
#[derive(Debug, Serialize, ToSchema)]
#[allow(missing_docs, reason = "the names say it")]
pub struct OneServiceAnswer {
    pub service: ServiceDetails,
    pub window: WindowAnswer,
    /// `live`, `clickhouse` or `clickhouse+live`.
    pub source: &'static str,
    pub staleness: Staleness,
}

/// A service with all its environments together.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the names say it")]
pub struct ServiceDetails {
    /// As graphs show it.
    pub id: String,
    pub name: String,
    pub namespace: String,
    /// "" where it runs in several: then `id` is without one too.
    pub cluster: String,
    pub clusters: Vec<String>,
    pub environments: Vec<String>,
    pub version: String,
    pub versions: Vec<String>,
    pub status: Status,
    pub pod_count: Option<usize>,
    /// Those that sent spans in the last 15 minutes of the range; null as `podCount`.
    pub pods: Option<Vec<Pod>>,
    pub dependencies: Neighbours,
    pub metrics: ServiceMetrics,
}

/// Ids of the nodes next to a service.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct Neighbours {
    /// Who calls it.
    pub upstream: BTreeSet<String>,
    /// Whom it calls.
    pub downstream: BTreeSet<String>,
}

/// Services with counts, rates, latencies, versions and how well they do
#[utoipa::path(get, path = "/api/v1/services", tag = "services", params(ServicesParameters),
    responses((status = 200, body = ServicesAnswer), Problems))]
async fn services(
    State(app): State<App>,
    access: Access,
    Ask(parameters): Ask<ServicesParameters>,
) -> Result<Json<ServicesAnswer>, ApiError> {
    Ok(Json(list(&app, &access, parameters).await?))
}

/// One service with its pods, who calls it and whom it calls
#[utoipa::path(get, path = "/api/v1/services/{name}", tag = "services",
    params(("name" = String, Path, description = "The service's name, url-encoded"), ServicesParameters),
    responses((status = 200, body = OneServiceAnswer), Problems))]
async fn service(
    State(app): State<App>,
    access: Access,
    At(name): At<String>,
    Ask(parameters): Ask<ServicesParameters>,
) -> Result<Json<OneServiceAnswer>, ApiError> {
    Ok(Json(one(&app, &access, &name, parameters).await?))
}

/// All services of a range.
struct Found {
    filter: Filter,
    around: Around,
    plan: Plan,
    environments: BTreeMap<Arc<str>, Totals>,
    staleness: Staleness,
}

impl Found {
    async fn of(app: &App, access: &Access, parameters: ServicesParameters) -> Result<Self, ApiError> {
        let ServicesParameters { namespace, cluster, environment, window, start_time, end_time, probes } =
            parameters;
        let (start, end) = (start_time.as_deref(), end_time.as_deref());
        let asked = Asked::parse(window.as_deref(), start, end, now_us(), &app.limits)?;
        let around = Around::read(None, namespace, cluster, &app.limits)?;
        let filter = Filter::new(None, environment, probes, &app.limits)?.within(&access.allowed);
        let Gathered { plan, builder, staleness } = gathered(app, &filter, asked).await?;
        Ok(Self { filter, around, plan, environments: builder.join_each(), staleness })
    }

    fn wants(&self, node: &Node) -> bool {
        node.kind == Kind::Service && self.around.is(node) && self.filter.allowed.namespace(&node.namespace)
    }

    async fn pods(&self, app: &App, service: Option<&str>) -> Result<Option<Vec<PodRow>>, ApiError> {
        pods(app, &self.filter, service, (self.plan.from_s, self.plan.to_s)).await
    }
}

/// Services of a range.
///
/// # Errors
/// The parameters can't be, or ClickHouse can't answer.
pub async fn list(
    app: &App,
    access: &Access,
    parameters: ServicesParameters,
) -> Result<ServicesAnswer, ApiError> {
    let found = Found::of(app, access, parameters).await?;
    let pods = found.pods(app, None).await?;
    let by_service = pods.as_ref().map(|pods| by_service(pods));
    let mut services = Vec::new();
    for (environment, totals) in &found.environments {
        for (node, requests) in totals.nodes().iter().filter(|(node, _)| found.wants(node)) {
            let names = names_of(node, totals);
            let pod_count = by_service.as_ref().and_then(|pods| pod_count(pods, environment, &names));
            let node = node_answer(node, requests, found.plan.seconds, &app.rules);
            services.push(ServiceAnswer::of(environment, node, pod_count));
        }
    }
    Ok(ServicesAnswer {
        services,
        window: found.plan.window(),
        source: found.plan.source(),
        staleness: found.staleness,
    })
}

impl ServiceAnswer {
    fn of(environment: &str, node: NodeAnswer, pod_count: Option<usize>) -> Self {
        Self {
            id: node.id,
            name: node.service.name,
            namespace: node.service.namespace,
            cluster: node.service.cluster,
            environment: environment.to_owned(),
            pod_count,
            version: node.service.version,
            versions: node.service.versions,
            status: node.status,
            metrics: ServiceMetrics { request_rate: node.metrics.rate, of_node: node.metrics },
        }
    }
}

/// The services of other qualification that are shown as this one, and itself.
fn names_of<'a>(node: &'a Arc<Node>, totals: &'a Totals) -> Vec<&'a Node> {
    let joined = totals.joined.get(node).into_iter().flatten().filter(|node| node.kind == Kind::Service);
    joined.map(|node| &**node).chain([&**node]).collect()
}

fn by_service(pods: &[PodRow]) -> BTreeMap<&str, Vec<&PodRow>> {
    let mut services: BTreeMap<&str, Vec<&PodRow>> = BTreeMap::new();
    pods.iter().for_each(|row| services.entry(&row.service).or_default().push(row));
    services
}

/// `None` where no span names a pod.
fn pod_count(pods: &BTreeMap<&str, Vec<&PodRow>>, environment: &str, names: &[&Node]) -> Option<usize> {
    let mut found = BTreeSet::new();
    for name in names {
        let rows = pods.get(name.name.as_str()).into_iter().flatten();
        let own = rows.filter(|row| row.environment == environment && row.is_of(name));
        found.extend(own.map(|row| row.name()));
    }
    (!found.is_empty()).then_some(found.len())
}

/// One service.
///
/// # Errors
/// There is none of this name, or several; the parameters can't be; ClickHouse can't answer.
pub async fn one(
    app: &App,
    access: &Access,
    name: &str,
    parameters: ServicesParameters,
) -> Result<OneServiceAnswer, ApiError> {
    let found = Found::of(app, access, parameters).await?;
    let (node, service) = found.service(name)?;
    let mut pods: Option<Vec<Pod>> = None;
    for name in &service.names {
        let Some(rows) = found.pods(app, Some(&name.name)).await? else { continue };
        let own = |row: &PodRow| row.is_of(name) && service.environments.contains(row.environment.as_str());
        let named: Vec<Pod> = rows.into_iter().filter(own).map(Pod::from).collect();
        if !named.is_empty() {
            pods.get_or_insert_default().extend(named);
        }
    }
    let node = match service.clusters.len() {
        1 => node,
        _ => Arc::new(Node { cluster: String::new(), ..(*node).clone() }),
    };
    let answer = node_answer(&node, &service.totals, found.plan.seconds, &app.rules);
    Ok(OneServiceAnswer {
        service: ServiceDetails {
            id: answer.id,
            name: answer.service.name,
            namespace: answer.service.namespace,
            cluster: answer.service.cluster,
            clusters: service.clusters.into_iter().collect(),
            environments: service.environments.iter().map(|name| (*name).to_owned()).collect(),
            version: answer.service.version,
            versions: answer.service.versions,
            status: answer.status,
            pod_count: pods.as_ref().map(|pods| pods_apart(pods)),
            pods,
            dependencies: service.neighbours,
            metrics: ServiceMetrics { request_rate: answer.metrics.rate, of_node: answer.metrics },
        },
        window: found.plan.window(),
        source: found.plan.source(),
        staleness: found.staleness,
    })
}

/// A pod that runs two versions one after the other stands there twice.
fn pods_apart(pods: &[Pod]) -> usize {
    pods.iter().map(|pod| &pod.name).collect::<BTreeSet<_>>().len()
}

/// What a range knows of one service.
#[derive(Default)]
struct OneService<'a> {
    totals: ServiceTotals,
    environments: BTreeSet<&'a str>,
    clusters: BTreeSet<String>,
    names: BTreeSet<Node>,
    neighbours: Neighbours,
}

impl Found {
    /// The service of a name, or of a name that joined it; those of several clusters together.
    fn service(&self, name: &str) -> Result<(Arc<Node>, OneService<'_>), ApiError> {
        let mut services: BTreeMap<String, (Arc<Node>, OneService<'_>)> = BTreeMap::new();
        for (environment, totals) in &self.environments {
            for (node, requests) in totals.nodes() {
                let joined = totals.joined.get(node).into_iter().flatten();
                let is_named = node.name == name || joined.clone().any(|joined| joined.name == name);
                if !(self.wants(node) && is_named) {
                    continue;
                }
                let (_, service) = services
                    .entry(node.namespace.clone())
                    .or_insert_with(|| (node.clone(), OneService::default()));
                service.totals.add(&requests);
                service.environments.insert(environment);
                service.clusters.insert(node.cluster.clone());
                service.names.extend(names_of(node, totals).into_iter().cloned());
                service.neighbours.add(node, totals);
            }
        }
        if services.len() > 1 {
            let namespaces: Vec<String> = services.into_keys().collect();
            return Err(ApiError::bad_request(format!(
                "there are services of this name in several namespaces: say which, namespace={}",
                namespaces.join(" or namespace=")
            )));
        }
        let found = services.into_values().next();
        found.ok_or_else(|| ApiError::not_found(format!("no service {name} was seen in this time")))
    }
}

impl Neighbours {
    fn add(&mut self, node: &Arc<Node>, totals: &Totals) {
        for (client, server) in totals.edges.keys() {
            if server == node {
                self.upstream.insert(client.to_string());
            }
            if client == node {
                self.downstream.insert(server.to_string());
            }
        }
    }
}
