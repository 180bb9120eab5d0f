//! What every request passes before it is answered, from the outside to the inside.

mod audit;
mod bounds;
mod etag;
pub mod rates;
mod request_id;

use crate::App;
use crate::access::Access;
use crate::auth::permissions::{Need, need};
use crate::auth::{Proof, Refusal, login};
use crate::door::Peer;
use crate::error::ApiError;
use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use rates::Caller;
use std::time::{Duration, Instant};
use tower_http::compression::CompressionLayer;
use tower_http::cors::CorsLayer;

/// How long browsers may remember what a page of another origin may do.
const CORS_AGE: Duration = Duration::from_secs(600);

/// Puts the layers around the answers. The last one is the outermost.
pub fn around(router: Router<App>, app: &App) -> Router<App> {
    router
        .layer(from_fn(etag::layer))
        // Around the tags, which are of the whole answer.
        .layer(CompressionLayer::new())
        .layer(from_fn_with_state(app.clone(), bounds::body))
        .layer(from_fn_with_state(app.clone(), identify))
        .layer(from_fn_with_state(app.clone(), bounds::layer))
        .layer(from_fn_with_state(app.clone(), only_known_hosts))
        .layer(from_fn(cache_control))
        .layer(from_fn_with_state(app.clone(), audit::layer))
        .layer(cors(&app.cors))
        .layer(from_fn(request_id::layer))
}

/// Who asks, for the lines of the audit log: an answer's extension.
#[derive(Debug, Clone)]
struct Known(Access);

async fn only_known_hosts(State(app): State<App>, request: Request, next: Next) -> Response {
    if app.origins.allow_host(request.headers()) {
        return next.run(request).await;
    }
    ApiError::forbidden("this server answers to localhost and to the hosts of --origin").into_response()
}

/// Finds out who asks, whether they may, and whether they ask too often.
async fn identify(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let template = request.extensions().get::<MatchedPath>();
    // What no route answers tells nobody anything, but who asks has to be known even for that.
    let need = template.map_or(Need::Role(crate::access::Role::Viewer), |path| need(path.as_str()));
    let peer = request.extensions().get::<Peer>().map(|peer| peer.0.ip());
    let stranger = || peer.map_or(Caller::Other, Caller::from);
    let Need::Role(role) = need else {
        // Each login makes this server ask the provider.
        let limited = request.uri().path().starts_with("/auth/") && app.auth.is_on();
        if let (true, Err(wait)) = (limited, app.rates.take(stranger(), Instant::now())) {
            return slow_down(wait);
        }
        return next.run(request).await;
    };
    let (access, proof) = match app.auth.identify(request.headers()).await {
        Ok(known) => known,
        Err(refusal) => {
            // Whoever guesses tokens is slowed down; whoever has one isn't, even behind the same proxy.
            return match app.rates.take(stranger(), Instant::now()) {
                Err(wait) => slow_down(wait),
                Ok(()) => refused(&app, &request, refusal),
            };
        }
    };
    let caller = match proof {
        Proof::None => stranger(),
        Proof::Token | Proof::Cookie => Caller::Named(access.who.clone()),
    };
    // Without names, all programs of this machine have one address.
    let counted = proof != Proof::None || !peer.is_none_or(|peer| peer.is_loopback());
    let mut answer = match (counted, app.rates.take(caller, Instant::now())) {
        (true, Err(wait)) => slow_down(wait),
        _ => match allowed(&app, &access, proof, role, &request) {
            Err(error) => error.into_response(),
            Ok(()) => {
                request.extensions_mut().insert(access.clone());
                next.run(request).await
            }
        },
    };
    answer.extensions_mut().insert(Known(access));
    answer
}

/// Whether who is known may ask this, in this way.
fn allowed(
    app: &App,
    access: &Access,
    proof: Proof,
    role: crate::access::Role,
    request: &Request,
) -> Result<(), ApiError> {
    let headers = request.headers();
    let safe = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    let upgrades = headers.contains_key(header::UPGRADE);
    // Cookies come along whichever page made the browser ask, so that page has to be ours.
    if proof == Proof::Cookie
        && upgrades
        && !(headers.contains_key(header::ORIGIN) && app.origins.allow_socket(headers))
    {
        app.metrics.refused_origins.inc();
        return Err(ApiError::forbidden("this origin may not connect; --origin lists more"));
    }
    if proof == Proof::Cookie && !safe && !app.origins.allow_write(headers) {
        return Err(ApiError::forbidden("another page may not ask this in your name"));
    }
    access.at_least(role)
}

/// A browser that wants to see something is sent to log in; everybody else hears what is missing.
fn refused(app: &App, request: &Request, refusal: Refusal) -> Response {
    let login = app.auth.guard().is_some_and(|guard| guard.sessions.is_some());
    if login && matches!(refusal, Refusal::Nothing) && wants_page(request.method(), request.headers()) {
        let asked = request.uri().path_and_query().map_or("/", |asked| asked.as_str());
        return login::login_first(asked);
    }
    let challenge = match refusal {
        Refusal::Invalid(_) => "Bearer realm=\"weir\", error=\"invalid_token\"",
        _ => "Bearer realm=\"weir\"",
    };
    let mut answer = ApiError::from(refusal).into_response();
    if answer.status() == StatusCode::UNAUTHORIZED {
        answer.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    }
    answer
}

fn wants_page(method: &Method, headers: &HeaderMap) -> bool {
    let accepts = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    method == Method::GET && accepts.contains("text/html") && !headers.contains_key(header::UPGRADE)
}

fn slow_down(wait: Duration) -> Response {
    let mut answer =
        ApiError::slow_down("you ask too often; --requests-per-second says how often is allowed")
            .into_response();
    let seconds = wait.as_secs_f64().ceil().max(1.0);
    answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds as u64));
    answer
}

/// Answers are one caller's and change all the time. Of those that may tell of people, nothing is kept at all.
async fn cache_control(request: Request, next: Next) -> Response {
    let template = request.extensions().get::<MatchedPath>().map(|path| need(path.as_str()));
    let mut answer = next.run(request).await;
    let sums = matches!(template, Some(Need::Role(crate::access::Role::Viewer)));
    let good = answer.status().is_success() || answer.status() == StatusCode::NOT_MODIFIED;
    let rule = if sums && good { "private, no-cache" } else { "no-store" };
    let headers = answer.headers_mut();
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static(rule));
    headers.append(header::VARY, HeaderValue::from_static("authorization, cookie"));
    headers.entry(header::X_CONTENT_TYPE_OPTIONS).or_insert(HeaderValue::from_static("nosniff"));
    answer
}

/// Pages of exactly these origins may read answers. They show a token: cookies are for our own page.
fn cors(origins: &[HeaderValue]) -> CorsLayer {
    if origins.is_empty() {
        return CorsLayer::new();
    }
    let [id, etag] = [request_id::REQUEST_ID, header::ETAG];
    let asked: [HeaderName; 4] =
        [header::AUTHORIZATION, header::CONTENT_TYPE, header::IF_NONE_MATCH, request_id::REQUEST_ID];
    CorsLayer::new()
        .allow_origin(origins.to_vec())
        .allow_methods([Method::GET, Method::POST])
        .allow_headers(asked)
        .expose_headers([id, etag])
        .max_age(CORS_AGE)
}
