//! Text into a template.

use super::api::{Datum, Expression, Function, Node};
use super::functions;
use crate::pipeline::dialect;

/// Levels of `if` and of parentheses.
const DEPTH: usize = 32;

/// # Errors
/// A sentence on what is not understood.
pub(super) fn template(text: &str) -> Result<Vec<Node>, String> {
    let mut parser = Parser { rest: text, depth: 0 };
    let (nodes, ending) = parser.nodes()?;
    match ending {
        Ending::Text => Ok(nodes),
        Ending::End => Err("{{end}} ends nothing".to_owned()),
        Ending::Else(_) => Err("{{else}} is of no {{if}}".to_owned()),
    }
}

/// What a word between the braces is.
#[derive(Clone, Debug, PartialEq)]
enum Token {
    /// `.`
    All,
    /// `.name`
    Field(String),
    Literal(Datum),
    Word(String),
    Pipe,
    Open,
    Close,
}

/// What ends a list of nodes.
enum Ending {
    Text,
    End,
    Else(Vec<Token>),
}

struct Parser<'a> {
    rest: &'a str,
    depth: usize,
}

impl Parser<'_> {
    fn nodes(&mut self) -> Result<(Vec<Node>, Ending), String> {
        let mut nodes = Vec::new();
        loop {
            let Some((text, behind)) = self.rest.split_once("{{") else {
                nodes.push(Node::Text(std::mem::take(&mut self.rest).to_owned()));
                return Ok((nodes, Ending::Text));
            };
            let trims = behind.strip_prefix('-').filter(|inside| inside.starts_with(char::is_whitespace));
            let text = if trims.is_some() { text.trim_end() } else { text };
            nodes.push(Node::Text(text.to_owned()));
            self.rest = trims.unwrap_or(behind);
            let tokens = self.tokens()?;
            match tokens.first() {
                None => {}
                Some(Token::Word(word)) => match word.as_str() {
                    "if" => nodes.push(self.choice(&tokens[1..])?),
                    "end" => return Ok((nodes, Ending::End)),
                    "else" => return Ok((nodes, Ending::Else(tokens[1..].to_vec()))),
                    "range" | "with" | "define" | "block" | "template" | "break" | "continue" => {
                        return Err(format!("there is no {{{{{word}}}}}; there are if, else and end"));
                    }
                    _ => nodes.push(Node::Put(self.pipeline(&tokens)?)),
                },
                Some(_) => nodes.push(Node::Put(self.pipeline(&tokens)?)),
            }
        }
    }

    /// From behind `if` to its `end`.
    fn choice(&mut self, condition: &[Token]) -> Result<Node, String> {
        self.deeper()?;
        let mut branches = Vec::new();
        let mut condition = Some(self.pipeline(condition)?);
        loop {
            let (nodes, ending) = self.nodes()?;
            let is_else = condition.is_none();
            branches.push((condition, nodes));
            condition = match ending {
                Ending::Text => return Err("an {{if}} has no {{end}}".to_owned()),
                Ending::Else(_) if is_else => return Err("an {{if}} has two {{else}}".to_owned()),
                Ending::Else(tokens) => match tokens.as_slice() {
                    [] => None,
                    [Token::Word(word), condition @ ..] if word == "if" => Some(self.pipeline(condition)?),
                    _ => return Err("behind else, only if may stand".to_owned()),
                },
                Ending::End => break,
            };
        }
        self.depth -= 1;
        Ok(Node::If(branches))
    }

    fn deeper(&mut self) -> Result<(), String> {
        self.depth += 1;
        if self.depth > DEPTH { Err(format!("it is nested more than {DEPTH} deep")) } else { Ok(()) }
    }

    /// Up to the closing braces.
    fn tokens(&mut self) -> Result<Vec<Token>, String> {
        let mut tokens = Vec::new();
        loop {
            let trimmed = self.rest.trim_start();
            let spaced = trimmed.len() < self.rest.len();
            self.rest = trimmed;
            if let Some(rest) = self.rest.strip_prefix("}}") {
                self.rest = rest;
                return Ok(tokens);
            }
            if let Some(rest) = self.rest.strip_prefix("-}}").filter(|_| spaced) {
                self.rest = rest.trim_start();
                return Ok(tokens);
            }
            if let Some(rest) = self.rest.strip_prefix("/*") {
                self.rest = rest.split_once("*/").ok_or("a comment does not end")?.1;
                continue;
            }
            let token = self.token()?;
            tokens.push(token);
        }
    }

    fn token(&mut self) -> Result<Token, String> {
        let is_end = |c: char| !c.is_alphanumeric() && c != '_';
        let Some(first) = self.rest.chars().next() else { return Err("}} is missing".to_owned()) };
        let behind = &self.rest[first.len_utf8()..];
        let (token, rest) = match first {
            '|' => (Token::Pipe, behind),
            '(' => (Token::Open, behind),
            ')' => (Token::Close, behind),
            '"' | '`' => {
                let (text, rest) = dialect::go_string(self.rest).ok_or("a text's quotes do not end")?;
                (Token::Literal(Datum::Text(text)), rest)
            }
            '.' => {
                let (name, rest) = behind.split_at(behind.find(is_end).unwrap_or(behind.len()));
                if rest.starts_with('.') {
                    return Err(format!(".{name} is a text and has no fields of its own"));
                }
                (if name.is_empty() { Token::All } else { Token::Field(name.to_owned()) }, rest)
            }
            '-' | '+' | '0'..='9' => {
                let is_end = |c: char| !c.is_ascii_digit() && c != '.';
                let (number, rest) =
                    self.rest.split_at(behind.find(is_end).map_or(self.rest.len(), |at| at + 1));
                let number = number.parse().map_err(|_| format!("{number:?} is no number"))?;
                (Token::Literal(Datum::Number(number)), rest)
            }
            '$' => return Err("there are no variables".to_owned()),
            c if !is_end(c) => {
                let (word, rest) = self.rest.split_at(self.rest.find(is_end).unwrap_or(self.rest.len()));
                let token = match word {
                    "true" | "false" => Token::Literal(Datum::Bool(word == "true")),
                    "nil" => Token::Literal(Datum::Nothing),
                    _ => Token::Word(word.to_owned()),
                };
                (token, rest)
            }
            c => return Err(format!("{c:?} is not understood")),
        };
        self.rest = rest;
        Ok(token)
    }

    /// Commands with `|` in between, each given what comes out of the one before as its last argument.
    fn pipeline(&mut self, tokens: &[Token]) -> Result<Expression, String> {
        let mut rest = tokens;
        let mut made = None;
        loop {
            made = Some(self.command(&mut rest, made)?);
            match rest.split_first() {
                None => break,
                Some((Token::Pipe, behind)) => rest = behind,
                Some(_) => return Err("a ) is of no (".to_owned()),
            }
        }
        made.ok_or_else(|| "something is missing".to_owned())
    }

    fn command(&mut self, rest: &mut &[Token], piped: Option<Expression>) -> Result<Expression, String> {
        let Some((first, behind)) = rest.split_first() else { return Err("something is missing".to_owned()) };
        let Token::Word(word) = first else {
            let operand = self.operand(rest)?;
            let alone = piped.is_none()
                && !rest.first().is_some_and(|token| !matches!(token, Token::Pipe | Token::Close));
            return if alone {
                Ok(operand)
            } else {
                Err("what is no function takes no arguments".to_owned())
            };
        };
        *rest = behind;
        // A field whose name is none that a field may have.
        if word == "index"
            && let [Token::All, Token::Literal(Datum::Text(name)), behind @ ..] = *rest
        {
            *rest = behind;
            return Ok(Expression::Field(name.clone()));
        }
        let function = functions::find(word)?;
        let mut arguments = Vec::new();
        while rest.first().is_some_and(|token| !matches!(token, Token::Pipe | Token::Close)) {
            arguments.push(self.operand(rest)?);
        }
        arguments.extend(piped);
        call(function, arguments)
    }

    fn operand(&mut self, rest: &mut &[Token]) -> Result<Expression, String> {
        let Some((first, behind)) = rest.split_first() else { return Err("something is missing".to_owned()) };
        *rest = behind;
        match first {
            Token::Field(name) => Ok(Expression::Field(name.clone())),
            Token::Literal(datum) => Ok(Expression::Literal(datum.clone())),
            Token::All => Err("name a field, such as .Value".to_owned()),
            Token::Word(word) => call(functions::find(word)?, Vec::new()),
            Token::Pipe | Token::Close => Err("something is missing".to_owned()),
            Token::Open => {
                self.deeper()?;
                let mut open = 1;
                let is_end = |token: &Token| {
                    open += match token {
                        Token::Open => 1,
                        Token::Close => -1,
                        _ => 0,
                    };
                    open == 0
                };
                let end = rest.iter().position(is_end).ok_or("a ( is not closed")?;
                let inside = self.pipeline(&rest[..end])?;
                *rest = &rest[end + 1..];
                self.depth -= 1;
                Ok(inside)
            }
        }
    }
}

fn call(function: &'static Function, arguments: Vec<Expression>) -> Result<Expression, String> {
    if !function.takes.contains(&arguments.len()) {
        let (name, given) = (function.name, arguments.len());
        return Err(format!("{name} takes {} arguments, not {given}", function.wanted()));
    }
    let regex = match arguments.first() {
        Some(Expression::Literal(Datum::Text(text))) if function.is_regex => {
            Some(regex::Regex::new(&dialect::from_go(text)).map_err(|why| format!("{text:?}: {why}"))?)
        }
        _ => None,
    };
    Ok(Expression::Call(function, arguments, regex))
}
