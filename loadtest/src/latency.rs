//! How long a span takes from its departure to a subscriber's socket.

use crate::demo::Targets;
use anyhow::Context;
use clap::Args;
use futures_util::{SinkExt, StreamExt};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, span::SpanKind};
use rand::Rng;
use serde_json::json;
use std::fmt;
use std::time::{Duration, Instant, SystemTime};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use tonic::transport::Channel;

/// Longest wait for one span.
const PATIENCE: Duration = Duration::from_secs(20);

/// What to measure.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct Options {
    /// Spans to send, one after the other.
    #[arg(long, default_value_t = 50)]
    pub probes: u32,
}

/// Times of all probes.
#[derive(Debug)]
pub struct Latencies {
    sorted: Vec<Duration>,
}

impl Latencies {
    /// The `share` quantile, nearest rank.
    fn quantile(&self, share: f64) -> Duration {
        let rank = (share * self.sorted.len() as f64).ceil().max(1.0) as usize;
        self.sorted.get(rank - 1).copied().unwrap_or_default()
    }
}

impl fmt::Display for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |share| self.quantile(share).as_secs_f64() * 1e3;
        write!(
            f,
            "span sent → WebSocket frame, {} probes: p50 {:.0} ms, p99 {:.0} ms, longest {:.0} ms",
            self.sorted.len(),
            ms(0.5),
            ms(0.99),
            ms(1.0)
        )
    }
}

/// Sends one span after the other and waits for each on a subscriber's socket.
///
/// # Errors
/// When ingest or the socket can't be reached, or a span doesn't arrive.
pub async fn run(options: &Options, targets: &Targets) -> anyhow::Result<Latencies> {
    let mut probe = Probe::connect(targets).await?;
    let mut sorted = Vec::new();
    // The first one also waits for whatever has to warm up; it is not counted.
    probe.measure(1).await?;
    for call in 2..options.probes + 2 {
        // Not in step with the processor's commits.
        tokio::time::sleep(Duration::from_millis(rand::rng().random_range(50..450))).await;
        sorted.push(probe.measure(call).await?);
    }
    sorted.sort_unstable();
    Ok(Latencies { sorted })
}

struct Probe {
    otlp: TraceServiceClient<Channel>,
    socket: WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>>,
    /// An environment of this run alone, so that its only edge counts this run's calls.
    environment: String,
}

impl Probe {
    async fn connect(targets: &Targets) -> anyhow::Result<Self> {
        let environment = format!("latency-{:08x}", rand::rng().random::<u32>());
        let otlp = TraceServiceClient::connect(targets.otlp_grpc.clone())
            .await
            .context("ingest can't be reached")?;
        let url = format!("{}/api/v1/live", targets.api.trim_end_matches('/').replacen("http", "ws", 1));
        let (mut socket, _) = tokio_tungstenite::connect_async(&url)
            .await
            .with_context(|| format!("{url} can't be reached"))?;
        let subscribe =
            json!({ "type": "subscribe", "id": "latency", "filters": { "environment": environment } });
        socket.send(Message::text(subscribe.to_string())).await?;
        Ok(Self { otlp, socket, environment })
    }

    /// Time until the edge shows its `call`-th call.
    async fn measure(&mut self, call: u32) -> anyhow::Result<Duration> {
        let sent = Instant::now();
        self.otlp
            .export(request(&self.environment, rand::rng().random_range(1..=u128::MAX))?)
            .await
            .context("the span was not taken")?;
        let shown = format!("\"callCount\":{call},");
        let arrived = async {
            while let Some(frame) = self.socket.next().await {
                if frame?.to_text().is_ok_and(|text| text.contains(&shown)) {
                    return Ok(());
                }
            }
            anyhow::bail!("the socket was closed")
        };
        tokio::time::timeout(PATIENCE, arrived).await.context("the span did not arrive in 20 s")??;
        Ok(sent.elapsed())
    }
}

/// One SERVER span, alone in its trace, that ends now: it is a call as soon as it is seen, and names its operation.
///
/// # Errors
/// The clock stands before 1970.
pub fn request(environment: &str, trace_id: u128) -> anyhow::Result<ExportTraceServiceRequest> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let now_ns = u64::try_from(now.as_nanos())?;
    let span = Span {
        trace_id: trace_id.to_be_bytes().to_vec(),
        span_id: rand::rng().random_range(1..=u64::MAX).to_be_bytes().to_vec(),
        name: "probe".into(),
        kind: SpanKind::Server as i32,
        start_time_unix_nano: now_ns - 1_000_000,
        end_time_unix_nano: now_ns,
        attributes: vec![text("weir.operation", "latency")],
        ..Span::default()
    };
    let attributes =
        vec![text("service.name", "latency-probe"), text("deployment.environment.name", environment)];
    Ok(ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource { attributes, ..Resource::default() }),
            scope_spans: vec![ScopeSpans { spans: vec![span], ..ScopeSpans::default() }],
            ..ResourceSpans::default()
        }],
    })
}

fn text(key: &str, value: &str) -> KeyValue {
    let value = AnyValue { value: Some(any_value::Value::StringValue(value.into())) };
    KeyValue { key: key.into(), value: Some(value), ..KeyValue::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_nearest_ranks() {
        let latencies = Latencies { sorted: (1..=100).map(Duration::from_millis).collect() };
        assert_eq!(latencies.quantile(0.5), Duration::from_millis(50));
        assert_eq!(latencies.quantile(0.99), Duration::from_millis(99));
        assert_eq!(latencies.quantile(1.0), Duration::from_millis(100));
    }
}
