//! What the schema's fields mean that are more than an entry of JSON.

use super::shape::{arguments, json};
use crate::App;
use crate::access::{Access, Role};
use crate::error::ApiError;
use crate::flow;
use crate::flows::{self, Cursor, PageWords, Sort, SortWords};
use crate::protocol::Filters;
use crate::rest;
use crate::stream::{Frame, frames};
use crate::traces;
use async_graphql::dataloader::{DataLoader, Loader};
use async_graphql::dynamic::{FieldValue, ResolverContext, SubscriptionFieldFuture};
use async_graphql::{Error, ErrorExtensions, Response, Value};
use futures_util::StreamExt;
use futures_util::future::ready;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json, json};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Semaphore;

/// Fields that ask the servers something, in one request: aliases must not make one question a hundred.
const QUESTIONS: u32 = 16;
/// Flows of a list whose graphs are asked for at once: those of a page.
const FLOWS: usize = 100;
const MOST_ON_A_PAGE: u64 = FLOWS as u64;
/// Flows beyond it are reached by `after` only.
const LAST_PAGE: u64 = 10_000;

/// Who asks, and how much they have asked.
pub struct Caller {
    app: App,
    access: Access,
    asked: AtomicU32,
    subscriptions: Arc<Semaphore>,
    staleness: Staleness,
}

impl Caller {
    /// Hasn't asked anything yet. What is answered is noted in `staleness`.
    pub fn new(app: App, access: Access, subscriptions: Arc<Semaphore>, staleness: Staleness) -> Self {
        Self { app, access, asked: AtomicU32::new(0), subscriptions, staleness }
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
    Edges,
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
            ("FlowConnection" | "TraceConnection", "edges") => Some(Self::Edges),
            ("FlowConnection" | "TraceConnection", "pageInfo") => Some(Self::PageInfo),
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
            Self::Edges => return Ok(edges(json(context.parent_value)?)),
            Self::PageInfo => return Ok(page_info(json(context.parent_value)?)),
            Self::MetadataOfFlow => return Ok(metadata(json(context.parent_value)?)),
            Self::GraphOfFlow => return graph(context).await,
            _ => caller.count()?,
        }
        access.at_least(self.role()).map_err(refused)?;
        let mut arguments = arguments(context)?;
        let mut answer = match self {
            Self::Flow => {
                let flow = found(flow::find(app, access, &text(&mut arguments, "flowId")).await)?;
                with_its_metadata(flow)
            }
            Self::Trace => found(traces::find(app, access, &text(&mut arguments, "traceId")).await)?,
            Self::Flows => {
                let (page, sort) = page(&mut arguments)?;
                let order = sort.sort.clone();
                sorted(flows::list(app, access, parameters(arguments)?, page, sort).await, order)?
            }
            Self::Traces => {
                let (page, sort) = page(&mut arguments)?;
                let (order, attributes) = (sort.sort.clone(), attributes(context, &mut arguments));
                let which = parameters(arguments)?;
                sorted(flows::traces(app, access, which, &attributes, (page, sort)).await, order)?
            }
            Self::Dependencies => shown(rest::dependencies::of(app, access, parameters(arguments)?).await)?,
            Self::Operations => shown(rest::graph::operations_of(app, access, parameters(arguments)?).await)?,
            Self::Operation => {
                let name = text(&mut arguments, "name");
                found(rest::operation_stats::stats(app, access, name, parameters(arguments)?).await)?
            }
            Self::Services => shown(rest::services::list(app, access, parameters(arguments)?).await)?,
            Self::Service => {
                let name = text(&mut arguments, "name");
                found(rest::services::one(app, access, &name, parameters(arguments)?).await)?
            }
            Self::Edges | Self::PageInfo | Self::MetadataOfFlow | Self::GraphOfFlow => Json::Null,
        };
        if let Some(staleness) = answer.get("staleness") {
            caller.staleness.note(context.item.node.response_key().node.as_str(), staleness);
        }
        Ok(match self {
            Self::Operation => operation(answer),
            Self::Operations => answer["operations"].take(),
            Self::Services => answer["services"].take(),
            Self::Service if !answer.is_null() => answer["service"].take(),
            _ => answer,
        })
    }
}

