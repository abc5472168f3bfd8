//! Temperatures, fans, voltages and power of the sensor chips in /sys/class/hwmon.
//!
//! Some drivers ask a slow bus at each read, and a broken one may not answer at all: each chip is read as a job of its
//! own, and one that does not answer in time is left out until it has.

mod sensor;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ao_common::units::Span;
use ao_proto::model::MetricType::Gauge;
use serde::Deserialize;
use serde_yaml_ng::Value;

use super::api::{self, Built, CollectError, Collector, Faults};
use super::file::TextFile;
use super::filter::Filter;
use super::folder::{self, Entry};
use crate::context::Roots;
use crate::event::MetricSet;
use crate::rounds::Crew;
use sensor::clean;

/// A chip that takes longer does so on a thread of its own.
const PATIENCE: Duration = Duration::from_millis(100);

/// Options of the collector `hwmon`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Chips to leave out (a regular expression), by the label `chip`: `platform_coretemp_0`.
    pub chip_exclude: Option<String>,
    /// The only chips to read; excludes the option above.
    pub chip_include: Option<String>,
    /// Sensors to leave out (a regular expression), by chip and sensor: `platform_coretemp_0;temp3`.
    pub sensor_exclude: Option<String>,
    /// The only sensors to give; excludes the option above.
    pub sensor_include: Option<String>,
    /// How long all chips together have to answer.
    pub chip_timeout: Span,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            chip_exclude: None,
            chip_include: None,
            sensor_exclude: None,
            sensor_include: None,
            chip_timeout: Span::secs(5),
        }
    }
}

/// See the table in `collector.rs`.
pub fn build(section: Option<Value>) -> Built {
    let config: Config = api::section(section)?;
    let chips = Filter::new(
        ("chip_exclude", config.chip_exclude.as_deref()),
        ("chip_include", config.chip_include.as_deref()),
        "",
    )?;
    let sensors = Filter::new(
        ("sensor_exclude", config.sensor_exclude.as_deref()),
        ("sensor_include", config.sensor_include.as_deref()),
        "",
    )?;
    let crew = Crew::new("hwmon", read);
    Ok(Box::new(Hwmon { chips, sensors, timeout: config.chip_timeout.0, crew, stuck: HashSet::new() }))
}

struct Hwmon {
    chips: Filter,
    sensors: Filter,
    timeout: Duration,
    crew: Crew<Chip>,
    /// Asked in an earlier round, and no answer yet.
    stuck: HashSet<PathBuf>,
}

/// One chip, and what was read of it.
struct Chip {
    path: PathBuf,
    label: String,
    name: String,
    /// Text by kind and number of the sensor, then by property.
    sensors: BTreeMap<(String, u32), BTreeMap<String, String>>,
    read: Result<(), CollectError>,
}

impl Collector for Hwmon {
    fn collect(&mut self, roots: &Roots, out: &mut MetricSet) -> Result<(), CollectError> {
        let mut faults = Faults::default();
        let entries = folder::class(&roots.sys.join("class/hwmon"), "sensor chip", |_| true)?;
        let chips = name(entries).into_iter().filter(|chip| !self.chips.ignores(&chip.label)).collect();
        let mut chips = self.read_all(chips, &mut faults);
        chips.sort_by(|a, b| a.label.cmp(&b.label));
        for mut chip in chips {
            faults.note(std::mem::replace(&mut chip.read, Ok(())));
            self.emit(&chip, out);
        }
        faults.end()
    }
}

/// Each chip with its label. It comes from the device's place, which stays the same from start to start, unlike the
/// number of `hwmonN`; where several chips sit in one place, with what they call themselves, else their number.
fn name(entries: Vec<Entry>) -> Vec<Chip> {
    let mut file = TextFile::default();
    let chips = entries.into_iter().map(|entry| {
        let name = clean(file.word(&entry.path.join("name")).unwrap_or_default());
        let place = place(&entry.path).or(Some(name.clone()).filter(|name| !name.is_empty()));
        let label = place.unwrap_or_else(|| clean(&entry.name));
        Chip { path: entry.path, label, name, sensors: BTreeMap::new(), read: Ok(()) }
    });
    let mut chips: Vec<Chip> = chips.collect();
    let mut places = HashMap::<_, u32>::new();
    let mut names = HashMap::<_, u32>::new();
    for chip in &chips {
        *places.entry(chip.label.clone()).or_default() += 1;
        *names.entry((chip.label.clone(), chip.name.clone())).or_default() += 1;
    }
    for chip in &mut chips {
        if places.get(&chip.label) > Some(&1) {
            let own =
                !chip.name.is_empty() && names.get(&(chip.label.clone(), chip.name.clone())) == Some(&1);
            let number = chip.path.file_name().unwrap_or_default().to_string_lossy();
            let behind = if own { chip.name.clone() } else { clean(&number) };
            chip.label = format!("{}_{behind}", chip.label);
        }
    }
    chips
}

