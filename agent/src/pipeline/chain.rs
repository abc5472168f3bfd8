//! A list of stages: built from YAML, and run one after the other. A chain is a stage itself, so that one nests another.

use serde_yaml_ng::Value as Yaml;
use tokio::time::Instant;

use super::api::{Entry, Out, Place, Stage};
use super::option::{Built, Site, StageError};

/// Bytes of a line at most: of what a stage makes longer, the rest is cut off.
const MOST_OF_LINE: usize = 4 << 20;

/// See the file's head.
#[derive(Default)]
pub(super) struct Chain(Vec<Box<dyn Stage>>);

impl Chain {
    /// From a list as it stands in the configuration.
    ///
    /// # Errors
    /// The first stage that cannot be built, with its place in the list.
    pub(super) fn build(list: &[Yaml], site: &Site) -> Result<Self, StageError> {
        let stages = list.iter().enumerate().map(|(index, stage)| build(index, stage, site));
        stages.collect::<Result<_, _>>().map(Self)
    }

    /// No stage.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// See [`Site::chain`].
pub(super) fn nested(list: &[Yaml], site: &Site) -> Built {
    Ok(Box::new(Chain::build(list, site)?))
}

fn build(index: usize, stage: &Yaml, site: &Site) -> Built {
    let only = stage.as_mapping().filter(|map| map.len() == 1).and_then(|map| map.iter().next());
    let (name, section) = match (stage.as_str(), only) {
        // `- cri:` without the colon is common.
        (Some(name), _) => (name, Yaml::Null),
        (_, Some((name, section))) => (name.as_str().ok_or(StageError::Shape(index))?, section.clone()),
        _ => return Err(StageError::Shape(index)),
    };
    let built = match site.rows.iter().find(|row| row.name == name) {
        Some(row) => (row.build)(section, site),
        None => {
            let names: Vec<_> = site.rows.iter().map(|row| row.name).collect();
            Err(StageError::Unknown(names.join(", ")))
        }
    };
    built.map_err(|why| StageError::At { index, name: name.to_owned(), why: Box::new(why) })
}

fn cut(entry: &mut Entry) {
    if entry.line.len() > MOST_OF_LINE {
        let end = entry.line.floor_char_boundary(MOST_OF_LINE);
        entry.line.truncate(end);
    }
}

impl Stage for Chain {
    fn pass(&mut self, out: &mut Out) {
        for stage in &mut self.0 {
            stage.pass(out);
            out.entries.iter_mut().for_each(cut);
        }
    }

    fn due(&self) -> Option<Instant> {
        self.0.iter().filter_map(|stage| stage.due()).min()
    }

    fn release(&mut self, now: Option<Instant>, out: &mut Out) {
        // What a stage lets go meets what a later one still holds, so from the first to the last.
        for i in 0..self.0.len() {
            let mut through = Out::new(out.now);
            self.0[i].release(now, &mut through);
            for stage in &mut self.0[i + 1..] {
                stage.pass(&mut through);
                through.entries.iter_mut().for_each(cut);
            }
            out.entries.append(&mut through.entries);
            out.dropped.append(&mut through.dropped);
        }
    }

    fn held(&self, each: &mut dyn FnMut(&Place)) {
        self.0.iter().for_each(|stage| stage.held(each));
    }
}
