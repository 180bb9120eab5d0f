//! The demo: the workload told in real time, so that the page moves.

use crate::sender::{Counters, Endpoints, Sender, Settings};
use crate::truth::Truth;
use crate::workload::{Span, Workload};
use anyhow::Context;
use clap::Args;
use std::collections::BTreeMap;
use std::iter::Peekable;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio_util::sync::CancellationToken;

/// Spans that wait for their moment; beyond that the workload pauses. At the demo's rate there are some thousands.
const MAX_WAITING: usize = 1_000_000;
/// How often the workload looks at the clock.
const TICK: Duration = Duration::from_millis(25);
/// How often it says how it goes.
const PROGRESS: Duration = Duration::from_secs(10);

/// What to send.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct Options {
    /// How long new flows are started, such as `60s`, `5m`; without it until Ctrl-C. Late spans follow for up to a
    /// minute after that.
    #[arg(long = "for", value_name = "TIME", value_parser = duration, env = "WEIR_FOR")]
    pub run_for: Option<Duration>,
    /// Flows started a second, on average.
    #[arg(long, default_value_t = 20.0, value_parser = rate, env = "WEIR_RATE")]
    pub rate: f64,
    /// Tells the same flows again, ids included; without it every run tells its own. A seed belongs to one data
    /// directory once: its traces would be counted as re-deliveries the second time.
    #[arg(long, env = "WEIR_SEED")]
    pub seed: Option<u64>,
    /// Time between two exports of one simulated process.
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "500ms", env = "WEIR_EXPORT_INTERVAL")]
    pub export_interval: Duration,
}

/// Where a running Weir listens.
#[derive(Clone, Debug)]
pub struct Targets {
    /// OTLP/gRPC, `http://127.0.0.1:4317`.
    pub otlp_grpc: String,
    /// OTLP/HTTP without path, `http://127.0.0.1:4318`.
    pub otlp_http: String,
    /// query-api without path, `http://127.0.0.1:8080`.
    pub api: String,
    /// ClickHouse.
    pub clickhouse: process::ClickHouseOptions,
    /// Kafka.
    pub kafka: process::KafkaOptions,
}

impl Targets {
    /// Its OTLP endpoints alone.
    pub fn endpoints(&self) -> Endpoints {
        Endpoints { grpc: self.otlp_grpc.clone(), http: self.otlp_http.clone() }
    }
}

/// Whether somebody takes OTLP there: an exporter that finds nobody would try for minutes.
///
/// # Errors
/// Nobody answers an empty request as the OTLP specification says.
pub async fn reachable(targets: &Targets) -> anyhow::Result<()> {
    let url = format!("{}/v1/traces", targets.otlp_http.trim_end_matches('/'));
    let client = reqwest::Client::builder().no_proxy().build()?;
    let request = client.post(&url).header("content-type", "application/x-protobuf");
    let response = request.send().await.with_context(|| format!("nobody takes spans at {url}"))?;
    anyhow::ensure!(response.status().is_success(), "{url} answers {}", response.status());
    Ok(())
}

/// Sends the workload until its time is over or `stop` says so, then what is still waiting: on time after
/// `--for`, at once after a stop. Answers with what all of it should count.
///
/// # Errors
/// When an endpoint is no address.
pub async fn run_demo(options: Options, targets: Targets, stop: CancellationToken) -> anyhow::Result<Truth> {
    let settings = Settings { interval: options.export_interval, ..Settings::default() };
    let ends = CancellationToken::new();
    Ok(run_until(ends, options, settings, &targets.endpoints(), stop).await?.truth)
}

/// What was sent.
pub struct Told {
    /// What it should count.
    pub truth: Truth,
    /// What became of its exports.
    pub counters: Arc<Counters>,
}

/// As [`run_demo`] with exporters that behave as `settings` say. When `ends` is cancelled no more flows are begun,
/// and what is waiting is still sent on time.
///
/// # Errors
/// When an endpoint is no address.
pub async fn run_until(
    ends: CancellationToken,
    options: Options,
    settings: Settings,
    endpoints: &Endpoints,
    stop: CancellationToken,
) -> anyhow::Result<Told> {
    let seed = options.seed.unwrap_or_else(seed_from_clock);
    let epoch_us = unix_us(SystemTime::now());
    let sender = Sender::start(endpoints, &settings, epoch_us, &stop)?;
    tracing::info!(seed, rate = options.rate, "the workload starts");
    let mut run = Run {
        workload: Workload::new(seed, options.rate).peekable(),
        ends_us: options.run_for.map_or(i64::MAX, |time| time.as_micros() as i64),
        epoch_us,
        waiting: Waiting::default(),
        truth: Truth::default(),
    };
    run.tell(&sender, &ends, &stop).await;
    let counters = sender.finish().await;
    let (acknowledged, duplicated, lost) = counters.read();
    tracing::info!(
        flows = run.flows(),
        spans = run.truth.spans,
        acknowledged,
        duplicated,
        lost,
        "the workload ends"
    );
    run.truth.lost = lost;
    Ok(Told { truth: run.truth, counters })
}

