//! The stream processor as a process of its own, in one of its roles.

use clap::{Arg, Parser, ValueEnum, value_parser};
use process::Health;
use std::process::ExitCode;
use stream_processor::{processor, store};

/// Turns spans into flow graphs (role processor), or carries spans and graphs into ClickHouse (role store).
///
/// The other options differ by role: `--role store --help` shows those of the store.
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
    /// Kafka to Kafka: spans in, flow graphs out.
    Processor,
    /// Kafka to ClickHouse: spans and flow graphs into tables.
    Store,
}

#[tokio::main]
async fn main() -> ExitCode {
    process::exit_code(match role() {
        Role::Processor => {
            let command: Command<processor::Options> = process::parse();
            process::init_logging("processor");
            processor::KEPT_MEMORY.apply();
            processor::run(command.options, Health::new(), process::stop_on_signal()).await
        }
        Role::Store => {
            let command: Command<store::Options> = process::parse();
            process::init_logging("store");
            store::run(command.options, Health::new(), process::stop_on_signal()).await
        }
    })
}

/// The role decides which other flags there are, so it is looked for before they are known.
fn role() -> Role {
    let role = Arg::new("role").long("role").env("WEIR_ROLE").value_parser(value_parser!(Role));
    let first_look = clap::Command::new("stream-processor")
        .disable_help_flag(true)
        .disable_version_flag(true)
        .ignore_errors(true)
        .arg(role)
        .get_matches();
    first_look.get_one("role").copied().unwrap_or(Role::Processor)
}
