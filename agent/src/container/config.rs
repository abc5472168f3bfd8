//! The section `containers`.

use ao_common::units::Span;
use serde::Deserialize;

/// The section `containers`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether they are read at all.
    pub enabled: bool,
    /// Time between two rounds.
    pub interval: Span,
    /// How long a round may take; what is not read by then is left out of it, and said.
    pub deadline: Span,
    /// Whose place is taken.
    pub job: Job,
    /// Cgroups that are reported at most; those beyond it are counted.
    pub most: usize,
}

/// The `job` label: boards and rules choose by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Job {
    /// cAdvisor scraped by itself.
    Cadvisor,
    /// cAdvisor within the kubelet; adds `metrics_path="/metrics/cadvisor"`.
    Kubelet,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: true,
            interval: Span::secs(15),
            deadline: Span::secs(10),
            job: Job::Cadvisor,
            most: 10_000,
        }
    }
}

impl Config {
    /// What the section's form alone cannot say.
    ///
    /// # Errors
    /// A sentence that names the key.
    pub fn check(&self) -> Result<(), String> {
        if self.interval < Span::secs(1) {
            return Err(format!("containers.interval: {} is less than a second", self.interval));
        }
        if self.deadline.0.is_zero() {
            return Err("containers.deadline must be more than nothing".to_owned());
        }
        Ok(())
    }
}
