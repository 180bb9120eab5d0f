//! The stream processor as a process of its own.

use clap::{Parser, ValueEnum};
use process::Health;
use stream_processor::processor;

/// Turns spans into flow graphs (role processor), or carries spans and graphs into ClickHouse (role store).
/// Options differ by role: `--role ROLE --help` shows them.
#[derive(Parser, Debug)]
#[command(name = "stream-processor", version)]
struct Command<T: clap::Args> {
    /// What this process does.
    #[arg(long, env = "WEIR_ROLE", value_enum, default_value_t = Role::Processor)]
    role: Role,
    #[command(flatten)]
    options: T,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Processor,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let command: Command<processor::Options> = process::parse();
    process::init_logging("processor");
    let stop = process::stop_on_signal();
    processor::run(command.options, Health::new(), stop).await
}
