//! Bonded network interfaces: how many below each, and how many of them work, from /sys/class/net.

use ao_proto::model::MetricType::Gauge;
use serde::Deserialize;
use serde_yaml_ng::Value;

use super::api::{self, Built, CollectError, Collector};
use super::file::TextFile;
use crate::context::Roots;
use crate::event::MetricSet;

/// The collector `bonding` has no options.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {}

/// See the table in `collector.rs`.
pub fn build(section: Option<Value>) -> Built {
    let Config {} = api::section(section)?;
    Ok(Box::new(Bonding::default()))
}

#[derive(Default)]
struct Bonding {
    masters: TextFile,
    below: TextFile,
    state: TextFile,
}

impl Collector for Bonding {
    fn collect(&mut self, roots: &Roots, out: &mut MetricSet) -> Result<(), CollectError> {
        let dir = roots.sys.join("class/net");
        let masters = self.masters.text(&dir.join("bonding_masters"));
        let masters = masters.map_err(|e| e.absent_means_no("bonded network interfaces"))?;
        let help = "Interfaces that are part of a bonded one.";
        let all = out.family("node_bonding_slaves", Gauge, help);
        let working = out.family("node_bonding_active", Gauge, "Those of them that have a link.");
        for master in masters.split_ascii_whitespace() {
            let dir = dir.join(master);
            let below = match self.below.text(&dir.join("bonding/slaves")) {
                Ok(below) => below,
                // It was taken away since the list was read.
                Err(why) if why.is_absent() => continue,
                Err(why) => return Err(why),
            };
            let (mut count, mut up) = (0_u32, 0_u32);
            for name in below.split_ascii_whitespace() {
                count += 1;
                // Kernels before 3.18 have another prefix.
                let state = ["lower_", "slave_"].iter().find_map(|prefix| {
                    let path = dir.join(format!("{prefix}{name}/bonding_slave/mii_status"));
                    self.state.word(&path).map(|state| state == "up")
                });
                up += u32::from(state == Some(true));
            }
            out.push(all, &[("master", master)], f64::from(count));
            out.push(working, &[("master", master)], f64::from(up));
        }
        Ok(())
    }
}
