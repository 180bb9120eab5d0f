//! The `weir` command: one binary for everything.

mod river;
mod roles;
mod servers;
mod topics;
mod up;

use clap::{Parser, Subcommand};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

/// Live, exact request-flow graphs from OpenTelemetry spans.
#[derive(Parser)]
#[command(name = "weir", version)]
struct Weir {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Starts everything on this machine: Kafka, ClickHouse and all roles
    Up(Box<up::Options>),
    /// Creates Weir's Kafka topics, or checks that they can work
    Topics(topics::Options),
    /// Becomes ClickHouse; `weir up` starts it
    #[command(name = servers::clickhouse::SUBCOMMAND, hide = true)]
    RunClickhouse {
        library: PathBuf,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
}

fn main() -> ExitCode {
    process::exit_code(dispatch(process::parse::<Weir>().command))
}

fn dispatch(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Up(options) => run("up", "warn", up::run(*options)),
        Command::Topics(options) => topics::run(&options),
        Command::RunClickhouse { library, args } => servers::clickhouse::run(&library, args),
    }
}

/// Runs an asynchronous command with logs for people who look at a terminal.
fn run(name: &str, filter: &str, command: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    process::init_logging_with(name, filter);
    tokio::runtime::Runtime::new()?.block_on(command)
}
