//! The target of the table that `AO_TARGET` names, for libFuzzer.

#![no_main]

use std::sync::LazyLock;

use ao_fuzz::targets::{self, Target};

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("AO_TARGET").unwrap_or_default();
    let names: Vec<&str> = targets::all().iter().map(|target| target.name).collect();
    targets::named(&name).unwrap_or_else(|| panic!("set AO_TARGET to one of {}", names.join(", ")))
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| (TARGET.run)(data));
