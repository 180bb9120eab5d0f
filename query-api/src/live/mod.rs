//! Live state: the last 15 minutes of every flow graph, in memory.

pub mod cut;
pub mod ends;
pub mod events;
pub mod feed;
mod group;
mod kept;
mod known;
mod learnt;
mod parts;
pub mod shards;
mod state;

pub use kept::OverTime;
pub use state::{LatestRange, Live, OperationFlows};
