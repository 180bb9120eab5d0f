//! A view's frames as a stream of values, for those who don't speak the WebSocket's protocol.

use crate::App;
use crate::error::ApiError;
use crate::hub::{Batch, Subscription, ViewKey};
use crate::live::feed::now_us;
use crate::live::shards::Sequences;
use crate::socket::Rate;
use futures_util::{Stream, StreamExt, stream};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::VecDeque;
use std::time::Instant;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

/// All of them have this id, so that they share their frames.
const ID: &str = "stream";

/// `snapshot`, `graph_delta`, `flow_start`, … with its data.
#[derive(Debug, Deserialize)]
pub struct Frame {
    /// The frame's type.
    #[serde(rename = "type")]
    pub kind: String,
    /// The frame's data.
    pub data: Box<RawValue>,
}

struct Subscriber {
    app: App,
    view: ViewKey,
    waiting: VecDeque<Frame>,
    frames: Receiver<Batch>,
    coalesced: Rate,
    _place: OwnedSemaphorePermit,
}

/// The frames of a view, from now on or from a point of resuming, until this process stops or the reader is too slow.
/// They hold `place`, which bounds how many such streams there are.
///
/// # Errors
/// A bound on views is reached.
pub fn frames(
    app: App,
    view: ViewKey,
    resume: Option<&Sequences>,
    place: OwnedSemaphorePermit,
) -> Result<impl Stream<Item = Frame> + Send + use<>, ApiError> {
    let Subscription { first, frames } = join(&app, &view, resume)?;
    let stopped = app.stop.clone().cancelled_owned();
    let waiting = read(&first).collect();
    let subscriber = Subscriber { app, view, waiting, frames, coalesced: Rate::new(), _place: place };
    let frames = stream::unfold(subscriber, async |mut subscriber| {
        let frame = subscriber.next().await?;
        Some((frame, subscriber))
    });
    Ok(frames.take_until(stopped))
}

fn join(app: &App, view: &ViewKey, resume: Option<&Sequences>) -> Result<Subscription, ApiError> {
    app.hub.subscribe(&app.live, view, ID, resume, || (now_us(), Instant::now()))
}

/// Every text of a batch is a frame that this process has made.
fn read(batch: &Batch) -> impl Iterator<Item = Frame> {
    batch.texts().filter_map(|text| serde_json::from_slice(text).ok())
}

impl Subscriber {
    async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.waiting.pop_front() {
                self.app.metrics.frames.inc();
                return Some(frame);
            }
            match self.frames.recv().await {
                Ok(batch) => self.waiting.extend(read(&batch)),
                Err(RecvError::Lagged(_)) => self.coalesce()?,
                Err(RecvError::Closed) => return None,
            }
        }
    }

    /// The reader has missed frames: it gets a snapshot in place of the rest, unless that happens again and again.
    fn coalesce(&mut self) -> Option<()> {
        self.app.metrics.coalesced.inc();
        if self.coalesced.count_in(60) > self.app.limits.coalesced_per_minute {
            self.app.metrics.slow_clients.inc();
            return None;
        }
        let Subscription { first, frames } = join(&self.app, &self.view, None).ok()?;
        self.waiting = read(&first).collect();
        self.frames = frames;
        Some(())
    }
}
