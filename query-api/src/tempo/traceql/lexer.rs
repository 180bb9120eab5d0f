//! TraceQL's words and signs.

use super::{LONGEST, Refused, Scope};

/// A word or sign.
#[derive(Debug, Clone, PartialEq)]
pub enum Token {
    /// One of [`SIGNS`].
    Sign(&'static str),
    /// A quoted text.
    Text(String),
    Number(f64),
    /// A length in ns.
    Nanoseconds(i64),
    /// `name`, `span:name`, `true`, `error` …
    Word(String),
    /// `.key`, `span.key` or `resource.key`.
    Attribute(Scope, String),
    /// Behind the last one.
    End,
}

/// A token and where it begins, in characters.
pub type Placed = (usize, Token);

/// All signs of TraceQL, each before those that it begins with.
const SIGNS: &[&str] = &[
    "!>>", "!<<", "&>>", "&<<", "&&", "||", "!=", "!~", "=~", ">=", "<=", ">>", "<<", "!>", "!<", "&>", "&<",
    "&~", "{", "}", "(", ")", "=", "<", ">", "~", "!", "&", "|", "+", "-", "*", "/", "%", "^", ",", "[", "]",
];

/// Units of lengths, in ns, each before those that it begins with.
const UNITS: &[(&str, f64)] = &[
    ("ns", 1.0),
    ("us", 1e3),
    ("µs", 1e3),
    ("ms", 1e6),
    ("s", 1e9),
    ("m", 60e9),
    ("h", 3_600e9),
    ("d", 86_400e9),
    ("w", 604_800e9),
];

struct Lexer<'a> {
    rest: &'a str,
    /// Characters before the rest.
    at: usize,
}

/// All tokens of a query, the last of which is [`Token::End`].
///
/// # Errors
/// It is too long, or something in it is no TraceQL.
pub fn tokens(query: &str) -> Result<Vec<Placed>, Refused> {
    if query.len() > LONGEST {
        return Err(Refused::at(0, format!("a query is {LONGEST} bytes at most")));
    }
    let mut lexer = Lexer { rest: query, at: 0 };
    let mut tokens = Vec::new();
    loop {
        lexer.take_while(char::is_whitespace);
        let at = lexer.at;
        let token = lexer.token()?;
        let is_last = token == Token::End;
        tokens.push((at, token));
        if is_last {
            return Ok(tokens);
        }
    }
}

/// Nanoseconds from `100ms`, `1.5s`, `1h30m`.
pub fn duration_ns(text: &str) -> Option<i64> {
    let mut rest = text;
    let mut sum = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|sign: char| !sign.is_ascii_digit() && sign != '.').unwrap_or(rest.len());
        let (number, behind) = rest.split_at(digits);
        let (unit, ns) = UNITS.iter().find(|(unit, _)| behind.starts_with(unit))?;
        sum += number.parse::<f64>().ok()? * ns;
        rest = &behind[unit.len()..];
    }
    (!text.is_empty() && sum < 9e18).then_some(sum.round() as i64)
}

impl<'a> Lexer<'a> {
    fn token(&mut self) -> Result<Token, Refused> {
        let Some(first) = self.rest.chars().next() else { return Ok(Token::End) };
        let negative = first == '-' && self.rest[1..].starts_with(|next: char| next.is_ascii_digit());
        match first {
            '"' => self.quoted().map(Token::Text),
            '`' => self.raw().map(Token::Text),
            '.' => self.attribute(Scope::Either),
            _ if first.is_ascii_digit() || negative => self.number(),
            _ if first.is_alphabetic() || first == '_' => self.word(),
            _ => self.sign(first),
        }
    }

    fn sign(&mut self, first: char) -> Result<Token, Refused> {
        let sign = SIGNS.iter().find(|sign| self.rest.starts_with(**sign));
        let sign = sign.ok_or_else(|| Refused::at(self.at, format!("unexpected {first:?}")))?;
        self.skip(sign.len());
        Ok(Token::Sign(sign))
    }

    fn number(&mut self) -> Result<Token, Refused> {
        let (at, minus) = (self.at, self.rest.starts_with('-'));
        if minus {
            self.skip(1);
        }
        let text = self.take_while(|sign| sign.is_alphanumeric() || sign == '.');
        let signed = if minus { -1.0 } else { 1.0 };
        match (text.parse::<f64>(), duration_ns(text)) {
            (Ok(number), _) if number.is_finite() => Ok(Token::Number(signed * number)),
            (_, Some(ns)) => Ok(Token::Nanoseconds(if minus { -ns } else { ns })),
            _ => Err(Refused::at(at, "a number is like 200 or 0.5, a length like 100ms or 1h30m")),
        }
    }

    fn word(&mut self) -> Result<Token, Refused> {
        let at = self.at;
        let word = self.take_while(|sign| sign.is_alphanumeric() || sign == '_' || sign == ':');
        if !self.rest.starts_with('.') {
            return Ok(Token::Word(word.to_owned()));
        }
        match word {
            "span" => self.attribute(Scope::Span),
            "resource" => self.attribute(Scope::Resource),
            "event" | "link" | "instrumentation" | "parent" => {
                Err(Refused::at(at, format!("attributes of the scope {word} are not supported")))
            }
            _ => Err(Refused::at(
                at,
                format!("{word} is no scope: write .{word}, span.{word} or resource.{word}"),
            )),
        }
    }

    /// The dot, and the key behind it. Parts in quotes may hold anything.
    fn attribute(&mut self, scope: Scope) -> Result<Token, Refused> {
        let at = self.at;
        self.skip(1);
        let mut key = String::new();
        loop {
            if self.rest.starts_with('"') {
                key.push_str(&self.quoted()?);
                continue;
            }
            let part = self.take_while(|sign| !sign.is_whitespace() && !"{}()=~!<>&|^,\"".contains(sign));
            if part.is_empty() {
                break;
            }
            key.push_str(part);
        }
        if key.is_empty() {
            return Err(Refused::at(at, "the name of an attribute is missing"));
        }
        Ok(Token::Attribute(scope, key))
    }

    fn quoted(&mut self) -> Result<String, Refused> {
        let at = self.at;
        let mut text = String::new();
        let mut signs = self.rest[1..].char_indices();
        while let Some((index, sign)) = signs.next() {
            match sign {
                '"' => {
                    self.skip(index + 2);
                    return Ok(text);
                }
                '\\' => match signs.next().map(|(_, sign)| sign) {
                    Some('n') => text.push('\n'),
                    Some('t') => text.push('\t'),
                    Some('r') => text.push('\r'),
                    Some(sign @ ('"' | '\\')) => text.push(sign),
                    _ => return Err(Refused::at(at, r#"a text knows \" \\ \n \t and \r"#)),
                },
                sign => text.push(sign),
            }
        }
        Err(Refused::at(at, "the text has no end"))
    }

    fn raw(&mut self) -> Result<String, Refused> {
        let end = self.rest[1..].find('`').ok_or_else(|| Refused::at(self.at, "the text has no end"))?;
        let text = self.rest[1..=end].to_owned();
        self.skip(end + 2);
        Ok(text)
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|sign| !wanted(sign)).unwrap_or(self.rest.len());
        let taken = &self.rest[..end];
        self.skip(end);
        taken
    }

    /// Passes over bytes that end between characters.
    fn skip(&mut self, bytes: usize) {
        let (passed, rest) = self.rest.split_at(bytes);
        self.at += passed.chars().count();
        self.rest = rest;
    }
}
