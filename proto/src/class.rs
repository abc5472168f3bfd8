//! The classes of data in the order of their worth: each has a journal of its own, and the last is shed first.

use crate::v1::Class;

/// A class's place in this list is its number in the journals of both ends.
pub const CLASSES: [Class; 4] = [Class::Metrics, Class::Spans, Class::Logs, Class::LogsLow];

/// The place of a header's class; `None` for a class that this build does not know.
pub fn number(class: i32) -> Option<usize> {
    CLASSES.iter().position(|known| i32::from(*known) == class)
}

/// The class's name in folders, metrics and the console.
pub fn name(class: Class) -> &'static str {
    match class {
        Class::Metrics => "metrics",
        Class::Spans => "spans",
        Class::Logs => "logs",
        Class::LogsLow => "logs_low",
        Class::Unspecified => "unknown",
    }
}
