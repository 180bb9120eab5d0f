//! The stream processor: role `processor` turns spans into flow graphs inside Kafka, role `store` carries both
//! into ClickHouse.

mod group;
pub mod processor;
pub mod store;
