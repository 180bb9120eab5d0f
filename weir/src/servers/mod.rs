//! Kafka and ClickHouse as child processes: fetched, started, watched, restarted and stopped.

pub mod children;
pub mod clickhouse;
pub mod health_check;
pub mod kafka;
pub mod lock;
pub mod packages;
pub mod ports;
pub mod progress;
pub mod supervise;
