//! The subscribers: a process of its own with one thread, so that they take no time from the server.
//!
//! It says when it begins to count, which is after everybody has a snapshot, when it is over, and then what it saw.

use crate::commits::operation;
use crate::frame::{Event, Frames, PONG, number, to_server};
use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::LocalSet;

/// Handshakes at a time: more than a listener's queue would be sent again a second later.
const HANDSHAKES: usize = 256;
/// Of a frame everything before the graph is looked at, and no more.
const HEAD_BYTES: usize = 1_024;
/// What a read may bring.
const READ_BYTES: usize = 256 << 10;
const READY_WITHIN: Duration = Duration::from_secs(120);
/// After this the first snapshots are history.
const SETTLE: Duration = Duration::from_secs(3);
/// For so long the subscribers sleep before they look again. A server whose subscribers are elsewhere wakes nobody when
/// it sends; here it would, ten thousand times, and it would be a third of its CPU time.
const NAP: Duration = Duration::from_millis(1);
/// Frames that left before the end of the measurement may come until then.
const STRAGGLERS: Duration = Duration::from_secs(3);

/// Whom to ask for what.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Wishes {
    pub server: SocketAddr,
    pub subscribers: usize,
    /// Different filters, each of one operation.
    pub groups: usize,
    pub seconds: u64,
}

/// What the subscribers saw of the graph deltas that the server made in the time of the measurement.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Seen {
    /// From the first handshake until everybody had a snapshot.
    pub connected_s: f64,
    pub frames: u64,
    pub bytes: u64,
    /// From the moment for which the server took the numbers until a subscriber had the frame …
    pub delivery_ms: Quantiles,
    /// … and from the moment in which the commit was written to Kafka.
    pub since_commit_ms: Quantiles,
    /// Frames that others of the same filter got and somebody did not.
    pub missed: u64,
    /// Snapshots in place of a backlog.
    pub snapshots: u64,
    /// Sockets that the server closed.
    pub closed: u64,
}

/// Of many values, nearest ranks.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Quantiles {
    pub p50: f64,
    pub p99: f64,
    pub most: f64,
}

impl Quantiles {
    /// Of µs, in ms.
    pub fn of(mut values_us: Vec<i64>) -> Self {
        values_us.sort_unstable();
        let at = |share: f64| {
            let rank = (share * values_us.len() as f64).ceil().max(1.0) as usize;
            values_us.get(rank - 1).copied().unwrap_or_default() as f64 / 1e3
        };
        Self { p50: at(0.5), p99: at(0.99), most: at(1.0) }
    }
}

/// Connects, listens, and answers with what was seen.
pub fn run(wishes: &Wishes) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(LocalSet::new().run_until(listen(wishes)))
}

async fn listen(wishes: &Wishes) -> anyhow::Result<()> {
    tokio::task::spawn_local(nap());
    let (began, audience) = (Instant::now(), Rc::new(Audience::default()));
    let handshakes = Rc::new(Semaphore::new(HANDSHAKES));
    for number in 0..wishes.subscribers {
        let group = number % wishes.groups;
        let (audience, handshakes, server) = (audience.clone(), handshakes.clone(), wishes.server);
        tokio::task::spawn_local(async move {
            let socket = {
                let _turn = handshakes.acquire().await;
                subscribe(server, group).await
            };
            let ended = match socket {
                Ok(socket) => hear(socket, group, &audience).await,
                Err(error) => Err(error),
            };
            audience.closed.set(audience.closed.get() + 1);
            if let Err(error) = ended {
                eprintln!("a subscriber: {error:#}");
            }
        });
    }
    while audience.connected.get() < wishes.subscribers {
        ensure!(began.elapsed() < READY_WITHIN, "{} subscribers have a frame", audience.connected.get());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let connected_s = began.elapsed().as_secs_f64();
    tokio::time::sleep(SETTLE).await;
    println!("measured from here");
    let from_us = now_us();
    audience.count_from_us.set(from_us);
    tokio::time::sleep(Duration::from_secs(wishes.seconds)).await;
    println!("to here");
    tokio::time::sleep(STRAGGLERS).await;
    let to_us = from_us + i64::try_from(wishes.seconds)? * 1_000_000;
    let seen = Seen { connected_s, ..audience.seen(wishes, to_us) };
    println!("{}", serde_json::to_string(&seen)?);
    Ok(())
}

/// Takes the thread away from those who wait, so that nobody waits in the kernel.
pub async fn nap() {
    loop {
        std::thread::sleep(NAP);
        tokio::task::yield_now().await;
    }
}

/// What all subscribers together have heard; they share one thread.
#[derive(Default)]
struct Audience {
    connected: Cell<usize>,
    closed: Cell<u64>,
    snapshots: Cell<u64>,
    /// Frames of earlier times don't count; none do before the start.
    count_from_us: Cell<i64>,
    deltas: RefCell<Vec<Delta>>,
}

/// A frame that somebody has.
struct Delta {
    group: usize,
    as_of_us: i64,
    commit_us: i64,
    heard_us: i64,
    bytes: usize,
}

impl Audience {
    fn hear(&self, group: usize, head: &[u8], bytes: usize) {
        let heard_us = now_us();
        if head.starts_with(b"{\"type\":\"snapshot\"") {
            self.snapshots.set(self.snapshots.get() + u64::from(self.is_counting()));
        } else if self.is_counting() && head.starts_with(b"{\"type\":\"graph_delta\"") {
            let (Some(as_of_us), Some(commit_us)) = (number(head, "\"asOf\":"), number(head, "\"clock\":"))
            else {
                return;
            };
            if as_of_us >= self.count_from_us.get() {
                self.deltas.borrow_mut().push(Delta { group, as_of_us, commit_us, heard_us, bytes });
            }
        }
    }

    fn is_counting(&self) -> bool {
        self.count_from_us.get() > 0
    }

    fn seen(&self, wishes: &Wishes, to_us: i64) -> Seen {
        let mut deltas = self.deltas.take();
        deltas.retain(|delta| delta.as_of_us < to_us);
        let mut heard: HashMap<(usize, i64), usize> = HashMap::new();
        for delta in &deltas {
            *heard.entry((delta.group, delta.as_of_us)).or_default() += 1;
        }
        let listeners = |group: usize| (wishes.subscribers + wishes.groups - 1 - group) / wishes.groups;
        let missed = heard.iter().map(|((group, _), by)| listeners(*group).saturating_sub(*by) as u64).sum();
        Seen {
            connected_s: 0.0,
            frames: deltas.len() as u64,
            bytes: deltas.iter().map(|delta| delta.bytes as u64).sum(),
            delivery_ms: Quantiles::of(deltas.iter().map(|delta| delta.heard_us - delta.as_of_us).collect()),
            since_commit_ms: Quantiles::of(
                deltas.iter().map(|delta| delta.heard_us - delta.commit_us).collect(),
            ),
            missed,
            snapshots: self.snapshots.get(),
            closed: self.closed.get(),
        }
    }
}

/// Opens a socket and says what it wants to hear.
pub async fn subscribe(server: SocketAddr, group: usize) -> anyhow::Result<TcpStream> {
    let filters = serde_json::json!({ "operation": operation(group), "window": "1m", "events": false });
    open(server, &filters).await
}

/// Opens a socket with one subscription.
pub async fn open(server: SocketAddr, filters: &serde_json::Value) -> anyhow::Result<TcpStream> {
    let mut socket = TcpStream::connect(server).await.context("the server can't be reached")?;
    let handshake = format!(
        "GET /api/v1/live HTTP/1.1\r\nhost: {server}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    socket.write_all(handshake.as_bytes()).await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        // Byte by byte, since what follows belongs to the first frame; only the handshake is that slow.
        answer.push(socket.read_u8().await.context("the handshake was cut off")?);
    }
    ensure!(answer.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&answer));
    say(&socket, &subscription(filters)).await?;
    Ok(socket)
}

