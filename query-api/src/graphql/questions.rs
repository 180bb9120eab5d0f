//! What the schema's fields mean that are more than an entry of JSON.

use super::shape::{arguments, json};
use crate::App;
use crate::access::{Access, Role};
use crate::error::ApiError;
use crate::flow;
use crate::flows::{self, PageWords, SortWords};
use crate::protocol::Filters;
use crate::rest;
use crate::stream::{Frame, frames};
use crate::traces;
use async_graphql::dataloader::{DataLoader, Loader};
use async_graphql::dynamic::{FieldValue, ResolverContext, SubscriptionFieldFuture};
use async_graphql::{Error, ErrorExtensions};
use futures_util::StreamExt;
use futures_util::future::ready;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json, json};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use tokio::sync::Semaphore;

/// Fields that ask the servers something, in one request: aliases must not make one question a hundred.
const QUESTIONS: u32 = 16;
/// Flows of a list whose graphs are asked for at once: those of a page.
const FLOWS: usize = 100;
const MOST_ON_A_PAGE: u64 = FLOWS as u64;

/// Who asks, and how much they have asked.
pub struct Caller {
    app: App,
    access: Access,
    asked: AtomicU32,
    subscriptions: Arc<Semaphore>,
}

impl Caller {
    /// Hasn't asked anything yet.
    pub fn new(app: App, access: Access, subscriptions: Arc<Semaphore>) -> Self {
        Self { app, access, asked: AtomicU32::new(0), subscriptions }
    }

    fn count(&self) -> Result<(), Error> {
        if self.asked.fetch_add(1, Relaxed) < QUESTIONS {
            return Ok(());
        }
        Err(Error::new(format!("a request may ask {QUESTIONS} questions; ask the rest in another one")))
    }
}

/// Fields whose values are worked out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Computed {
    Flows,
    Flow,
    Traces,
    Trace,
    Operations,
    Operation,
    Services,
    Service,
    Dependencies,
    PageInfo,
    MetadataOfFlow,
    GraphOfFlow,
}

impl Computed {
    /// The field of `Query` with this name.
    pub fn query(name: &str) -> Option<Self> {
        Some(match name {
            "flows" => Self::Flows,
            "flow" => Self::Flow,
            "traces" => Self::Traces,
            "trace" => Self::Trace,
            "operations" => Self::Operations,
            "operation" => Self::Operation,
            "services" => Self::Services,
            "service" => Self::Service,
            "dependencies" => Self::Dependencies,
            _ => return None,
        })
    }

    /// A field of another type.
    pub fn field(parent: &str, name: &str) -> Option<Self> {
        match (parent, name) {
            ("FlowConnection", "pageInfo") => Some(Self::PageInfo),
            ("Flow", "metadata") => Some(Self::MetadataOfFlow),
            ("Flow", "graph") => Some(Self::GraphOfFlow),
            _ => None,
        }
    }

    /// Who may ask, as over REST.
    fn role(self) -> Role {
        match self {
            Self::Flows | Self::Flow | Self::Traces | Self::Trace => Role::Analyst,
            _ => Role::Viewer,
        }
    }

