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
    give_large_memory_back();
    let ended = ingest::run(command.options, process::Health::new(), process::stop_on_signal()).await;
    process::exit_code(ended)
}

/// Makes glibc map whatever is larger than a message on its own, so that large requests leave nothing behind.
/// By default it learns to keep such sizes: a burst of 18 MB requests then left 460 MiB resident, against 32 MiB.
#[allow(unsafe_code)] // mallopt is C.
fn give_large_memory_back() {
    const LARGE_BYTES: libc::c_int = 1 << 20;
    // SAFETY: it takes two integers and sets a parameter of the allocator; no other thread minds.
    let set = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE_BYTES) };
    if set == 0 {
        tracing::warn!(
            "the allocator's threshold could not be set; memory of large requests may stay in use"
        );
    }
}
