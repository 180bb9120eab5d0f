//! From an HTTP request to a WebSocket.
//!
//! axum's own upgrade hides the connection. Subscribers share frames that are ready for the wire, so it has to be
//! within reach: as messages, they would be framed and copied for each subscriber, into a buffer that each keeps.

use crate::error::ApiError;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

/// A client's WebSocket.
pub type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// Answers a handshake and then serves the socket on a task of its own.
pub fn upgrade<F>(
    mut request: Request,
    config: WebSocketConfig,
    serve: impl FnOnce(Socket) -> F + Send + 'static,
) -> Response
where
    F: Future<Output = ()> + Send,
{
    let answer = match create_response_with_body(&request, Body::empty) {
        Ok(answer) => answer,
        Err(error) => {
            return ApiError::bad_request(format!("this is no WebSocket handshake: {error}")).into_response();
        }
    };
    let upgraded = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        // Who leaves in the middle of the handshake needs no socket.
        if let Ok(connection) = upgraded.await {
            let connection = TokioIo::new(connection);
            serve(WebSocketStream::from_raw_socket(connection, Role::Server, Some(config)).await).await;
        }
    });
    answer
}
