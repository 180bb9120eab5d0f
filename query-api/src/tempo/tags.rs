//! Names and values of attributes, for those who write queries.

use super::conditions::{self, Map, column};
use super::range::{self, Range};
use super::traceql::{self, Field, Filter, Intrinsic, Scope};
use super::{Answer, Refused, logfmt};
use crate::App;
use crate::access::Access;
use crate::conditions::Conditions;
use crate::error::ApiError;
use crate::filter::checked;
use crate::flows::WhichWords;
use crate::live::feed::now_us;
use crate::spans;
use crate::words::{Sent, Words, same};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use clickhouse::Row;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Most names of a scope and most values of a name; nobody reads more.
const MOST: i64 = 5_000;
/// Characters of the longest value that is listed: nobody picks a longer one, and a search takes none.
const LONGEST: usize = 512;

/// `tag` is what Grafana's plugin asks itself and passes on.
const WORDS: &[&str] = &["q", "scope", "start", "end", "limit", "maxStaleValues", "tag"];

pub fn router() -> Router<App> {
    // A tag may have slashes.
    Router::new()
        .route("/tempo/api/search/tags", get(names_flat))
        .route("/tempo/api/v2/search/tags", get(names_scoped))
        .route("/tempo/api/search/tag/{*tag}", get(values_flat))
        .route("/tempo/api/v2/search/tag/{*tag}", get(values_typed))
}

/// Names of attributes.
#[derive(Debug, Row, Deserialize)]
struct Names {
    span: Vec<String>,
    resource: Vec<String>,
}

/// What is asked about, beside a name.
struct Asked {
    range: Range,
    /// What spans have to be.
    filter: Filter,
    limit: i64,
}

async fn names_flat(State(app): State<App>, access: Access, sent: Sent) -> Answer {
    let scopes = scopes(&app, &access, sent).await?;
    // Intrinsics have no place here unless they are all that is asked for.
    let alone = scopes.len() == 1;
    let names = scopes.into_iter().filter(|(scope, _)| alone || *scope != "intrinsic");
    let names: BTreeSet<String> = names.flat_map(|(_, names)| names).collect();
    Ok(Json(json!({"tagNames": names})))
}

async fn names_scoped(State(app): State<App>, access: Access, sent: Sent) -> Answer {
    let scopes = scopes(&app, &access, sent).await?;
    let scopes: Vec<Value> =
        scopes.into_iter().map(|(name, tags)| json!({"name": name, "tags": tags})).collect();
    Ok(Json(json!({"scopes": scopes})))
}

async fn scopes(
    app: &App,
    access: &Access,
    sent: Sent,
) -> Result<Vec<(&'static str, BTreeSet<String>)>, Refused> {
    let words = Words::read(sent, WORDS, same)?;
    let asked = Asked::read(app, &words).await?;
    let wanted: &[&str] = match words.one("scope")? {
        None | Some("none") => &["resource", "span", "intrinsic"],
        Some("resource") => &["resource"],
        Some("span") => &["span"],
        Some("intrinsic") => &["intrinsic"],
        // Scopes of Tempo's that are not searched here.
        Some("event" | "link" | "instrumentation" | "trace") => &[],
        Some(_) => return Err(ApiError::bad_request("invalid scope").into()),
    };
    let names = names(app, access, &asked).await?;
    let intrinsics = Field::intrinsics().map(str::to_owned).collect();
    let scopes = [("resource", names.resource), ("span", names.span), ("intrinsic", intrinsics)];
    let scopes = scopes.into_iter().filter(|(scope, _)| wanted.contains(scope));
    Ok(scopes.map(|(scope, names)| (scope, names.into_iter().collect())).collect())
}

async fn names(app: &App, access: &Access, asked: &Asked) -> Result<Names, ApiError> {
    let conditions = asked.conditions(access);
    let sql = format!(
        "SELECT groupUniqArrayArray({0})(mapKeys(SpanAttributes)) AS span, \
         groupUniqArrayArray({0})(mapKeys(ResourceAttributes)) AS resource FROM otel_traces WHERE {1}",
        asked.limit,
        conditions.sql()
    );
    let _turn = app.stored.turn().await;
    let names = conditions.bind(app.stored.ask(&sql)).fetch_one().await;
    names.map_err(|error| ApiError::store_unavailable(&error))
}

async fn values_flat(State(app): State<App>, access: Access, Path(tag): Path<String>, sent: Sent) -> Answer {
    let values = values(&app, &access, logfmt::field(tag_of(&tag)?), sent).await?;
    Ok(Json(json!({"tagValues": values})))
}

async fn values_typed(State(app): State<App>, access: Access, Path(tag): Path<String>, sent: Sent) -> Answer {
    let field = traceql::field(tag_of(&tag)?)?;
    let is_keyword = matches!(field, Field::Intrinsic(Intrinsic::Status | Intrinsic::Kind));
    let values = values(&app, &access, field, sent).await?;
    let typed = values.into_iter().map(|value| {
        let kind = if is_keyword { "keyword" } else { kind(&value) };
        json!({"type": kind, "value": value})
    });
    Ok(Json(json!({"tagValues": typed.collect::<Vec<_>>()})))
}

