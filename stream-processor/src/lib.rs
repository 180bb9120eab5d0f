//! The stream processor: role `processor` turns spans into flow graphs inside Kafka, role `store` carries both
//! into ClickHouse.

mod group;
mod partition;
pub mod processor;
pub mod store;
