//! The `weir` command: one binary for everything.

mod chaos;
mod demo;
mod doctor;
mod graph;
mod river;
mod roles;
mod send;
mod servers;
mod topics;
mod up;

use clap::{Parser, Subcommand};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
    /// The same with a workload whose right counts are known
    Demo(Box<demo::Options>),
    /// Kills every process under the same workload, many times, and compares every count with the truth
    Chaos(chaos::Options),
    /// Prints the flow graph of trace files, without any server
    Graph(graph::Graph),
    /// Sends trace files to an OTLP endpoint
    Send(send::Options),
    /// Creates Weir's Kafka topics, or checks that they can work
    Topics(topics::Options),
    /// Says what is wrong with an installation, what it means, and the command that mends it
    Doctor(Box<doctor::Options>),
    #[command(flatten)]
    Role(roles::Command),
    /// Becomes ClickHouse; `weir up` starts it
    #[command(name = servers::clickhouse::SUBCOMMAND, hide = true)]
    RunClickhouse {
        library: PathBuf,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
}

fn main() -> ExitCode {
    let outcome = dispatch(process::parse::<Weir>().command);
    outcome.unwrap_or_else(|error| process::exit_code(Err(error)))
}

fn dispatch(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Up(options) => run("up", SUPERVISED, up::run(*options))?,
        Command::Demo(options) => run("demo", SUPERVISED, demo::run(*options))?,
        Command::Chaos(options) => run("chaos", CHAOS, chaos::run(options))?,
        Command::Graph(options) => graph::run(options)?,
        Command::Send(options) => run("send", "warn", send::run(options))?,
        // Its exit code is part of its answer.
        Command::Doctor(options) => return run("doctor", CHAOS, doctor::run(*options)),
        Command::Role(role) => run(role.name(), "info", roles::run(role))?,
        Command::Topics(options) => topics::run(&options)?,
        Command::RunClickhouse { library, args } => servers::clickhouse::run(&library, args)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Log filter where the supervisor watches Kafka: it says once what every client would repeat each second.
const SUPERVISED: &str = "warn,rdkafka::client=off,librdkafka=off";

/// Where processes die on purpose, each death is a line of the command's own.
const CHAOS: &str = "error,rdkafka::client=off,librdkafka=off";

/// Runs an asynchronous command with logs for people who look at a terminal.
fn run<T>(name: &str, filter: &str, command: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    process::init_logging_with(name, filter);
    tokio::runtime::Runtime::new()?.block_on(command)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_flags_of_every_subcommand_go_together() {
        Weir::command().debug_assert();
    }

    #[test]
    fn every_flag_can_be_set_by_its_environment_variable() {
        let mut command = Weir::command();
        command.build();
        for subcommand in command.get_subcommands().filter(|subcommand| subcommand.get_name() != "help") {
            for flag in subcommand.get_arguments().filter(|flag| !flag.is_positional()) {
                let name = flag.get_long().unwrap_or_default();
                let variable = flag.get_env().and_then(|variable| variable.to_str());
                let flag = name.replace('-', "_").to_uppercase();
                let own = format!("WEIR_{}_{flag}", subcommand.get_name().replace('-', "_").to_uppercase());
                // WEIR_CACHE is also the name that the build and test tools use.
                let fits = [format!("WEIR_{flag}"), own, "WEIR_CACHE".to_owned()];
                assert!(
                    matches!(name, "help" | "version") || fits.iter().any(|fit| variable == Some(fit)),
                    "{} --{name} has {variable:?}, none of {fits:?}",
                    subcommand.get_name()
                );
            }
        }
    }
}
