//! What the machine is, as its firmware says (DMI), from /sys/class/dmi/id.

use ao_proto::model::MetricType::Gauge;
use serde::Deserialize;
use serde_yaml_ng::Value;

use super::api::{self, Built, CollectError, Collector};
use super::device::Device;
use crate::context::Roots;
use crate::event::MetricSet;

/// The collector `dmi` has no options.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {}

/// See the table in `collector.rs`.
pub fn build(section: Option<Value>) -> Built {
    let Config {} = api::section(section)?;
    Ok(Box::new(Dmi::default()))
}

/// It does not change while the host runs, so it is read once.
#[derive(Default)]
struct Dmi {
    labels: Vec<(&'static str, String)>,
}

/// Labels and the files that they come from (drivers/firmware/dmi-id.c). Serial numbers are for root only.
const FILES: [(&str, &str); 20] = [
    ("bios_date", "bios_date"),
    ("bios_release", "bios_release"),
    ("bios_vendor", "bios_vendor"),
    ("bios_version", "bios_version"),
    ("board_asset_tag", "board_asset_tag"),
    ("board_name", "board_name"),
    ("board_serial", "board_serial"),
    ("board_vendor", "board_vendor"),
    ("board_version", "board_version"),
    ("chassis_asset_tag", "chassis_asset_tag"),
    ("chassis_serial", "chassis_serial"),
    ("chassis_vendor", "chassis_vendor"),
    ("chassis_version", "chassis_version"),
    ("product_family", "product_family"),
    ("product_name", "product_name"),
    ("product_serial", "product_serial"),
    ("product_sku", "product_sku"),
    ("product_uuid", "product_uuid"),
    ("product_version", "product_version"),
    ("system_vendor", "sys_vendor"),
];

impl Collector for Dmi {
    fn collect(&mut self, roots: &Roots, out: &mut MetricSet) -> Result<(), CollectError> {
        if self.labels.is_empty() {
            let mut device = Device::default();
            let entered = device.enter(&roots.sys.join("class/dmi/id"));
            entered.map_err(|e| e.absent_means_no("DMI"))?;
            let known =
                FILES.iter().filter_map(|(label, file)| Some((*label, device.text(file)?.to_owned())));
            self.labels = known.collect();
        }
        if self.labels.is_empty() {
            return Err(CollectError::NoData("DMI"));
        }
        let labels: Vec<_> = self.labels.iter().map(|(label, value)| (*label, &**value)).collect();
        let family = out.family("node_dmi_info", Gauge, "What the machine is, as its firmware says.");
        out.push(family, &labels, 1.0);
        Ok(())
    }
}
