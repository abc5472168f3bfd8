//! Open file handles, from /proc/sys/fs/file-nr.

use ao_proto::model::MetricType::Gauge;
use serde::Deserialize;
use serde_yaml_ng::Value;

use super::api::{self, Built, CollectError, Collector};
use super::file::TextFile;
use crate::context::Roots;
use crate::event::MetricSet;

/// The collector `filefd` has no options.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {}

/// See the table in `collector.rs`.
pub fn build(section: Option<Value>) -> Built {
    let Config {} = api::section(section)?;
    Ok(Box::new(Filefd::default()))
}

#[derive(Default)]
struct Filefd {
    file: TextFile,
}

impl Collector for Filefd {
    fn collect(&mut self, roots: &Roots, out: &mut MetricSet) -> Result<(), CollectError> {
        let path = roots.proc.join("sys/fs/file-nr");
        let text = self.file.setting(&path)?;
        let [allocated, maximum] = parse_handles(text).ok_or_else(|| CollectError::line(&path, 0, text))?;
        out.one("node_filefd_allocated", Gauge, "File handles that the kernel has given out.", allocated);
        out.one("node_filefd_maximum", Gauge, "File handles that it would give out at most.", maximum);
        Ok(())
    }
}

/// Allocated, free and maximum (Documentation/admin-guide/sysctl/fs.rst); free ones are always 0 since Linux 2.6.
fn parse_handles(text: &str) -> Option<[f64; 2]> {
    let mut fields = text.split_ascii_whitespace().map(|field| field.parse::<u64>().ok().map(|n| n as f64));
    let (allocated, _free) = (fields.next()??, fields.next()??);
    Some([allocated, fields.next()??])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: the kernel's line, and broken ones.
    /// Guarantees: two numbers or nothing.
    #[test]
    fn lines() {
        assert_eq!(parse_handles("1024\t0\t1631329"), Some([1_024.0, 1_631_329.0]));
        for bad in ["", "1 0", "1 x 2", "-1 0 2"] {
            assert_eq!(parse_handles(bad), None, "{bad}");
        }
    }
}
