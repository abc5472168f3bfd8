//! Alerts in Smokeping's language: evaluated here, where the rounds are, and kept where the aggregator is away.
//!
//! | file | room |
//! |---|---|
//! | `definition.rs` | an alert as it is configured |
//! | `pattern.rs` | `>0%,*12*,>0%`: what the last rounds must look like |
//! | `matcher.rs` | `CheckLoss(l=>50,x=>3)` and its like: rules with a memory |
//! | `history.rs` | the rounds that are looked at |
//! | `rule.rs` | the same for Prometheus and Alertmanager |

mod definition;
mod history;
mod matcher;
mod pattern;
mod rule;

pub use definition::Alert;
pub use history::History;
pub use rule::rules;

/// An alert of one target, over time.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// Whether it holds.
    pub raised: bool,
    /// How often it began to hold.
    pub raises: u64,
}

/// What is to be told of an alert behind a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// It begins to hold, or holds (without edge trigger).
    Raised,
    /// It does not hold any more.
    Cleared,
}

impl State {
    /// Looks at the newest round.
    pub fn step(&mut self, alert: &Alert, history: &History) -> Option<Told> {
        let before = self.raised;
        self.raised = alert.holds(history, before);
        self.raises += u64::from(self.raised && !before);
        match (self.raised, before) {
            (true, false) => Some(Told::Raised),
            (true, true) if !alert.edgetrigger => Some(Told::Raised),
            (false, true) if alert.edgetrigger => Some(Told::Cleared),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
