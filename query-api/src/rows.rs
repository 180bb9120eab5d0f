//! Sums of a graph from the tables of rollups: one for each edge and each service in each environment, by version
//! where versions are asked for.
//!
//! Few rows are added up here, because `sumMap` is slow with many buckets (docs/adr/0022). Many rows are added up there.

use crate::App;
use crate::builder::GraphBuilder;
use crate::columns::{Bytes, Thousandths, as_strings, buckets, next, side_by_side};
use crate::conditions::Conditions;
use crate::error::ApiError;
use crate::histogram::{Histogram, add_up};
use crate::known_services::KnownNode;
use crate::node::{Kind, Node};
use crate::stored::Segment;
use crate::sums::{Columns, Rollup};
use crate::totals::{EdgeTotals, ServiceTotals};
use clickhouse::error::Error;
use clickhouse::native::Block;
use hashbrown::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

/// Windows up to which rows are likely to be few: an hour from any minute on has at most 23.
const FEW_WINDOWS: u32 = 64;
/// Most rows that are added up here, and most bytes of their histograms: the latter are kept until the end.
const FEW_ROWS: usize = 250_000;
const FEW_BYTES: usize = 128 << 20;

/// Cluster, namespace, name and kind.
type Place = [String; 4];

/// An edge in one environment, and the callee's version where it was asked for.
#[derive(Debug)]
pub struct EdgeSums {
    environment: String,
    client: Place,
    server: Place,
    /// "" where it isn't known or wasn't asked for.
    pub version: String,
    totals: EdgeTotals,
}

/// A service in one environment and one version.
#[derive(Debug)]
pub struct ServiceSums {
    environment: String,
    service: Place,
    /// "" where it isn't known.
    pub version: String,
    totals: ServiceTotals,
}

/// Edges of a range. `conditions` speak of the table as `e`.
///
/// # Errors
/// ClickHouse can't answer.
pub async fn edges(
    app: &App,
    segments: &[Segment],
    conditions: &Conditions,
    by_version: bool,
) -> Result<Vec<EdgeSums>, ApiError> {
    let mut names = vec![
        "environment",
        "client_cluster",
        "client_namespace",
        "client",
        "client_kind",
        "server_cluster",
        "server_namespace",
        "server",
        "server_kind",
    ];
    names.extend(by_version.then_some("version"));
    let found = read::<EdgeTotals>(app, segments, conditions, &names).await?;
    let row = |(names, totals): (Vec<String>, EdgeTotals)| {
        let mut names = names.into_iter();
        let (environment, client, server) =
            (names.next().unwrap_or_default(), place(&mut names), place(&mut names));
        EdgeSums { environment, client, server, version: names.next().unwrap_or_default(), totals }
    };
    Ok(found.into_iter().map(row).collect())
}

/// Services of a range, by version. It borrows nothing, so that it may run on a thread of its own.
///
/// # Errors
/// ClickHouse can't answer.
pub async fn services(
    app: App,
    segments: Vec<Segment>,
    conditions: Conditions,
) -> Result<Vec<ServiceSums>, ApiError> {
    let names = ["environment", "cluster", "namespace", "service", "kind", "version"];
    let found = read::<ServiceTotals>(&app, &segments, &conditions, &names).await?;
    let row = |(names, totals): (Vec<String>, ServiceTotals)| {
        let mut names = names.into_iter();
        let (environment, service) = (names.next().unwrap_or_default(), place(&mut names));
        ServiceSums { environment, service, version: names.next().unwrap_or_default(), totals }
    };
    Ok(found.into_iter().map(row).collect())
}

fn place(names: &mut impl Iterator<Item = String>) -> Place {
    std::array::from_fn(|_| names.next().unwrap_or_default())
}

/// What was added up, by names.
async fn read<T: Rollup>(
    app: &App,
    segments: &[Segment],
    conditions: &Conditions,
    names: &[&str],
) -> Result<Vec<(Vec<String>, T)>, ApiError> {
    if segments.is_empty() {
        return Ok(Vec::new());
    }
    let windows: u32 = segments.iter().map(|segment| segment.windows()).sum();
    let asked = |adding| async move {
        let found = ask(app, T::COLUMNS, segments, conditions, names, adding).await;
        found.map_err(|error| ApiError::store_unavailable(&error))
    };
    let few = if windows <= FEW_WINDOWS { Some(asked(Adding::Here).await?) } else { None };
    let found = match few {
        Some(found) if found.are_few() => found,
        _ => asked(Adding::There).await?,
    };
    let most = app.limits.rows as usize;
    if found.sums.len() > most {
        let message =
            format!("more than {most} edges or services match: ask for one environment or one operation");
        return Err(ApiError::bad_request(message));
    }
    Ok(found.sums.into_iter().map(Sum::finished).collect())
}

/// Who adds rows up.
#[derive(Clone, Copy, PartialEq)]
enum Adding {
    Here,
    There,
}

