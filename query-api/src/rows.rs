//! Rows of a graph from the tables of rollups: one for each edge and each service in each environment, by version
//! where versions are asked for.

use crate::App;
use crate::builder::GraphBuilder;
use crate::conditions::Conditions;
use crate::error::ApiError;
use crate::histogram::Histogram;
use crate::known_services::KnownNode;
use crate::node::{Kind, Node};
use crate::stored::{Segment, histogram};
use crate::sums::Rollup;
use crate::totals::{EdgeTotals, ServiceTotals};
use clickhouse::{Row, RowOwned, RowRead};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Cluster, namespace, name and kind.
type Place = (String, String, String, String);

/// An edge in one environment, and the callee's version where it was asked for.
#[derive(Debug, Row, Deserialize)]
pub struct EdgeSums {
    /// Where.
    pub environment: String,
    client: Place,
    server: Place,
    /// "" where it isn't known or wasn't asked for.
    pub version: String,
    counts: Vec<i64>,
    raw: i64,
    histograms: Vec<(Vec<u16>, Vec<i64>)>,
    sums: Vec<i64>,
}

/// A service in one environment and one version.
#[derive(Debug, Row, Deserialize)]
pub struct ServiceSums {
    /// Where.
    pub environment: String,
    service: Place,
    /// "" where it isn't known.
    pub version: String,
    counts: Vec<i64>,
    raw: i64,
    histograms: Vec<(Vec<u16>, Vec<i64>)>,
    sums: Vec<i64>,
}

/// Edges of a segment. `conditions` speak of the table as `e`.
///
/// # Errors
/// ClickHouse can't answer.
pub async fn edges(
    app: &App,
    segment: Segment,
    conditions: &Conditions,
    by_version: bool,
) -> Result<Vec<EdgeSums>, ApiError> {
    let version = if by_version { "e.version" } else { "''" };
    let names = format!(
        "e.environment AS environment, \
         (e.client_cluster, e.client_namespace, e.client, e.client_kind) AS client, \
         (e.server_cluster, e.server_namespace, e.server, e.server_kind) AS server, {version} AS version"
    );
    rows::<EdgeSums, EdgeTotals>(app, segment, conditions, &names).await
}

/// Services of a segment, by version.
///
/// # Errors
/// ClickHouse can't answer.
pub async fn services(
    app: &App,
    segment: Segment,
    conditions: &Conditions,
) -> Result<Vec<ServiceSums>, ApiError> {
    let names = "e.environment AS environment, (e.cluster, e.namespace, e.service, e.kind) AS service, \
                 e.version AS version";
    rows::<ServiceSums, ServiceTotals>(app, segment, conditions, names).await
}

async fn rows<R: RowOwned + RowRead, T: Rollup>(
    app: &App,
    segment: Segment,
    conditions: &Conditions,
    names: &str,
) -> Result<Vec<R>, ApiError> {
    let columns = T::COLUMNS;
    let sql = format!(
        "SELECT {names}, {} FROM {}_{} AS e \
         WHERE e.window >= toDateTime({{from:UInt32}}) AND e.window < toDateTime({{to:UInt32}}) AND {} \
         GROUP BY ALL LIMIT {{rows:UInt32}}",
        columns.sums(),
        columns.table,
        segment.tier.suffix(),
        conditions.sql(),
    );
    let (query, _turn) = app.stored.query(&sql).await;
    let query = conditions.bind(query.param("from", segment.from_s).param("to", segment.to_s));
    query.fetch_all().await.map_err(|error| ApiError::store_unavailable(&error))
}

/// Adds rows to a graph. Rows of many environments name the same nodes again and again, so each is made once.
#[derive(Debug, Default)]
pub struct Adder {
    nodes: BTreeMap<Place, Arc<Node>>,
}

impl Adder {
    /// Adds an edge.
    pub fn edge(&mut self, builder: &mut GraphBuilder, row: EdgeSums) {
        let (client, server) = (self.node(row.client), self.node(row.server));
        let totals = builder.within(&*row.environment).edge(&client, &server);
        totals.add_row(&row.counts, row.raw, &merged(&row.histograms, &row.sums));
    }

    /// Adds a service.
    pub fn service(&mut self, builder: &mut GraphBuilder, row: ServiceSums) {
        let node = self.node(row.service);
        let totals = builder.within(&*row.environment).service(&node);
        totals.add_row(&row.counts, row.raw, &merged(&row.histograms, &row.sums));
        totals.versions.insert(row.version);
    }

    /// A service that names can mean.
    pub fn known(&mut self, builder: &mut GraphBuilder, row: KnownNode) {
        let KnownNode { environment, cluster, namespace, name, kind } = row;
        builder.within(&*environment).know(&self.node((cluster, namespace, name, kind)));
    }

    fn node(&mut self, place: Place) -> Arc<Node> {
        if let Some(node) = self.nodes.get(&place) {
            return node.clone();
        }
        let (cluster, namespace, name, kind) = place.clone();
        let node = Arc::new(Node { cluster, namespace, name, kind: Kind::of_text(&kind) });
        self.nodes.insert(place, node.clone());
        node
    }
}

fn merged(lists: &[(Vec<u16>, Vec<i64>)], sums: &[i64]) -> Vec<Histogram> {
    lists.iter().zip(sums).map(|(lists, sum)| histogram(lists, *sum)).collect()
}
