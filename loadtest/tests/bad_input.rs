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
    let options = Options { traffic, metrics: Vec::new() };
    let (outcomes, _, report) = bad_input::run(options, targets, CancellationToken::new()).await.unwrap();
    for outcome in &outcomes {
        assert!(outcome.proper, "{}: {}", outcome.case, outcome.answer);
    }
    assert!(report.is_equal(), "{report}");
}