/// How current the answers of one request are. Fields are worked out at the same time, and the response is put together
/// after all of them, so that this is shared.
#[derive(Debug, Clone, Default)]
pub struct Staleness(Arc<Mutex<Map<String, Json>>>);

impl Staleness {
    fn note(&self, field: &str, staleness: &Json) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(field.to_owned(), staleness.clone());
    }

    /// A response that says it, by the names of its fields.
    #[must_use]
    pub fn said_in(&self, response: Response) -> Response {
        let fields = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match Value::from_json(fields.into()) {
            Ok(Value::Object(fields)) if !fields.is_empty() => {
                response.extension("staleness", Value::Object(fields))
            }
            _ => response,
        }
    }
}

/// Which page, from `first`, `after`, `page` and `sort`.
fn page(arguments: &mut Map<String, Json>) -> Result<(PageWords, SortWords), Error> {
    let mut number = |name, most| match arguments.remove(name) {
        None => Ok(None),
        Some(number) => {
            let number = number.as_u64().filter(|number| (1..=most).contains(number));
            let number = number.and_then(|number| u32::try_from(number).ok());
            let refusal = || refused(ApiError::bad_request(format!("{name} is 1 to {most}")));
            number.ok_or_else(refusal).map(Some)
        }
    };
    let words = PageWords { page_size: number("first", MOST_ON_A_PAGE)?, page: number("page", LAST_PAGE)? };
    let mut word = |name| arguments.remove(name).and_then(|word| word.as_str().map(str::to_owned));
    Ok((words, SortWords { sort: word("sort"), cursor: word("after") }))
}

/// Attributes hold commas of their own, so that they stay a list.
fn attributes(context: &ResolverContext<'_>, arguments: &mut Map<String, Json>) -> Vec<String> {
    arguments.remove("attribute");
    let given = context.args.get("attribute").and_then(|given| given.list().ok());
    let texts = given.iter().flat_map(|given| given.iter());
    texts.filter_map(|text| text.string().ok().map(str::to_owned)).collect()
}

/// A list that knows its order, for the cursors of its entries.
fn sorted<T: Serialize>(list: Result<T, ApiError>, order: Option<String>) -> Result<Json, Error> {
    let mut list = shown(list)?;
    list["sort"] = order.into();
    Ok(list)
}

/// What REST says of an operation in its statistics only; null where nothing of it ended.
fn operation(mut answer: Json) -> Json {
    if answer.get("lastSeen").is_none_or(Json::is_null) {
        return Json::Null;
    }
    for (name, from) in [("count", "totalRequests"), ("errorRate", "errorRate"), ("avgLatency", "avgLatency")]
    {
        answer[name] = answer["stats"][from].clone();
    }
    answer
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

/// What an answer says of itself, so that the next page can be asked for. By cursors, or, in the order of durations, by
/// numbers of pages.
fn page_info(connection: &Json) -> Json {
    let number = |name| connection.get(name).and_then(Json::as_u64);
    let shown = number("page").zip(number("pageSize")).map(|(page, size)| page.saturating_mul(size));
    let has_cursor = connection.get("nextCursor").is_some_and(|cursor| !cursor.is_null());
    let has_page = shown.zip(number("total")).is_some_and(|(shown, total)| shown < total);
    let end = listed(connection).last().and_then(|last| cursor(connection, last));
    json!({"hasNextPage": has_cursor || has_page, "endCursor": end})
}

/// The entries of a list, each with its cursor.
fn edges(connection: &Json) -> Json {
    let edge = |node: &Json| json!({"cursor": cursor(connection, node), "node": node});
    listed(connection).iter().map(edge).collect()
}

fn listed(connection: &Json) -> &[Json] {
    let list = ["flows", "traces"].into_iter().find_map(|name| connection.get(name)?.as_array());
    list.map_or(&[], Vec::as_slice)
}

fn cursor(connection: &Json, entry: &Json) -> Option<String> {
    let sort = Sort::read(connection.get("sort").and_then(Json::as_str)).ok()?;
    let id = u128::from_str_radix(entry.get("traceId")?.as_str()?, 16).ok()?;
    sort.cursor(Cursor { start_us: entry.get("startTime")?.as_i64()?, id })
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
