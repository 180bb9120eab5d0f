//! The `ingest` process.

use clap::Parser;
use std::process::ExitCode;

/// Takes OpenTelemetry spans over OTLP/gRPC and OTLP/HTTP and brings them to Kafka.
#[derive(Parser)]
#[command(version)]
struct Command {
    #[command(flatten)]
    options: ingest::Options,
}

#[tokio::main]
async fn main() -> ExitCode {
    let command: Command = process::parse();
    process::init_logging("ingest");
    ingest::KEPT_MEMORY.apply();
    let ended = ingest::run(command.options, process::Health::new(), process::stop_on_signal()).await;
    process::exit_code(ended)
}
