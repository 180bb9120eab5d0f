//! Whatever the bytes are, the reader and prost agree on them.
#![no_main]

#[path = "../../tests/oracle/mod.rs"]
mod oracle;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = oracle::agree(bytes);
});