/// The message that asks for a subscription, or for other filters of the one that is there.
pub fn subscription(filters: &serde_json::Value) -> Vec<u8> {
    to_server(&serde_json::json!({ "type": "subscribe", "filters": filters }).to_string())
}

async fn hear(socket: TcpStream, group: usize, audience: &Audience) -> anyhow::Result<()> {
    let mut is_first = true;
    listen_to(&socket, HEAD_BYTES, |head, bytes| {
        if is_first {
            ensure!(head.starts_with(b"{\"type\":\"snapshot\""), "{}", String::from_utf8_lossy(head));
            audience.connected.set(audience.connected.get() + 1);
        } else {
            audience.hear(group, head, bytes);
        }
        is_first = false;
        Ok(())
    })
    .await
}

thread_local! {
    /// One for all sockets: ten thousand of their own would be out of every cache.
    static ROOM: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

/// Tells of each message of a socket, until it ends.
pub async fn listen_to(
    socket: &TcpStream,
    head_bytes: usize,
    mut tell: impl FnMut(&[u8], usize) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut frames = Frames::keeping(head_bytes);
    loop {
        socket.readable().await?;
        let (mut is_pinged, mut result) = (false, Ok(()));
        let is_over = ROOM.with_borrow_mut(|room| match socket.try_read(room) {
            Ok(0) => Ok(true),
            Ok(read) => {
                let mut is_over = false;
                frames.read(&room[..read], |event| match event {
                    Event::Message { head, bytes } if result.is_ok() => result = tell(head, bytes),
                    Event::Message { .. } => {}
                    Event::Ping => is_pinged = true,
                    Event::Close => is_over = true,
                });
                Ok(is_over)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        })?;
        result?;
        if is_over {
            return Ok(());
        }
        if is_pinged {
            say(socket, &PONG).await?;
        }
    }
}

/// Sends a few bytes while somebody else listens.
pub async fn say(socket: &TcpStream, bytes: &[u8]) -> anyhow::Result<()> {
    loop {
        socket.writable().await?;
        match socket.try_write(bytes) {
            Ok(written) => {
                ensure!(written == bytes.len(), "the server reads nothing");
                return Ok(());
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// µs since the epoch.
pub fn now_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_misses_a_frame_is_found_by_those_who_have_it() {
        let audience = Audience::default();
        audience.count_from_us.set(1);
        let frame =
            |as_of: i64| format!("{{\"type\":\"graph_delta\",\"asOf\":{as_of},\"clock\":{}}}", as_of - 5);
        for (group, as_of) in [(0, 7), (0, 7), (0, 8), (1, 7)] {
            audience.hear(group, frame(as_of).as_bytes(), 100);
        }
        let wishes = Wishes { server: ([127, 0, 0, 1], 1).into(), subscribers: 3, groups: 2, seconds: 1 };
        let seen = audience.seen(&wishes, 1_000);
        assert_eq!((seen.frames, seen.bytes, seen.missed), (4, 400, 1));
    }

    #[test]
    fn quantiles_are_nearest_ranks() {
        let Quantiles { p50, p99, most } = Quantiles::of((1..=200).map(|ms| ms * 1_000).collect());
        assert_eq!((p50, p99, most), (100.0, 198.0, 200.0));
    }
}
