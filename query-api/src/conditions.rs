//! Conditions of a query. Texts of callers become bound values, never part of the query.

use crate::access::Names;
use crate::node::Node;
use clickhouse::query::Query;
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Conditions that all have to hold, with their values. The columns are fixed texts of this program.
#[derive(Debug, Clone, Default)]
pub struct Conditions {
    sql: String,
    values: Vec<Value>,
    /// Before the number of each value, where a query has conditions from several of these.
    prefix: &'static str,
}

/// Environment, cluster, namespace, name and kind of a node.
type Place = (String, String, String, String, String);

#[derive(Debug, Clone)]
enum Value {
    Text(String),
    Texts(Vec<String>),
    Places(Vec<Place>),
    Number(i64),
    Fraction(f64),
}

impl Conditions {
    /// None yet. A query with several conditions needs a prefix of its own for each of them.
    pub fn prefixed(prefix: &'static str) -> Self {
        Self { prefix, ..Self::default() }
    }

    /// `column` is exactly this text, if one is given.
    pub fn equal(&mut self, column: &str, text: Option<&str>) {
        if let Some(text) = text {
            let value = self.value("String", Value::Text(text.to_owned()));
            self.and(&format!("{column} = {value}"));
        }
    }

    /// `column` is one of these.
    pub fn among(&mut self, column: &str, names: &Names) {
        if let Some(names) = names {
            let value = self.value("Array(String)", Value::Texts(names.iter().cloned().collect()));
            self.and(&format!("has({value}, toString({column}))"));
        }
    }

    /// `column` is one of these texts, if any are given.
    pub fn one_of(&mut self, column: &str, texts: Option<BTreeSet<String>>) {
        if let Some(texts) = texts {
            let value = self.value("Array(String)", Value::Texts(texts.into_iter().collect()));
            self.and(&format!("{column} IN {value}"));
        }
    }

