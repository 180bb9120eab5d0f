//! What should never arrive is refused or counted by name, and disturbs nothing else.
#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

use loadtest::bad_input::{self, Options};
use loadtest::demo::{self, Targets};
use process::{ClickHouseOptions, KafkaOptions};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The running Weir that `tools/with-servers` provides.
fn targets() -> Result<Targets, std::env::VarError> {
    Ok(Targets {
        otlp_grpc: std::env::var("WEIR_TEST_GRPC")?,
        otlp_http: std::env::var("WEIR_TEST_HTTP")?,
        api: std::env::var("WEIR_TEST_API")?,
        clickhouse: ClickHouseOptions::local(std::env::var("WEIR_TEST_CLICKHOUSE")?),
        kafka: KafkaOptions::plaintext(std::env::var("WEIR_TEST_KAFKA")?),
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn normal_traffic_is_counted_exactly_beside_bad_input() {
    let Ok(targets) = targets() else {
        println!("skipped: bad input: no running Weir (tools/with-servers starts one)");
        return;
    };
    let traffic = demo::Options {
        run_for: Some(Duration::from_secs(15)),
        rate: 10.0,
        seed: None,
        export_interval: Duration::from_millis(500),
    };
    let metrics: Vec<String> =
        std::env::var("WEIR_TEST_METRICS").unwrap().split(',').map(str::to_owned).collect();
    let options = Options { traffic, metrics: metrics.clone() };
    let (outcomes, moved, report) = bad_input::run(options, targets, CancellationToken::new()).await.unwrap();
    for outcome in &outcomes {
        assert!(outcome.proper, "{}: {}", outcome.case, outcome.answer);
    }
    assert!(report.is_equal(), "{report}");
    for name in COUNTED {
        assert!(moved.iter().any(|line| line.contains(name)), "{name} did not move: {moved:#?}");
    }
    let memory = resident_bytes(&metrics[0]).await;
    assert!(memory < MOST_MEMORY_BYTES, "{memory} bytes in use");
}

/// Each kind of bad input is counted under a name of its own.
const COUNTED: [&str; 10] = [
    "zero_trace_id",
    "zero_span_id",
    "self_parent",
    "negative_duration",
    "cycle",
    "time_clamped",
    "span_over_trace_limit",
    "overflowed",
    "dead_letters",
    "too_large",
];

/// All roles of Weir in one process, in a build without optimisation, after everything above: far below what the
/// input would take if anything kept it.
const MOST_MEMORY_BYTES: f64 = 2e9;

async fn resident_bytes(metrics: &str) -> f64 {
    let page = reqwest::get(metrics).await.unwrap().text().await.unwrap();
    let line = page.lines().find_map(|line| line.strip_prefix("process_resident_memory_bytes "));
    line.expect("a process tells its memory").parse().unwrap()
}
