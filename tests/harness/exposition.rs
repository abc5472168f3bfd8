//! A page of metrics in the Prometheus text format, as a scraper gets it: by series.

use std::collections::BTreeMap;

use ao_agent::exposition;
use ao_proto::model::MetricType;

/// A page of `/metrics`.
#[derive(Debug, Default)]
pub struct Page {
    /// What `# TYPE` says, by family.
    pub types: BTreeMap<String, MetricType>,
    /// Every sample by its series: the name, and in braces the labels in order of their names.
    pub samples: BTreeMap<String, f64>,
}

impl Page {
    /// Reads a page.
    ///
    /// # Errors
    /// The first line that is not of the format, or a series that is there twice.
    pub fn read(text: &str) -> Result<Self, String> {
        let mut page = Self::default();
        for family in exposition::parse(text).map_err(|wrong| wrong.to_string())? {
            page.types.insert(family.name.to_owned(), family.kind);
            for sample in &family.samples {
                let mut labels: Vec<String> =
                    sample.labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
                labels.sort_unstable();
                let labels =
                    if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
                let series = format!("{}{}{labels}", family.name, sample.suffix);
                if page.samples.insert(series.clone(), sample.value).is_some() {
                    return Err(format!("{series} is there twice"));
                }
            }
        }
        Ok(page)
    }

    /// The type of a series' family; that of a histogram's or summary's part is its family's.
    pub fn kind(&self, series: &str) -> MetricType {
        let name = name(series);
        let parts = ["_bucket", "_sum", "_count"].iter().filter_map(|part| name.strip_suffix(part));
        let kind = std::iter::once(name).chain(parts).find_map(|name| self.types.get(name));
        kind.copied().unwrap_or(MetricType::Unknown)
    }
}

/// What stands before the labels.
pub fn name(series: &str) -> &str {
    series.split('{').next().unwrap_or(series)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a page with a histogram, an untyped series, labels in any order; one with a series twice.
    /// Guarantees: labels come sorted; a part has its family's type; what is there twice is refused.
    #[test]
    fn pages() {
        let page = Page::read("# TYPE a histogram\na_sum 1\na_count 2\nc{z=\"1\",b=\"x y\"} 3\n").unwrap();
        assert_eq!((page.kind("a_sum"), page.kind("c")), (MetricType::Histogram, MetricType::Unknown));
        assert_eq!(page.samples["c{b=\"x y\",z=\"1\"}"], 3.0);
        assert!(Page::read("a{b=\"1\",c=\"2\"} 1\na{c=\"2\",b=\"1\"} 2\n").unwrap_err().contains("twice"));
    }
}
