//! Smokeping's patterns (its manual, section Alerts): a list of conditions on the last rounds, the oldest first.
//!
//! `>0%`, `==0%`, `>45%<=55%` for losses, `<10`, `>=100` for medians in milliseconds, `==U` for a round without a median,
//! `==S` for the place before the first round, `*12*` for up to twelve rounds of any kind.

use super::history::{History, Value};

/// Conditions of a pattern at most.
const MOST: usize = 256;
/// Rounds that one `*N*` may stand for at most.
const MOST_SKIP: usize = 2_016;

/// What the conditions are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Series {
    /// Percent.
    Loss,
    /// Milliseconds in the text, seconds in the history.
    Rtt,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    Equal,
    Unequal,
    Less,
    Greater,
    AtMost,
    AtLeast,
}

/// Longer ones first, since the others are their beginnings.
const OPS: [(&str, Op); 6] = [
    ("==", Op::Equal),
    ("!=", Op::Unequal),
    ("<=", Op::AtMost),
    (">=", Op::AtLeast),
    ("<", Op::Less),
    (">", Op::Greater),
];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Item {
    /// A round.
    Is(Op, Value, Option<(Op, f64)>),
    /// Up to so many of any kind.
    Any(usize),
}

/// See the module.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pattern {
    series: Series,
    items: Vec<Item>,
}

impl Pattern {
    pub(super) fn parse(text: &str, series: Series) -> Result<Self, String> {
        let items: Vec<Item> = text
            .split(',')
            .map(|item| {
                let item = item.trim();
                parse_item(item, series).ok_or_else(|| {
                    let example = if series == Series::Loss { ">20%" } else { ">100" };
                    format!(
                        "{item:?} in the pattern {text:?} is no condition such as {example}, ==U, ==S or *12*"
                    )
                })
            })
            .collect::<Result<_, _>>()?;
        if items.len() > MOST {
            return Err(format!("the pattern has {} conditions: at most {MOST} are allowed", items.len()));
        }
        if !items.iter().any(|item| matches!(item, Item::Is(..))) {
            return Err(format!("the pattern {text:?} has no condition"));
        }
        Ok(Self { series, items })
    }

    pub(super) fn length(&self) -> usize {
        let rounds = |item: &Item| if let Item::Any(most) = item { *most } else { 1 };
        self.items.iter().map(rounds).sum()
    }

    /// Whether the newest rounds are such.
    pub(super) fn holds(&self, history: &History) -> bool {
        let values: Vec<Value> = match self.series {
            Series::Loss => history.losses().collect(),
            Series::Rtt => history.medians().collect(),
        };
        // From the newest on backwards: `at[n]` says whether the conditions so far can have used up n rounds. So the
        // work grows with conditions and rounds, not with all the ways to share the rounds out among the skips.
        let mut at = vec![false; values.len() + 1];
        at[0] = true;
        for item in self.items.iter().rev() {
            let mut next = vec![false; at.len()];
            match item {
                Item::Is(op, value, and) => {
                    for n in 0..values.len() {
                        next[n + 1] = at[n] && fits(values[n], *op, *value, *and);
                    }
                }
                Item::Any(most) => {
                    // The nearest place behind which the skip can begin.
                    let mut last = None;
                    for n in 0..at.len() {
                        if at[n] {
                            last = Some(n);
                        }
                        next[n] = last.is_some_and(|from| n - from <= *most);
                    }
                }
            }
            at = next;
        }
        at.contains(&true)
    }
}

fn parse_item(item: &str, series: Series) -> Option<Item> {
    if let Some(skip) = item.strip_prefix('*') {
        let most = skip.strip_suffix('*')?.parse().ok()?;
        return (most <= MOST_SKIP).then_some(Item::Any(most));
    }
    let (op, rest) = op(item)?;
    match rest.trim() {
        "U" => return matches!(op, Op::Equal | Op::Unequal).then_some(Item::Is(op, Value::Unknown, None)),
        "S" => return matches!(op, Op::Equal | Op::Unequal).then_some(Item::Is(op, Value::Start, None)),
        _ => {}
    }
    let end = rest.find(|c| "<>=".contains(c)).unwrap_or(rest.len());
    let (first, second) = rest.split_at(end);
    let value = Value::Is(number(first, series)?);
    let and = match second {
        "" => None,
        second => {
            let (op, rest) = self::op(second)?;
            (!matches!(op, Op::Equal | Op::Unequal)).then_some(())?;
            Some((op, number(rest, series)?))
        }
    };
    Some(Item::Is(op, value, and))
}

fn op(text: &str) -> Option<(Op, &str)> {
    OPS.iter().find_map(|(word, op)| text.strip_prefix(word).map(|rest| (*op, rest)))
}

fn number(text: &str, series: Series) -> Option<f64> {
    let text = text.trim();
    let plain = |text: &str| -> Option<f64> {
        let digits = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        text.parse().ok().filter(|_| digits)
    };
    match series {
        Series::Loss => plain(text.strip_suffix('%')?),
        Series::Rtt => plain(text).map(|ms| ms / 1000.0),
    }
}

fn fits(found: Value, op: Op, value: Value, and: Option<(Op, f64)>) -> bool {
    match (found, value) {
        (Value::Is(found), Value::Is(value)) => {
            compare(found, op, value) && and.is_none_or(|(op, value)| compare(found, op, value))
        }
        // Only equality can be said of U and S; nothing of them where a number is asked for.
        (found, value @ (Value::Unknown | Value::Start)) => (found == value) == (op == Op::Equal),
        (Value::Unknown | Value::Start, Value::Is(_)) => false,
    }
}

fn compare(found: f64, op: Op, value: f64) -> bool {
    match op {
        Op::Equal => found == value,
        Op::Unequal => found != value,
        Op::Less => found < value,
        Op::Greater => found > value,
        Op::AtMost => found <= value,
        Op::AtLeast => found >= value,
    }
}
