//! The query API as a process of its own.

use clap::Parser;
use process::Health;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Flow graphs over REST and WebSocket, and the page that shows them.
#[derive(Parser, Debug)]
#[command(name = "query-api", version)]
struct Command {
    #[command(flatten)]
    options: query_api::Options,
}

#[tokio::main]
async fn main() -> ExitCode {
    let command: Command = process::parse();
    process::init_logging("query-api");
    process::exit_code(query_api::run(command.options, Health::new(), process::stop_on_signal()).await)
}
