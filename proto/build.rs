//! Compiles the `.proto` files with protox, so that no protoc is needed on the machine.

use std::error::Error;

const SERVICES: [&str; 3] = ["ao/v1/frame.proto", "ao/v1/ingest.proto", "ao/v1/directives.proto"];
/// Other people's messages, the fields that we send: sources are named in each file.
const THIRD_PARTY: [&str; 2] = ["third_party/prometheus/remote.proto", "third_party/loki/push.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    let files: Vec<&str> = SERVICES.iter().chain(&THIRD_PARTY).copied().collect();
    for file in &files {
        println!("cargo:rerun-if-changed={file}");
    }
    let descriptors = protox::compile(&files, ["."])?;
    tonic_prost_build::configure()
        .bytes(".ao.v1.AgentMessage")
        .btree_map(".ao.v1")
        .compile_fds(descriptors)?;
    Ok(())
}