    /// Its value as JSON.
    ///
    /// # Errors
    /// The arguments can't be, or the servers can't answer.
    pub async fn answer(self, context: &ResolverContext<'_>) -> Result<Json, Error> {
        let caller = context.data::<Caller>()?;
        let (app, access) = (&caller.app, &caller.access);
        match self {
            Self::PageInfo => return Ok(page_info(json(context.parent_value)?)),
            Self::MetadataOfFlow => return Ok(metadata(json(context.parent_value)?)),
            Self::GraphOfFlow => return graph(context).await,
            _ => caller.count()?,
        }
        access.at_least(self.role()).map_err(refused)?;
        let mut arguments = arguments(context)?;
        match self {
            Self::Flow => {
                let flow = found(flow::find(app, access, &text(&mut arguments, "flowId")).await)?;
                Ok(with_its_metadata(flow))
            }
            Self::Trace => found(traces::find(app, access, &text(&mut arguments, "traceId")).await),
            Self::Flows => {
                let (page, sort) = page(&mut arguments)?;
                shown(flows::list(app, access, parameters(arguments)?, page, sort).await)
            }
            Self::Traces => {
                let (page, sort) = page(&mut arguments)?;
                shown(flows::traces(app, access, parameters(arguments)?, &[], (page, sort)).await)
            }
            Self::Dependencies => shown(rest::dependencies::of(app, access, parameters(arguments)?).await),
            Self::Operations => {
                let answer = rest::graph::operations_of(app, access, parameters(arguments)?).await;
                shown(answer.map(|answer| answer.operations))
            }
            Self::Operation => {
                let name = text(&mut arguments, "name");
                found(rest::operation_stats::stats(app, access, name, parameters(arguments)?).await)
            }
            Self::Services => {
                let answer = rest::services::list(app, access, parameters(arguments)?).await;
                shown(answer.map(|answer| answer.services))
            }
            Self::Service => {
                let name = text(&mut arguments, "name");
                let answer = rest::services::one(app, access, &name, parameters(arguments)?).await;
                found(answer.map(|answer| answer.service))
            }
            Self::PageInfo | Self::MetadataOfFlow | Self::GraphOfFlow => Ok(Json::Null),
        }
    }
}

/// Which page, from `first`, `after`, `page` and `sort`.
fn page(arguments: &mut Map<String, Json>) -> Result<(PageWords, SortWords), Error> {
    let mut number = |name| arguments.remove(name).and_then(|number| number.as_u64());
    let (size, page) = (number("first").unwrap_or(20), number("page"));
    if size > MOST_ON_A_PAGE {
        return Err(Error::new(format!("first is at most {MOST_ON_A_PAGE}")));
    }
    let mut word = |name| arguments.remove(name).and_then(|word| word.as_str().map(str::to_owned));
    let sort = SortWords { sort: word("sort"), cursor: word("after") };
    let page_size = u32::try_from(size).ok();
    Ok((PageWords { page: page.map(|page| u32::try_from(page).unwrap_or(u32::MAX)), page_size }, sort))
}

/// What REST says of a single flow in its metadata only.
fn with_its_metadata(mut flow: Json) -> Json {
    for (name, from) in [
        ("startTime", "startTime"),
        ("endTime", "endTime"),
        ("duration", "totalDuration"),
        ("status", "status"),
    ] {
        if let Some(value) = flow["metadata"].get(from).cloned() {
            flow[name] = value;
        }
    }
    flow
}

/// A single flow has its own; a flow of a list says the same itself.
fn metadata(flow: &Json) -> Json {
    if let Some(metadata) = flow.get("metadata") {
        return metadata.clone();
    }
    json!({
        "environment": flow["environment"], "operationName": flow["operationName"], "uiEvent": flow["uiEvent"],
        "status": flow["status"], "totalDuration": flow["duration"], "totalSpans": flow["spanCount"],
        "errorCount": flow["errorCount"], "complete": flow["complete"],
    })
}

/// What an answer says of itself, so that the next page can be asked for.
fn page_info(connection: &Json) -> Json {
    let cursor = connection.get("nextCursor").unwrap_or(&Json::Null);
    json!({"hasNextPage": !cursor.is_null(), "endCursor": cursor})
}

/// The graph of a single flow is there; those of a list are asked for together.
async fn graph(context: &ResolverContext<'_>) -> Result<Json, Error> {
    let flow = json(context.parent_value)?;
    if let Some(graph) = flow.get("graph") {
        return Ok(graph.clone());
    }
    let Some(id) = flow.get("flowId").and_then(Json::as_str) else { return Ok(Json::Null) };
    let loader = context.data::<DataLoader<FlowGraphs>>()?;
    Ok(loader.load_one(id.to_owned()).await.map_err(refused)?.unwrap_or_default())
}

