//! Which flows are meant: the conditions that lists, errors and differences share.

use super::attribute::Attribute;
use crate::access::Allowed;
use crate::conditions::Conditions;
use crate::error::ApiError;
use crate::filter::{Around, PROBE, checked};
use crate::limits::Limits;
use crate::range::{Asked, length_us};
use clickhouse::query::Query;
use serde::{Deserialize, Deserializer, de};
use std::collections::BTreeSet;
use std::fmt;
use utoipa::openapi::schema::{Object, ObjectBuilder, SchemaType, Type};
use utoipa::{IntoParams, ToSchema};

/// Which flows, in a caller's words. Without any: all of the last 15 minutes, health checks aside.
#[derive(Debug, Clone, Default, Deserialize, IntoParams, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct WhichWords {
    /// Exactly this operation.
    pub operation: Option<String>,
    /// Exactly this environment.
    pub environment: Option<String>,
    /// Those that began in, or went through, a service of this name.
    pub service: Option<String>,
    /// Those that began in, or went through, a service of this namespace; with `service` the one of that name there.
    pub namespace: Option<String>,
    /// Those that went through a service of this cluster; with `service` and `namespace` that one there.
    pub cluster: Option<String>,
    /// `success`, `error` or `timeout`; several with commas between them.
    #[param(pattern = "^(success|error|timeout)(,(success|error|timeout))*$")]
    #[schema(pattern = "^(success|error|timeout)(,(success|error|timeout))*$")]
    pub status: Option<String>,
    /// The keyed hash of a user's id.
    pub user_hash: Option<String>,
    /// `session.id`.
    pub session_id: Option<String>,
    /// What was clicked, as `app.ui.event` says it.
    pub ui_event: Option<String>,
    /// Those that began in the last `90s`, `15m`, `2h`, `7d` …; 15 minutes by default. Flows are kept for 30 days.
    pub window: Option<String>,
    /// Instead of `window`: RFC 3339, a number since 1970 in s, ms, µs or ns, `now` or `now-1h`; whole seconds.
    #[serde(default, deserialize_with = "text_or_number")]
    #[schema(schema_with = text_or_number_schema)]
    pub start_time: Option<String>,
    /// As `startTime`; now by default.
    #[serde(default, deserialize_with = "text_or_number")]
    #[schema(schema_with = text_or_number_schema)]
    pub end_time: Option<String>,
    /// Those that took at least this long: µs, or a number with ms, s, m or h.
    #[serde(default, deserialize_with = "text_or_number")]
    #[schema(schema_with = text_or_number_schema)]
    pub min_duration: Option<String>,
    /// Those that took at most this long.
    #[serde(default, deserialize_with = "text_or_number")]
    #[schema(schema_with = text_or_number_schema)]
    pub max_duration: Option<String>,
    /// Whether health checks count too.
    #[serde(default)]
    pub probes: bool,
}

/// Which flows, as conditions on `flows_by_start`.
#[derive(Debug)]
pub struct Which {
    /// The first second in which they began.
    pub from_s: u32,
    /// The second after the last one.
    pub to_s: u32,
    conditions: Conditions,
}

/// Spans of a flow may start so long before or after it: a trace is open for ten minutes and remembered for fifteen
/// more, and clocks differ.
pub const SPANS_APART_S: u32 = 3_600;

/// A later revision's start is at most so far from that of the one it replaces: spans older than a day are no spans of
/// a flow any more.
const REVISIONS_APART_S: i64 = 86_400 + 3_600;

const STATUSES: [&str; 3] = ["success", "error", "timeout"];

impl WhichWords {
    /// What they mean to somebody who may know of `allowed`. `prefix` keeps values apart where a query has several of
    /// these.
    ///
    /// # Errors
    /// They contradict each other, or can't be.
    pub fn read(
        self,
        prefix: &'static str,
        allowed: &Allowed,
        now_us: i64,
        limits: &Limits,
    ) -> Result<Which, ApiError> {
        let (window, start, end) =
            (self.window.as_deref(), self.start_time.as_deref(), self.end_time.as_deref());
        let (from_s, to_s) = Asked::parse(window, start, end, now_us, limits)?.seconds(now_us);
        let mut conditions = Conditions::prefixed(prefix);
        conditions.among("environment", &allowed.environments);
        conditions.among("root_namespace", &allowed.namespaces);
        let operation = checked("operation", self.operation, limits)?;
        if operation.is_none() && !self.probes {
            conditions.and(&format!("operation != '{PROBE}'"));
        }
        conditions.equal("operation", operation.as_deref());
        conditions.equal("environment", checked("environment", self.environment, limits)?.as_deref());
        conditions.one_of("status", self.status.as_deref().map(statuses).transpose()?);
        conditions.equal("user_hash", checked("userHash", self.user_hash, limits)?.as_deref());
        conditions.equal("session_id", checked("sessionId", self.session_id, limits)?.as_deref());
        conditions.equal("ui_event", checked("uiEvent", self.ui_event, limits)?.as_deref());
        conditions.any(touching(&Around::read(self.service, self.namespace, self.cluster, limits)?));
        let (least_us, most_us) =
            (length("minDuration", self.min_duration)?, length("maxDuration", self.max_duration)?);
        if least_us.zip(most_us).is_some_and(|(least_us, most_us)| least_us > most_us) {
            return Err(ApiError::bad_request("minDuration must not be above maxDuration"));
        }
        conditions.number("duration_us >=", least_us);
        conditions.number("duration_us <=", most_us);
        let which = Which { from_s, to_s, conditions };
        Ok(which.newest_revisions())
    }

