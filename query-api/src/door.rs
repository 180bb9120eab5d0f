//! Takes connections: a bounded number, with time-outs, with or without TLS, and lets them end when the process stops.

use crate::tls::Tls;
use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

/// A request's headers must arrive within this time, and a TLS handshake must end.
const HEADER_TIME: Duration = Duration::from_secs(15);
/// Most bytes of a request's headers.
const HEADER_BYTES: usize = 64 << 10;
/// An HTTP/2 connection is asked for a sign of life this often …
const PING_INTERVAL: Duration = Duration::from_secs(30);
/// … and closed without an answer after this time.
const PING_TIME: Duration = Duration::from_secs(20);
/// Requests at a time on one HTTP/2 connection.
const STREAMS: u32 = 128;
/// How long to wait when the system has no file handle left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The other end of a request's connection.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// A listening port.
pub struct Door {
    /// Where it listens.
    pub listener: TcpListener,
    /// What it serves.
    pub router: Router,
    /// With which certificate; none: without TLS.
    pub tls: Option<Tls>,
    /// Connections that may still come in.
    pub seats: Arc<Semaphore>,
}

impl Door {
    /// Serves until `stop`; then takes no more connections, lets requests in work end and returns when they have, at
    /// the latest after `drain_time`.
    pub async fn serve(self, stop: CancellationToken, drain_time: Duration) {
        let connections = GracefulShutdown::new();
        while let Some((seat, stream, peer)) = self.next(&stop).await {
            let (router, tls, watcher) = (self.router.clone(), self.tls.clone(), connections.watcher());
            // A handshake takes a while; the next caller must not wait for it.
            tokio::spawn(async move {
                let _seat = seat;
                // Small frames must not wait for the answer to larger ones.
                let _ = stream.set_nodelay(true);
                match tls {
                    None => talk(stream, peer, router, watcher).await,
                    Some(tls) => match timeout(HEADER_TIME, tls.accept(stream)).await {
                        Ok(Ok(stream)) => talk(stream, peer, router, watcher).await,
                        Ok(Err(error)) => tracing::debug!(%error, %peer, "no TLS handshake"),
                        Err(_) => tracing::debug!(%peer, "a TLS handshake took too long"),
                    },
                }
            });
        }
        drop(self.listener);
        if timeout(drain_time, connections.shutdown()).await.is_err() {
            tracing::warn!("connections are closed with requests still in work");
        }
    }

    /// The next connection; none once the process stops.
    async fn next(&self, stop: &CancellationToken) -> Option<(OwnedSemaphorePermit, TcpStream, SocketAddr)> {
        let accept = async {
            let seat = self.seats.clone().acquire_owned().await.ok()?;
            loop {
                match self.listener.accept().await {
                    Ok((stream, peer)) => return Some((seat, stream, peer)),
                    Err(error) => {
                        tracing::warn!(%error, "no connection could be taken");
                        sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        };
        tokio::select! {
            () = stop.cancelled() => None,
            accepted = accept => accepted,
        }
    }
}

async fn talk<S>(stream: S, peer: SocketAddr, router: Router, watcher: Watcher)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let asked = Arc::new(AtomicBool::new(false));
    let asks = asked.clone();
    let service = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
        asks.store(true, Relaxed);
        answer(router.clone(), peer, request.map(axum::body::Body::new))
    });
    let builder = builder();
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    tokio::select! {
        ended = watcher.watch(connection.into_owned()) => if let Err(error) = ended {
            tracing::debug!(%error, %peer, "a connection broke");
        },
        () = silence(&asked) => tracing::debug!(%peer, "a connection that asked nothing is closed"),
    }
}

/// Ends when nothing was asked in time. The library's own time-outs begin once it knows which HTTP is spoken, and whoever
/// says nothing would keep a seat for good.
async fn silence(asked: &AtomicBool) {
    sleep(HEADER_TIME).await;
    if asked.load(Relaxed) {
        std::future::pending::<()>().await;
    }
}

async fn answer(router: Router, peer: SocketAddr, mut request: Request) -> Result<Response, Infallible> {
    request.extensions_mut().insert(Peer(peer));
    router.oneshot(request).await
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIME).max_buf_size(HEADER_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIME)
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(u32::try_from(HEADER_BYTES).unwrap_or(u32::MAX));
    builder
}