/// Bus and device: `/sys/devices/platform/coretemp.0` gives `platform_coretemp_0`.
fn place(chip: &Path) -> Option<String> {
    let device = chip.join("device").canonicalize().ok()?;
    let part =
        |path: &Path| Some(clean(&path.file_name()?.to_string_lossy())).filter(|part| !part.is_empty());
    let name = part(&device)?;
    Some(match device.parent().and_then(part) {
        Some(bus) => format!("{bus}_{name}"),
        None => name,
    })
}

/// Runs on a thread of the crew.
fn read(chip: &mut Chip) {
    let mut file = TextFile::default();
    let mut read = |dir: &Path| {
        for entry in folder::list(dir, |name| sensor::file(name).is_some())? {
            // A sensor that is not there, asleep or broken gives an error: it has no sample, the others have.
            if let (Some(at), Some(text)) = (sensor::file(&entry.name), file.word(&entry.path)) {
                let sensor = chip.sensors.entry((at.kind.to_owned(), at.number)).or_default();
                sensor.insert(at.property.to_owned(), text.to_owned());
            }
        }
        Ok(())
    };
    // Old drivers keep their files with the device.
    chip.read = read(&chip.path).and_then(|()| read(&chip.path.join("device")));
}

impl Hwmon {
    /// Those that answered in time.
    fn read_all(&mut self, chips: Vec<Chip>, faults: &mut Faults) -> Vec<Chip> {
        let asked: Vec<_> = chips.iter().map(|chip| chip.path.clone()).collect();
        let fresh = chips.into_iter().filter(|chip| self.stuck.insert(chip.path.clone())).collect();
        let finished = self.crew.run(fresh, PATIENCE, self.timeout);
        for chip in finished.done.iter().chain(&finished.unbegun) {
            self.stuck.remove(&chip.path);
        }
        if let Some(path) = asked.into_iter().find(|path| self.stuck.contains(path)) {
            let source = io::Error::new(io::ErrorKind::TimedOut, "the sensor chip does not answer");
            faults.add(CollectError::Io { path, source });
        }
        // Among them those of earlier rounds that ended now: late figures of a slow chip are better than none.
        finished.done
    }

    fn emit(&self, chip: &Chip, out: &mut MetricSet) {
        let label = ("chip", &*chip.label);
        if !chip.name.is_empty() {
            let family = out.family("node_hwmon_chip_names", Gauge, "What a chip calls itself.");
            out.push(family, &[label, ("chip_name", &chip.name)], 1.0);
        }
        for ((kind, number), properties) in &chip.sensors {
            let sensor = format!("{kind}{number}");
            if self.sensors.ignores(&format!("{};{sensor}", chip.label)) {
                continue;
            }
            let labels = [label, ("sensor", &*sensor)];
            let title = properties.get("label");
            if let Some(title) = title {
                let family = out.family("node_hwmon_sensor_label", Gauge, "What a sensor measures.");
                out.push(family, &[labels[0], labels[1], ("label", title)], 1.0);
            }
            for (property, text) in properties.iter().filter(|(property, _)| *property != "label") {
                // Some files hold words, and some drivers nothing.
                let Some(value) = text.parse().ok().filter(|value: &f64| value.is_finite()) else { continue };
                let metric = sensor::metric(kind, property, properties.contains_key(""));
                let clock = (kind == "freq" && property == "input").then(|| title.map(|title| clean(title)));
                let labels = match &clock {
                    // A clock is known by its label alone.
                    Some(None) => continue,
                    Some(Some(title)) => [label, ("sensor", &**title)],
                    None => labels,
                };
                let family = out.family(&metric.name, metric.kind, &metric.help);
                out.push(family, &labels, (metric.unit)(value));
            }
        }
    }
}

#[cfg(test)]
mod tests;
