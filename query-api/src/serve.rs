//! The wiring: Kafka and ClickHouse on one side, the router on the other, live state and the hub between them.

use crate::auth::Auth;
use crate::door::Door;
use crate::gate::rates::Rates;
use crate::graph::StatusRules;
use crate::hub::Hub;
use crate::limits::Limits;
use crate::live::Live;
use crate::live::ends::Ends;
use crate::live::feed::{Feed, SharedLive, now_us};
use crate::metrics::ApiMetrics;
use crate::origin::Origins;
use crate::prometheus::counters::SharedCounters;
use crate::prometheus::exemplars::Exemplars;
use crate::rest::ConfigAnswer;
use crate::rest::status::Roles;
use crate::stored::Stored;
use crate::tls::{Files, Tls};
use crate::{Options, auth, gate, graphql, jaeger, live, page, prometheus, rest, socket, tempo};
use anyhow::{Context, ensure};
use async_graphql::dynamic::Schema;
use axum::Router;
use axum::http::HeaderValue;
use axum::routing::get;
use process::{Health, Metrics};
use prometheus_client::registry::Registry;
use reader::Semconv;
use schemas::topics::{FLOW_DELTAS, FLOW_EVENTS, FLOW_TRACES, OTLP_SPANS};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use utoipa_swagger_ui::SwaggerUi;

/// How long open requests may take to end when the process stops.
const DRAIN: Duration = Duration::from_secs(5);
/// Files that are open beside the WebSockets: requests in progress, Kafka's and ClickHouse's connections.
const OTHER_FILES: usize = 512;
/// Connections beside the WebSockets.
const OTHER_CONNECTIONS: usize = 256;
const CHECK_CLICKHOUSE_EVERY: Duration = Duration::from_secs(10);

/// What every request can reach. Clones share everything.
#[derive(Clone)]
pub struct App {
    pub(crate) live: SharedLive,
    pub(crate) counters: SharedCounters,
    pub(crate) exemplars: Arc<Exemplars>,
    /// Turns to write a page of `/metrics/graph`.
    pub(crate) graph_pages: Arc<Semaphore>,
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
    pub(crate) auth: Arc<Auth>,
    pub(crate) rates: Arc<Rates>,
    /// Origins whose pages may read answers.
    pub(crate) cors: Arc<[HeaderValue]>,
    /// Whether every question is written to the log: where it can be told who asks, or from where.
    pub(crate) audited: bool,
    pub(crate) config: Arc<ConfigAnswer>,
    pub(crate) stop: CancellationToken,
}

/// Serves until `stop`, then lets open requests end.
///
/// # Errors
/// The address can't be listened on, or the options can't work.
pub async fn run(options: Options, health: Health, stop: CancellationToken) -> anyhow::Result<()> {
    may_listen(&options)?;
    health.ready("kafka", false, "starting");
    health.ready("clickhouse", false, "starting");
    let mut registry = Metrics::new("query-api");
    let metrics = ApiMetrics::register(registry.role());
    let registry = registry.share();
    let app = app(&options, metrics, registry.clone(), stop.clone())?;
    let tls = tls(&options, &stop)?;
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
    let seats = Arc::new(Semaphore::new(app.limits.sockets + OTHER_CONNECTIONS));
    let router = router(app, process::admin_router(registry, health));
    tracing::info!(address = %listener.local_addr()?, "the query API is served");
    Door { listener, router, tls, seats }.serve(stop, DRAIN).await;
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

/// Whoever can reach this server can read everything it knows, unless it asks who they are.
fn may_listen(options: &Options) -> anyhow::Result<()> {
    let asks = options.auth.is_some() || options.no_auth;
    ensure!(
        asks || options.listen.ip().is_loopback(),
        "other machines could ask at {} and nobody would know who: give --auth FILE (docs/access.md), or --no-auth if \
         everybody may see everything",
        options.listen
    );
    if options.auth.is_some() && !options.listen.ip().is_loopback() && options.tls_cert.is_none() {
        tracing::warn!("tokens and cookies come without TLS: give --tls-cert, or let a proxy do it");
    }
    Ok(())
}

fn tls(options: &Options, stop: &CancellationToken) -> anyhow::Result<Option<Tls>> {
    let Some((certificate, key)) = options.tls_cert.clone().zip(options.tls_key.clone()) else {
        return Ok(None);
    };
    Tls::start(Files { certificate, key }, stop.clone()).map(Some)
}

/// What every request will reach; nothing is connected to yet.
///
/// # Errors
/// The file of `--auth` or an origin can't work.
pub(crate) fn app(
    options: &Options,
    metrics: ApiMetrics,
    registry: Arc<Registry>,
    stop: CancellationToken,
) -> anyhow::Result<App> {
    let limits = limits(options);
    let auth = Arc::new(Auth::read(options.auth.as_deref())?);
    let loopback = options.listen.ip().is_loopback();
    let cors: Result<Arc<[_]>, _> =
        options.cors_origin.iter().map(|origin| HeaderValue::from_str(origin)).collect();
    let mut origins = options.origin.clone();
    origins.extend(auth.public_origin());
    Ok(App {
        live: Arc::new(Mutex::new(Live::new(limits.clone()))),
        counters: SharedCounters::default(),
        exemplars: Arc::default(),
        ends: Ends::default(),
        flow_ends: Ends::default(),
        hub: Arc::new(Hub::new(limits.clone(), options.rules(), metrics.clone())),
        stored: Stored::new(options.clickhouse.client(), &limits, metrics.clickhouse_queries.clone()),
        rules: options.rules(),
        semconv: Arc::new(Semconv::embedded()),
        origins: Arc::new(Origins::new(&origins, loopback)),
        sockets: Arc::new(Semaphore::new(limits.sockets)),
        graph_pages: Arc::new(Semaphore::new(limits.graph_pages)),
        roles: Roles::new(&options.roles)?,
        schema: graphql::schema(!options.no_introspection)?,
        limits,
        metrics,
        registry,
        rates: Arc::new(Rates::new(options.requests_per_second)),
        cors: cors.context("--cors-origin")?,
        audited: auth.is_on() || !loopback,
        config: ConfigAnswer::new(options, &auth),
        auth,
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

fn router(app: App, admin: Router) -> Router {
    let (questions, document) = rest::router();
    let browse = SwaggerUi::new("/api/docs").url("/api/v1/openapi.json", document);
    let answers = questions
        .merge(graphql::router())
        .merge(jaeger::router())
        .merge(tempo::router())
        .merge(prometheus::router())
        .merge(page::router())
        .merge(browse);
    let all = Router::new()
        .route("/api/v1/live", get(socket::live))
        .merge(auth::login::router())
        .merge(answers)
        .merge(admin.with_state(()));
    gate::around(all, &app).with_state(app)
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
        counters: app.counters.clone(),
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
            app.hub.tick(&app.live, || (now_us(), Instant::now()));
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
