//! How a process ends when it can't go on.

use std::process::ExitCode;

/// Prints an error as one sentence with its causes, and nothing else: a backtrace tells the user of a taken port
/// nothing. `fn main() -> ExitCode { process::exit_code(run()) }`.
pub fn exit_code(outcome: anyhow::Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
