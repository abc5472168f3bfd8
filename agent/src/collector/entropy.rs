//! The entropy of the kernel's random numbers, from /proc/sys/kernel/random.

use ao_proto::model::MetricType::Gauge;
use serde::Deserialize;
use serde_yaml_ng::Value;

use super::api::{self, Built, CollectError, Collector};
use super::file::TextFile;
use crate::context::Roots;
use crate::event::MetricSet;

/// The collector `entropy` has no options.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {}

/// See the table in `collector.rs`.
pub fn build(section: Option<Value>) -> Built {
    let Config {} = api::section(section)?;
    Ok(Box::new(Entropy::default()))
}

#[derive(Default)]
struct Entropy {
    available: TextFile,
    size: TextFile,
}

impl Collector for Entropy {
    fn collect(&mut self, roots: &Roots, out: &mut MetricSet) -> Result<(), CollectError> {
        let dir = roots.proc.join("sys/kernel/random");
        for (file, name, metric, help) in [
            (
                &mut self.available,
                "entropy_avail",
                "node_entropy_available_bits",
                "Entropy there is, in bits.",
            ),
            (
                &mut self.size,
                "poolsize",
                "node_entropy_pool_size_bits",
                "Entropy the pool can hold, in bits.",
            ),
        ] {
            let path = dir.join(name);
            let text = file.setting(&path)?;
            let bits: u64 = text.parse().map_err(|_| CollectError::line(&path, 0, text))?;
            out.one(metric, Gauge, help, bits as f64);
        }
        Ok(())
    }
}
