//! The stream processor: role `processor` turns spans into flow graphs inside Kafka, role `store` carries both
//! into ClickHouse.

pub mod processor;
pub mod store;
