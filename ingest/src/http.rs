//! OTLP/HTTP: `POST /v1/traces`.

use crate::answer::{Accepted, Format, http_accepted, http_refused};
use crate::body;
use crate::door::Peer;
use crate::encoding::Encoding;
use crate::origin::origin_of;
use crate::prepare::Intake;
use crate::receiver::Receiver;
use crate::refusal::Refusal;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::post;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, header};
use std::sync::Arc;
use std::time::Duration;
use tower_http::cors::{AllowOrigin, CorsLayer};

/// How long a browser may remember what it is allowed to send.
const PREFLIGHT_AGE: Duration = Duration::from_secs(7200);

/// The service of the HTTP port. Web pages of exactly these origins may send, and of no others.
pub fn app(receiver: Arc<Receiver>, origins: &[HeaderValue]) -> Router {
    let app = Router::new().route("/v1/traces", post(traces)).with_state(receiver);
    // Without an allowed origin there is nothing to say: browsers then refuse on their own.
    if origins.is_empty() { app } else { app.layer(cors(origins)) }
}

fn cors(origins: &[HeaderValue]) -> CorsLayer {
    let headers: [HeaderName; 3] = [header::CONTENT_TYPE, header::CONTENT_ENCODING, header::AUTHORIZATION];
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins.to_vec()))
        .allow_methods([Method::POST])
        .allow_headers(headers)
        .expose_headers([header::RETRY_AFTER])
        .max_age(PREFLIGHT_AGE)
}

async fn traces(State(receiver): State<Arc<Receiver>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let format = Format::of(parts.headers.get(header::CONTENT_TYPE));
    let result = receiver.observe("http", accept(&receiver, &parts, format, body)).await;
    match (result, format) {
        (Ok(accepted), Some(format)) => http_accepted(&accepted, format),
        (Ok(_), None) => http_refused(&Refusal::ContentType, None),
        (Err(refusal), format) => http_refused(&refusal, format),
    }
}

async fn accept(
    receiver: &Receiver,
    parts: &Parts,
    format: Option<Format>,
    body: Body,
) -> Result<Accepted, Refusal> {
    let (format, encoding) = match described(parts, format) {
        Ok(described) => described,
        Err(refusal) => {
            body::discard(body, body::DISCARDED_UNREAD_BYTES);
            return Err(refusal);
        }
    };
    let (wire, charge) = receiver.read(body, 0).await?;
    let peer = parts.extensions.get::<Peer>();
    let intake = Intake { wire, encoding, format, charge };
    receiver.accept(intake, origin_of("http", peer, &parts.headers)).await
}

fn described(parts: &Parts, format: Option<Format>) -> Result<(Format, Encoding), Refusal> {
    let format = format.ok_or(Refusal::ContentType)?;
    let encoding = match parts.headers.get(header::CONTENT_ENCODING) {
        Some(name) => name.to_str().ok().and_then(Encoding::named).ok_or(Refusal::Encoding)?,
        None => Encoding::Identity,
    };
    Ok((format, encoding))
}
