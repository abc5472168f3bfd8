//! The names of the sinks' cursors: that of the sink, and for each range that it left behind one more.

/// The sink whose cursor this is: "loki" of "loki" and of "loki.late.3".
pub fn reader_of(cursor: &str) -> &str {
    cursor.split_once(LATE).map_or(cursor, |(sink, _)| sink)
}

/// The number of a range that a sink left behind: 3 of "loki.late.3".
pub fn late_number(cursor: &str) -> Option<u64> {
    cursor.split_once(LATE)?.1.parse().ok()
}

/// Between a sink's name and the number of a range that it left behind.
const LATE: &str = ".late.";

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: names of both kinds, and one that only looks like it.
    /// Guarantees: the sink is found, the number of a range's only.
    #[test]
    fn whose_and_which() {
        assert_eq!((reader_of("loki"), late_number("loki")), ("loki", None));
        assert_eq!((reader_of("loki.late.12"), late_number("loki.late.12")), ("loki", Some(12)));
        assert_eq!((reader_of("loki.late.x"), late_number("loki.late.x")), ("loki", None));
    }
}
