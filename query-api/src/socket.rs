//! One WebSocket on `/api/v1/live`.

use crate::App;
use crate::error::ApiError;
use crate::hub::frame::{frame, json};
use crate::hub::{Frames, ViewKey};
use crate::live::feed::now_us;
use crate::live::shards::Sequences;
use crate::protocol::{ClientMessage, Subscribe};
use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use std::collections::HashMap;
use std::time::{Duration, Instant};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_stream::StreamMap;
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::wrappers::errors::BroadcastStreamRecvError;

/// Messages a client may send in one second; people and reconnecting pages need a handful.
const MESSAGES_PER_SECOND: u32 = 20;
/// How long a client may take to hear why it is closed.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);
/// Pings without an answer after which a client is gone.
const UNANSWERED_PINGS: u32 = 2;

/// Handshake.
pub async fn live(State(app): State<App>, headers: HeaderMap, upgrade: WebSocketUpgrade) -> Response {
    if !app.origins.allow_socket(&headers) {
        app.metrics.refused_origins.inc();
        return ApiError::forbidden("this origin may not connect; --origin lists more").into_response();
    }
    let Ok(place) = app.sockets.clone().try_acquire_owned() else {
        return ApiError::too_many("too many open sockets").into_response();
    };
    let limits = &app.limits;
    upgrade
        // A message that is not much too long is read, so that its sender can be told.
        .max_message_size(4 * limits.message_bytes)
        .max_frame_size(4 * limits.message_bytes)
        .write_buffer_size(64 << 10)
        .max_write_buffer_size(limits.write_buffer_bytes)
        .on_upgrade(async move |socket| {
            app.metrics.sockets.inc();
            let (sink, stream) = socket.split();
            let end = Client::new(app.clone(), sink).serve(stream).await;
            tracing::debug!(?end, "socket closed");
            app.metrics.sockets.dec();
            drop(place);
        })
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
    sink: SplitSink<WebSocket, Message>,
    frames: StreamMap<String, BroadcastStream<Frames>>,
    views: HashMap<String, ViewKey>,
    pings: u32,
    coalesced: Rate,
    messages: Rate,
}

/// How often something happened in the running period.
#[derive(Debug)]
struct Rate {
    since: Instant,
    count: u32,
}

impl Rate {
    fn new() -> Self {
        Self { since: Instant::now(), count: 0 }
    }

    fn count_in(&mut self, period_s: u64) -> u32 {
        if self.since.elapsed().as_secs() >= period_s {
            *self = Self::new();
        }
        self.count += 1;
        self.count
    }
}

impl Client {
    fn new(app: App, sink: SplitSink<WebSocket, Message>) -> Self {
        let (frames, views) = (StreamMap::new(), HashMap::new());
        Self { app, sink, frames, views, pings: 0, coalesced: Rate::new(), messages: Rate::new() }
    }

    async fn serve(mut self, mut stream: SplitStream<WebSocket>) -> End {
        let end = match self.talk(&mut stream).await {
            Ok(()) => End::Left,
            Err(end) => end,
        };
        self.app.metrics.subscriptions.dec_by(i64::try_from(self.views.len()).unwrap_or_default());
        self.close(&end, &mut stream).await;
        end
    }

    async fn talk(&mut self, stream: &mut SplitStream<WebSocket>) -> Result<(), End> {
        let stop = self.app.stop.clone();
        let mut ping = interval(self.app.limits.ping_every);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                message = stream.next() => match message {
                    Some(Ok(message)) => self.hear(message).await?,
                    Some(Err(_)) | None => return Ok(()),
                },
                Some((id, frames)) = self.frames.next(), if !self.frames.is_empty() => match frames {
                    Ok(frames) => self.send_all(frames.iter().cloned()).await?,
                    Err(BroadcastStreamRecvError::Lagged(_)) => self.coalesce(&id).await?,
                },
                _ = ping.tick() => self.ping().await?,
                () = stop.cancelled() => return Err(End::Stopping),
            }
        }
    }

    async fn hear(&mut self, message: Message) -> Result<(), End> {
        self.pings = 0;
        let text = match message {
            Message::Text(text) => text,
            Message::Binary(_) => return Err(End::Rules("frames are text")),
            Message::Close(_) => return Err(End::Left),
            Message::Ping(_) | Message::Pong(_) => return Ok(()),
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
            Ok(ClientMessage::Ping { id }) => self.send(frame("pong", &id, "{}")).await,
            Err(error) => self.refuse("", &error).await,
        }
    }

    async fn subscribe(&mut self, subscribe: &Subscribe) -> Result<(), End> {
        self.forget(&subscribe.id);
        if self.views.len() >= self.app.limits.subscriptions_per_socket {
            let error = ApiError::too_many("too many subscriptions on one socket");
            return self.refuse(&subscribe.id, &error).await;
        }
        match subscribe.view(&self.app.limits) {
            Ok(view) => self.join(&subscribe.id, view, subscribe.resume.as_ref()).await,
            Err(error) => self.refuse(&subscribe.id, &error).await,
        }
    }

    async fn join(&mut self, id: &str, view: ViewKey, resume: Option<&Sequences>) -> Result<(), End> {
        let now = (now_us(), Instant::now());
        match self.app.hub.subscribe(&self.app.live, &view, id, resume, now) {
            Ok(subscription) => {
                self.app.metrics.subscriptions.inc();
                self.frames.insert(id.to_owned(), BroadcastStream::new(subscription.frames));
                self.views.insert(id.to_owned(), view);
                self.send_all(subscription.first).await
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
        self.write(Message::Ping(Vec::new().into())).await
    }

    async fn refuse(&mut self, id: &str, error: &ApiError) -> Result<(), End> {
        let data = json(&serde_json::json!({"code": error.code, "message": error.message}));
        self.send(frame("error", id, &data)).await
    }

    async fn send_all(&mut self, frames: impl IntoIterator<Item = Utf8Bytes>) -> Result<(), End> {
        for frame in frames {
            self.send(frame).await?;
        }
        Ok(())
    }

    async fn send(&mut self, frame: Utf8Bytes) -> Result<(), End> {
        self.app.metrics.frames.inc();
        self.write(Message::Text(frame)).await
    }

    async fn write(&mut self, message: Message) -> Result<(), End> {
        match timeout(self.app.limits.send_timeout, self.sink.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(End::Left),
            Err(_) => Err(End::TooSlow),
        }
    }

    async fn close(&mut self, end: &End, stream: &mut SplitStream<WebSocket>) {
        let (code, reason) = match end {
            End::Left => return,
            End::TooSlow => (close_code::AGAIN, "too slow; reconnect"),
            End::Rules(reason) => (close_code::POLICY, *reason),
            End::Stopping => (close_code::AWAY, "the server stops; reconnect"),
        };
        if matches!(end, End::TooSlow) {
            self.app.metrics.slow_clients.inc();
        }
        let message = Message::Close(Some(CloseFrame { code, reason: reason.into() }));
        // A client that doesn't read may never take this. What it has sent is read to the end: a connection that
        // is dropped with unread data is reset, and the reason would be lost.
        let farewell = async {
            if self.sink.send(message).await.is_ok() {
                while let Some(Ok(_)) = stream.next().await {}
            }
        };
        let _ = timeout(CLOSE_WITHIN, farewell).await;
    }
}