/// `{tag}` of `{tag}/values`.
fn tag_of(path: &str) -> Result<&str, Refused> {
    path.strip_suffix("/values")
        .filter(|tag| !tag.is_empty())
        .ok_or_else(|| Refused(StatusCode::NOT_FOUND, "there is no such path".to_owned()))
}

/// The store keeps texts only. Grafana offers to compare what looks like a number as one, and writes it without quotes:
/// that finds the same spans.
fn kind(value: &str) -> &'static str {
    let is_number = value.len() <= 15 && value.parse::<i64>().is_ok_and(|number| number.to_string() == value);
    match value {
        "true" | "false" => "bool",
        _ if is_number => "int",
        _ => "string",
    }
}

async fn values(app: &App, access: &Access, field: Field, sent: Sent) -> Result<BTreeSet<String>, Refused> {
    let words = Words::read(sent, WORDS, same)?;
    let asked = Asked::read(app, &words).await?;
    let texts = |texts: &[&str]| Ok(texts.iter().map(|text| (*text).to_owned()).collect());
    match &field {
        Field::Intrinsic(Intrinsic::Status) => texts(&["ok", "error", "unset"]),
        Field::Intrinsic(Intrinsic::Kind) => {
            texts(&["client", "server", "producer", "consumer", "internal", "unspecified"])
        }
        // Values that nobody picks from a list.
        Field::Intrinsic(
            Intrinsic::Duration
            | Intrinsic::TraceDuration
            | Intrinsic::TraceId
            | Intrinsic::SpanId
            | Intrinsic::ParentId,
        ) => texts(&[]),
        Field::Intrinsic(intrinsic) if field.is_of_trace() => {
            let which = WhichWords {
                start_time: Some(asked.range.0.to_string()),
                end_time: Some(asked.range.1.to_string()),
                probes: true,
                ..WhichWords::default()
            };
            let which = which.read("", &access.allowed, now_us(), &app.limits)?;
            let sql = asked.distinct(column(*intrinsic), "flows_by_start", &which.sql());
            fetch(app, which.bind(app.stored.ask(&sql))).await
        }
        Field::Intrinsic(intrinsic) => {
            let conditions = asked.conditions(access);
            let sql = asked.distinct(column(*intrinsic), "otel_traces", conditions.sql());
            fetch(app, conditions.bind(app.stored.ask(&sql))).await
        }
        Field::Attribute(scope, key) => {
            let key = checked("tag", Some(key.clone()), &app.limits)?.unwrap_or_default();
            let conditions = asked.conditions(access);
            let (span, resource) = (Map::span(), Map::resource(&key));
            let (has, value) = match scope {
                Scope::Span => (span.has.to_owned(), span.value.to_owned()),
                Scope::Resource => (resource.has.to_owned(), resource.value.to_owned()),
                Scope::Either => (
                    format!("({} OR {})", span.has, resource.has),
                    format!("if({}, {}, {})", span.has, span.value, resource.value),
                ),
            };
            let sql = asked.distinct(&value, "otel_traces", &format!("{has} AND {}", conditions.sql()));
            let sql = sql.replace("?1", "{key:String}");
            fetch(app, conditions.bind(app.stored.ask(&sql)).param("key", key)).await
        }
    }
}

async fn fetch(app: &App, query: clickhouse::query::Query) -> Result<BTreeSet<String>, Refused> {
    let _turn = app.stored.turn().await;
    let values = query.fetch_all::<String>().await;
    Ok(values.map_err(|error| ApiError::store_unavailable(&error))?.into_iter().collect())
}

impl Asked {
    /// `q` is what somebody has typed so far: what can't be read, or is about whole traces, narrows nothing.
    async fn read(app: &App, words: &Words) -> Result<Self, ApiError> {
        let typed = traceql::lenient(words.one("q")?.unwrap_or("{}"));
        conditions::check(app, &typed).await?;
        let limit = words.number("limit")?.filter(|limit| *limit > 0).unwrap_or(MOST).min(MOST);
        let filter = typed.split().map_or(Filter::Anything, |split| split.span);
        Ok(Self { range: range::read(words)?, filter, limit })
    }

    /// On `otel_traces`.
    fn conditions(&self, access: &Access) -> Conditions {
        let (from_s, to_s) = self.range;
        let mut all = conditions::conditions(&self.filter);
        all.and(&format!("Timestamp >= toDateTime64({from_s}, 9) AND Timestamp < toDateTime64({to_s}, 9)"));
        spans::narrow(&mut all, &access.allowed);
        all
    }

    fn distinct(&self, value: &str, table: &str, conditions: &str) -> String {
        format!(
            "SELECT DISTINCT toString({value}) AS text FROM {table} \
             WHERE {conditions} AND text != '' AND lengthUTF8(text) <= {LONGEST} LIMIT {}",
            self.limit
        )
    }
}