/// A run in progress.
struct Run {
    workload: Peekable<Workload>,
    ends_us: i64,
    epoch_us: i64,
    waiting: Waiting,
    truth: Truth,
}

/// Spans by the moment they are handed to their exporter.
#[derive(Default)]
struct Waiting {
    by_due: BTreeMap<(i64, u128, u64), Span>,
}

impl Run {
    async fn tell(&mut self, sender: &Sender, ends: &CancellationToken, stop: &CancellationToken) {
        let mut tick = tokio::time::interval(TICK);
        let mut progress = tokio::time::interval(PROGRESS);
        progress.tick().await;
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                _ = progress.tick() => self.report(sender),
                () = stop.cancelled() => break,
            }
            let now_us = unix_us(SystemTime::now()) - self.epoch_us;
            if ends.is_cancelled() {
                self.ends_us = self.ends_us.min(now_us);
            }
            self.begin_flows(now_us.min(self.ends_us));
            for span in self.waiting.due(now_us) {
                sender.send(span).await;
            }
            if now_us >= self.ends_us && self.waiting.by_due.is_empty() {
                return;
            }
        }
        for span in self.waiting.due(i64::MAX) {
            sender.send(span).await;
        }
    }

    /// Starts every flow whose moment has come.
    fn begin_flows(&mut self, until_us: i64) {
        while self.waiting.by_due.len() < MAX_WAITING {
            let Some(flow) = self.workload.next_if(|flow| flow.told_us <= until_us) else { return };
            self.truth.add(&flow, self.epoch_us);
            for span in flow.spans {
                self.waiting.by_due.insert((span.due_us, span.trace_id, span.span_id), span);
            }
        }
    }

    fn report(&self, sender: &Sender) {
        let (acknowledged, _, lost) = sender.counters().read();
        tracing::info!(
            flows = self.flows(),
            acknowledged,
            lost,
            waiting = self.waiting.by_due.len(),
            "sending"
        );
    }

    fn flows(&self) -> i64 {
        self.truth.operations.values().map(|counts| counts.flows).sum()
    }
}

impl Waiting {
    /// Takes what is due at `now_us`, in order.
    fn due(&mut self, now_us: i64) -> Vec<Span> {
        let later = self.by_due.split_off(&(now_us.saturating_add(1), 0, 0));
        std::mem::replace(&mut self.by_due, later).into_values().collect()
    }
}

fn seed_from_clock() -> u64 {
    unix_us(SystemTime::now()).unsigned_abs()
}

fn unix_us(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64)
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "a number of flows a second is expected".to_owned())?;
    if rate > 0.0 && rate <= 10_000.0 {
        Ok(rate)
    } else {
        Err("between 0 and 10,000 flows a second".to_owned())
    }
}

/// `90`, `90s`, `500ms`, `5m`, `2h`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| "a time such as 60s, 5m or 500ms is expected".to_owned())?;
    match unit {
        "ms" => Ok(Duration::from_millis(number)),
        "s" | "" => Ok(Duration::from_secs(number)),
        "m" => Ok(Duration::from_secs(number * 60)),
        "h" => Ok(Duration::from_secs(number * 3_600)),
        _ => Err(format!("unknown unit `{unit}`: ms, s, m or h")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_their_units() {
        assert_eq!(duration("60s"), Ok(Duration::from_secs(60)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("5m"), Ok(Duration::from_secs(300)));
        assert_eq!(duration("7"), Ok(Duration::from_secs(7)));
        assert!(duration("soon").is_err() && duration("5 years").is_err());
    }

    #[test]
    fn spans_leave_when_they_are_due_and_in_order() {
        let mut run = Run {
            workload: Workload::new(3, 50.0).peekable(),
            ends_us: 2_000_000,
            epoch_us: 1_000_000_000,
            waiting: Waiting::default(),
            truth: Truth::default(),
        };
        run.begin_flows(2_000_000);
        let all = run.waiting.by_due.len();
        let early = run.waiting.due(1_000_000);
        assert!(early.iter().all(|span| span.due_us <= 1_000_000));
        assert!(early.is_sorted_by_key(|span| span.due_us));
        let rest = run.waiting.due(i64::MAX);
        assert!(rest.iter().all(|span| span.due_us > 1_000_000));
        assert_eq!((early.len() + rest.len()) as u64, run.truth.spans);
        assert_eq!(all as u64, run.truth.spans);
    }
}
