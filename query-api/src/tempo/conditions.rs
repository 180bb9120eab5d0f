//! A TraceQL filter as conditions of a query. Fields are texts of this program; keys and values are bound.

use super::traceql::{Comparison, Field, Filter, Intrinsic, Operator, Scope, Value};
use crate::App;
use crate::conditions::Conditions;
use crate::error::ApiError;

/// Conditions on `otel_traces`, or on `flows_by_start` where the filter is about whole traces.
pub fn conditions(filter: &Filter) -> Conditions {
    let mut conditions = Conditions::default();
    add(filter, &mut conditions);
    conditions
}

/// Patterns and texts are what can be: as long as names are, and patterns such as ClickHouse (RE2) reads.
///
/// # Errors
/// They aren't, or ClickHouse can't answer.
pub async fn check(app: &App, filter: &Filter) -> Result<(), ApiError> {
    for Comparison { field, operator, value, .. } in filter.comparisons() {
        let longest = app.limits.text_chars;
        let key = if let Field::Attribute(_, key) = field { key } else { "" };
        let text = if let Value::Text(text) = value { text } else { "" };
        if key.chars().count() > longest || text.chars().count() > longest {
            return Err(ApiError::bad_request(format!("names and texts have {longest} characters at most")));
        }
        if operator.is_pattern() {
            check_pattern(app, text, &bound(text, *operator)).await?;
        }
    }
    Ok(())
}

/// Asks ClickHouse itself, about the form in which the pattern is used, where one such as `\Qa` takes in what is put around
/// it. That must not make a whole of what is none either, such as `a)(b`, so the pattern is also one of two alternatives;
/// alone, ClickHouse 26.7 takes that for a plain text and never shows it to RE2.
async fn check_pattern(app: &App, pattern: &str, bound: &str) -> Result<(), ApiError> {
    let _turn = app.stored.turn().await;
    let read = app
        .stored
        .ask("SELECT match('', {pattern:String}) + match('', {bound:String})")
        .param("pattern", format!("[a]|{pattern}"))
        .param("bound", bound);
    match read.fetch_one::<u16>().await {
        Ok(_) => Ok(()),
        Err(error) if error.to_string().contains("CANNOT_COMPILE_REGEXP") => {
            Err(ApiError::bad_request(format!("{pattern:?} is no regular expression (RE2)")))
        }
        Err(error) => Err(ApiError::store_unavailable(&error)),
    }
}

fn add(filter: &Filter, into: &mut Conditions) {
    match filter {
        Filter::Anything => {}
        Filter::Every(all) => all.iter().for_each(|one| add(one, into)),
        Filter::Any(all) => into.any(all.iter().map(conditions).collect()),
        Filter::Is(comparison) => compare(comparison, into),
    }
}

fn compare(Comparison { field, operator, value, .. }: &Comparison, into: &mut Conditions) {
    match field {
        Field::Intrinsic(intrinsic) => {
            let column = column(*intrinsic);
            match value {
                Value::Text(text) => {
                    into.with_text(&of_text(column, *operator, "?"), Some(&bound(text, *operator)));
                }
                Value::Nanoseconds(ns) => into.number(&format!("{column} {}", sign(*operator)), Some(*ns)),
                // No intrinsic is compared with these.
                Value::Number(_) | Value::Nil => into.and("0"),
            }
        }
        Field::Attribute(scope, key) => attribute(*scope, key, *operator, value, into),
    }
}

fn attribute(scope: Scope, key: &str, operator: Operator, value: &Value, into: &mut Conditions) {
    let holds = |subject: &str| match value {
        Value::Text(_) => of_text(subject, operator, "?2"),
        _ => format!("toFloat64OrNull({subject}) {} ?2", sign(operator)),
    };
    let (span, resource) = (Map::span(), Map::resource(key));
    let both = |of: &dyn Fn(&Map) -> String| match scope {
        Scope::Span => of(&span),
        Scope::Resource => of(&resource),
        // The span's own attribute hides that of its resource.
        Scope::Either => format!("({}) OR (NOT {} AND {})", of(&span), span.has, of(&resource)),
    };
    match value {
        Value::Nil => {
            let has = both(&|map| map.has.to_owned());
            let has = if operator == Operator::Equal { format!("NOT ({has})") } else { has };
            into.with_text(&has.replace("?1", "?"), Some(key));
        }
        Value::Text(text) => {
            let sql = both(&|map| format!("{} AND {}", map.has, holds(map.value)));
            into.with_two_texts(&sql, key, &bound(text, operator));
        }
        Value::Number(number) => {
            let sql = both(&|map| format!("{} AND {}", map.has, holds(map.value)));
            into.with_text_and_number(&sql, key, *number);
        }
        // No attribute is compared with a length.
        Value::Nanoseconds(_) => into.and("0"),
    }
}

