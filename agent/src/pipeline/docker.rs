//! `docker`: reads the JSON that Docker writes, `{"log": ..., "stream": ..., "time": ...}`: time, stream, the text;
//! pieces of a long line are joined. Lines of pods were read already, and stay.

use serde::Deserialize;
use serde_yaml_ng::Value as Yaml;
use tokio::time::Instant;

use super::api::{Entry, Out, Place, Stage, Value};
use super::layout::rfc3339;
use super::option::{self, Built, Site};
use super::pieces::Pieces;

/// See the table in `pipeline.rs`.
pub(super) fn build(section: Yaml, _site: &Site) -> Built {
    let _options: Config = option::section(section)?;
    Ok(Box::new(Docker::default()))
}

/// The stage `docker` has no options.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {}

/// A line as Docker writes it.
#[derive(Deserialize)]
struct Record {
    log: String,
    #[serde(default)]
    stream: String,
    #[serde(default)]
    time: String,
}

/// Reads one line into its entry; whether it goes on in the next one, none where it is of another form.
fn read(entry: &mut Entry) -> Option<bool> {
    let Record { mut log, stream, time } = serde_json::from_str(&entry.line).ok()?;
    let goes_on = !log.ends_with('\n');
    log.truncate(log.trim_end_matches(['\n', '\r']).len());
    entry.at_ns = rfc3339(&time).unwrap_or(entry.at_ns);
    entry.extracted.set(&"timestamp".into(), Value::Text(time));
    entry.extracted.set(&"stream".into(), Value::Text(stream.clone()));
    entry.relabel(|labels| labels.push(("stream".into(), stream.into())));
    entry.line = log;
    Some(goes_on)
}

#[derive(Default)]
struct Docker(Pieces);

impl Stage for Docker {
    fn pass(&mut self, out: &mut Out) {
        for mut entry in std::mem::take(&mut out.entries) {
            let is_read = entry.labels.get("stream").is_some();
            match if is_read { None } else { read(&mut entry) } {
                Some(goes_on) => out.entries.extend(self.0.join(entry, goes_on, out.now)),
                None => out.entries.push(entry),
            }
        }
    }

    fn due(&self) -> Option<Instant> {
        self.0.due()
    }

    fn release(&mut self, now: Option<Instant>, out: &mut Out) {
        out.entries.extend(self.0.release(now));
    }

    fn held(&self, each: &mut dyn FnMut(&Place)) {
        self.0.held(each);
    }
}
