//! Proof by a workload that knows the answer: [`workload`] tells what users of a cloud console do, [`truth`] what a
//! perfect observer would count, [`sender`] exports the spans as SDKs do, [`demo`] does both in real time, and
//! [`verify`] compares every place where Weir gives an answer with the truth.

pub mod demo;
pub mod otlp;
pub mod sender;
pub mod truth;
pub mod workload;
