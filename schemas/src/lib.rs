//! What flows: topics, attribute names, messages and tables, each from the one file beside this crate that
//! everybody else reads too. Does no I/O.

pub mod migrations;
pub mod semconv;
pub mod topics;

/// Messages on the flow topics, generated from `proto/weir/v1`.
#[allow(missing_docs, clippy::all)]
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/weir.v1.rs"));
}
