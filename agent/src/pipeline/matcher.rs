//! `match`: stages for some of the lines, or the end of these.

use serde::Deserialize;
use serde_yaml_ng::Value as Yaml;
use tokio::time::Instant;

use super::api::{Each, Entry, Out, Place, Stage, Verdict};
use super::option::{self, Built, Site, StageError};
use super::selector::Selector;

/// Options of the stage `match`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// Which lines: `{app="shop", env!~"dev|test"} |= "order"`.
    selector: String,
    /// A name for people.
    #[serde(default, rename = "pipeline_name")]
    _pipeline_name: Option<String>,
    /// What becomes of them.
    #[serde(default)]
    action: Action,
    /// What they go through; only with `keep`.
    #[serde(default)]
    stages: Vec<Yaml>,
    /// The reason in the ledger; only with `drop`.
    #[serde(default)]
    drop_counter_reason: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Action {
    #[default]
    Keep,
    Drop,
}

/// See the table in `pipeline.rs`.
pub(super) fn build(section: Yaml, site: &Site) -> Built {
    let config: Config = option::section(section)?;
    let selector = Selector::parse(&config.selector)?;
    match config.action {
        Action::Keep if config.stages.is_empty() => {
            Err(StageError::Wrong("stages: at least one is wanted; to leave lines out, say action: drop"))
        }
        Action::Keep => Ok(Box::new(Match { selector, stages: (site.chain)(&config.stages, site)? })),
        Action::Drop if !config.stages.is_empty() => {
            Err(StageError::Wrong("stages: nothing goes through them with action: drop"))
        }
        Action::Drop => {
            let reason = site.reason(config.drop_counter_reason.as_deref(), "match_stage")?;
            Ok(Box::new(Each(move |entry: &mut Entry, _| {
                if selector.matches(entry) { Verdict::Drop(reason.clone()) } else { Verdict::Keep }
            })))
        }
    }
}

struct Match {
    selector: Selector,
    stages: Box<dyn Stage>,
}

impl Stage for Match {
    fn pass(&mut self, out: &mut Out) {
        let (mut through, mut rest) =
            (Out::new(out.now), std::mem::take(&mut out.entries).into_iter().peekable());
        // Neighbours together, so that the order stays.
        while let Some(entry) = rest.next() {
            if !self.selector.matches(&entry) {
                out.entries.push(entry);
                continue;
            }
            through.entries.push(entry);
            if rest.peek().is_some_and(|next| self.selector.matches(next)) {
                continue;
            }
            self.stages.pass(&mut through);
            out.entries.append(&mut through.entries);
        }
        out.dropped.append(&mut through.dropped);
    }

    fn due(&self) -> Option<Instant> {
        self.stages.due()
    }

    fn release(&mut self, now: Option<Instant>, out: &mut Out) {
        self.stages.release(now, out);
    }

    fn held(&self, each: &mut dyn FnMut(&Place)) {
        self.stages.held(each);
    }
}
