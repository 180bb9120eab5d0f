//! Structured logs on standard error.

use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::prelude::*;

/// Starts logging: readable lines on a terminal, JSON elsewhere or with `WEIR_LOG_FORMAT=json`. `WEIR_LOG` filters
/// (`info` by default, `warn,ingest=debug` and the like). Calls after the first do nothing.
pub fn init_logging(role: &str) {
    init_logging_with(role, "info");
}

/// As [`init_logging`], with another filter where `WEIR_LOG` is not set.
pub fn init_logging_with(role: &str, default_filter: &str) {
    let chosen = std::env::var("WEIR_LOG").unwrap_or_else(|_| default_filter.to_owned());
    let filter = EnvFilter::try_new(with_quiet_client(&chosen))
        .unwrap_or_else(|_| EnvFilter::new(with_quiet_client(default_filter)));
    let registry = tracing_subscriber::registry().with(filter);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let started = if wants_json() {
        registry.with(lines.json().flatten_event(true)).try_init()
    } else {
        registry.with(lines.with_ansi(std::io::stderr().is_terminal())).try_init()
    };
    if started.is_ok() {
        tracing::debug!(role, version = env!("CARGO_PKG_VERSION"), "logging started");
    }
}

/// The Rust client logs every end of a partition as an error, and librdkafka warns each consumer about the settings of
/// producers. What matters of both, librdkafka says itself as an error. A filter that names them is left alone.
fn with_quiet_client(filter: &str) -> String {
    if filter.contains("rdkafka") {
        return filter.to_owned();
    }
    format!("{filter},rdkafka::client=off,librdkafka=error")
}

fn wants_json() -> bool {
    match std::env::var("WEIR_LOG_FORMAT").as_deref() {
        Ok("json") => true,
        Ok(_) => false,
        Err(_) => !std::io::stderr().is_terminal(),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_kafka_client_is_quiet_unless_asked_for() {
        let quiet = super::with_quiet_client("info");
        assert!(quiet.starts_with("info,") && quiet.contains("rdkafka::client=off"));
        assert!(tracing_subscriber::EnvFilter::try_new(&quiet).is_ok());
        assert_eq!(super::with_quiet_client("info,librdkafka=debug"), "info,librdkafka=debug");
    }

    #[test]
    fn starting_twice_is_harmless() {
        super::init_logging("test");
        super::init_logging("test");
    }
}
