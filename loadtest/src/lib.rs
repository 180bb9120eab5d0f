//! Proof by a workload that knows the answer: [`workload`] tells what users of a cloud console do, [`truth`] what a
//! perfect observer would count, [`sender`] exports the spans as SDKs do, [`demo`] does both in real time, and
//! [`verify`] compares every place where Weir gives an answer with the truth. [`latency`] measures how long an
//! answer takes, [`bad_input`] sends what should never arrive.

pub mod bad_input;
pub mod demo;
pub mod latency;
pub mod otlp;
pub mod sender;
pub mod truth;
pub mod verify;
pub mod workload;
