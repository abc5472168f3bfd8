//! InfiniBand and RoCE ports: state, rate and counters, from /sys/class/infiniband.

mod counters;

use ao_proto::model::MetricType::{Counter, Gauge};
use serde_yaml_ng::Value;

use super::api::{self, Built, CollectError, Collector};
use super::device::Device;
use super::filter::Filter;
use super::folder;
use crate::context::Roots;
use crate::event::MetricSet;

/// Options of the collector `infiniband`: all devices by default.
pub use super::filter::Devices as Config;

/// See the table in `collector.rs`.
pub fn build(section: Option<Value>) -> Built {
    let config: Config = api::section(section)?;
    Ok(Box::new(Infiniband { filter: config.filter("")?, device: Device::default() }))
}

struct Infiniband {
    filter: Filter,
    device: Device,
}

/// A file, the metric that it is, its help, and how to read it.
type State = (&'static str, &'static str, &'static str, fn(&str) -> Option<f64>);

/// Gigabits in bytes.
const BYTES_PER_GIGABIT: f64 = 125e6;
/// The kernel counts words of the four lanes, not bytes.
const LANES: u64 = 4;
const LANE_COUNTERS: [&str; 4] = ["port_rcv_data", "port_xmit_data", "port_rcv_data_64", "port_xmit_data_64"];

impl Collector for Infiniband {
    fn collect(&mut self, roots: &Roots, out: &mut MetricSet) -> Result<(), CollectError> {
        let devices = folder::class(&roots.sys.join("class/infiniband"), "InfiniBand", |_| true)?;
        for entry in devices {
            if self.filter.ignores(&entry.name) || self.device.enter(&entry.path).is_err() {
                continue;
            }
            let info = ["board_id", "fw_ver", "hca_type"];
            let info = info.map(|file| self.device.text(file).unwrap_or_default().to_owned());
            let [board, firmware, kind] = info.each_ref().map(|text| &**text);
            let device = ("device", &*entry.name);
            let labels = [device, ("board_id", board), ("firmware_version", firmware), ("hca_type", kind)];
            let family = out.family("node_infiniband_info", Gauge, "What an InfiniBand device is.");
            out.push(family, &labels, 1.0);
            for port in folder::list(&entry.path.join("ports"), |name| name.parse::<u32>().is_ok())? {
                self.emit_port(&port, &[device, ("port", &port.name)], out)?;
            }
        }
        Ok(())
    }
}

impl Infiniband {
    fn emit_port(
        &mut self,
        port: &folder::Entry,
        labels: &[(&str, &str)],
        out: &mut MetricSet,
    ) -> Result<(), CollectError> {
        // It may have gone since it was listed.
        if self.device.enter(&port.path).is_err() {
            return Ok(());
        }
        let states: [State; 3] = [
            ("state", "node_infiniband_state_id", "State of the port (4: active).", parse_state),
            (
                "phys_state",
                "node_infiniband_physical_state_id",
                "State of the port's hardware (5: the link is up).",
                parse_state,
            ),
            ("rate", "node_infiniband_rate_bytes_per_second", "Bytes that can pass in a second.", parse_rate),
        ];
        for (file, name, help, parse) in states {
            let Some(text) = self.device.text(file) else { continue };
            let value = parse(text).ok_or_else(|| CollectError::line(&port.path.join(file), 0, text))?;
            let family = out.family(name, Gauge, help);
            out.push(family, labels, value);
        }
        for (folder, counters) in counters::FOLDERS {
            if self.device.enter(&port.path.join(folder)).is_err() {
                continue;
            }
            for (file, name, help) in counters {
                // A port without the agent that counts says "N/A (no PMA)".
                let Some(value) = self.device.unsigned(file) else { continue };
                let value = if LANE_COUNTERS.contains(file) { value.wrapping_mul(LANES) } else { value };
                let family = out.family(name, Counter, help);
                out.push(family, labels, value as f64);
            }
            if let Some(milliseconds) = self.device.unsigned("lifespan") {
                let help = "How old what is read of the hardware's counters may be.";
                let family = out.family("node_infiniband_lifespan_seconds", Gauge, help);
                out.push(family, labels, milliseconds as f64 / 1e3);
            }
        }
        Ok(())
    }
}

/// `4: ACTIVE`
fn parse_state(text: &str) -> Option<f64> {
    Some(f64::from(text.split_once(':')?.0.trim().parse::<u32>().ok()?))
}

/// `2.5 Gb/sec (1X SDR)`
fn parse_rate(text: &str) -> Option<f64> {
    let rate: f64 = text.split_once(' ')?.0.parse().ok()?;
    (rate.is_finite() && rate >= 0.0).then_some(rate * BYTES_PER_GIGABIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: what drivers write, and nonsense.
    /// Guarantees: numbers and bytes, or nothing.
    #[test]
    fn states_and_rates() {
        assert_eq!(
            (parse_state("4: ACTIVE"), parse_state("ACTIVE"), parse_state("-1: X")),
            (Some(4.0), None, None)
        );
        for (text, rate) in [
            ("40 Gb/sec (4X QDR)", Some(5e9)),
            ("2.5 Gb/sec (1X SDR)", Some(312_500_000.0)),
            ("x Gb/sec", None),
            ("-1 Gb/sec", None),
            ("", None),
        ] {
            assert_eq!(parse_rate(text), rate, "{text}");
        }
    }
}
