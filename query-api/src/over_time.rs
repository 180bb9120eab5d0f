//! How an operation, a service or an edge did over time.

use crate::App;
use crate::answer::Plan;
use crate::conditions::Conditions;
use crate::error::ApiError;
use crate::filter::Filter;
use crate::live::Live;
use crate::live::OverTime;
use crate::live::feed::{locked, now_us};
use crate::range::Asked;
use crate::series::Additive;
use crate::shown::Meant;
use crate::steps::Step;
use crate::sums::{Rollup, Sums, of_filter};
use crate::totals::{EdgeTotals, FlowTotals, ServiceTotals};

/// Which flows, when, and how finely.
#[derive(Debug, Clone)]
pub struct Question<'a> {
    /// Which flows.
    pub filter: Filter,
    /// When.
    pub asked: Asked,
    /// Length of a step as it was asked for.
    pub step: Option<&'a str>,
    /// Exactly this version of the callee or service: only tables know versions apart.
    pub version: Option<&'a str>,
}

/// Flows of the operation that the filter names, or of all.
///
/// # Errors
/// The step can't be, or ClickHouse is needed and can't answer.
pub async fn flows(app: &App, question: &Question<'_>) -> Result<Sums<FlowTotals>, ApiError> {
    let sums = begin(app, question, |live, sums: &mut Sums<FlowTotals>| {
        for group in live.operations(&question.filter) {
            let flows = group.flows();
            sums.add_live(group.newest_s(), |totals, from_s, to_s| {
                flows.add_seconds_to(totals, from_s, to_s)
            });
        }
    })?;
    sums.add_stored(app, &of_filter(&question.filter)).await
}

/// Requests of services. Those that counted nothing themselves are known by the calls to them, as in a graph.
///
/// # Errors
/// The step can't be, or ClickHouse is needed and can't answer.
pub async fn requests(
    app: &App,
    question: &Question<'_>,
    services: &Meant,
) -> Result<Sums<ServiceTotals>, ApiError> {
    let sums = begin(app, question, |live, sums: &mut Sums<ServiceTotals>| {
        let parts = live.services(&question.filter);
        for (_, _, service) in parts.filter(|(environment, node, _)| services.contains(environment, node)) {
            sums.add_live(service.newest_s(), |totals, from_s, to_s| {
                service.add_seconds_to(totals, from_s, to_s)
            });
        }
    })?;
    let mut conditions = of_filter(&question.filter);
    let columns = ["e.cluster", "e.namespace", "e.service", "e.kind"];
    conditions.node("e.environment", columns, services.nodes());
    conditions.equal("e.version", question.version);
    let sums = sums.add_stored(app, &conditions).await?;
    if !sums.total.counts.is_zero() {
        return Ok(sums);
    }
    Ok(calls(app, question, None, Some(services)).await?.into_requests())
}

/// Calls from some nodes to others; `None` is anybody.
///
/// # Errors
/// The step can't be, or ClickHouse is needed and can't answer.
pub async fn calls(
    app: &App,
    question: &Question<'_>,
    clients: Option<&Meant>,
    servers: Option<&Meant>,
) -> Result<Sums<EdgeTotals>, ApiError> {
    let sums = begin(app, question, |live, sums: &mut Sums<EdgeTotals>| {
        for (environment, client, server, edge) in live.edges(&question.filter) {
            let is =
                |meant: Option<&Meant>, node| meant.is_none_or(|meant| meant.contains(environment, node));
            if is(clients, client) && is(servers, server) {
                sums.add_live(edge.newest_s(), |totals, from_s, to_s| {
                    edge.add_seconds_to(totals, from_s, to_s)
                });
            }
        }
    })?;
    sums.add_stored(app, &of_edges(question, clients, servers)).await
}

/// Conditions on the rows of these edges.
fn of_edges(question: &Question<'_>, clients: Option<&Meant>, servers: Option<&Meant>) -> Conditions {
    let mut conditions = of_filter(&question.filter);
    if let Some(clients) = clients {
        let columns = ["e.client_cluster", "e.client_namespace", "e.client", "e.client_kind"];
        conditions.node("e.environment", columns, clients.nodes());
    }
    if let Some(servers) = servers {
        let columns = ["e.server_cluster", "e.server_namespace", "e.server", "e.server_kind"];
        conditions.node("e.environment", columns, servers.nodes());
    }
    conditions.equal("e.version", question.version);
    conditions
}

/// What live state has of it, and which seconds are missing from it: of one moment, before ClickHouse is asked.
fn begin<T: Rollup>(
    app: &App,
    question: &Question<'_>,
    add: impl FnOnce(&Live, &mut Sums<T>),
) -> Result<Sums<T>, ApiError> {
    let now_us = now_us();
    let live = locked(&app.live);
    let plan = match question.version {
        Some(_) => Plan::of_tables(question.asked, 1, now_us),
        None => Plan::new(question.asked, &live, &question.filter, now_us),
    };
    let step = Step::parse(question.step, plan, now_us)?;
    let mut sums = Sums::new(plan, step, live.staleness(now_us));
    add(&live, &mut sums);
    Ok(sums)
}

impl Sums<EdgeTotals> {
    /// The calls as requests of whom they went to.
    fn into_requests(self) -> Sums<ServiceTotals> {
        let requests = |edge: &EdgeTotals| {
            let mut totals = ServiceTotals::default();
            totals.add_calls(edge);
            totals
        };
        Sums {
            plan: self.plan,
            step: self.step,
            total: requests(&self.total),
            points: self.points.iter().map(|(start_s, edge)| (*start_s, requests(edge))).collect(),
            newest_s: self.newest_s,
            staleness: self.staleness,
        }
    }
}
