//! What both versions of Jaeger's API ask for: services, names of spans, and traces by what one of their spans is.

use super::summary::{self, Summary};
use crate::App;
use crate::access::Access;
use crate::conditions::Conditions;
use crate::error::ApiError;
use crate::filter::checked;
use crate::flows::{self, WhichWords};
use crate::live::feed::now_us;
use crate::node::Kind;
use crate::range::{duration_s, length_us, time_us};
use crate::rest::dependencies::{self, DependenciesParameters};
use crate::spans::{self, SpanRow};
use crate::words::Words;
use clickhouse::Row;
use serde::Deserialize;
use std::collections::{BTreeSet, HashSet};

/// How far back services and names of spans are looked for: Jaeger's questions about them name no time.
const KNOWN_FOR: &str = "24h";
const KNOWN_FOR_S: i64 = 24 * 3_600;
/// Names of spans of one service; with more, names are made of ids and no list of them helps.
const NAMES: usize = 10_000;
/// Traces of a search if nobody says how many: Jaeger's own number.
const TRACES: i64 = 100;
/// Most traces of a search: as on a page of flows.
const MOST_TRACES: i64 = 500;
/// Spans of all traces of one answer: some 50 MB of JSON.
pub const SPANS: u32 = 50_000;
/// Tags of one search.
const MOST_TAGS: usize = 10;
/// The time of a search that names none: Jaeger's own number.
const LOOKBACK_S: u32 = 2 * 86_400;

/// A name of spans, with their kind: `server`, `client` …, or nothing.
#[derive(Debug, Row, Deserialize)]
pub struct Name {
    pub name: String,
    pub kind: String,
}

/// Which traces, in the words of either version.
#[derive(Debug, Default)]
pub struct Question {
    pub service: Option<String>,
    pub operation: Option<String>,
    pub tags: Vec<(String, String)>,
    /// µs since the epoch.
    pub start_us: i64,
    pub end_us: i64,
    pub shortest_us: Option<i64>,
    pub longest_us: Option<i64>,
    pub limit: u32,
}

/// Traces, the youngest first.
#[derive(Debug, Default)]
pub struct Found {
    pub traces: Vec<Vec<SpanRow>>,
    /// Traces that match but are too large for this answer.
    pub too_many: usize,
    /// Traces that match, but whose spans are not (or no longer) stored, or too many beside those of the others.
    pub gone: Vec<String>,
}

/// Whether Jaeger knows such a node as a service: whatever sends spans, browsers and apps too.
pub fn is_service(kind: Kind) -> bool {
    matches!(kind, Kind::Service | Kind::Client)
}

/// Services of the last day.
pub async fn services(app: &App, access: &Access) -> Result<BTreeSet<String>, ApiError> {
    let parameters = DependenciesParameters {
        window: Some(KNOWN_FOR.to_owned()),
        probes: true,
        ..DependenciesParameters::default()
    };
    let nodes = dependencies::of(app, access, parameters).await?.graph.nodes.into_iter();
    let services = nodes.filter(|node| is_service(node.kind)).map(|node| node.service);
    let services = services.filter(|service| access.allowed.namespace(&service.namespace));
    Ok(services.map(|service| service.name).collect())
}

/// Names of the spans of a service in the last day, by name and kind.
pub async fn names(
    app: &App,
    access: &Access,
    service: &str,
    kind: Option<&str>,
) -> Result<Vec<Name>, ApiError> {
    let service = checked("service", Some(service.to_owned()), &app.limits)?;
    let kind = checked("spanKind", kind.map(str::to_owned), &app.limits)?;
    let mut conditions = Conditions::default();
    conditions.equal("ServiceName", service.as_deref());
    conditions.with_text("lower(SpanKind) = lower(?)", kind.as_deref());
    spans::narrow(&mut conditions, &access.allowed);
    let from_s = now_us() / 1_000_000 - KNOWN_FOR_S;
    let sql = format!(
        "SELECT toString(SpanName) AS name, if(SpanKind = 'Unspecified', '', lower(SpanKind)) AS kind FROM otel_traces \
         WHERE Timestamp >= toDateTime64({from_s}, 9) AND {} GROUP BY SpanName, SpanKind \
         ORDER BY name, kind LIMIT {}",
        conditions.sql(),
        NAMES + 1
    );
    let _turn = app.stored.turn().await;
    let names = conditions.bind(app.stored.ask(&sql)).fetch_all::<Name>().await;
    let names = names.map_err(|error| ApiError::store_unavailable(&error))?;
    if names.len() > NAMES {
        return Err(ApiError::bad_request(format!("this service has more than {NAMES} names of spans")));
    }
    Ok(names)
}

/// Traces by their ids, each once and in that order; unknown ones are left out.
pub async fn traces<'a>(
    app: &App,
    access: &Access,
    ids: impl Iterator<Item = &'a str>,
) -> Result<Found, ApiError> {
    let ids: Result<Vec<String>, ApiError> = ids.map(spans::trace_id).collect();
    let mut seen = HashSet::new();
    let ids: Vec<String> = ids?.into_iter().filter(|id| seen.insert(id.clone())).collect();
    if ids.len() > MOST_TRACES as usize {
        return Err(ApiError::bad_request(format!("at most {MOST_TRACES} traces can be asked for at once")));
    }
    of_ids(app, access, &ids).await
}

/// Traces of which one span is all that is asked for.
pub async fn find(app: &App, access: &Access, question: Question) -> Result<Found, ApiError> {
    let flows = matching(app, access, question).await?;
    let mut room = SPANS;
    // One that is too large must not hide those behind it.
    let fitting = flows.iter().filter(|(_, spans)| {
        let left = room.checked_sub(*spans);
        room = left.unwrap_or(room);
        left.is_some()
    });
    let ids: Vec<String> = fitting.map(|(id, _)| id.clone()).collect();
    let found = of_ids(app, access, &ids).await?;
    Ok(Found { too_many: flows.len() - ids.len(), ..found })
}