/// Where a key, `?1`, is found, and its value.
pub struct Map {
    /// Whether the row has it.
    pub has: &'static str,
    /// The value.
    pub value: &'static str,
}

impl Map {
    /// On the span.
    pub fn span() -> Self {
        Self { has: "mapContains(SpanAttributes, ?1)", value: "SpanAttributes[?1]" }
    }

    /// On its resource. The table lies in the order of services, so their name is asked for there.
    pub fn resource(key: &str) -> Self {
        match key {
            "service.name" => Self { has: "ServiceName != ''", value: "ServiceName" },
            _ => Self { has: "mapContains(ResourceAttributes, ?1)", value: "ResourceAttributes[?1]" },
        }
    }
}

/// A column of `otel_traces`, or of `flows_by_start` where it is the trace's.
pub fn column(intrinsic: Intrinsic) -> &'static str {
    match intrinsic {
        Intrinsic::Name => "SpanName",
        Intrinsic::Status => "StatusCode",
        Intrinsic::StatusMessage => "StatusMessage",
        Intrinsic::Duration => "Duration",
        Intrinsic::Kind => "SpanKind",
        Intrinsic::SpanId => "SpanId",
        Intrinsic::ParentId => "ParentSpanId",
        Intrinsic::TraceId => "lower(hex(id))",
        Intrinsic::TraceDuration => "duration_us * 1000",
        Intrinsic::RootName => "root_name",
        Intrinsic::RootServiceName => "root_service",
    }
}

fn of_text(subject: &str, operator: Operator, value: &str) -> String {
    match operator {
        Operator::Matches => format!("match({subject}, {value})"),
        Operator::MatchesNot => format!("NOT match({subject}, {value})"),
        _ => format!("{subject} {} {value}", sign(operator)),
    }
}

/// TraceQL's patterns have to match the whole text.
fn bound(text: &str, operator: Operator) -> String {
    if operator.is_pattern() { format!("^(?s:{text})$") } else { text.to_owned() }
}

fn sign(operator: Operator) -> &'static str {
    match operator {
        Operator::Equal | Operator::Matches => "=",
        Operator::NotEqual | Operator::MatchesNot => "!=",
        Operator::Greater => ">",
        Operator::AtLeast => ">=",
        Operator::Less => "<",
        Operator::AtMost => "<=",
    }
}

#[cfg(test)]
mod tests {
    use super::super::traceql::parse;
    use super::*;

    fn sql(query: &str) -> String {
        conditions(&parse(query).unwrap()).sql().to_owned()
    }

    #[test]
    fn values_are_bound_and_fields_are_columns() {
        for (query, expected) in [
            ("{}", "1"),
            (r#"{name="' OR 1 --"}"#, "(SpanName = {c0:String})"),
            (r#"{resource.service.name!="a"}"#, "(ServiceName != '' AND ServiceName != {c1:String})"),
            (
                r#"{span.k=~"a|b"}"#,
                "(mapContains(SpanAttributes, {c0:String}) AND match(SpanAttributes[{c0:String}], {c1:String}))",
            ),
            (
                "{span.k>=1.5}",
                "(mapContains(SpanAttributes, {c0:String}) AND \
                 toFloat64OrNull(SpanAttributes[{c0:String}]) >= {c1:Float64})",
            ),
            ("{span.k=nil}", "(NOT (mapContains(SpanAttributes, {c0:String})))"),
            (
                "{.k!=nil}",
                "((mapContains(SpanAttributes, {c0:String})) OR (NOT mapContains(SpanAttributes, {c0:String}) AND \
                 mapContains(ResourceAttributes, {c0:String})))",
            ),
            ("{duration>2ms && status=error}", "(Duration > {c0:Int64}) AND (StatusCode = {c1:String})"),
            (
                "{traceDuration<1s && (rootName=\"a\" || rootServiceName=\"b\")}",
                "(duration_us * 1000 < {c0:Int64}) AND \
                 (((root_name = {c1:String})) OR ((root_service = {c2:String})))",
            ),
        ] {
            assert_eq!(sql(query), expected, "{query}");
        }
    }

    #[test]
    fn keys_and_texts_of_callers_are_no_part_of_a_query() {
        let sql = sql(r#"{ ."x'] OR 1 --?1?2" = "?1 OR '" || span.y !~ "z') --" }"#);
        assert!(!sql.contains("--") && !sql.contains("OR 1"), "{sql}");
    }
}
