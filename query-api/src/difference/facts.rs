//! What the sampled flows of both sides say, from their raw spans.

use super::DiffSide;
use crate::App;
use crate::error::ApiError;
use crate::flows::{SPANS_APART_S, Which};
use clickhouse::Row;
use serde::Deserialize;

/// In how many flows of each side something is said.
#[derive(Debug, Row, Deserialize)]
pub struct FactRow {
    /// `span`, `resource`, `service`, `version`, `endpoint`; `flow` is said by every flow.
    pub scope: String,
    pub key: String,
    pub value: String,
    pub inside: u64,
    pub outside: u64,
}

/// What was found.
pub struct Sampled {
    /// Selection and baseline.
    pub sides: [DiffSide; 2],
    /// The largest differences of each scope.
    pub facts: Vec<FactRow>,
}

/// Flows of a side that are looked at: the shares are then right to 2 points, and two sides of 30 spans are some
/// hundred thousand facts.
pub const SAMPLE: u32 = 2_000;
/// Differences of each scope.
const FACTS: u32 = 50;
/// Characters of a value; longer ones are cut, and count as one where they begin the same.
const VALUE: u32 = 200;

/// What sampled flows of both sides say. Said once or by one flow only, it tells nothing, so ids fall out here.
///
/// # Errors
/// ClickHouse can't answer.
pub async fn read(app: &App, selection: &Which, baseline: &Which) -> Result<Sampled, ApiError> {
    let bind = |query| baseline.bind(selection.bind(query));
    let count = |which: &Which| format!("SELECT count() FROM flows_by_start WHERE {}", which.sql());
    let _turn = app.stored.turn().await;
    let inside = bind(app.stored.ask(&count(selection))).fetch_one::<u64>();
    let outside = bind(app.stored.ask(&count(baseline))).fetch_one::<u64>();
    let facts = bind(app.stored.ask(&sql(selection, baseline))).fetch_all::<FactRow>();
    let (inside, outside, mut facts) =
        tokio::try_join!(inside, outside, facts).map_err(|error| ApiError::store_unavailable(&error))?;
    let all = facts.iter().position(|fact| fact.scope == "flow").map(|at| facts.swap_remove(at));
    let (sampled_inside, sampled_outside) = all.map_or((0, 0), |all| (all.inside, all.outside));
    let sides = [
        DiffSide { flows: inside, sampled: sampled_inside },
        DiffSide { flows: outside, sampled: sampled_outside },
    ];
    Ok(Sampled { sides, facts })
}

fn sql(selection: &Which, baseline: &Which) -> String {
    // By the hash of the id: a fair sample, and the same one for the same question.
    let sample = |which: &Which, selected: u8| {
        format!(
            "SELECT lower(hex(id)) AS trace, {selected} AS selected FROM flows_by_start WHERE {} \
             ORDER BY cityHash64(id) LIMIT {SAMPLE}",
            which.sql()
        )
    };
    let sampled = format!("(({}) UNION ALL ({}))", sample(selection, 1), sample(baseline, 0));
    let from_s = selection.from_s.min(baseline.from_s).saturating_sub(SPANS_APART_S);
    let to_s = selection.to_s.max(baseline.to_s).saturating_add(SPANS_APART_S);
    let said = |scope: &str, map: &str| {
        format!(
            "arrayMap((k, v) -> ('{scope}', k, leftUTF8(v, {VALUE})), CAST(mapKeys({map}), 'Array(String)'), mapValues({map}))"
        )
    };
    let namespace = "if(ResourceAttributes['k8s.namespace.name'] != '', ResourceAttributes['k8s.namespace.name'], \
        ResourceAttributes['service.namespace'])";
    // DateTime64 as the column is, see `spans`.
    let facts = format!(
        "SELECT fact.1 AS scope, fact.2 AS key, fact.3 AS value, \
         uniqExactIf(trace, selected = 1) AS inside, uniqExactIf(trace, selected = 0) AS outside \
         FROM (SELECT trace, selected, arrayJoin(arrayConcat({attributes}, {resource}, \
             [('flow', '', ''), ('service', toString(ServiceName), {namespace})], \
             if(ResourceAttributes['service.version'] != '', \
                 [('version', toString(ServiceName), ResourceAttributes['service.version'])], []), \
             if(SpanKind IN ('Server', 'Consumer'), [('endpoint', toString(ServiceName), toString(SpanName))], []) \
             )) AS fact \
             FROM otel_traces INNER JOIN {sampled} AS sampled ON TraceId = sampled.trace \
             WHERE Timestamp >= toDateTime64({from_s}, 9) AND Timestamp < toDateTime64({to_s}, 9)) \
         GROUP BY scope, key, value HAVING inside + outside > 1 OR scope = 'flow'",
        attributes = said("span", "SpanAttributes"),
        resource = said("resource", "ResourceAttributes"),
    );
    // Shares are those of the flows that were found, which is what every flow says.
    format!(
        "SELECT scope, key, value, inside, outside FROM (SELECT *, \
         greatest(max(if(scope = 'flow', inside, 0)) OVER (), 1) AS all_inside, \
         greatest(max(if(scope = 'flow', outside, 0)) OVER (), 1) AS all_outside FROM ({facts})) \
         ORDER BY scope, abs(inside / all_inside - outside / all_outside) DESC, key, value LIMIT {FACTS} BY scope"
    )
}