    /// Whether they name a time.
    pub fn name_a_time(&self) -> bool {
        self.window.is_some() || self.start_time.is_some() || self.end_time.is_some()
    }

    /// With the time of `other`.
    #[must_use]
    pub fn at_the_time_of(self, other: &Self) -> Self {
        let (window, start_time, end_time) =
            (other.window.clone(), other.start_time.clone(), other.end_time.clone());
        Self { window, start_time, end_time, ..self }
    }
}

/// Each once.
fn statuses(text: &str) -> Result<BTreeSet<String>, ApiError> {
    let known = |status: &str| {
        STATUSES.contains(&status).then(|| status.to_owned()).ok_or_else(|| {
            let shown: String = status.chars().take(20).collect();
            ApiError::bad_request(format!(
                "status is success, error or timeout, or several of them with commas, not {shown:?}"
            ))
        })
    };
    text.split(',').map(known).collect()
}

/// Ways to be a flow that touches these; none where any does.
fn touching(around: &Around) -> Vec<Conditions> {
    let Around { service, namespace, cluster } = around;
    if around.is_anywhere() {
        return Vec::new();
    }
    let (mut through, mut node) = (Conditions::default(), Conditions::default());
    // The only one with an index.
    through.with_text("has(services, ?)", service.as_deref());
    if namespace.is_some() || cluster.is_some() {
        node.equal("node.name", service.as_deref());
        node.equal("node.namespace", namespace.as_deref());
        node.equal("node.cluster", cluster.as_deref());
        through.within("arrayExists(node -> ?, service_nodes)", node);
    }
    if cluster.is_some() {
        return vec![through];
    }
    // A browser that begins a flow is no service that it went through, but what it began in.
    let mut root = Conditions::default();
    root.equal("root_service", service.as_deref());
    root.equal("root_namespace", namespace.as_deref());
    vec![through, root]
}

fn length(name: &str, text: Option<String>) -> Result<Option<i64>, ApiError> {
    text.filter(|text| !text.is_empty()).map(|text| length_us(name, &text)).transpose()
}

impl Which {
    /// The time is another condition, because some questions need it wider.
    fn newest_revisions(mut self) -> Self {
        let us = |second: u32, more_s: i64| (i64::from(second) + more_s) * 1_000_000;
        let replaced = |from_us: i64, to_us: i64| {
            format!(
                "version NOT IN (SELECT version FROM flows_superseded \
                 WHERE start >= fromUnixTimestamp64Micro({from_us}) AND start < fromUnixTimestamp64Micro({to_us}))"
            )
        };
        let apart_s = REVISIONS_APART_S + i64::from(SPANS_APART_S);
        // Numbers of ours, not texts of a caller.
        let condition = replaced(us(self.from_s, -apart_s).max(0), us(self.to_s, apart_s));
        self.conditions.and(&condition);
        self
    }

    /// Only flows of which some span has every one of these.
    pub fn with_attributes(&mut self, attributes: &[Attribute]) {
        for attribute in attributes {
            attribute.narrow(&mut self.conditions, (self.from_s, self.to_s));
        }
    }

    /// Only flows of which one span is all of this: conditions on `otel_traces`.
    pub fn with_span(&mut self, span: Conditions) {
        let (from_s, to_s) =
            (self.from_s.saturating_sub(SPANS_APART_S), self.to_s.saturating_add(SPANS_APART_S));
        // As attributes are searched, see `attribute`.
        let sql = format!(
            "id IN (SELECT toFixedString(substring(unhex(TraceId), 1, 16), 16) FROM otel_traces \
             WHERE Timestamp >= toDateTime64({from_s}, 9) AND Timestamp < toDateTime64({to_s}, 9) AND (?))"
        );
        self.conditions.within(&sql, span);
    }

    /// Only flows that are all of this: conditions on `flows_by_start`.
    pub fn with(&mut self, conditions: Conditions) {
        self.conditions.within("?", conditions);
    }

