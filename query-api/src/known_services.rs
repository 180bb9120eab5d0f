//! The nodes that ClickHouse knows of in a range: whom a name can mean, whatever a question filters by.

use crate::node::{Kind, Node};
use crate::stored::{Stored, Tier};
use clickhouse::Row;
use clickhouse::error::Error;
use serde::Deserialize;
use std::sync::Arc;

/// One node of an environment.
#[derive(Debug, Clone, Row, Deserialize)]
#[allow(missing_docs, reason = "the columns are documented in schemas/clickhouse")]
pub struct KnownNode {
    pub environment: String,
    pub cluster: String,
    pub namespace: String,
    pub name: String,
    pub kind: String,
}

impl KnownNode {
    /// The node.
    pub fn node(&self) -> Arc<Node> {
        let Self { cluster, namespace, name, kind, .. } = self.clone();
        Arc::new(Node { cluster, namespace, name, kind: Kind::of_text(&kind) })
    }
}

impl Stored {
    /// The services seen in the windows that touch `[from_s, to_s)`, of one environment or of all.
    ///
    /// # Errors
    /// ClickHouse can't answer.
    pub async fn known_services(
        &self,
        from_s: u32,
        to_s: u32,
        environment: Option<&str>,
    ) -> Result<Vec<KnownNode>, Error> {
        self.known(Some(Kind::Service), from_s, to_s, environment).await
    }

    /// All nodes, as [`Stored::known_services`].
    ///
    /// # Errors
    /// ClickHouse can't answer.
    pub async fn known_nodes(
        &self,
        from_s: u32,
        to_s: u32,
        environment: Option<&str>,
    ) -> Result<Vec<KnownNode>, Error> {
        self.known(None, from_s, to_s, environment).await
    }

    async fn known(
        &self,
        kind: Option<Kind>,
        from_s: u32,
        to_s: u32,
        environment: Option<&str>,
    ) -> Result<Vec<KnownNode>, Error> {
        let tier = tier(from_s, to_s);
        let (query, _turn) = self.query(&sql(tier)).await;
        query
            .param("from", from_s - from_s % tier.width_s())
            .param("to", to_s)
            .param("any_environment", environment.is_none())
            .param("environment", environment.unwrap_or_default())
            .param("any_kind", kind.is_none())
            .param("kind", kind.map_or("", Kind::as_str))
            .fetch_all()
            .await
    }
}

/// Who is there needs no second: the tier of the fewest rows will do that isn't much coarser than the range. More than a
/// month back there are hours only, to which such ranges are rounded.
fn tier(from_s: u32, to_s: u32) -> Tier {
    match to_s - from_s {
        3_600.. => Tier::Hour,
        600.. => Tier::TenMinutes,
        _ => Tier::Minute,
    }
}

/// A service that has only callers or only callees in its own telemetry is one too, so edges are asked as well.
fn sql(tier: Tier) -> String {
    let tier = tier.suffix();
    let part = |table: &str, of: &str, columns: [&str; 4], seen: &str| {
        let [cluster, namespace, name, kind] = columns.map(|column| format!("{of}{column}"));
        format!(
            "SELECT environment, {cluster} AS in_cluster, {namespace} AS in_namespace, {name} AS called, {kind} AS is, \
                    sum({seen}) AS seen \
             FROM {table}_{tier} WHERE window >= toDateTime({{from:UInt32}}) AND window < toDateTime({{to:UInt32}}) \
             AND ({{any_environment:Bool}} OR environment = {{environment:String}}) \
             AND ({{any_kind:Bool}} OR {kind} = {{kind:String}}) GROUP BY ALL"
        )
    };
    let parts = [
        part("edges", "client", ["_cluster", "_namespace", "", "_kind"], "raw_calls"),
        part("edges", "server", ["_cluster", "_namespace", "", "_kind"], "raw_calls"),
        part("services", "", ["cluster", "namespace", "service", "kind"], "raw_requests"),
    ];
    format!(
        "SELECT DISTINCT environment, in_cluster AS cluster, in_namespace AS namespace, called AS name, is AS kind \
         FROM ({}) WHERE seen != 0 LIMIT {{rows:UInt32}}",
        parts.join(" UNION ALL ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_ranges_and_old_ones_read_few_rows() {
        let hour = 1_700_002_800;
        assert_eq!(tier(hour + 1, hour + 61), Tier::Minute);
        assert_eq!(tier(hour + 60, hour + 3_600), Tier::TenMinutes);
        assert_eq!(tier(hour + 60, hour + 3_660), Tier::Hour);
        assert_eq!(tier(hour, hour + 3_600), Tier::Hour, "as ranges of last year are");
    }

    #[test]
    fn the_query_holds_no_values() {
        assert!(!sql(Tier::Minute).contains('\''), "{}", sql(Tier::Minute));
    }
}
