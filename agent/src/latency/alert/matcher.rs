//! Smokeping's matchers: rules on the last rounds that a pattern cannot say, with the names and parameters of its own.

use std::collections::BTreeMap;

use super::history::{History, Value};

/// Rounds that a matcher may look back at most.
const MOST: usize = 2_016;

/// How a quotient is compared.
type Comparator = fn(&f64, &f64) -> bool;

/// A matcher with its parameters.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Matcher {
    /// The last `x` rounds were at `l` milliseconds or above; cleared when the last `x` were below.
    CheckLatency { l: f64, x: usize },
    /// The same for a loss of `l` percent.
    CheckLoss { l: f64, x: usize },
    /// The same with a threshold and a number of rounds for each way.
    ConsecutiveLoss { raise: (f64, usize), clear: (f64, usize) },
    /// The medians of two spans of rounds differ by more than so many seconds.
    Median { old: usize, new: usize, diff: f64 },
    /// The quotient of two spans' means, or middle values, is above, or below, so many percent.
    Ratio { middle: bool, historic: usize, current: usize, comparator: String, percentage: f64 },
    /// A loss weighted by age: the oldest of `hist` rounds counts a hundredth of the newest.
    ExpLoss { hist: usize, rising: f64, falling: f64, skip: usize, fast: usize },
}

/// Parameters that are left out have no number.
struct Parameters<'a> {
    name: &'a str,
    values: BTreeMap<&'a str, &'a str>,
}

impl<'a> Parameters<'a> {
    fn text(&mut self, key: &str) -> Result<&'a str, String> {
        self.values.remove(key).ok_or_else(|| format!("the matcher {} needs {key}=>...", self.name))
    }

    fn number(&mut self, key: &str) -> Result<f64, String> {
        let text = self.text(key)?;
        let plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        let number = text.parse().ok().filter(|_| plain);
        number.ok_or_else(|| format!("{key}=>{text} of the matcher {} is no number", self.name))
    }

    fn rounds(&mut self, key: &str) -> Result<usize, String> {
        let text = self.text(key)?;
        let number = text.parse().ok().filter(|rounds| (1..=MOST).contains(rounds));
        number.ok_or_else(|| format!("{key}=>{text} of the matcher {} is no number of rounds", self.name))
    }

    fn or<T>(
        &mut self,
        key: &str,
        read: fn(&mut Self, &str) -> Result<T, String>,
        other: T,
    ) -> Result<T, String> {
        if self.values.contains_key(key) { read(self, key) } else { Ok(other) }
    }
}

impl Matcher {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim().trim_end_matches(';');
        let (name, rest) = text
            .split_once('(')
            .and_then(|(name, rest)| Some((name.trim(), rest.trim_end().strip_suffix(')')?)))
            .ok_or_else(|| format!("{text:?} is no matcher such as CheckLoss(l=>50,x=>3)"))?;
        let mut values = BTreeMap::new();
        for pair in rest.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let (key, value) = pair
                .split_once("=>")
                .ok_or_else(|| format!("{pair:?} in {text:?} is no parameter such as l=>50"))?;
            values.insert(key.trim(), value.trim().trim_matches(['\'', '"']));
        }
        let mut p = Parameters { name, values };
        let matcher = match name {
            "CheckLatency" => Self::CheckLatency { l: p.number("l")?, x: p.rounds("x")? },
            "CheckLoss" => Self::CheckLoss { l: p.number("l")?, x: p.rounds("x")? },
            "ConsecutiveLoss" => Self::ConsecutiveLoss {
                raise: (p.number("pctlossraise")?, p.rounds("stepsraise")?),
                clear: (p.number("pctlossclear")?, p.rounds("stepsclear")?),
            },
            "Median" => {
                Self::Median { old: p.rounds("old")?, new: p.rounds("new")?, diff: p.number("diff")? }
            }
            "Avgratio" | "Medratio" => Self::Ratio {
                middle: name == "Medratio",
                historic: p.rounds("historic")?,
                current: p.rounds("current")?,
                comparator: {
                    let text = p.text("comparator")?;
                    comparator(text).ok_or_else(|| format!("{text:?} is no comparator: < > <= >= =="))?;
                    text.to_owned()
                },
                percentage: p.number("percentage")?,
            },
            "ExpLoss" => {
                let (hist, rising) = (p.rounds("hist")?, p.number("rising")?);
                Self::ExpLoss {
                    hist,
                    rising,
                    falling: p.or("falling", Parameters::number, rising)?,
                    skip: p.or("skip", Parameters::rounds, 0)?,
                    fast: p.or("fast", Parameters::rounds, 0)?,
                }
            }
            other => {
                return Err(format!(
                    "there is no matcher {other:?}: there are CheckLatency, CheckLoss, ConsecutiveLoss, Median, Avgratio, Medratio, ExpLoss"
                ));
            }
        };
        match p.values.keys().next() {
            Some(key) => Err(format!("the matcher {name} has no parameter {key}")),
            None => Ok(matcher),
        }
    }

    /// Rounds that it looks back, the start among them.
    pub(super) fn length(&self) -> usize {
        match self {
            Self::CheckLatency { x, .. } | Self::CheckLoss { x, .. } => *x,
            Self::ConsecutiveLoss { raise, clear } => raise.1.max(clear.1),
            Self::Median { old, new, .. } => old + new,
            Self::Ratio { historic, current, .. } => historic + current,
            Self::ExpLoss { hist, skip, .. } => *hist.max(&(skip + 2)),
        }
    }

    pub(super) fn holds(&self, history: &History, before: bool) -> bool {
        match self {
            // Milliseconds; the history has seconds.
            Self::CheckLatency { l, x } => {
                held(history.medians(), (l / 1000.0, *x), (l / 1000.0, *x), before)
            }
            Self::CheckLoss { l, x } => held(history.losses(), (*l, *x), (*l, *x), before),
            Self::ConsecutiveLoss { raise, clear } => held(history.losses(), *raise, *clear, before),
            Self::Median { old, new, diff } => {
                let medians: Vec<Value> = history.medians().collect();
                let new = medians.len().min(*new);
                let end = medians.len().min(new + old);
                // Where one of them has no number yet there is nothing to compare.
                median(&medians[new..end])
                    .zip(median(&medians[..new]))
                    .is_some_and(|(old, new)| (old - new).abs() > *diff)
            }
            Self::Ratio { middle, historic, current, comparator, percentage } => {
                ratio(history, *middle, *historic, *current).is_some_and(|ratio| {
                    self::comparator(comparator).is_some_and(|holds| holds(&ratio, &(percentage / 100.0)))
                })
            }
            Self::ExpLoss { hist, rising, falling, skip, fast } => {
                if history.len() <= skip + 1 {
                    return false;
                }
                exp_loss(history, *hist, *fast, *rising, *falling, before)
            }
        }
    }
}

