//! Generates the message types from the .proto files that the TypeScript side uses too. No protoc is needed: protox compiles them.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = "../../packages/protocol/proto";
    println!("cargo::rerun-if-changed={folder}");
    let descriptors = protox::compile(["agent.proto", "bridge.proto"], [folder])?;
    prost_build::Config::new()
        // A deterministic order makes equal messages equal bytes.
        .btree_map(["."])
        .compile_fds(descriptors)?;
    Ok(())
}
