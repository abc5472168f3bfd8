//! Every decoder of bytes from outside, in one table; run over its corpus, over mutations of it (`make test`, bounded
//! and always the same ones), for as long as one likes (`make fuzz`), or by libFuzzer (`cargo-fuzz/`).
//!
//! | room | what it holds |
//! |---|---|
//! | [`targets`] | the table |
//! | [`wire`] | targets of what crosses the wire |
//! | [`disk`] | targets of what lies on disk |
//! | [`cgroups`] | targets of the files of cgroups, and of what runtimes write of containers |
//! | [`text`] | targets of what people write |
//! | [`mutate`] | changes of bytes, from a seed |
//! | [`run`](mod@run) | runs a target: time and memory are part of what it holds |
//! | [`memory`] | an allocator that counts |
//! | [`seeds`] | the corpus' first files, made by our own encoders |

pub mod memory;
pub mod mutate;
pub mod run;
pub mod seeds;
pub mod targets;

pub mod cgroups;
pub mod disk;
pub mod text;
pub mod wire;
