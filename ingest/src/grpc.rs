//! OTLP/gRPC: `TraceService/Export`.
//!
//! A unary call is one framed message in an HTTP/2 request, so it takes the same way as OTLP/HTTP: read under the
//! same budget, decompressed under the same limit. A generated service would decode every span only to encode it
//! again, and answers a too large message with `OUT_OF_RANGE`, which OTLP senders retry.
//! Source: <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>.

use crate::answer::{Accepted, Format, grpc_accepted, grpc_refused};
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
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::{Buf, Bytes};
use http::request::Parts;
use http::{HeaderMap, StatusCode, header};
use std::sync::Arc;
use tonic::Status;

/// One byte for "compressed", four for the length.
const FRAME_BYTES: usize = 5;
const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// The service of the gRPC port.
pub fn app(receiver: Arc<Receiver>) -> Router {
    Router::new().route(EXPORT, post(export)).with_state(receiver).fallback(unknown)
}

async fn unknown() -> Response {
    Status::unimplemented("this port takes opentelemetry.proto.collector.trace.v1.TraceService/Export only")
        .into_http()
}

async fn export(State(receiver): State<Arc<Receiver>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    if !is_grpc(&parts.headers) {
        body::discard(body, body::DISCARDED_UNREAD_BYTES);
        return StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response();
    }
    match receiver.observe("grpc", accept(&receiver, &parts, body)).await {
        Ok(accepted) => grpc_accepted(&accepted),
        Err(refusal) => grpc_refused(&refusal),
    }
}

async fn accept(receiver: &Receiver, parts: &Parts, body: Body) -> Result<Accepted, Refusal> {
    let named = match parts.headers.get("grpc-encoding") {
        Some(name) => name.to_str().ok().and_then(Encoding::named).ok_or(Refusal::Encoding)?,
        None => Encoding::Identity,
    };
    let (wire, charge) = receiver.read(body, FRAME_BYTES).await?;
    let (encoding, wire) = unframe(wire, named)?;
    let intake = Intake { wire, encoding, format: Format::Protobuf, charge };
    let peer = parts.extensions.get::<Peer>();
    receiver.accept(intake, origin_of("grpc", peer, &parts.headers)).await
}

/// `application/grpc`, also with `+proto`: the only message format OTLP has.
fn is_grpc(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = content_type.and_then(|value| value.split(';').next()).map(str::trim);
    matches!(essence, Some("application/grpc" | "application/grpc+proto"))
}

/// The one message of a unary call, and how it is compressed.
fn unframe(mut wire: Bytes, named: Encoding) -> Result<(Encoding, Bytes), Refusal> {
    let broken = |what: &str| Err(Refusal::Undecodable(format!("the gRPC frame is broken: {what}")));
    if wire.len() < FRAME_BYTES {
        return broken("no message");
    }
    let compressed = wire.get_u8();
    let length = wire.get_u32() as usize;
    if length != wire.len() {
        return broken("its length is not that of one message");
    }
    match (compressed, named) {
        (0, _) => Ok((Encoding::Identity, wire)),
        (1, Encoding::Identity) => broken("compressed without grpc-encoding"),
        (1, named) => Ok((named, wire)),
        _ => broken("the compressed flag is neither 0 nor 1"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_holds_one_message() {
        let broken = |wire: &'static [u8], named| unframe(Bytes::from_static(wire), named).is_err();
        assert!(broken(&[], Encoding::Identity));
        assert!(broken(&[0, 0, 0, 0, 2, 7], Encoding::Identity), "too short");
        assert!(broken(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0], Encoding::Identity), "two messages");
        assert!(broken(&[1, 0, 0, 0, 1, 7], Encoding::Identity), "compressed, but how?");
        assert!(broken(&[2, 0, 0, 0, 1, 7], Encoding::Gzip));
        let message = Bytes::from_static(&[7]);
        for (flag, named, encoding) in [
            (0, Encoding::Gzip, Encoding::Identity),
            (1, Encoding::Zstd, Encoding::Zstd),
            (0, Encoding::Identity, Encoding::Identity),
        ] {
            let wire = Bytes::from(vec![flag, 0, 0, 0, 1, 7]);
            assert_eq!(unframe(wire, named), Ok((encoding, message.clone())));
        }
    }
}
