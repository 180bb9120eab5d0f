//! Generates the messages of `proto/` with a parser written in Rust, so that no protoc has to be installed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(
        ["proto/weir/v1/deltas.proto", "proto/weir/v1/flow.proto", "proto/weir/v1/journal.proto"],
        ["proto"],
    )?;
    prost_build::Config::new().compile_fds(descriptors)?;
    Ok(())
}
