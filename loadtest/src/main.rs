//! `loadtest`: the workload with known truth against any running Weir.

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use loadtest::demo::{self, Targets};
use loadtest::truth::Truth;
use loadtest::{bad_input, latency, verify};
use std::path::PathBuf;

/// Sends traffic whose right counts are known to a running Weir, and compares.
#[derive(Parser)]
#[command(version)]
struct Command {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Send the workload; write down what it should count.
    Send {
        #[command(flatten)]
        workload: demo::Options,
        #[command(flatten)]
        to: To,
        /// File for the truth, as JSON.
        #[arg(long, value_name = "FILE", default_value = "truth.json")]
        truth: PathBuf,
    },
    /// Compare ClickHouse, the topics and the API with a written truth; exit 1 on any difference.
    Verify {
        #[command(flatten)]
        to: To,
        /// File that `send` wrote.
        #[arg(long, value_name = "FILE", default_value = "truth.json")]
        truth: PathBuf,
    },
    /// Measure the time from a span's departure to its arrival on a WebSocket subscriber.
    Latency {
        #[command(flatten)]
        options: latency::Options,
        #[command(flatten)]
        to: To,
    },
    /// Send everything that should never arrive, with normal traffic beside it; exit 1 if that was disturbed.
    BadInput {
        #[command(flatten)]
        options: bad_input::Options,
        #[command(flatten)]
        to: To,
    },
}

/// Where Weir listens.
#[derive(Args, Clone)]
struct To {
    /// OTLP/gRPC endpoint.
    #[arg(long, env = "WEIR_OTLP_GRPC", value_name = "URL", default_value = "http://127.0.0.1:4317")]
    otlp_grpc: String,
    /// OTLP/HTTP endpoint, without path.
    #[arg(long, env = "WEIR_OTLP_HTTP", value_name = "URL", default_value = "http://127.0.0.1:4318")]
    otlp_http: String,
    /// query-api, without path.
    #[arg(long, env = "WEIR_API", value_name = "URL", default_value = "http://127.0.0.1:8080")]
    api: String,
    #[command(flatten)]
    clickhouse: process::ClickHouseOptions,
    #[command(flatten)]
    kafka: process::KafkaOptions,
}

impl From<To> for Targets {
    fn from(to: To) -> Self {
        let To { otlp_grpc, otlp_http, api, clickhouse, kafka } = to;
        Self { otlp_grpc, otlp_http, api, clickhouse, kafka }
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let command: Command = process::parse();
    process::init_logging("loadtest");
    let stop = process::stop_on_signal();
    let all_well = match command.task {
        Task::Send { workload, to, truth: file } => {
            let targets = to.into();
            demo::reachable(&targets).await?;
            let truth = demo::run_demo(workload, targets, stop).await?;
            std::fs::write(&file, serde_json::to_vec(&truth)?)
                .with_context(|| format!("can't write {}", file.display()))?;
            truth.lost == 0
        }
        Task::Verify { to, truth: file } => {
            let text = std::fs::read(&file).with_context(|| format!("can't read {}", file.display()))?;
            let truth: Truth = serde_json::from_slice(&text)?;
            let report = verify::verify(&truth, &to.into()).await?;
            println!("{report}");
            report.is_equal()
        }
        Task::Latency { options, to } => {
            println!("{}", latency::run(&options, &to.into()).await?);
            true
        }
        Task::BadInput { options, to } => {
            let (outcomes, counters, report) = bad_input::run(options, to.into(), stop).await?;
            for outcome in &outcomes {
                let mark = if outcome.proper { "proper  " } else { "IMPROPER" };
                println!("  {mark} {}: {}", outcome.case, outcome.answer);
            }
            counters.iter().for_each(|line| println!("  counted  {line}"));
            println!("{report}");
            report.is_equal() && outcomes.iter().all(|outcome| outcome.proper)
        }
    };
    std::process::exit(i32::from(!all_well));
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Command::command().debug_assert();
    }
}
