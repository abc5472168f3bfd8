//! Load averages from /proc/loadavg.

use ao_proto::model::MetricType::Gauge;
use serde::Deserialize;
use serde_yaml_ng::Value;

use super::api::{self, Built, CollectError, Collector};
use super::file::TextFile;
use crate::context::Roots;
use crate::event::MetricSet;

/// The collector `loadavg` has no options.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {}

/// See the table in `collector.rs`.
pub fn build(section: Option<Value>) -> Built {
    let Config {} = api::section(section)?;
    Ok(Box::new(Loadavg::default()))
}

#[derive(Default)]
struct Loadavg {
    file: TextFile,
}

const AVERAGES: [(&str, &str); 3] = [
    ("node_load1", "Load average over 1 minute."),
    ("node_load5", "Load average over 5 minutes."),
    ("node_load15", "Load average over 15 minutes."),
];

impl Collector for Loadavg {
    fn collect(&mut self, roots: &Roots, out: &mut MetricSet) -> Result<(), CollectError> {
        let path = roots.proc.join("loadavg");
        let text = self.file.text(&path)?;
        let loads = parse_loads(text).ok_or_else(|| CollectError::line(&path, 0, text))?;
        for ((name, help), load) in AVERAGES.into_iter().zip(loads) {
            out.one(name, Gauge, help, load);
        }
        Ok(())
    }
}

fn parse_loads(text: &str) -> Option<[f64; 3]> {
    let mut fields = text.split_ascii_whitespace().map(|field| field.parse().ok());
    Some([fields.next()??, fields.next()??, fields.next()??])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: the kernel's line, and broken ones.
    /// Guarantees: three averages or nothing.
    #[test]
    fn lines() {
        assert_eq!(parse_loads("0.21 0.37 12.39 1/719 19737\n"), Some([0.21, 0.37, 12.39]));
        for bad in ["", "0.1 0.2", "0.1 x 0.3"] {
            assert_eq!(parse_loads(bad), None, "{bad}");
        }
    }
}