/// Summaries of the same traces.
pub async fn summaries(app: &App, access: &Access, question: Question) -> Result<Vec<Summary>, ApiError> {
    let flows = matching(app, access, question).await?;
    let ids: Vec<String> = flows.into_iter().map(|(id, _)| id).collect();
    let _turn = app.stored.turn().await;
    summary::of_traces(&app.stored, &ids).await
}

/// Ids of the traces, the youngest first, with how many spans each has.
async fn matching(app: &App, access: &Access, question: Question) -> Result<Vec<(String, u32)>, ApiError> {
    let about_spans = question.conditions(app)?;
    let words = WhichWords {
        service: question.service,
        start_time: Some(question.start_us.to_string()),
        end_time: Some(question.end_us.to_string()),
        probes: true,
        ..WhichWords::default()
    };
    let mut which = words.read("", &access.allowed, now_us(), &app.limits)?;
    if let Some(conditions) = about_spans {
        which.with_span(conditions);
    }
    let flows = flows::youngest(app, &which, question.limit).await?;
    Ok(flows.into_iter().map(|flow| (flow.trace_id, flow.spans)).collect())
}

async fn of_ids(app: &App, access: &Access, ids: &[String]) -> Result<Found, ApiError> {
    if ids.is_empty() {
        return Ok(Found::default());
    }
    let _turn = app.stored.turn().await;
    let mut rows = spans::of_traces(&app.stored, ids, SPANS).await?;
    spans::retain(&app.stored, &access.allowed, &mut rows).await?;
    let mut found = Found::default();
    for id in ids {
        match rows.remove(id) {
            Some(rows) => found.traces.push(rows),
            None => found.gone.push(id.clone()),
        }
    }
    Ok(found)
}

impl Question {
    /// When and how many.
    ///
    /// # Errors
    /// They can't be.
    pub fn at(start: Option<&str>, end: Option<&str>, lookback: Option<&str>) -> Result<Self, ApiError> {
        let now_us = now_us();
        let end_us = end.map_or(Ok(now_us), |end| time_us("end", end, now_us))?;
        // Jaeger's page says `custom` where it gives both times.
        let lookback_s = lookback.and_then(duration_s).unwrap_or(LOOKBACK_S);
        let start_us = match start {
            Some(start) => time_us("start", start, now_us)?,
            None => end_us - i64::from(lookback_s) * 1_000_000,
        };
        Ok(Self { start_us, end_us, ..Self::default() })
    }

    /// With the number of traces that a parameter says, or the most: Jaeger's user interface lets people ask for 1,500
    /// and doesn't show them why they were refused.
    ///
    /// # Errors
    /// It is no number.
    pub fn limited(mut self, words: &Words, name: &str) -> Result<Self, ApiError> {
        let limit = words.number(name)?.filter(|limit| *limit > 0).unwrap_or(TRACES);
        self.limit = u32::try_from(limit.min(MOST_TRACES)).unwrap_or_default();
        Ok(self)
    }

    /// With lengths of spans.
    ///
    /// # Errors
    /// They are none, or contradict each other.
    pub fn lasting(mut self, words: &Words, shortest: &str, longest: &str) -> Result<Self, ApiError> {
        let length = |name: &str| words.one(name)?.map(|text| length_us(name, text)).transpose();
        (self.shortest_us, self.longest_us) = (length(shortest)?, length(longest)?);
        if self.shortest_us.zip(self.longest_us).is_some_and(|(shortest, longest)| shortest > longest) {
            return Err(ApiError::bad_request(format!("{shortest} must not be above {longest}")));
        }
        Ok(self)
    }

    /// What one span has to be, where more is asked for than its service: that the flow knows itself.
    fn conditions(&self, app: &App) -> Result<Option<Conditions>, ApiError> {
        if self.tags.len() > MOST_TAGS {
            return Err(ApiError::bad_request(format!("at most {MOST_TAGS} tags can be asked for at once")));
        }
        let plain = self.operation.is_none() && self.tags.is_empty();
        if plain && self.shortest_us.is_none() && self.longest_us.is_none() {
            return Ok(None);
        }
        let mut conditions = Conditions::default();
        conditions.equal("ServiceName", checked("service", self.service.clone(), &app.limits)?.as_deref());
        conditions.equal("SpanName", checked("operation", self.operation.clone(), &app.limits)?.as_deref());
        conditions.number("Duration >=", self.shortest_us.map(|us| us.saturating_mul(1_000)));
        conditions.number("Duration <=", self.longest_us.map(|us| us.saturating_mul(1_000)));
        for (key, value) in &self.tags {
            checked("tags", Some(format!("{key}{value}")), &app.limits)?;
            match (key.as_str(), value.as_str()) {
                // What Jaeger's tags are made of, see `model`.
                ("error", "true") => conditions.and("StatusCode = 'Error'"),
                ("error", "false") => conditions.and("StatusCode != 'Error'"),
                ("span.kind", kind) => conditions.with_text("lower(SpanKind) = lower(?)", Some(kind)),
                (key, value) => conditions.with_two_texts(
                    "(mapContains(SpanAttributes, ?1) AND SpanAttributes[?1] = ?2) OR \
                     (mapContains(ResourceAttributes, ?1) AND ResourceAttributes[?1] = ?2)",
                    key,
                    value,
                ),
            }
        }
        Ok(Some(conditions))
    }
}