    /// All but the flows that `other` means; `other` has to be bound too.
    pub fn except(&mut self, other: &Self) {
        self.conditions.and(&format!("NOT ({})", other.sql()));
    }

    /// The conditions, for after `WHERE`.
    pub fn sql(&self) -> String {
        self.sql_within(0)
    }

    /// The conditions of flows that began so many seconds earlier or later too.
    pub fn sql_within(&self, more_s: u32) -> String {
        let us = |second: u32| u64::from(second) * 1_000_000;
        format!(
            "start >= fromUnixTimestamp64Micro({}) AND start < fromUnixTimestamp64Micro({}) AND {}",
            us(self.from_s.saturating_sub(more_s)),
            us(self.to_s.saturating_add(more_s)),
            self.conditions.sql()
        )
    }

    /// Binds the values of the conditions.
    pub fn bind(&self, query: Query) -> Query {
        self.conditions.bind(query)
    }
}

fn text_or_number_schema() -> Object {
    let kinds = [Type::String, Type::Integer, Type::Null];
    ObjectBuilder::new().schema_type(SchemaType::from_iter(kinds)).minimum(Some(0)).build()
}

/// Times and lengths are texts in queries and may be numbers in JSON.
fn text_or_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    struct Either;
    impl<'de> de::Visitor<'de> for Either {
        type Value = Option<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a text or a whole number")
        }

        fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
            Ok(Some(text.to_owned()))
        }

        fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
            Ok(Some(number.to_string()))
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(None)
        }
    }
    deserializer.deserialize_any(Either)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW_US: i64 = 1_700_000_000_000_000;

    fn read(words: serde_json::Value) -> Result<Which, ApiError> {
        let words: WhichWords = serde_json::from_value(words).unwrap();
        words.read("", &Allowed::default(), NOW_US, &Limits::default())
    }

    #[test]
    fn texts_of_callers_are_bound_and_times_are_numbers() {
        let which = read(json!({"operation": "' OR 1 --", "service": "'); DROP", "startTime": 1_699_999_000,
            "endTime": "1699999900", "minDuration": "1ms", "maxDuration": 5_000}));
        let sql = which.unwrap().sql();
        assert!(!sql.contains("OR 1") && !sql.contains("DROP"), "{sql}");
        assert!(sql.starts_with(
            "start >= fromUnixTimestamp64Micro(1699999000000000) AND start < fromUnixTimestamp64Micro(1699999900000000) AND "
        ));
        assert!(
            sql.contains("(operation = {c0:String})") && sql.contains("(duration_us >= {c3:Int64})"),
            "{sql}"
        );
    }

    #[test]
    fn places_are_those_of_one_service() {
        let sql = |words| read(words).unwrap().sql();
        let service = sql(json!({"service": "auth"}));
        assert!(
            service.contains("((has(services, {c0:String}))) OR ((root_service = {c1:String}))"),
            "{service}"
        );
        let there = sql(json!({"service": "auth", "namespace": "shop", "cluster": "eu"}));
        let node = "arrayExists(node -> (node.name = {c1:String}) AND (node.namespace = {c2:String}) \
             AND (node.cluster = {c3:String}), service_nodes)";
        assert!(there.contains(node) && !there.contains("root_"), "{there}");
        let anywhere = sql(json!({"service": "", "namespace": "", "cluster": ""}));
        assert!(!anywhere.contains("service"), "{anywhere}");
    }

    #[test]
    fn probes_count_when_they_are_asked_for() {
        let hides = |words| read(words).unwrap().sql().contains("operation != '__probe__'");
        assert!(hides(json!({})));
        assert!(!hides(json!({"probes": true})) && !hides(json!({"operation": "__probe__"})));
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        for words in [
            json!({"minDuration": "2s", "maxDuration": "1s"}),
            json!({"window": "1h", "startTime": "now-1h"}),
            json!({"startTime": "now", "endTime": "now-1h"}),
            json!({"status": "Error"}),
            json!({"status": "error,"}),
            json!({"status": ""}),
            json!({"minDuration": "soon"}),
            json!({"operation": "x".repeat(600)}),
        ] {
            assert_eq!(read(words.clone()).unwrap_err().code, "bad_request", "{words}");
        }
    }

    #[test]
    fn a_reader_sees_what_is_allowed_only() {
        let allowed = Allowed {
            environments: Some(std::sync::Arc::new(["prod".to_owned()].into())),
            namespaces: Some(std::sync::Arc::new(["shop".to_owned()].into())),
        };
        let sql = WhichWords::default().read("", &allowed, NOW_US, &Limits::default()).unwrap().sql();
        assert!(sql.contains("toString(environment)") && sql.contains("toString(root_namespace)"), "{sql}");
    }
}
