//! Every bound of this process, with its reason.

use std::time::Duration;

/// Bounds on memory, time and what a caller may ask for.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Seconds of live state: what the dashboard shows as "now" and a little history.
    pub live_s: u32,
    /// Bytes of live state. Above it the oldest windows go first and answers say from when on they are complete.
    pub live_bytes: usize,
    /// Seconds ahead of our clock that a window may be; shards clamp at 10 minutes.
    pub ahead_s: u32,
    /// Time between two frames of one subscription: 4 updates a second are what eyes can follow.
    pub tick: Duration,
    /// A frame is sent at least this often, so that a reader can tell quiet from dead.
    pub heartbeat: Duration,
    /// Different filters being watched at the same time; each costs one graph a tick.
    pub views: usize,
    /// Different subscription ids among equal filters; each costs a copy of every frame.
    pub ids_per_view: usize,
    /// How long a view without subscribers stays, so that a reconnecting one can resume.
    pub view_linger: Duration,
    /// Bytes of past frames of one view kept for resuming.
    pub resume_bytes: usize,
    /// Flow events of one view passed on in one tick; the rest is counted in the frame.
    pub events_per_tick: usize,
    /// Flow events waiting for the next tick, all views together.
    pub events_waiting: usize,
    /// Ticks a subscriber may be behind before its backlog is replaced by a snapshot.
    pub ticks_behind: usize,
    /// Snapshots in place of backlogs within a minute before a slow subscriber is closed with 1013.
    pub coalesced_per_minute: u32,
    /// Open sockets.
    pub sockets: usize,
    /// Subscriptions of one socket.
    pub subscriptions_per_socket: usize,
    /// Largest message a client may send.
    pub message_bytes: usize,
    /// What is read from a socket at once. Every socket has such a buffer; clients say little.
    pub read_buffer_bytes: usize,
    /// Most that may wait in a socket's own write buffer: answers to pings and the goodbye. Shared frames don't go
    /// through it.
    pub write_buffer_bytes: usize,
    /// How long the frames of one tick may take to leave for a client that doesn't read.
    pub send_timeout: Duration,
    /// How often a silent client is pinged; after two unanswered pings it is dropped.
    pub ping_every: Duration,
    /// Longest text of a filter: names are cut at this length by the shards, so longer ones match nothing.
    pub text_chars: usize,
    /// Longest range of a stored graph in seconds: the retention of the coarsest tier.
    pub range_s: u64,
    /// Rows of one query to ClickHouse.
    pub rows: u32,
    /// Spans of one trace in an answer.
    pub trace_spans: u32,
    /// How long ClickHouse may work on one query.
    pub query_timeout: Duration,
    /// How long one answer may take: a few queries one after the other, each with its wait for a turn.
    pub answer_time: Duration,
    /// Longest body of a request; questions are short texts.
    pub body_bytes: usize,
    /// Longest path with its parameters; what browsers and proxies agree on.
    pub uri_bytes: usize,
    /// Queries to ClickHouse at the same time; others wait for their turn.
    pub queries: usize,
    /// Pages of `/metrics/graph` in the making at the same time, up to 70 MB each; others wait for their turn.
    pub graph_pages: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            live_s: 15 * 60,
            live_bytes: 256 << 20,
            ahead_s: 11 * 60,
            tick: Duration::from_millis(250),
            heartbeat: Duration::from_secs(2),
            views: 256,
            ids_per_view: 1_024,
            view_linger: Duration::from_secs(60),
            resume_bytes: 4 << 20,
            events_per_tick: 50,
            events_waiting: 10_000,
            ticks_behind: 8,
            coalesced_per_minute: 3,
            sockets: 20_000,
            subscriptions_per_socket: 8,
            message_bytes: 16 << 10,
            read_buffer_bytes: 2 << 10,
            write_buffer_bytes: 4 << 10,
            send_timeout: Duration::from_secs(10),
            ping_every: Duration::from_secs(20),
            text_chars: 512,
            range_s: 400 * 86_400,
            rows: 50_000,
            trace_spans: 10_000,
            query_timeout: Duration::from_secs(10),
            answer_time: Duration::from_secs(30),
            body_bytes: 1 << 20,
            uri_bytes: 8 << 10,
            queries: 16,
            graph_pages: 2,
        }
    }
}
