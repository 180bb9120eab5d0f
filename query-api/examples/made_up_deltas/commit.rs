//! One commit of one shard in the making: made-up flows and the calls they consist of.

use schemas::v1::{
    EdgeDelta, FlowDeltas, FlowEvent, FlowEventKind, FlowStatus, FlowTrace, Histogram, Node, NodeKind,
    OperationDelta, ServiceDelta,
};
use std::time::{SystemTime, UNIX_EPOCH};

/// What a flow does.
pub type Calls = &'static [Call];
/// Caller, callee, calls a flow, median µs, errors in a thousand.
pub type Call = (&'static str, &'static str, f64, u64, u64);

/// What one shard says at once.
pub struct Commit {
    /// For `flow_deltas`.
    pub message: FlowDeltas,
    /// For `flow_events`.
    pub events: Vec<FlowEvent>,
    now_us: i64,
}

impl Commit {
    /// Nothing yet. The shard's log time is 200 ms ago.
    pub fn new(shard: u32, seq: u64) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::at(shard, seq, i64::try_from(since.as_micros()).unwrap_or_default())
    }

    /// As if it were that time now, in µs since the epoch.
    pub fn at(shard: u32, seq: u64, now_us: i64) -> Self {
        let strings = ["", "production", "console"].map(str::to_owned).to_vec();
        let message =
            FlowDeltas { shard, seq, parts: 1, clock_us: now_us - 200_000, strings, ..FlowDeltas::default() };
        Self { message, events: Vec::new(), now_us }
    }

    /// About `mean` flows of an operation, with all their calls.
    pub fn flows(&mut self, operation: &str, mean: f64, calls: Calls, random: &mut Random) {
        let flows = random.about(mean);
        if flows == 0 {
            return;
        }
        for call in calls {
            self.call(operation, call, flows, random);
        }
        self.flow(operation, flows, calls[0], random);
    }

    fn call(
        &mut self,
        operation: &str,
        &(client, server, each, median_us, errors): &Call,
        flows: i64,
        random: &mut Random,
    ) {
        let calls = random.about(flows as f64 * each).max(0);
        if calls == 0 {
            return;
        }
        let failed = (0..calls).filter(|_| random.below(1_000) < errors).count() as i64;
        let latency = random.latencies(calls, median_us);
        let server_is_service = kind(server) == NodeKind::Service;
        let edge = EdgeDelta {
            environment: 1,
            operation: self.text(operation),
            client: self.node(client),
            server: self.node(server),
            window_s: self.window_s(),
            weight_milli: 1_000,
            calls,
            errors: failed,
            retries: if each > 1.1 && each < 1.5 { failed } else { 0 },
            rejected: if errors > 60 { failed / 2 } else { 0 },
            timeouts: i64::from(errors > 10 && failed > 0 && random.below(4) == 0),
            paired: if server_is_service { calls } else { 0 },
            callee_latency: server_is_service.then(|| latency.clone()),
            caller_latency: Some(latency.clone()),
            ..EdgeDelta::default()
        };
        if server_is_service {
            self.message.services.push(ServiceDelta {
                environment: 1,
                operation: edge.operation,
                node: edge.server,
                window_s: edge.window_s,
                weight_milli: 1_000,
                requests: calls,
                errors: failed,
                latency: Some(latency),
                ..ServiceDelta::default()
            });
        }
        self.message.edges.push(edge);
    }

    fn flow(&mut self, operation: &str, flows: i64, (_, _, _, median_us, errors): Call, random: &mut Random) {
        let failed = (0..flows).filter(|_| random.below(1_000) < errors).count() as i64;
        let name = self.text(operation);
        self.message.operations.push(OperationDelta {
            environment: 1,
            operation: name,
            window_s: self.window_s(),
            weight_milli: 1_000,
            flows,
            errors: failed,
            duration: Some(random.latencies(flows, median_us)),
            ..OperationDelta::default()
        });
        let id = (u128::from(random.next()) << 64 | u128::from(random.next())).to_be_bytes();
        let summary = FlowTrace { duration_us: median_us.cast_signed(), ..FlowTrace::default() };
        self.events.push(FlowEvent {
            kind: FlowEventKind::Complete.into(),
            trace_id: id.to_vec(),
            environment: "production".to_owned(),
            operation: operation.to_owned(),
            status: if failed > 0 { FlowStatus::Error } else { FlowStatus::Success }.into(),
            progress: 100,
            parts: 1,
            summary: Some(summary),
            ..FlowEvent::default()
        });
    }

    fn window_s(&self) -> u32 {
        u32::try_from(self.now_us / 1_000_000).unwrap_or_default()
    }

    fn text(&mut self, text: &str) -> u32 {
        let strings = &mut self.message.strings;
        let at = strings.iter().position(|known| known == text).unwrap_or_else(|| {
            strings.push(text.to_owned());
            strings.len() - 1
        });
        u32::try_from(at).unwrap_or_default()
    }

    fn node(&mut self, name: &str) -> u32 {
        let kind = kind(name);
        let namespace = if kind == NodeKind::Service { 2 } else { 0 };
        let node = Node { cluster: 0, namespace, name: self.text(name), kind: kind.into() };
        let nodes = &mut self.message.nodes;
        let at = nodes.iter().position(|known| *known == node).unwrap_or_else(|| {
            nodes.push(node);
            nodes.len() - 1
        });
        u32::try_from(at).unwrap_or_default()
    }
}

fn kind(name: &str) -> NodeKind {
    match name {
        "browser" => NodeKind::Client,
        "postgresql" | "redis" => NodeKind::Database,
        "kafka:vm-events" => NodeKind::Topic,
        "payments.example.com" => NodeKind::External,
        _ => NodeKind::Service,
    }
}

/// xorshift64*: good enough to look alive.
pub struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// A whole number near `mean`, whose mean it is.
    fn about(&mut self, mean: f64) -> i64 {
        (mean * (0.7 + self.below(600) as f64 / 1_000.0) + self.below(1_000) as f64 / 1_000.0).floor() as i64
    }

    fn latencies(&mut self, values: i64, median_us: u64) -> Histogram {
        let mut buckets = std::collections::BTreeMap::new();
        let mut sum_us = 0;
        for _ in 0..values {
            let tail = if self.below(20) == 0 { 2 + self.below(3) } else { 1 };
            let value_us = (median_us * (60 + self.below(80)) / 100 * tail).max(1);
            *buckets.entry(bucket(value_us)).or_insert(0) += 1;
            sum_us += value_us.cast_signed();
        }
        Histogram {
            bucket: buckets.keys().copied().collect(),
            count: buckets.values().copied().collect(),
            sum_us,
        }
    }
}

fn bucket(value_us: u64) -> u32 {
    if value_us < 256 {
        return value_us as u32;
    }
    let exponent = value_us.ilog2() - 7;
    exponent * 128 + (value_us >> exponent) as u32
}
