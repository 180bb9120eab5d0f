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
    tune_allocator();
    let ended = ingest::run(command.options, process::Health::new(), process::stop_on_signal()).await;
    process::exit_code(ended)
}

/// Makes glibc map whatever is larger than a message on its own, so that large requests leave nothing behind, and keep
/// what smaller ones give back: they come thousands of times a second, and pages that go to the system and come back
/// were a quarter of all CPU time. By default it learns to keep large sizes too: a burst of 18 MB requests then left
/// 460 MiB resident, against 32 MiB.
#[allow(unsafe_code)] // mallopt is C.
fn tune_allocator() {
    const LARGE_BYTES: libc::c_int = 1 << 20;
    const KEPT_BYTES: libc::c_int = 8 << 20;
    // SAFETY: it takes two integers and sets a parameter of the allocator; no other thread minds.
    let set = unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE_BYTES) & libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT_BYTES)
    };
    if set == 0 {
        tracing::warn!(
            "the allocator's thresholds could not be set; memory of large requests may stay in use"
        );
    }
}
