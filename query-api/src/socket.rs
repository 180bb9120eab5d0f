//! One WebSocket on `/api/v1/live`.

use crate::App;
use crate::access::Access;
use crate::error::ApiError;
use crate::hub::ViewKey;
use crate::hub::frame::{Batch, frame, json};
use crate::live::feed::now_us;
use crate::live::shards::Sequences;
use crate::protocol::{ClientMessage, Subscribe};
use crate::upgrade::{Socket, upgrade};
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use std::collections::HashMap;
use std::pin::pin;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_stream::StreamMap;
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::wrappers::errors::BroadcastStreamRecvError;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

/// Messages a client may send in one second; people and reconnecting pages need a handful.
const MESSAGES_PER_SECOND: u32 = 20;
/// How long a client may take to hear why it is closed.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);
/// Pings without an answer after which a client is gone.
const UNANSWERED_PINGS: u32 = 2;

/// Handshake.
pub async fn live(State(app): State<App>, access: Access, request: Request) -> Response {
    let place = match admit(&app, request.headers()) {
        Ok(place) => place,
        Err(refusal) => return refusal.into_response(),
    };
    let limits = &app.limits;
    let config = WebSocketConfig::default()
        // A message that is not much too long is read, so that its sender can be told.
        .max_message_size(Some(4 * limits.message_bytes))
        .max_frame_size(Some(4 * limits.message_bytes))
        .read_buffer_size(limits.read_buffer_bytes)
        .write_buffer_size(0)
        .max_write_buffer_size(limits.write_buffer_bytes);
    upgrade(request, config, async move |socket| {
        app.metrics.sockets.inc();
        let end = Client::new(app.clone(), access, socket).serve().await;
        tracing::debug!(?end, "socket closed");
        app.metrics.sockets.dec();
        drop(place);
    })
}

/// A place for a socket, if its page may connect.
///
/// # Errors
/// It may not, or all places are taken.
pub fn admit(app: &App, headers: &HeaderMap) -> Result<OwnedSemaphorePermit, ApiError> {
    if app.origins.allow_socket(headers) {
        return place(app);
    }
    app.metrics.refused_origins.inc();
    Err(ApiError::forbidden("this origin may not connect; --origin lists more"))
}

/// A place for what stays open like a socket.
///
/// # Errors
/// All are taken.
pub fn place(app: &App) -> Result<OwnedSemaphorePermit, ApiError> {
    app.sockets.clone().try_acquire_owned().map_err(|_| ApiError::too_many("too many open sockets"))
}

/// Why a socket ended.
#[derive(Debug)]
enum End {
    /// The client left.
    Left,
    /// It doesn't read fast enough: close code 1013, "try again later".
    TooSlow,
    /// It doesn't keep to the rules.
    Rules(&'static str),
    /// This process stops.
    Stopping,
}

struct Client {
    app: App,
    access: Access,
    socket: Socket,
    /// What of a batch has still to be written. Nothing else may be written in between.
    unsent: Bytes,
    frames: StreamMap<String, BroadcastStream<Batch>>,
    views: HashMap<String, ViewKey>,
    pings: u32,
    coalesced: Rate,
    messages: Rate,
}

/// How often something happened in the running period.
#[derive(Debug)]
pub struct Rate {
    since: Instant,
    count: u32,
}

impl Rate {
    /// Never yet.
    pub fn new() -> Self {
        Self { since: Instant::now(), count: 0 }
    }

    /// Counts once more: how often that is since the period began.
    pub fn count_in(&mut self, period_s: u64) -> u32 {
        if self.since.elapsed().as_secs() >= period_s {
            *self = Self::new();
        }
        self.count += 1;
        self.count
    }
}

impl Client {
    fn new(app: App, access: Access, socket: Socket) -> Self {
        Self {
            app,
            access,
            socket,
            unsent: Bytes::new(),
            frames: StreamMap::new(),
            views: HashMap::new(),
            pings: 0,
            coalesced: Rate::new(),
            messages: Rate::new(),
        }
    }

    async fn serve(mut self) -> End {
        let end = match self.talk().await {
            Ok(()) => End::Left,
            Err(end) => end,
        };
        self.app.metrics.subscriptions.dec_by(i64::try_from(self.views.len()).unwrap_or_default());
        self.close(&end).await;
        end
    }

