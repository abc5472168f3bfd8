//! What a template is made of. Imports no sibling.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use regex::Regex;

/// A piece of a template.
pub(super) enum Node {
    Text(String),
    Put(Expression),
    /// Conditions and what they choose; the last has none where there is an `else`.
    If(Vec<(Option<Expression>, Vec<Node>)>),
}

/// What has a value.
pub(super) enum Expression {
    Literal(Datum),
    Field(String),
    /// With the expression where the function wants a regular one and it is given as a literal.
    Call(&'static Function, Vec<Expression>, Option<Regex>),
}

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Datum {
    /// A field that is not there.
    Nothing,
    Bool(bool),
    Number(f64),
    Text(String),
}

/// A function.
pub(super) struct Function {
    pub(super) name: &'static str,
    /// How many arguments.
    pub(super) takes: RangeInclusive<usize>,
    /// The first argument is a regular expression.
    pub(super) is_regex: bool,
    /// None where it cannot take what it is given.
    pub(super) run: fn(&[Datum], Option<&Regex>) -> Option<Datum>,
}

impl Function {
    /// How many arguments, for people.
    pub(super) fn wanted(&self) -> String {
        match (*self.takes.start(), *self.takes.end()) {
            (least, most) if least == most => least.to_string(),
            (least, usize::MAX) => format!("{least} or more"),
            (least, most) => format!("{least} to {most}"),
        }
    }
}

impl Datum {
    /// As Go prints it.
    pub(super) fn printed(&self) -> Cow<'_, str> {
        match self {
            Self::Nothing => Cow::Borrowed("<no value>"),
            Self::Bool(is) => Cow::Borrowed(if *is { "true" } else { "false" }),
            Self::Number(number) => Cow::Owned(number.to_string()),
            Self::Text(text) => Cow::Borrowed(text),
        }
    }

    /// As `if` sees it.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Self::Nothing => false,
            Self::Bool(is) => *is,
            Self::Number(number) => *number != 0.0,
            Self::Text(text) => !text.is_empty(),
        }
    }
}
