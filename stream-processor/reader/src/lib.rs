//! The edge where foreign bytes become the stitcher's terms: OTLP protobuf and JSON, Jaeger, Zipkin and stored rows,
//! in; one `stitcher::span::Span` after the other, out. Attribute names come from `semconv.toml` alone. Never panics on
//! input, never recurses deeper than a fixed limit, and loses nothing without counting it by name.

mod content;
mod decode;
mod facts;
mod file;
mod forms;
mod json;
mod keys;
mod operation;
mod peer;
mod read;
mod resources;
mod said;
mod sampling;
mod semconv;
mod stored;
mod text;
mod undecodable;
mod value;

pub use decode::{decode_otlp, decode_otlp_repaired};
pub use file::{BadLine, FileError, FileReport, read_file, read_from};
pub use json::decode_otlp_json;
pub use otlp::MAX_NESTING;
pub use read::{Read, Reader, read_otlp, spans_of};
pub use said::MAX_TEXT_BYTES;
pub use semconv::{Semconv, SemconvError};
pub use stored::{Pairs, StoredSpan, read_stored};
pub use undecodable::Undecodable;
