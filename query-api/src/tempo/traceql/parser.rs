//! From TraceQL's words to a filter.

use super::lexer::{Placed, Token, tokens};
use super::{Comparison, DEEPEST, Field, Filter, Intrinsic, MOST_COMPARISONS, Operator, Refused, Value};

struct Parser {
    tokens: std::vec::IntoIter<Placed>,
    next: Placed,
    comparisons: usize,
    /// Whether a comparison may lack its value, and then says nothing: as editors ask while somebody types.
    lenient: bool,
}

/// The filter of a query.
///
/// # Errors
/// It is no TraceQL, or more of it than one spanset filter.
pub fn parse(query: &str) -> Result<Filter, Refused> {
    Parser::of(query, false)?.query()
}

/// The filter of a query that is still being typed: nothing where it can't be read.
pub fn lenient(query: &str) -> Filter {
    Parser::of(query, true).and_then(|mut parser| parser.query()).unwrap_or(Filter::Anything)
}

/// A field by what TraceQL calls it.
///
/// # Errors
/// There is none.
pub fn field(name: &str) -> Result<Field, Refused> {
    let mut parser = Parser::of(name, false)?;
    let field = parser.field()?;
    match parser.next {
        (_, Token::End) => Ok(field),
        (at, _) => Err(Refused::at(at, "this is no name of one field")),
    }
}

impl Parser {
    fn of(query: &str, lenient: bool) -> Result<Self, Refused> {
        let mut tokens = tokens(query)?.into_iter();
        let next = tokens.next().unwrap_or((0, Token::End));
        Ok(Self { tokens, next, comparisons: 0, lenient })
    }

    fn query(&mut self) -> Result<Filter, Refused> {
        if !self.takes("{") {
            return Err(self.refused("a query is one filter of spans, { … }; nothing else is supported"));
        }
        let filter = if self.is("}") { Filter::Anything } else { self.any(0)? };
        if !self.takes("}") {
            return Err(self.unexpected("expected && or || or }"));
        }
        match &self.next.1 {
            Token::End => Ok(filter),
            _ => Err(self.beyond_the_filter()),
        }
    }

    fn any(&mut self, depth: usize) -> Result<Filter, Refused> {
        let mut all = vec![self.every(depth)?];
        while self.takes("||") {
            all.push(self.every(depth)?);
        }
        Ok(Filter::any(all))
    }

    fn every(&mut self, depth: usize) -> Result<Filter, Refused> {
        let mut all = vec![self.one(depth)?];
        while self.takes("&&") {
            all.push(self.one(depth)?);
        }
        Ok(Filter::every(all))
    }

    fn one(&mut self, depth: usize) -> Result<Filter, Refused> {
        if self.is("(") {
            if depth == DEEPEST {
                return Err(self.refused(format!("parentheses stand {DEEPEST} deep at most")));
            }
            self.advance();
            let inner = self.any(depth + 1)?;
            return if self.takes(")") { Ok(inner) } else { Err(self.unexpected("expected )")) };
        }
        if self.next.1 == Token::Word("true".to_owned()) {
            self.advance();
            return Ok(Filter::Anything);
        }
        self.comparison()
    }

    fn comparison(&mut self) -> Result<Filter, Refused> {
        let at = self.next.0;
        self.comparisons += 1;
        if self.comparisons > MOST_COMPARISONS {
            return Err(self.refused(format!("a query has {MOST_COMPARISONS} comparisons at most")));
        }
        let field = self.field()?;
        let operator = match self.next.1 {
            Token::Sign(sign) => Operator::of(sign),
            _ => None,
        };
        let Some(operator) = operator else {
            return Err(self.unexpected("expected one of = != > >= < <= =~ !~"));
        };
        self.advance();
        let ends = matches!(self.next.1, Token::End | Token::Sign("}" | ")" | "&&" | "||"));
        if self.lenient && ends {
            return Ok(Filter::Anything);
        }
        let value = self.value(&field, operator)?;
        self.advance();
        Ok(Filter::Is(Comparison { field, operator, value, at }))
    }

    fn field(&mut self) -> Result<Field, Refused> {
        let field = match &self.next.1 {
            Token::Attribute(scope, key) => Some(Field::Attribute(*scope, key.clone())),
            Token::Word(word) => Field::intrinsic(word),
            _ => None,
        };
        match (field, &self.next.1) {
            (Some(field), _) => {
                self.advance();
                Ok(field)
            }
            (None, Token::Word(word)) if Field::is_another(word) => {
                Err(self.refused(format!("{word} is not supported")))
            }
            (None, Token::Sign("!")) => Err(self.refused("! before a condition is not supported")),
            _ => {
                Err(self
                    .unexpected("expected a field, such as name, duration, span.KEY, resource.KEY or .KEY"))
            }
        }
    }

