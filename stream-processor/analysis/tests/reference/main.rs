//! The published answers of other people's code for real and constructed traces.
//!
//! They are read from `../shared/data` beside the repository, or from `WEIR_TEST_DATA`; a test whose file is
//! missing says so and does nothing.

#![allow(clippy::unwrap_used, reason = "a reference file of another shape has to fail the test")]

mod critical_path;
mod data;
mod self_time;
mod skew;