    async fn talk(&mut self) -> Result<(), End> {
        // All sockets share the token: looking at it anew with every frame would be a lock each time.
        let mut stopped = pin!(self.app.stop.clone().cancelled_owned());
        let mut ping = interval(self.app.limits.ping_every);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                message = self.socket.next() => match message {
                    Some(Ok(message)) => self.hear(message).await?,
                    Some(Err(_)) | None => return Ok(()),
                },
                Some((id, batch)) = self.frames.next(), if !self.frames.is_empty() => match batch {
                    Ok(batch) => self.send(batch).await?,
                    Err(BroadcastStreamRecvError::Lagged(_)) => self.coalesce(&id).await?,
                },
                _ = ping.tick() => self.ping().await?,
                () = &mut stopped => return Err(End::Stopping),
            }
        }
    }

    async fn hear(&mut self, message: Message) -> Result<(), End> {
        self.pings = 0;
        let text = match message {
            Message::Text(text) => text,
            Message::Binary(_) => return Err(End::Rules("frames are text")),
            Message::Close(_) => return Err(End::Left),
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => return Ok(()),
        };
        if text.len() > self.app.limits.message_bytes {
            return Err(End::Rules("the message is too long"));
        }
        if self.messages.count_in(1) > MESSAGES_PER_SECOND {
            return Err(End::Rules("too many messages"));
        }
        match ClientMessage::read(&text) {
            Ok(ClientMessage::Subscribe(subscribe)) => self.subscribe(&subscribe).await,
            Ok(ClientMessage::Unsubscribe { id }) => {
                self.forget(&id);
                Ok(())
            }
            Ok(ClientMessage::Ping { id }) => self.tell(frame("pong", &id, "{}")).await,
            Err(error) => self.refuse("", &error).await,
        }
    }

    async fn subscribe(&mut self, subscribe: &Subscribe) -> Result<(), End> {
        self.forget(&subscribe.id);
        if self.views.len() >= self.app.limits.subscriptions_per_socket {
            let error = ApiError::too_many("too many subscriptions on one socket");
            return self.refuse(&subscribe.id, &error).await;
        }
        match subscribe.view(&self.access.allowed, &self.app.limits) {
            Ok(view) => self.join(&subscribe.id, view, subscribe.resume.as_ref()).await,
            Err(error) => self.refuse(&subscribe.id, &error).await,
        }
    }

    async fn join(&mut self, id: &str, view: ViewKey, resume: Option<&Sequences>) -> Result<(), End> {
        let now = || (now_us(), Instant::now());
        match self.app.hub.subscribe(&self.app.live, &view, id, resume, now) {
            Ok(subscription) => {
                self.app.metrics.subscriptions.inc();
                self.frames.insert(id.to_owned(), BroadcastStream::new(subscription.frames));
                self.views.insert(id.to_owned(), view);
                self.send(subscription.first).await
            }
            Err(error) => self.refuse(id, &error).await,
        }
    }

    /// The client has missed frames: it gets a snapshot in place of the rest, unless that happens again and again.
    async fn coalesce(&mut self, id: &str) -> Result<(), End> {
        self.app.metrics.coalesced.inc();
        if self.coalesced.count_in(60) > self.app.limits.coalesced_per_minute {
            return Err(End::TooSlow);
        }
        let Some(view) = self.views.get(id).cloned() else { return Ok(()) };
        self.forget(id);
        self.join(id, view, None).await
    }

    fn forget(&mut self, id: &str) {
        self.frames.remove(id);
        if self.views.remove(id).is_some() {
            self.app.metrics.subscriptions.dec();
        }
    }

    async fn ping(&mut self) -> Result<(), End> {
        self.pings += 1;
        if self.pings > UNANSWERED_PINGS + 1 {
            return Err(End::Left);
        }
        in_time(self.app.limits.send_timeout, self.socket.send(Message::Ping(Bytes::new()))).await
    }

    async fn refuse(&mut self, id: &str, error: &ApiError) -> Result<(), End> {
        let data = json(&serde_json::json!({"code": error.code, "message": error.message}));
        self.tell(frame("error", id, &data)).await
    }

    async fn tell(&mut self, text: String) -> Result<(), End> {
        self.send(Batch::of([text])).await
    }

    async fn send(&mut self, batch: Batch) -> Result<(), End> {
        self.app.metrics.frames.inc_by(batch.frames);
        self.unsent = batch.bytes;
        in_time(self.app.limits.send_timeout, self.write_unsent()).await
    }

    /// Writes shared frames past the WebSocket's own buffer.
    async fn write_unsent(&mut self) -> Result<(), Error> {
        // The answer to a ping may be waiting there; it must not end up within a frame.
        self.socket.flush().await?;
        Ok(self.socket.get_mut().write_all_buf(&mut self.unsent).await?)
    }

    async fn close(&mut self, end: &End) {
        let (code, reason) = match end {
            End::Left => return,
            End::TooSlow => (CloseCode::Again, "too slow; reconnect"),
            End::Rules(reason) => (CloseCode::Policy, *reason),
            End::Stopping => (CloseCode::Away, "the server stops; reconnect"),
        };
        if matches!(end, End::TooSlow) {
            self.app.metrics.slow_clients.inc();
        }
        let message = Message::Close(Some(CloseFrame { code, reason: reason.into() }));
        // A client that doesn't read may never take this. What it has sent is read to the end: a connection that
        // is dropped with unread data is reset, and the reason would be lost.
        let farewell = async {
            if self.write_unsent().await.is_ok() && self.socket.send(message).await.is_ok() {
                while let Some(Ok(_)) = self.socket.next().await {}
            }
        };
        let _ = timeout(CLOSE_WITHIN, farewell).await;
    }
}

/// Sending takes as long as the client takes to read.
async fn in_time(limit: Duration, sending: impl Future<Output = Result<(), Error>>) -> Result<(), End> {
    match timeout(limit, sending).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(End::Left),
        Err(_) => Err(End::TooSlow),
    }
}