    /// The next token as a value that the field can be compared with in this way.
    fn value(&self, field: &Field, operator: Operator) -> Result<Value, Refused> {
        use Intrinsic::{Duration, Kind, Status, TraceDuration};
        let wrong = |takes: &str| Err(self.unexpected(&format!("{field} {takes}")));
        match (field, &self.next.1) {
            (Field::Intrinsic(Status), token) => match status(token).filter(|_| operator.is_equality()) {
                Some(status) => Ok(Value::Text(status.to_owned())),
                None => wrong("is = or != to ok, error or unset"),
            },
            (Field::Intrinsic(Kind), token) => match kind(token).filter(|_| operator.is_equality()) {
                Some(kind) => Ok(Value::Text(kind.to_owned())),
                None => wrong("is = or != to server, client, producer, consumer, internal or unspecified"),
            },
            (Field::Intrinsic(Duration | TraceDuration), Token::Nanoseconds(ns))
                if !operator.is_pattern() =>
            {
                Ok(Value::Nanoseconds(*ns))
            }
            (Field::Intrinsic(Duration | TraceDuration), _) => {
                wrong("is compared by = != > >= < <= with a length, such as 100ms")
            }
            (_, Token::Text(text)) => Ok(Value::Text(text.clone())),
            (Field::Intrinsic(_), _) => wrong("is compared with a text in quotes"),
            (Field::Attribute(..), Token::Number(number)) if !operator.is_pattern() => {
                Ok(Value::Number(*number))
            }
            (Field::Attribute(..), Token::Word(word)) if operator.is_equality() => match word.as_str() {
                "true" | "false" => Ok(Value::Text(word.clone())),
                "nil" => Ok(Value::Nil),
                _ => wrong("is compared with a text in quotes, a number, true, false or nil"),
            },
            _ => {
                wrong("is compared with a text in quotes or a number; = and != also with true, false and nil")
            }
        }
    }

    /// What stands behind the filter, by its name.
    fn beyond_the_filter(&self) -> Refused {
        let why = match &self.next.1 {
            Token::Sign("|") => "pipelines are not supported: aggregates, select(), by() and metrics",
            Token::Sign("&&" | "||") => {
                "several filters of spans are not supported: join conditions within one { … }"
            }
            Token::Sign(
                ">" | "<" | ">>" | "<<" | "~" | "!~" | "!>" | "!<" | "!>>" | "!<<" | "&>" | "&<" | "&>>"
                | "&<<" | "&~",
            ) => "structural operators are not supported",
            Token::Word(word) if word == "with" => "hints, with (…), are not supported",
            _ => return self.unexpected("a query ends with its filter of spans"),
        };
        self.refused(why)
    }

    fn is(&self, sign: &str) -> bool {
        matches!(self.next.1, Token::Sign(next) if next == sign)
    }

    fn takes(&mut self, sign: &str) -> bool {
        let is = self.is(sign);
        if is {
            self.advance();
        }
        is
    }

    fn advance(&mut self) {
        if let Some(next) = self.tokens.next() {
            self.next = next;
        }
    }

    fn refused(&self, why: impl Into<String>) -> Refused {
        Refused::at(self.next.0, why)
    }

    fn unexpected(&self, expected: &str) -> Refused {
        let what = match &self.next.1 {
            Token::Sign(sign @ ("+" | "-" | "*" | "/" | "%" | "^")) => {
                return self.refused(format!("arithmetic is not supported: {sign}"));
            }
            Token::Sign(sign) => format!("{sign:?}"),
            Token::Text(_) => "a text".to_owned(),
            Token::Number(number) => number.to_string(),
            Token::Nanoseconds(_) => "a length".to_owned(),
            Token::Word(word) => format!("{:?}", word.chars().take(40).collect::<String>()),
            Token::Attribute(..) => "an attribute".to_owned(),
            Token::End => "the end".to_owned(),
        };
        self.refused(format!("unexpected {what}; {expected}"))
    }
}

/// As the store writes it.
fn status(token: &Token) -> Option<&'static str> {
    match token {
        Token::Word(word) => match word.as_str() {
            "ok" => Some("Ok"),
            "error" => Some("Error"),
            "unset" => Some("Unset"),
            _ => None,
        },
        _ => None,
    }
}

/// As the store writes it.
fn kind(token: &Token) -> Option<&'static str> {
    match token {
        Token::Word(word) => match word.as_str() {
            "server" => Some("Server"),
            "client" => Some("Client"),
            "producer" => Some("Producer"),
            "consumer" => Some("Consumer"),
            "internal" => Some("Internal"),
            "unspecified" => Some("Unspecified"),
            _ => None,
        },
        _ => None,
    }
}