async fn ask(
    app: &App,
    columns: Columns,
    segments: &[Segment],
    conditions: &Conditions,
    names: &[&str],
    adding: Adding,
) -> Result<Found, Error> {
    let (mut query, _turn) = app.stored.query(&sql(&columns, segments, conditions, names, adding)).await;
    for (at, segment) in segments.iter().enumerate() {
        query = query.param(&format!("from{at}"), segment.from_s).param(&format!("to{at}"), segment.to_s);
    }
    let mut blocks = conditions.bind(query).fetch_native()?;
    let mut found = Found::new(columns, names.len());
    while let Some(block) = blocks.next().await? {
        found.add(&block)?;
        if adding == Adding::Here && !found.are_few() {
            break;
        }
    }
    Ok(found)
}

fn sql(
    columns: &Columns,
    segments: &[Segment],
    conditions: &Conditions,
    names: &[&str],
    adding: Adding,
) -> String {
    let Columns { table, counts, raw, histograms, means } = columns;
    let mut list = String::new();
    let mut column = |sql: String| {
        let _ = write!(list, "{}{sql}", if list.is_empty() { "" } else { ", " });
    };
    names.iter().for_each(|name| column(format!("e.{name}")));
    let here = adding == Adding::Here;
    let sum = |name: &&str| if here { format!("e.{name}") } else { format!("toDecimal64(sum(e.{name}), 3)") };
    counts.iter().for_each(|name| column(sum(name)));
    column(if here { format!("e.{raw}") } else { format!("sum(e.{raw})") });
    for (lists, _) in *histograms {
        let count = format!("arraySum(tupleElement(e.{lists}, 2))");
        column(match (means.contains(lists), here) {
            // A mean needs no more than the number of values.
            (true, true) => as_strings(&format!("([toUInt16(0)], [{count}])")),
            (true, false) => as_strings(&format!("([toUInt16(0)], [sum({count})])")),
            (false, true) => as_strings(&format!("e.{lists}")),
            (false, false) => as_strings(&format!("sumMap(e.{lists})")),
        });
    }
    histograms.iter().for_each(|(_, name)| column(sum(name)));
    let all = counts.iter().chain([raw]).chain(histograms.iter().flat_map(|(lists, sum)| [lists, sum]));
    let all: Vec<&str> = names.iter().chain(all).copied().collect();
    let parts = segments.iter().enumerate().map(|(at, segment)| {
        format!(
            "SELECT {} FROM {table}_{} AS e \
             WHERE e.window >= toDateTime({{from{at}:UInt32}}) AND e.window < toDateTime({{to{at}:UInt32}}) AND {}",
            all.join(", "),
            segment.tier.suffix(),
            conditions.sql(),
        )
    });
    let parts = parts.collect::<Vec<_>>().join(" UNION ALL ");
    let end = if here {
        format!("LIMIT {FEW_ROWS} + 1")
    } else {
        "GROUP BY ALL LIMIT {rows:UInt32} + 1".to_owned()
    };
    format!("SELECT {list} FROM ({parts}) AS e {end}")
}

/// Rows added up. Their names come again and again, so each is kept once.
struct Found {
    columns: Columns,
    /// How many columns of names there are.
    names: usize,
    /// Where in `sums` the names are, each name behind its length.
    places: HashMap<Vec<u8>, usize>,
    /// Of the row at hand.
    key: Vec<u8>,
    sums: Vec<Sum>,
    rows: usize,
    /// Of histograms.
    bytes: usize,
}

/// Rows of the same names.
struct Sum {
    names: Vec<String>,
    counts: Vec<i64>,
    raw: i64,
    histograms: Vec<Parts>,
}

/// Histograms one behind the other: adding them up at the end is faster, as long as they don't become too many.
#[derive(Clone)]
struct Parts {
    buckets: Vec<(u16, i64)>,
    /// How many there may be before they are added up.
    most: usize,
    sum: i64,
}

impl Found {
    fn new(columns: Columns, names: usize) -> Self {
        Self { columns, names, places: HashMap::new(), key: Vec::new(), sums: Vec::new(), rows: 0, bytes: 0 }
    }

    fn add(&mut self, block: &Block) -> Result<(), Error> {
        let (names, numbers) = block.columns().split_at_checked(self.names).unwrap_or_default();
        let mut numbers = numbers.iter();
        let mut names = side_by_side::<Bytes<'_>>(names.iter())?;
        let mut counts = side_by_side::<Thousandths>(numbers.by_ref().take(self.columns.counts.len()))?;
        let mut raw = side_by_side::<i64>(numbers.by_ref().take(1))?;
        let mut lists = side_by_side::<Bytes<'_>>(numbers.by_ref().take(2 * self.columns.histograms.len()))?;
        let mut sums = side_by_side::<Thousandths>(numbers)?;
        let mut texts = Vec::with_capacity(names.len());
        for _ in 0..block.num_rows() {
            texts.clear();
            for name in &mut names {
                texts.push(next(name)?.0);
            }
            let sum = self.of(&texts)?;
            for (to, column) in sum.counts.iter_mut().zip(&mut counts) {
                *to = to.saturating_add(next(column)?.0);
            }
            for column in &mut raw {
                sum.raw = sum.raw.saturating_add(next(column)?);
            }
            let (mut bytes, lists) = (0, lists.as_chunks_mut().0.iter_mut());
            for ((to, [of, counts]), sum) in sum.histograms.iter_mut().zip(lists).zip(&mut sums) {
                let (of, counts) = (next(of)?, next(counts)?);
                bytes += counts.0.len();
                to.add(buckets(of, counts), next(sum)?);
            }
            self.bytes += bytes;
        }
        self.rows += block.num_rows();
        Ok(())
    }

