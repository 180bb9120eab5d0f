//! How a process ends when it can't go on.

use std::process::ExitCode;

/// Prints an error as one sentence with its causes, and nothing else: a backtrace tells the user of a taken port
/// nothing. `fn main() -> ExitCode { process::exit_code(run()) }`.
pub fn exit_code(outcome: anyhow::Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", sentence(&error));
            ExitCode::FAILURE
        }
    }
}

/// The error and its causes. Some errors tell their cause themselves; it is not repeated then.
fn sentence(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |told, cause| {
        if told.is_empty() {
            cause
        } else if told.contains(&cause) {
            told
        } else {
            format!("{told}: {cause}")
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::anyhow;

    #[test]
    fn causes_are_told_once() {
        let error =
            anyhow!("no such file").context("can't open a.json: no such file").context("sending failed");
        assert_eq!(sentence(&error), "sending failed: can't open a.json: no such file");
    }
}
