//! The part of TraceQL that is answered: one spanset filter, `{ … }`. Everything else is refused with what it is and
//! where. The language is Tempo's, <https://grafana.com/docs/tempo/latest/traceql/>; no crate that is kept reads it.

mod field;
mod lexer;
mod parser;

pub use field::{Field, Intrinsic, Scope};
pub use lexer::duration_ns;
pub use parser::{field, lenient, parse};

use crate::error::ApiError;

/// Longest query in bytes.
pub const LONGEST: usize = 4_096;
/// Parentheses within each other: each is a level of the parser's own stack.
const DEEPEST: usize = 16;
/// Comparisons of one query: each is a condition in every row that is read.
pub const MOST_COMPARISONS: usize = 50;

/// What a span has to be.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// Anything.
    Anything,
    /// All of these.
    Every(Vec<Self>),
    /// One of these.
    Any(Vec<Self>),
    /// This.
    Is(Comparison),
}

/// A field beside a value that it can be compared with.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// What is compared.
    pub field: Field,
    /// How.
    pub operator: Operator,
    /// With what.
    pub value: Value,
    /// Where it stands in the query, in characters.
    at: usize,
}

/// How two values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Operator {
    Equal,
    NotEqual,
    Greater,
    AtLeast,
    Less,
    AtMost,
    Matches,
    MatchesNot,
}

/// A value. Words of status and kind are texts as the store writes them, and so are booleans.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A text, or a pattern that has to match all of one.
    Text(String),
    /// A number.
    Number(f64),
    /// A length in ns.
    Nanoseconds(i64),
    /// No value at all.
    Nil,
}

/// A query that isn't answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Where, in characters from 0.
    at: usize,
    /// Why.
    why: String,
}

/// A filter as two: what a trace has to be, and what one of its spans has to be.
#[derive(Debug, Clone, PartialEq)]
pub struct Split {
    /// Of traces.
    pub trace: Filter,
    /// Of spans.
    pub span: Filter,
}

impl Filter {
    /// Traces and spans are looked up in different tables, so conditions on them have to be joined by `&&`.
    ///
    /// # Errors
    /// They are joined by `||`.
    pub fn split(self) -> Result<Split, Refused> {
        let all = match self {
            Self::Every(all) => all,
            one => vec![one],
        };
        let (mut trace, mut span) = (Vec::new(), Vec::new());
        for one in all {
            let comparisons = one.comparisons();
            let of_trace = comparisons.iter().find(|each| each.field.is_of_trace());
            match of_trace {
                None => span.push(one),
                Some(_) if comparisons.iter().all(|each| each.field.is_of_trace()) => trace.push(one),
                Some(mixed) => {
                    return Err(Refused::at(
                        mixed.at,
                        format!(
                            "{} is the whole trace's: only && can join it with what is a span's",
                            mixed.field
                        ),
                    ));
                }
            }
        }
        Ok(Split { trace: Self::every(trace), span: Self::every(span) })
    }

    /// All comparisons, in the order of the query.
    pub fn comparisons(&self) -> Vec<&Comparison> {
        match self {
            Self::Anything => Vec::new(),
            Self::Every(all) | Self::Any(all) => all.iter().flat_map(Self::comparisons).collect(),
            Self::Is(comparison) => vec![comparison],
        }
    }

    /// All of these, without levels that say nothing.
    pub fn every(all: Vec<Self>) -> Self {
        let flat = all.into_iter().flat_map(|one| match one {
            Self::Anything => Vec::new(),
            Self::Every(inner) => inner,
            one => vec![one],
        });
        let mut flat: Vec<Self> = flat.collect();
        match flat.len() {
            0 => Self::Anything,
            1 => flat.remove(0),
            _ => Self::Every(flat),
        }
    }

    fn any(mut all: Vec<Self>) -> Self {
        if all.len() == 1 {
            return all.remove(0);
        }
        if all.contains(&Self::Anything) { Self::Anything } else { Self::Any(all) }
    }

    /// A field has exactly this text: for parameters that are no TraceQL.
    pub fn equal(field: Field, text: String) -> Self {
        Self::Is(Comparison { field, operator: Operator::Equal, value: Value::Text(text), at: 0 })
    }
}

impl Operator {
    /// From its sign.
    fn of(sign: &str) -> Option<Self> {
        Some(match sign {
            "=" => Self::Equal,
            "!=" => Self::NotEqual,
            ">" => Self::Greater,
            ">=" => Self::AtLeast,
            "<" => Self::Less,
            "<=" => Self::AtMost,
            "=~" => Self::Matches,
            "!~" => Self::MatchesNot,
            _ => return None,
        })
    }

    /// Whether it tells only whether values are the same.
    fn is_equality(self) -> bool {
        matches!(self, Self::Equal | Self::NotEqual)
    }

    /// Whether its value is a pattern.
    pub fn is_pattern(self) -> bool {
        matches!(self, Self::Matches | Self::MatchesNot)
    }
}

impl Refused {
    fn at(at: usize, why: impl Into<String>) -> Self {
        Self { at, why: why.into() }
    }
}

impl From<Refused> for ApiError {
    /// In the form of Tempo's own: columns begin at 1.
    fn from(Refused { at, why }: Refused) -> Self {
        Self::bad_request(format!("parse error at col {}: {why}", at + 1))
    }
}

#[cfg(test)]
mod tests;
