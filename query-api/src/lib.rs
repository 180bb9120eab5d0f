//! Weir's questions and answers: REST, the live WebSocket and the first page. It reads Kafka and ClickHouse and
//! writes to neither.

mod access;
mod answer;
mod ask;
mod builder;
mod change;
mod conditions;
mod counts;
mod difference;
mod error;
mod failures;
mod filter;
mod flow;
mod flows;
mod graph;
mod histogram;
mod hub;
mod join;
mod known_services;
mod limits;
mod live;
mod metrics;
mod node;
mod number;
mod options;
mod origin;
mod page;
mod peer_name;
mod progress;
mod protocol;
mod range;
mod rest;
mod series;
mod serve;
mod skew;
mod socket;
mod spans;
mod stored;
mod totals;
mod traces;
mod upgrade;

pub use options::Options;
use serve::App;
pub use serve::run;
