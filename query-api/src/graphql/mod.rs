//! GraphQL: the same questions and answers, with the fields that the asker names, and the live protocol as
//! subscriptions.

mod questions;
mod shape;

use crate::App;
use crate::access::Access;
use crate::error::ApiError;
use crate::socket::admit;
use crate::upgrade::{Socket, upgrade};
use async_graphql::dynamic::Schema;
use async_graphql::http::{GraphiQLSource, WebSocket, WebSocketProtocols, WsMessage};
use async_graphql::{Data, Executor, Request as Question, Response as Answer};
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use futures_util::stream::BoxStream;
use futures_util::{SinkExt, StreamExt};
use questions::{Caller, FlowGraphs, Staleness};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};

/// The subprotocol of subscriptions.
const PROTOCOL: &str = "graphql-transport-ws";
/// Longest question: text and variables.
const QUESTION_BYTES: usize = 64 << 10;
/// Deepest nesting of fields: the question that tools ask for the schema has 15 levels, answers have seven.
const DEPTH: usize = 18;
/// Most fields of one question. All fields of all types together are some 250.
const COMPLEXITY: usize = 1_000;
/// How deep the text of a question may be nested at all, before it is looked at.
const RECURSION: usize = 32;
/// How long a message may take to leave for a client that doesn't read.
const SEND_WITHIN: Duration = Duration::from_secs(10);
/// A client that says nothing for so long is gone: it pings, or answers our pings.
const SILENT_FOR: Duration = Duration::from_secs(60);

/// The schema with its limits.
///
/// # Errors
/// The schema's text has a fault.
pub fn schema(introspection: bool) -> anyhow::Result<Schema> {
    let builder = shape::builder()?
        .limit_depth(DEPTH)
        .limit_complexity(COMPLEXITY)
        .limit_recursive_depth(RECURSION)
        .limit_directives(8);
    let builder = if introspection { builder } else { builder.disable_introspection().disable_suggestions() };
    Ok(builder.finish()?)
}

/// `/graphql`: questions with POST, subscriptions and a page to try it with GET.
pub fn router() -> Router<App> {
    Router::new().route("/graphql", get(look).post(ask)).layer(DefaultBodyLimit::max(QUESTION_BYTES))
}

/// The schema in the name of one caller. What a request may ask is counted for each anew, also of those that share a
/// socket; subscriptions are counted by socket.
#[derive(Clone)]
struct Asking {
    app: App,
    access: Access,
    subscriptions: Arc<Semaphore>,
}

impl Asking {
    fn new(app: App, access: Access) -> Self {
        let subscriptions = Arc::new(Semaphore::new(app.limits.subscriptions_per_socket));
        Self { app, access, subscriptions }
    }

    fn of_caller(&self, question: Question, staleness: Staleness) -> Question {
        let Self { app, access, subscriptions } = self.clone();
        let graphs = FlowGraphs::loader(app.clone(), access.clone());
        question.data(graphs).data(Caller::new(app, access, subscriptions, staleness))
    }
}

impl Executor for Asking {
    async fn execute(&self, question: Question) -> Answer {
        let staleness = Staleness::default();
        let question = self.of_caller(question, staleness.clone());
        staleness.said_in(self.app.schema.execute(question).await)
    }

    fn execute_stream(&self, question: Question, session: Option<Arc<Data>>) -> BoxStream<'static, Answer> {
        let session = session.unwrap_or_default();
        let staleness = Staleness::default();
        let question = self.of_caller(question, staleness.clone());
        let answers = self.app.schema.execute_stream_with_session_data(question, session);
        answers.map(move |answer| staleness.said_in(answer)).boxed()
    }
}

async fn ask(
    State(app): State<App>,
    access: Access,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    // A form of another site's page can be sent without asking first; JSON can't.
    let is_json = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    if !is_json {
        return ApiError::bad_request("a question is JSON: send content-type: application/json")
            .into_response();
    }
    // The gate has read it whole, so that only its length can be wrong.
    let Ok(body) = body else { return ApiError::too_large(QUESTION_BYTES).into_response() };
    let question: Question = match serde_json::from_slice(&body) {
        Ok(question) => question,
        Err(error) => {
            let hint = "this is no GraphQL question, {\"query\": …, \"variables\": …}";
            return ApiError::bad_request(format!("{hint}: {error}")).into_response();
        }
    };
    let mut response = Json(Asking::new(app, access).execute(question).await).into_response();
    let accepts = headers
        .get_all(header::ACCEPT)
        .iter()
        .any(|kinds| kinds.to_str().is_ok_and(|kinds| kinds.contains("application/graphql-response+json")));
    if accepts {
        let kind = HeaderValue::from_static("application/graphql-response+json; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
    }
    response
}

async fn look(State(app): State<App>, access: Access, request: Request) -> Response {
    if request.headers().contains_key(header::UPGRADE) {
        return subscribe(app, access, request);
    }
    let wants_page = request
        .headers()
        .get(header::ACCEPT)
        .is_some_and(|kinds| kinds.to_str().is_ok_and(|kinds| kinds.contains("text/html")));
    if wants_page {
        return Html(GraphiQLSource::build().endpoint("/graphql").subscription_endpoint("/graphql").finish())
            .into_response();
    }
    ApiError::bad_request("ask with POST, subscribe with a WebSocket, or open this with a browser")
        .into_response()
}

fn subscribe(app: App, access: Access, request: Request) -> Response {
    let place = match admit(&app, request.headers()) {
        Ok(place) => place,
        Err(refusal) => return refusal.into_response(),
    };
    let offered = request.headers().get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    let speaks = offered
        .filter_map(|names| names.to_str().ok())
        .any(|names| names.split(',').any(|name| name.trim() == PROTOCOL));
    if !speaks {
        return ApiError::bad_request(format!("the WebSocket's subprotocol has to be {PROTOCOL}"))
            .into_response();
    }
    let config = WebSocketConfig::default()
        .max_message_size(Some(QUESTION_BYTES))
        .max_frame_size(Some(QUESTION_BYTES))
        .max_write_buffer_size(4 << 20);
    let mut response = upgrade(request, config, async move |socket| {
        app.metrics.sockets.inc();
        serve(app.clone(), access, socket).await;
        app.metrics.sockets.dec();
        drop(place);
    });
    if response.status().is_informational() {
        response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(PROTOCOL));
    }
    response
}

async fn serve(app: App, access: Access, socket: Socket) {
    let stopped = app.stop.clone().cancelled_owned();
    let (mut sink, messages) = socket.split();
    let texts = messages.filter_map(async |message| match message {
        Ok(Message::Text(text)) => Some(text.as_bytes().to_vec()),
        _ => None,
    });
    let answers = WebSocket::new(Asking::new(app, access), texts.boxed(), WebSocketProtocols::GraphQLWS)
        .keepalive_timeout(SILENT_FOR);
    let mut answers = std::pin::pin!(answers.take_until(stopped));
    while let Some(answer) = answers.next().await {
        let message = match answer {
            WsMessage::Text(text) => Message::text(text),
            WsMessage::Close(code, reason) => {
                Message::Close(Some(CloseFrame { code: CloseCode::from(code), reason: reason.into() }))
            }
        };
        // A client that doesn't read holds up only itself, and not for long.
        if !matches!(timeout(SEND_WITHIN, sink.send(message)).await, Ok(Ok(()))) {
            return;
        }
    }
    let _ = timeout(SEND_WITHIN, sink.close()).await;
}
