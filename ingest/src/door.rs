//! Takes connections: a bounded number, with time-outs, and lets them end when the process stops.

use crate::metrics::{Counted, Metrics};
use axum::{Extension, Router};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tower::Layer;

/// A request's headers must arrive within this time.
const HEADER_TIME: Duration = Duration::from_secs(15);
/// An HTTP/2 connection is asked for a sign of life this often …
const PING_INTERVAL: Duration = Duration::from_secs(30);
/// … and closed without an answer after this time.
const PING_TIME: Duration = Duration::from_secs(20);
/// Requests at a time on one HTTP/2 connection.
const STREAMS: u32 = 128;
/// Largest HTTP/2 frame: most requests then come in one, and are read at once.
const FRAME_BYTES: u32 = 64 << 10;
/// How long to wait when the system has no file handle left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The other end of a request's connection.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// One listening port.
#[derive(Debug)]
pub struct Door {
    /// Where it listens.
    pub listener: TcpListener,
    /// What it serves.
    pub app: Router,
    /// Connections that may still come in.
    pub seats: Arc<Semaphore>,
    /// Counts the connections.
    pub metrics: Metrics,
}

impl Door {
    /// Serves until `stop`; then takes no more connections, lets requests in work end and returns when they have,
    /// at the latest after `drain_time`.
    pub async fn serve(self, stop: CancellationToken, drain_time: Duration) {
        let connections = GracefulShutdown::new();
        while let Some((seat, stream, peer)) = self.next(&stop).await {
            let connection = Connection {
                app: self.app.clone(),
                peer,
                watcher: connections.watcher(),
                _seat: seat,
                _counted: Counted::up(&self.metrics.connections),
            };
            tokio::spawn(connection.serve(stream));
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

struct Connection {
    app: Router,
    peer: SocketAddr,
    watcher: Watcher,
    _seat: OwnedSemaphorePermit,
    _counted: Counted,
}

impl Connection {
    async fn serve(self, stream: TcpStream) {
        // Answers are small; waiting to fill a packet would only delay them.
        let _ = stream.set_nodelay(true);
        let service = TowerToHyperService::new(Extension(Peer(self.peer)).layer(self.app));
        let builder = builder();
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        if let Err(error) = self.watcher.watch(connection.into_owned()).await {
            tracing::debug!(%error, peer = %self.peer, "a connection broke");
        }
    }
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIME);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIME)
        .max_concurrent_streams(STREAMS)
        .max_frame_size(FRAME_BYTES);
    builder
}
