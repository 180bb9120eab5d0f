//! Turns spans into flow graphs. Never reads a clock, does I/O, draws a random number, or lets the order of
//! a hash table reach an output: the same records and commits give the same outputs, always.
//!
//! Open [`Shard`] first: records go in, [`Commit`]s come out. A trace's contribution is a pure function of its
//! spans ([`resolve`]); at a commit the shard works it out anew for every trace that has new spans and emits the
//! difference to what it emitted before, so every order of arrival ends in the same sums.
#![no_std]

extern crate alloc;

mod shard;

pub mod commit;
pub mod delta;
pub mod flow;
pub mod histogram;
pub mod settings;
pub mod span;

mod breakers;
mod calls;
mod caps;
mod digest;
mod emit;
mod memory;
mod messages;
mod names;
mod operation;
mod record;
mod resolve;
mod retries;
mod sampler;
mod saved;
mod summary;
mod trace;
mod tree;
mod user;
mod view;

pub use commit::{Close, Commit, Entombed, Journaled, StateChange};
pub use delta::Deltas;
pub use flow::{FlowEvent, FlowTrace};
pub use saved::Unreadable;
pub use settings::Settings;
pub use shard::{Mismatch, PROBE_OPERATION, Replay, Shard};
pub use span::Span;

/// Stands in every journal record. To be changed with whatever makes a shard go on differently from the same journal,
/// state and log: rules, limits of time, the form of `flow_state`.
pub const CORE_VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "+3");