    /// The node that these columns name, within its environment, is one of these. `columns` are those of cluster,
    /// namespace, name and kind.
    pub fn node<'a>(
        &mut self,
        environment: &str,
        columns: [&str; 4],
        nodes: impl IntoIterator<Item = (&'a str, &'a Node)>,
    ) {
        let place = |(environment, node): (&str, &Node)| {
            let Node { cluster, namespace, name, kind } = node.clone();
            (environment.to_owned(), cluster, namespace, name, kind.as_str().to_owned())
        };
        let places = Value::Places(nodes.into_iter().map(place).collect());
        let value = self.value("Array(Tuple(String, String, String, String, String))", places);
        self.and(&format!("({environment}, {}) IN {value}", columns.join(", ")));
    }

    /// A condition about a number, such as `duration_us >=`, if one is given.
    pub fn number(&mut self, condition: &str, number: Option<i64>) {
        if let Some(number) = number {
            let value = self.value("Int64", Value::Number(number));
            self.and(&format!("{condition} {value}"));
        }
    }

    /// A condition in which `?` stands for a text.
    pub fn with_text(&mut self, condition: &str, text: Option<&str>) {
        if let Some(text) = text {
            let value = self.value("String", Value::Text(text.to_owned()));
            self.and(&condition.replace('?', &value));
        }
    }

    /// A condition in which `?1` and `?2` stand for texts.
    pub fn with_two_texts(&mut self, condition: &str, first: &str, second: &str) {
        let first = self.value("String", Value::Text(first.to_owned()));
        let second = self.value("String", Value::Text(second.to_owned()));
        self.and(&condition.replace("?1", &first).replace("?2", &second));
    }

    /// A condition in which `?1` stands for a text and `?2` for a number.
    pub fn with_text_and_number(&mut self, condition: &str, text: &str, number: f64) {
        let text = self.value("String", Value::Text(text.to_owned()));
        let number = self.value("Float64", Value::Fraction(number));
        self.and(&condition.replace("?1", &text).replace("?2", &number));
    }

    /// At least one of these conditions, if there are any.
    pub fn any(&mut self, all: Vec<Self>) {
        if all.is_empty() {
            return;
        }
        let sql: Vec<String> = all.into_iter().map(|one| format!("({})", self.adopt(one))).collect();
        self.and(&sql.join(" OR "));
    }

    /// A condition in which `?` stands for other conditions.
    pub fn within(&mut self, condition: &str, inner: Self) {
        let sql = self.adopt(inner);
        self.and(&condition.replace('?', &sql));
    }

    /// Takes over the values of other conditions, which are returned with new names of them.
    fn adopt(&mut self, inner: Self) -> String {
        let mut sql = inner.sql().to_owned();
        // Values are numbered in order: the last first, so that no number is renamed twice.
        for at in (0..inner.values.len()).rev() {
            let renamed = self.name(at + self.values.len());
            sql = sql.replace(&format!("{{{}:", inner.name(at)), &format!("{{{renamed}:"));
        }
        self.values.extend(inner.values);
        sql
    }

    /// A condition without values.
    pub fn and(&mut self, condition: &str) {
        let _ = write!(self.sql, "{}({condition})", if self.sql.is_empty() { "" } else { " AND " });
    }

    /// The conditions for a query, after `WHERE`.
    pub fn sql(&self) -> &str {
        if self.sql.is_empty() { "1" } else { &self.sql }
    }

    /// Binds the values.
    pub fn bind(&self, query: Query) -> Query {
        self.values.iter().enumerate().fold(query, |query, (at, value)| match value {
            Value::Text(text) => query.param(&self.name(at), text),
            Value::Texts(texts) => query.param(&self.name(at), texts),
            Value::Places(places) => query.param(&self.name(at), places),
            Value::Number(number) => query.param(&self.name(at), number),
            Value::Fraction(number) => query.param(&self.name(at), number),
        })
    }

    fn value(&mut self, kind: &str, value: Value) -> String {
        self.values.push(value);
        format!("{{{}:{kind}}}", self.name(self.values.len() - 1))
    }

    fn name(&self, at: usize) -> String {
        format!("{}c{at}", self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_stand_within_others() {
        let (mut outer, mut inner) = (Conditions::default(), Conditions::default());
        outer.equal("a", Some("1"));
        inner.equal("b", Some("2"));
        inner.equal("c", Some("3"));
        outer.within("id IN (SELECT id FROM t WHERE ?)", inner);
        assert_eq!(
            outer.sql(),
            "(a = {c0:String}) AND (id IN (SELECT id FROM t WHERE (b = {c1:String}) AND (c = {c2:String})))"
        );
    }

    #[test]
    fn one_of_several_conditions_is_enough() {
        let (mut outer, mut first, mut second) =
            (Conditions::default(), Conditions::default(), Conditions::default());
        outer.equal("a", Some("1"));
        first.equal("b", Some("2"));
        second.with_text_and_number("toFloat64OrNull(m[?1]) > ?2", "c", 0.5);
        outer.any(vec![first, second, Conditions::default()]);
        assert_eq!(
            outer.sql(),
            "(a = {c0:String}) AND (((b = {c1:String})) OR ((toFloat64OrNull(m[{c2:String}]) > {c3:Float64})) OR (1))"
        );
    }

    #[test]
    fn texts_are_bound() {
        let mut conditions = Conditions::default();
        assert_eq!(conditions.sql(), "1");
        conditions.equal("operation", Some("' OR 1 --"));
        conditions.equal("status", None);
        conditions.one_of("status", None);
        conditions.number("duration_us >=", Some(5));
        conditions.with_text("has(services, ?)", Some("web"));
        conditions.among("environment", &Some(std::sync::Arc::new(["prod".to_owned()].into())));
        assert_eq!(
            conditions.sql(),
            "(operation = {c0:String}) AND (duration_us >= {c1:Int64}) AND (has(services, {c2:String})) \
             AND (has({c3:Array(String)}, toString(environment)))"
        );
    }

    #[test]
    fn conditions_of_one_query_keep_their_values_apart() {
        let mut conditions = Conditions::prefixed("b");
        conditions.number("spans <", Some(7));
        conditions.with_two_texts("has(m, ?1) AND m[?1] = ?2", "?2", "?1");
        assert_eq!(
            conditions.sql(),
            "(spans < {bc0:Int64}) AND (has(m, {bc1:String}) AND m[{bc1:String}] = {bc2:String})"
        );
    }
}
