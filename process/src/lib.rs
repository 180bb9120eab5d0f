//! How every Weir process starts, is watched and stops: configuration, logs, metrics, health, the options of
//! Kafka and ClickHouse clients, and signals. It knows nothing about spans.

mod admin;
mod allocator;
mod clickhouse;
mod config;
mod failure;
mod finding;
mod health;
mod kafka;
mod logging;
mod metrics;
mod open_files;
mod secret;
mod signal;

pub use admin::{admin_router, serve_admin};
pub use allocator::KeptMemory;
pub use clickhouse::ClickHouseOptions;
pub use config::{parse, parse_from};
pub use failure::exit_code;
pub use finding::{Finding, Level};
pub use health::{Health, Part};
pub use kafka::KafkaOptions;
pub use logging::{init_logging, init_logging_with};
pub use metrics::Metrics;
pub use open_files::allow_open_files;
pub use secret::Secret;
pub use signal::stop_on_signal;
