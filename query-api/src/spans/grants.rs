//! Which raw spans a caller may know of: their places are read as those of graphs and flows are.

use super::{Attributes, SpanRow};
use crate::access::Allowed;
use crate::conditions::Conditions;
use crate::error::ApiError;
use crate::stored::Stored;
use clickhouse::Row;
use serde::Deserialize;
use std::collections::HashMap;

/// What names a namespace in a resource, as `schemas/semconv.toml` has it: the first that says something counts.
pub const NAMESPACES: &[&str] = &["k8s.namespace.name", "k8s.namespace", "service.namespace"];
const ENVIRONMENTS: &[&str] = &["deployment.environment.name", "deployment.environment", "environment"];

/// [`NAMESPACES`] of a row of `otel_traces`.
pub const NAMESPACE: &str = "multiIf(\
    ResourceAttributes['k8s.namespace.name'] != '', ResourceAttributes['k8s.namespace.name'], \
    ResourceAttributes['k8s.namespace'] != '', ResourceAttributes['k8s.namespace'], \
    ResourceAttributes['service.namespace'])";
/// [`ENVIRONMENTS`] of a row of `otel_traces`, whose column is made of the first two.
const ENVIRONMENT: &str = "if(Environment != '', toString(Environment), ResourceAttributes['environment'])";

/// Where a trace's root is.
#[derive(Debug, Row, Deserialize)]
struct RootRow {
    trace_id: String,
    environment: String,
    namespace: String,
}

// FINAL keeps one revision a day: a flow whose start moved over midnight has two.
const ROOTS: &str = "SELECT trace_id, toString(environment) AS environment, toString(root_namespace) AS namespace \
    FROM traces FINAL WHERE trace_id IN {ids:Array(String)} ORDER BY revision DESC LIMIT 1 BY trace_id";

/// Conditions on `otel_traces`: only spans of environments and namespaces that may be known.
pub fn narrow(conditions: &mut Conditions, allowed: &Allowed) {
    conditions.among(ENVIRONMENT, &allowed.environments);
    conditions.among(NAMESPACE, &allowed.namespaces);
}

/// Leaves the traces that may be known. What a trace closed under is known best by its summary, where it has one.
///
/// # Errors
/// ClickHouse can't answer.
pub async fn retain(
    stored: &Stored,
    allowed: &Allowed,
    traces: &mut HashMap<String, Vec<SpanRow>>,
) -> Result<(), ApiError> {
    if *allowed == Allowed::default() {
        return Ok(());
    }
    let ids: Vec<&str> = traces.keys().map(String::as_str).collect();
    let roots = stored.ask(ROOTS).param("ids", ids).fetch_all::<RootRow>().await;
    let roots = roots.map_err(|error| ApiError::store_unavailable(&error))?;
    let roots: HashMap<&str, &RootRow> = roots.iter().map(|root| (root.trace_id.as_str(), root)).collect();
    traces.retain(|id, rows| match roots.get(id.as_str()) {
        Some(root) => allowed.environment(&root.environment) && allowed.namespace(&root.namespace),
        None => is_allowed(allowed, rows),
    });
    Ok(())
}

/// Whether the caller may know of a trace without a summary: of the environment and the namespace of its earliest
/// span without a parent.
pub fn is_allowed(allowed: &Allowed, rows: &[SpanRow]) -> bool {
    let root = rows.iter().find(|row| row.parent_span_id.is_empty()).or(rows.first());
    root.is_none_or(|root| {
        allowed.environment(first(&root.resource, ENVIRONMENTS))
            && allowed.namespace(first(&root.resource, NAMESPACES))
    })
}

/// The value of the first of these names that has one, or "".
pub fn first<'a>(resource: &'a Attributes, names: &[&str]) -> &'a str {
    let value = |name: &&str| resource.iter().find(|(key, value)| key == name && !value.is_empty());
    names.iter().find_map(value).map_or("", |(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemas::semconv::{EMBEDDED, ResourceFact, Table};

    #[test]
    fn places_are_named_as_the_conventions_have_it() {
        let table: Table = toml::from_str(EMBEDDED).unwrap();
        assert_eq!(table.resource[&ResourceFact::Namespace], NAMESPACES);
        assert_eq!(table.resource[&ResourceFact::Environment], ENVIRONMENTS);
        let positions: Vec<_> =
            NAMESPACES.iter().map(|name| NAMESPACE.find(&format!("['{name}']")).unwrap()).collect();
        assert!(positions.is_sorted(), "{positions:?}");
    }
}