/// Graphs of many flows, by few queries.
pub struct FlowGraphs {
    app: App,
    access: Access,
}

impl FlowGraphs {
    /// One for each request: what a caller may know of is their own.
    pub fn loader(app: App, access: Access) -> DataLoader<Self> {
        DataLoader::new(Self { app, access }, tokio::spawn).max_batch_size(FLOWS)
    }
}

impl Loader<String> for FlowGraphs {
    type Value = Json;
    type Error = ApiError;

    async fn load(&self, ids: &[String]) -> Result<HashMap<String, Json>, ApiError> {
        let found = flow::find_many(&self.app, &self.access, ids).await?;
        let shown = |(id, graph)| Some((id, serde_json::to_value(graph).ok()?));
        Ok(found.into_iter().filter_map(shown).collect())
    }
}

/// What is not there is null, not an error.
fn found<T: Serialize>(answer: Result<T, ApiError>) -> Result<Json, Error> {
    match answer {
        Err(error) if error.status() == axum::http::StatusCode::NOT_FOUND => Ok(Json::Null),
        answer => shown(answer),
    }
}

fn shown<T: Serialize>(answer: Result<T, ApiError>) -> Result<Json, Error> {
    Ok(serde_json::to_value(answer.map_err(refused)?)?)
}

fn refused(error: ApiError) -> Error {
    Error::new(error.message).extend_with(|_, extensions| extensions.set("code", error.code))
}

/// Takes an argument that the schema requires.
fn text(arguments: &mut Map<String, Json>, name: &str) -> String {
    match arguments.remove(name) {
        Some(Json::String(text)) => text,
        _ => String::new(),
    }
}

fn parameters<T: DeserializeOwned>(arguments: Map<String, Json>) -> Result<T, Error> {
    serde_json::from_value(Json::Object(arguments)).map_err(|error| Error::new(error.to_string()))
}

/// Where the values of a subscription come from: frames of the live protocol.
#[derive(Debug, Clone, Copy)]
pub enum Source {
    Graph,
    Flows,
    Totals,
}

impl Source {
    /// The field of `Subscription` with this name.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "graphDelta" => Self::Graph,
            "flowUpdates" => Self::Flows,
            "operationStats" => Self::Totals,
            _ => return None,
        })
    }

    /// Its values from now on.
    pub fn stream<'a>(self, context: ResolverContext<'a>) -> SubscriptionFieldFuture<'a> {
        SubscriptionFieldFuture::new(async move {
            let caller = context.data::<Caller>()?;
            let filters: Filters = parameters(arguments(&context)?)?;
            let mut view = filters.view(&caller.access.allowed, &caller.app.limits).map_err(refused)?;
            view.events = matches!(self, Self::Flows);
            let place = caller.subscriptions.clone().try_acquire_owned();
            let place = place.map_err(|_| Error::new("too many subscriptions on one socket"))?;
            let frames = frames(caller.app.clone(), view, None, place).map_err(refused)?;
            Ok(frames
                .filter_map(move |frame| ready(self.value(&frame)))
                .map(|value| Ok(FieldValue::owned_any(value))))
        })
    }

    /// A frame as a value of the subscription's type, if it is one.
    fn value(self, frame: &Frame) -> Option<Json> {
        let is_graph = matches!(&*frame.kind, "snapshot" | "graph_delta");
        if is_graph == matches!(self, Self::Flows) {
            return None;
        }
        let Ok(Json::Object(mut data)) = serde_json::from_str(frame.data.get()) else { return None };
        match self {
            Self::Graph => {
                data.insert("snapshot".to_owned(), (frame.kind == "snapshot").into());
                for removed in ["removedNodes", "removedEdges"] {
                    data.entry(removed).or_insert_with(|| json!([]));
                }
            }
            Self::Flows => _ = data.insert("type".to_owned(), frame.kind.clone().into()),
            Self::Totals => data.retain(|name, _| matches!(&**name, "asOf" | "totals" | "staleness")),
        }
        Some(data.into())
    }
}
