//! The wiring: Kafka and ClickHouse on one side, the router on the other, live state and the hub between them.

use crate::access::Access;
use crate::error::ApiError;
use crate::graph::StatusRules;
use crate::hub::Hub;
use crate::limits::Limits;
use crate::live::Live;
use crate::live::ends::Ends;
use crate::live::feed::{Feed, SharedLive, now_us};
use crate::metrics::ApiMetrics;
use crate::origin::Origins;
use crate::rest::status::Roles;
use crate::stored::Stored;
use crate::{Options, graphql, live, page, rest, socket};
use anyhow::Context;
use async_graphql::dynamic::Schema;
use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::ListenerExt as _;
use process::{Health, Metrics};
use prometheus_client::registry::Registry;
use reader::Semconv;
use schemas::topics::{FLOW_DELTAS, FLOW_EVENTS, FLOW_TRACES, OTLP_SPANS};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower_http::compression::CompressionLayer;
use utoipa_swagger_ui::SwaggerUi;

/// How long open requests may take to end when the process stops.
const DRAIN: Duration = Duration::from_secs(5);
/// Files that are open beside the WebSockets: requests in progress, Kafka's and ClickHouse's connections.
const OTHER_FILES: usize = 512;
const CHECK_CLICKHOUSE_EVERY: Duration = Duration::from_secs(10);

/// What every request can reach. Clones share everything.
#[derive(Clone)]
pub struct App {
    pub(crate) live: SharedLive,
    pub(crate) hub: Arc<Hub>,
    pub(crate) ends: Ends,
    /// Of `flow_traces`.
    pub(crate) flow_ends: Ends,
    pub(crate) stored: Stored,
    pub(crate) limits: Limits,
    pub(crate) rules: StatusRules,
    pub(crate) semconv: Arc<Semconv>,
    pub(crate) origins: Arc<Origins>,
    pub(crate) metrics: ApiMetrics,
    pub(crate) registry: Arc<Registry>,
    pub(crate) roles: Roles,
    pub(crate) schema: Schema,
    pub(crate) sockets: Arc<Semaphore>,
    pub(crate) stop: CancellationToken,
}

/// Serves until `stop`, then lets open requests end.
///
/// # Errors
/// The address can't be listened on, or the options can't work.
pub async fn run(options: Options, health: Health, stop: CancellationToken) -> anyhow::Result<()> {
    health.ready("kafka", false, "starting");
    health.ready("clickhouse", false, "starting");
    let mut registry = Metrics::new("query-api");
    let metrics = ApiMetrics::register(registry.role());
    let registry = registry.share();
    let app = app(&options, metrics, registry.clone(), stop.clone())?;
    let listener = tokio::net::TcpListener::bind(options.listen)
        .await
        .with_context(|| format!("can't listen on {} for the query API", options.listen))?;

    let threads = [
        follow_deltas(&options, &app, &health)?,
        live::events::follow(
            options.kafka.clone(),
            options.topic(FLOW_EVENTS),
            app.hub.clone(),
            stop.clone(),
        )?,
        live::ends::follow(options.kafka.clone(), options.topic(OTLP_SPANS), app.ends.clone(), stop.clone())?,
        live::ends::follow(
            options.kafka.clone(),
            options.topic(FLOW_TRACES),
            app.flow_ends.clone(),
            stop.clone(),
        )?,
        tick(&app)?,
    ];
    let checks = tokio::spawn(check_clickhouse(app.stored.clone(), health.clone(), stop.clone()));
    let router = router(app).merge(process::admin_router(registry, health));
    tracing::info!(address = %listener.local_addr()?, "the query API is served");
    // Small frames must not wait for the answer to larger ones.
    let listener = listener.tap_io(|connection| {
        if let Err(error) = connection.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY");
        }
    });
    let serving = axum::serve(listener, router).with_graceful_shutdown(stop.clone().cancelled_owned());
    tokio::select! {
        served = serving.into_future() => served?,
        () = async { stop.cancelled().await; tokio::time::sleep(DRAIN).await } => {}
    }
    stop.cancel();
    checks.await?;
    tokio::task::spawn_blocking(|| join(threads)).await?
}

