//! NVMe controllers and their namespaces, from /sys/class/nvme.

use ao_proto::model::MetricType::Gauge;
use serde::Deserialize;
use serde_yaml_ng::Value;

use super::api::{self, Built, CollectError, Collector, Faults};
use super::file::TextFile;
use super::folder::{self, Entry};
use crate::context::Roots;
use crate::event::MetricSet;

/// The collector `nvme` has no options.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {}

/// See the table in `collector.rs`.
pub fn build(section: Option<Value>) -> Built {
    let Config {} = api::section(section)?;
    Ok(Box::new(Nvme::default()))
}

#[derive(Default)]
struct Nvme {
    file: TextFile,
}

/// Label and file.
const INFO: [(&str, &str); 5] = [
    ("firmware_revision", "firmware_rev"),
    ("model", "model"),
    ("serial", "serial"),
    ("state", "state"),
    ("cntlid", "cntlid"),
];

impl Collector for Nvme {
    fn collect(&mut self, roots: &Roots, out: &mut MetricSet) -> Result<(), CollectError> {
        let mut faults = Faults::default();
        for controller in folder::class(&roots.sys.join("class/nvme"), "NVMe controller", |_| true)? {
            let device = ("device", &*controller.name);
            let texts = INFO.map(|(label, file)| {
                (label, self.file.word(&controller.path.join(file)).unwrap_or_default().to_owned())
            });
            let [a, b, c, d, e] = texts.each_ref().map(|(label, text)| (*label, &**text));
            let family = out.family("node_nvme_info", Gauge, "What an NVMe controller says of itself.");
            out.push(family, &[device, a, b, c, d, e], 1.0);
            for namespace in folder::list(&controller.path, |name| namespace(name).is_some())? {
                self.emit_namespace(&namespace, device, out, &mut faults);
            }
        }
        faults.end()
    }
}

impl Nvme {
    fn emit_namespace(
        &mut self,
        entry: &Entry,
        device: (&str, &str),
        out: &mut MetricSet,
        faults: &mut Faults,
    ) {
        let Some(id) = namespace(&entry.name) else { return };
        let labels = [device, ("nsid", id)];
        let state = self.file.word(&entry.path.join("ana_state")).unwrap_or("unknown");
        let family = out.family("node_nvme_namespace_info", Gauge, "A namespace and how it is reached.");
        out.push(family, &[labels[0], labels[1], ("ana_state", state)], 1.0);
        let mut read = |file: &str| faults.note(self.file.value(&entry.path.join(file))).flatten();
        let block = read("queue/logical_block_size");
        let mut bytes = |file: &str| Some(read(file)? * block?);
        // The kernel counts `size` in 512 bytes whatever a block is; node_exporter takes it for blocks, so that where a
        // block is of 4 KiB the figure is too high. It is the same here: boards and alerts are made for that one.
        let size = bytes("size");
        // Told by Linux 6.8 on.
        let used = bytes("nuse");
        for (name, help, value) in [
            ("node_nvme_namespace_capacity_bytes", "Space of a namespace.", size),
            ("node_nvme_namespace_size_bytes", "Size of a namespace.", size),
            ("node_nvme_namespace_used_bytes", "Space of a namespace that is in use.", used),
            ("node_nvme_namespace_logical_block_size_bytes", "Size of a block of a namespace.", block),
        ] {
            if let Some(value) = value {
                let family = out.family(name, Gauge, help);
                out.push(family, &labels, value);
            }
        }
    }
}

/// The namespace's number in its name: `nvme0n1`. (The paths of a multipath namespace, `nvme0c1n1`, are none.)
fn namespace(name: &str) -> Option<&str> {
    let (controller, id) = name.strip_prefix("nvme")?.split_once('n')?;
    (folder::number(controller, "").is_some() && folder::number(id, "").is_some()).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: names of what lies in a controller's folder.
    /// Guarantees: its namespaces alone are taken.
    #[test]
    fn names() {
        assert_eq!(namespace("nvme0n1"), Some("1"));
        assert_eq!(namespace("nvme10n23"), Some("23"));
        for other in ["nvme0", "nvme0c1n1", "nvmen1", "nvme0n", "power", "nvme0n1p1", "hwmon0"] {
            assert_eq!(namespace(other), None, "{other}");
        }
    }
}