fn comparator(text: &str) -> Option<Comparator> {
    Some(match text {
        "<" => f64::lt,
        ">" => f64::gt,
        "<=" => f64::le,
        ">=" => f64::ge,
        "==" => f64::eq,
        _ => return None,
    })
}

/// A threshold and a number of rounds: raised when the last rounds were at or above it, cleared when the last ones were
/// below. The start among them leaves all as it is, and so do rounds that there are not yet. A round without a median is
/// neither.
fn held(
    mut values: impl Iterator<Item = Value>,
    raise: (f64, usize),
    clear: (f64, usize),
    before: bool,
) -> bool {
    let (threshold, rounds) = if before { clear } else { raise };
    let mut seen = 0;
    let other = values.by_ref().take(rounds).all(|value| {
        seen += 1;
        value.number().is_some_and(|value| (value < threshold) == before)
    });
    before != (other && seen == rounds)
}

/// Of the numbers, the mean of the two in the middle where they are even.
fn median(values: &[Value]) -> Option<f64> {
    let mut numbers: Vec<f64> = values.iter().filter_map(|value| value.number()).collect();
    numbers.sort_by(f64::total_cmp);
    match numbers.len() {
        0 => None,
        n if n % 2 == 1 => Some(numbers[n / 2]),
        n => Some((numbers[n / 2] + numbers[n / 2 - 1]) / 2.0),
    }
}

/// Now through before; `None` before there are enough rounds, or without a number in one of the two spans.
fn ratio(history: &History, middle: bool, historic: usize, current: usize) -> Option<f64> {
    let medians: Vec<Value> = history.medians().take(historic + current).collect();
    if medians.len() < historic + current || medians.last() == Some(&Value::Start) {
        return None;
    }
    let of = |values: &[Value]| {
        let mut numbers: Vec<f64> = values.iter().filter_map(|value| value.number()).collect();
        numbers.sort_by(f64::total_cmp);
        let value = if middle {
            numbers.get(numbers.len() / 2).copied()?
        } else {
            numbers.iter().sum::<f64>() / numbers.len().max(1) as f64
        };
        (value > 0.0).then_some(value)
    };
    let (now, before) = medians.split_at(current);
    Some(of(now)? / of(before)?)
}

fn exp_loss(history: &History, hist: usize, fast: usize, rising: f64, falling: f64, before: bool) -> bool {
    // So that what is `hist` rounds old counts a hundredth.
    let keep = 0.01_f64.powf(1.0 / hist as f64);
    let (mut weighted, mut sum, mut count) = (0.0, 0.0, 0);
    let (mut above, mut below) = (0, 0);
    for loss in history.losses().rev().filter_map(Value::number) {
        weighted = keep * weighted + (1.0 - keep) * loss;
        sum += loss;
        count += 1;
        above = if loss >= rising { above + 1 } else { 0 };
        below = if loss <= falling { below + 1 } else { 0 };
    }
    if count == 0 {
        return false;
    }
    if fast > 0 && above >= fast {
        return true;
    }
    if fast > 0 && below >= fast {
        return false;
    }
    // As if there had been the mean all the time before.
    weighted += sum / f64::from(count) * keep.powi(count);
    weighted >= rising || (before && weighted >= falling)
}
