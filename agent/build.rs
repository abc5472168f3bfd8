//! Puts the functions that an agent runs on any host side by side (`resident.txt`).
//!
//! The kernel maps 64 KiB around each page of code that is run for the first time (`do_fault_around`, mm/memory.c), and
//! the linker scatters the sixth part of the program that a quiet agent ever runs over nearly all of it: 10 MiB of
//! resident memory for 2 MiB of code. The list has a section's name on each line, without the hash that changes from
//! release to release, as a pattern of the linker. What only the start runs comes first, apart from what is run again and
//! again: its pages are given back (`footprint.rs`). A function that is missing costs up to 64 KiB, a name that is no
//! function's any more nothing. Missing ones are those in which pages outside of `.text.resident` are first touched:
//! `perf record -e page-faults:u -c 1 -d ao-agent ...`, `perf script -F addr,ip,sym`, where both numbers are the same.

use std::error::Error;
use std::fmt::Write as _;
use std::path::PathBuf;

const LIST: &str = "resident.txt";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={LIST}");
    let is = |name: &str, value: &str| std::env::var(name).is_ok_and(|found| found == value);
    // Names and linker are those of one target; others are laid out as they come.
    if !(is("PROFILE", "release") && is("TARGET", "x86_64-unknown-linux-gnu")) {
        return Ok(());
    }
    let mut script = "SECTIONS\n{\n  .text.resident :\n  {\n".to_owned();
    for name in std::fs::read_to_string(LIST)?.lines().filter(|line| !line.starts_with('#')) {
        // What the compiler takes for cold (the growing of a vector) has a prefix.
        writeln!(script, "    *(.text.{name} .text.unlikely.{name})")?;
    }
    script.push_str("  }\n}\nINSERT BEFORE .text;\n");
    let path = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo gives OUT_DIR")?).join("resident.ld");
    std::fs::write(&path, script)?;
    println!("cargo::rustc-link-arg-bins=-Wl,-T,{}", path.display());
    Ok(())
}