    fn are_few(&self) -> bool {
        self.rows <= FEW_ROWS && self.bytes <= FEW_BYTES
    }

    /// The sum of a row with these names.
    fn of(&mut self, names: &[&[u8]]) -> Result<&mut Sum, Error> {
        self.key.clear();
        for name in names {
            self.key.extend(name.len().to_le_bytes());
            self.key.extend(*name);
        }
        let at = match self.places.get(&self.key) {
            Some(at) => *at,
            None => {
                let text = |name: &&[u8]| String::from_utf8(name.to_vec());
                let names = names.iter().map(text).collect::<Result<_, _>>();
                let names = names.map_err(|error| Error::DataFormat(error.into()))?;
                self.places.insert(self.key.clone(), self.sums.len());
                self.sums.push(Sum::new(names, &self.columns));
                self.sums.len() - 1
            }
        };
        Ok(&mut self.sums[at])
    }
}

impl Parts {
    fn add(&mut self, buckets: impl Iterator<Item = (u16, i64)>, Thousandths(sum): Thousandths) {
        self.buckets.extend(buckets);
        self.sum = self.sum.saturating_add(sum);
        if self.buckets.len() > self.most {
            add_up(&mut self.buckets);
            self.most = self.most.max(2 * self.buckets.len());
        }
    }
}

impl Sum {
    fn new(names: Vec<String>, columns: &Columns) -> Self {
        let none = Parts { buckets: Vec::new(), most: 512, sum: 0 };
        let (counts, histograms) = (vec![0; columns.counts.len()], vec![none; columns.histograms.len()]);
        Self { names, counts, raw: 0, histograms }
    }

    fn finished<T: Rollup>(self) -> (Vec<String>, T) {
        let histograms = self.histograms.into_iter();
        let histograms: Vec<_> = histograms.map(|of| Histogram::from_parts(of.buckets, of.sum)).collect();
        let mut totals = T::default();
        totals.add_row(&self.counts, self.raw, &histograms);
        (self.names, totals)
    }
}

/// Adds sums to a graph. Sums of many environments name the same nodes again and again, so each is made once.
#[derive(Debug, Default)]
pub struct Adder {
    nodes: HashMap<Place, Arc<Node>>,
}

impl Adder {
    /// Adds an edge.
    pub fn edge(&mut self, builder: &mut GraphBuilder, row: EdgeSums) {
        let (client, server) = (self.node(row.client), self.node(row.server));
        builder.within(&*row.environment).add_edge((client, server), row.totals.into());
    }

    /// Adds a service.
    pub fn service(&mut self, builder: &mut GraphBuilder, row: ServiceSums) {
        let node = self.node(row.service);
        let versions = [row.version.into()].into();
        let totals = ServiceTotals { versions, ..row.totals };
        builder.within(&*row.environment).add_service(node, totals.into());
    }

    /// A service that names can mean.
    pub fn known(&mut self, builder: &mut GraphBuilder, row: KnownNode) {
        let KnownNode { environment, cluster, namespace, name, kind } = row;
        builder.within(&*environment).know(&self.node([cluster, namespace, name, kind]));
    }

    fn node(&mut self, place: Place) -> Arc<Node> {
        if let Some(node) = self.nodes.get(&place) {
            return node.clone();
        }
        let [cluster, namespace, name, kind] = place.clone();
        let node = Arc::new(Node { cluster, namespace, name, kind: Kind::of_text(&kind) });
        self.nodes.insert(place, node.clone());
        node
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stored::segments;
    use crate::sums::of_filter;

    #[test]
    fn queries_hold_no_values() {
        let filter = crate::filter::Filter { operation: Some("lo'gin".into()), ..Default::default() };
        for adding in [Adding::Here, Adding::There] {
            let (segments, conditions) = (segments(59, 7_261), of_filter(&filter));
            let sql = sql(&EdgeTotals::COLUMNS, &segments, &conditions, &["server"], adding);
            assert_eq!(sql.matches("UNION ALL").count() + 1, segments.len(), "{sql}");
            assert!(!sql.contains('\'') && sql.contains("{c0:String}"), "{sql}");
        }
    }
}
