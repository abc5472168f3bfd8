//! `/api/v1/series`: the names that there are, or the series of one name with their points.

use serde::Serialize;

use super::params::{ApiError, Params};
use crate::sink::embedded::series::Fill;
use crate::sink::embedded::{Store, now_ms};

/// Names, or series.
#[derive(Debug, Serialize)]
pub struct Found {
    /// How full the room is.
    pub fill: Fill,
    /// Without `name`: every name with the number of its series.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<(String, usize)>,
    /// With `name`: its series in order of their labels.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub series: Vec<Series>,
    /// Series left out because of `limit`.
    pub left_out: usize,
}

/// One series.
#[derive(Debug, Serialize)]
pub struct Series {
    /// Labels without the name.
    pub labels: serde_json::Map<String, serde_json::Value>,
    /// Milliseconds and value; a run of equal values is its first and last point; null marks a gap.
    pub points: Vec<(i64, Option<f64>)>,
}

/// Answers.
///
/// # Errors
/// Where a parameter is out of bounds or the name is not known.
pub fn of(store: &Store, params: &Params) -> Result<Found, ApiError> {
    let limit = params.number("limit", 50, (1, 1_000))? as usize;
    let oldest = now_ms() - params.minutes()? * 60_000;
    let (name, node) = (params.text("name"), params.text("node"));
    let book = store.series();
    let fill = book.fill();
    if name.is_empty() {
        let names = book.names().into_iter().map(|(name, count)| (name.to_owned(), count)).collect();
        return Ok(Found { fill, names, series: Vec::new(), left_out: 0 });
    }
    let mut tracks: Vec<_> = book.of(name, node).collect();
    if tracks.is_empty() {
        return Err(ApiError::Missing(format!(
            "there is no series {name:?}; without a name all names are listed"
        )));
    }
    tracks.sort_by(|a, b| a.labels().cmp(b.labels()));
    let left_out = tracks.len().saturating_sub(limit);
    let series = tracks.into_iter().take(limit).map(|track| {
        let labels = track.labels().iter().filter(|(name, _)| *name != "__name__");
        let points = track.points().filter(|point| point.at_ms >= oldest);
        Series {
            labels: labels.map(|(name, value)| (name.to_owned(), value.into())).collect(),
            points: points.map(|p| (p.at_ms, p.value.is_finite().then_some(p.value))).collect(),
        }
    });
    Ok(Found { fill, names: Vec::new(), series: series.collect(), left_out })
}
