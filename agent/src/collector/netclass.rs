//! What network interfaces are and how they stand, from /sys/class/net.

use ao_proto::model::MetricType::{self, Counter, Gauge};
use serde::Deserialize;
use serde_yaml_ng::Value;

use super::api::{self, Built, CollectError, Collector};
use super::device::Device;
use super::filter::Filter;
use super::folder;
use crate::context::Roots;
use crate::event::MetricSet;

/// Options of the collector `netclass`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Interfaces to leave out (a regular expression); none by default.
    pub ignored_devices: Option<String>,
    /// Whether a speed that the driver does not know (-1) is left out; given by default, as by node_exporter.
    pub ignore_invalid_speed: bool,
}

/// See the table in `collector.rs`.
pub fn build(section: Option<Value>) -> Built {
    let config: Config = api::section(section)?;
    let exclude = ("ignored_devices", config.ignored_devices.as_deref());
    Ok(Box::new(Netclass {
        filter: Filter::new(exclude, ("", None), "")?,
        ignore_invalid_speed: config.ignore_invalid_speed,
        device: Device::keeping(KEPT),
        texts: Default::default(),
    }))
}

struct Netclass {
    filter: Filter,
    ignore_invalid_speed: bool,
    device: Device,
    texts: [String; TEXTS.len()],
}

/// Files that are labels of `node_network_info`.
const TEXTS: [&str; 5] = ["address", "broadcast", "duplex", "operstate", "ifalias"];

/// Files that are metrics (Documentation/ABI/testing/sysfs-class-net). A driver need not know all of them.
const NUMBERS: [(&str, &str, MetricType, &str); 16] = [
    (
        "addr_assign_type",
        "node_network_address_assign_type",
        Gauge,
        "Where the address comes from (NET_ADDR_*).",
    ),
    ("carrier", "node_network_carrier", Gauge, "Whether there is a link."),
    ("carrier_changes", "node_network_carrier_changes_total", Counter, "Times that the link came or went."),
    ("carrier_up_count", "node_network_carrier_up_changes_total", Counter, "Times that the link came."),
    ("carrier_down_count", "node_network_carrier_down_changes_total", Counter, "Times that the link went."),
    ("dev_id", "node_network_device_id", Gauge, "Tells interfaces of one card with one address apart."),
    ("dormant", "node_network_dormant", Gauge, "Whether the interface waits for something, as for 802.1X."),
    ("flags", "node_network_flags", Gauge, "The bits of the interface's state (IFF_*)."),
    ("ifindex", "node_network_iface_id", Gauge, "The interface's number."),
    ("iflink", "node_network_iface_link", Gauge, "The number of the interface below this one."),
    (
        "link_mode",
        "node_network_iface_link_mode",
        Gauge,
        "1 where a link alone does not make the interface ready.",
    ),
    ("mtu", "node_network_mtu_bytes", Gauge, "The largest packet that goes through."),
    ("name_assign_type", "node_network_name_assign_type", Gauge, "Where the name comes from (NET_NAME_*)."),
    ("netdev_group", "node_network_net_dev_group", Gauge, "The group that the interface was put in."),
    ("tx_queue_len", "node_network_transmit_queue_length", Gauge, "Packets that the transmit queue holds."),
    ("type", "node_network_protocol_type", Gauge, "The kind of hardware (ARPHRD_*)."),
];

/// Files that stay open: all of six interfaces. A node of many pods has hundreds.
const KEPT: usize = 128;

/// The speed is in megabits.
const BYTES_PER_MEGABIT: i64 = 125_000;
const IFF_UP: i64 = 1;

impl Collector for Netclass {
    fn collect(&mut self, roots: &Roots, out: &mut MetricSet) -> Result<(), CollectError> {
        let interfaces = folder::class(&roots.sys.join("class/net"), "network interfaces", |_| true)?;
        self.device.round();
        let up = out.family("node_network_up", Gauge, "Whether the interface passes packets.");
        let info = out.family("node_network_info", Gauge, "What an interface is.");
        let families = NUMBERS.map(|(_, name, kind, help)| out.family(name, kind, help));
        let speed = out.family("node_network_speed_bytes", Gauge, "Bytes that can pass in a second.");
        for entry in interfaces {
            // The bonding driver has a plain file there.
            if self.filter.ignores(&entry.name) || self.device.enter(&entry.path).is_err() {
                continue;
            }
            let device = ("device", &*entry.name);
            for (text, file) in self.texts.iter_mut().zip(TEXTS) {
                text.clear();
                text.push_str(self.device.text(file).unwrap_or_default());
            }
            let mut flags = None;
            for ((file, ..), family) in NUMBERS.iter().zip(families) {
                let Some(value) = self.device.integer(file) else { continue };
                if *file == "flags" {
                    flags = Some(value);
                }
                out.push(family, &[device], value as f64);
            }
            let [address, broadcast, duplex, operstate, alias] = &self.texts;
            let labels = [
                device,
                ("address", address),
                ("broadcast", broadcast),
                ("duplex", duplex),
                ("operstate", operstate),
                ("adminstate", flags.map_or("unknown", |f| if f & IFF_UP == IFF_UP { "up" } else { "down" })),
                ("ifalias", alias),
            ];
            out.push(info, &labels, 1.0);
            out.push(up, &[device], f64::from(u8::from(operstate == "up")));
            let megabits = self.device.integer("speed").filter(|s| *s >= 0 || !self.ignore_invalid_speed);
            if let Some(megabits) = megabits {
                out.push(speed, &[device], megabits.saturating_mul(BYTES_PER_MEGABIT) as f64);
            }
        }
        Ok(())
    }
}
