//! Memory that the process has let go and that still counts as its own.
//!
//! The allocator returns what is free at a heap's end alone (mallopt(3), M_TRIM_THRESHOLD). Whatever was taken behind a
//! burst of lines keeps all of the burst's memory resident.

/// Gives all pages that are free back to the kernel, wherever they lie. What a heap of some MiB takes for it is well below a
/// millisecond.
#[allow(unsafe_code)]
pub(crate) fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes the allocator's own locks and touches nothing but what is free (malloc_trim(3): MT-Safe).
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// KiB of memory that is no file's.
    fn resident() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// Scenario: 128 MiB in blocks of 4 KiB, as lines come in; all but the last are let go.
    /// Guarantees: nearly all of it is given back.
    #[test]
    fn what_is_free_goes() {
        const BLOCK: usize = 4 << 10;
        let mut blocks: Vec<Vec<u8>> = (0..(128 << 20) / BLOCK).map(|_| vec![1; BLOCK]).collect();
        let last = blocks.pop();
        drop(blocks);
        let before = resident();
        give_back();
        let after = resident();
        assert!(after + (64 << 10) < before || cfg!(not(target_env = "gnu")), "{before} KiB, then {after}");
        assert!(last.is_some_and(|block| block.len() == BLOCK));
    }
}