fn join(threads: [std::thread::JoinHandle<()>; 5]) -> anyhow::Result<()> {
    for thread in threads {
        let name = thread.thread().name().unwrap_or_default().to_owned();
        thread.join().map_err(|_| anyhow::anyhow!("the thread {name} has panicked"))?;
    }
    Ok(())
}

fn app(
    options: &Options,
    metrics: ApiMetrics,
    registry: Arc<Registry>,
    stop: CancellationToken,
) -> anyhow::Result<App> {
    let limits = limits(options);
    Ok(App {
        live: Arc::new(Mutex::new(Live::new(limits.clone()))),
        ends: Ends::default(),
        flow_ends: Ends::default(),
        hub: Arc::new(Hub::new(limits.clone(), options.rules(), metrics.clone())),
        stored: Stored::new(options.clickhouse.client(), &limits, metrics.clickhouse_queries.clone()),
        rules: options.rules(),
        semconv: Arc::new(Semconv::embedded()),
        origins: Arc::new(Origins::new(&options.origin, options.listen.ip().is_loopback())),
        sockets: Arc::new(Semaphore::new(limits.sockets)),
        roles: Roles::new(&options.roles)?,
        schema: graphql::schema(!options.no_introspection)?,
        limits,
        metrics,
        registry,
        stop,
    })
}

/// As many sockets as there may be open files: who comes later is told so, and the listener doesn't run dry.
fn limits(options: &Options) -> Limits {
    let limits = options.limits();
    let files = process::allow_open_files((limits.sockets + OTHER_FILES) as u64);
    let room = usize::try_from(files).unwrap_or(usize::MAX).saturating_sub(OTHER_FILES);
    if room >= limits.sockets {
        return limits;
    }
    tracing::warn!(sockets = room, "the hard limit of open files (ulimit -Hn) allows no more live sockets");
    Limits { sockets: room, ..limits }
}

fn router(app: App) -> Router {
    let (questions, document) = rest::router();
    let browse = SwaggerUi::new("/api/docs").url("/api/v1/openapi.json", document);
    let answers =
        questions.merge(graphql::router()).merge(page::router()).merge(browse).layer(CompressionLayer::new());
    Router::new()
        .route("/api/v1/live", get(socket::live))
        .merge(answers)
        .layer(from_fn(identify))
        .layer(from_fn_with_state(app.clone(), only_known_hosts))
        .with_state(app)
}

async fn identify(mut request: Request, next: Next) -> Response {
    request.extensions_mut().insert(Access::everything());
    next.run(request).await
}

async fn only_known_hosts(State(app): State<App>, request: Request, next: Next) -> Response {
    if app.origins.allow_host(request.headers()) {
        return next.run(request).await;
    }
    ApiError::forbidden("this server answers to localhost and to the hosts of --origin").into_response()
}

fn follow_deltas(
    options: &Options,
    app: &App,
    health: &Health,
) -> anyhow::Result<std::thread::JoinHandle<()>> {
    let feed = Feed {
        kafka: options.kafka.clone(),
        topic: options.topic(FLOW_DELTAS),
        stored: app.stored.clone(),
        live: app.live.clone(),
        limits: app.limits.clone(),
        health: health.clone(),
        metrics: app.metrics.clone(),
        stop: app.stop.clone(),
        runtime: tokio::runtime::Handle::current(),
    };
    Ok(std::thread::Builder::new().name("flow_deltas".to_owned()).spawn(move || feed.run())?)
}

/// A thread of its own: computing graphs is work that would hold up the runtime.
fn tick(app: &App) -> anyhow::Result<std::thread::JoinHandle<()>> {
    let app = app.clone();
    let ticking = move || {
        while !app.stop.is_cancelled() {
            let began = Instant::now();
            app.hub.tick(&app.live, (now_us(), began));
            // Where views take longer than a tick to compute, they may take half of a core, not all of it.
            let took = began.elapsed();
            std::thread::sleep(app.limits.tick.saturating_sub(took).max(took));
        }
    };
    Ok(std::thread::Builder::new().name("hub".to_owned()).spawn(ticking)?)
}

async fn check_clickhouse(stored: Stored, health: Health, stop: CancellationToken) {
    loop {
        match stored.check().await {
            Ok(()) => health.ready("clickhouse", true, ""),
            Err(error) => health.ready("clickhouse", false, &error.to_string()),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(CHECK_CLICKHOUSE_EVERY) => {}
        }
    }
}
