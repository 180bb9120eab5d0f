//! Sums of a graph from the tables of rollups: one for each edge and each service in each environment, by version
//! where versions are asked for.
//!
//! Few rows are added up here, because `sumMap` is slow with many buckets (docs/adr/0022). Many rows are added up there.

use crate::App;
use crate::builder::GraphBuilder;
use crate::columns::{Block, Blocks, Column, Lists, Names, Numbers};
use crate::conditions::Conditions;
use crate::error::ApiError;
use crate::histogram::{Buckets, Histogram};
use crate::known_services::KnownNode;
use crate::node::{Kind, Node};
use crate::stored::{Segment, Stored};
use crate::sums::{Columns, Rollup};
use crate::totals::{EdgeTotals, FlowTotals, ServiceTotals};
use bytes::Bytes;
use clickhouse::error::Error;
use hashbrown::{HashMap, HashSet};
use std::iter::successors;
use std::ops::Range;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Windows up to which rows are likely to be few: an hour from any minute on has at most 23.
const FEW_WINDOWS: u32 = 64;
/// Most rows that are added up here, and most bytes of them: they are kept until the end.
const FEW_ROWS: usize = 250_000;
const FEW_BYTES: usize = 128 << 20;
/// Blocks that are read and not yet looked at.
const BLOCKS_WAITING: usize = 4;
/// Numbers of the names of a row: nobody asks for more columns of them.
type Key = [u32; 10];

/// An edge in one environment, and the callee's version where it was asked for.
#[derive(Debug)]
pub struct EdgeSums {
    environment: Arc<str>,
    client: Arc<Node>,
    server: Arc<Node>,
    /// "" where it isn't known or wasn't asked for.
    pub version: Arc<str>,
    totals: EdgeTotals,
}

/// A service in one environment and one version.
#[derive(Debug)]
pub struct ServiceSums {
    environment: Arc<str>,
    service: Arc<Node>,
    /// "" where it isn't known.
    pub version: Arc<str>,
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
    let (mut texts, sums) = read::<EdgeTotals>(app, segments, conditions, &names).await?;
    let row = |(key, totals): (Key, EdgeTotals)| EdgeSums {
        environment: texts.text(key[0]),
        client: texts.node([key[1], key[2], key[3], key[4]]),
        server: texts.node([key[5], key[6], key[7], key[8]]),
        version: if by_version { texts.text(key[9]) } else { Arc::default() },
        totals,
    };
    Ok(sums.into_iter().map(row).collect())
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
    let (mut texts, sums) = read::<ServiceTotals>(&app, &segments, &conditions, &names).await?;
    let row = |(key, totals): (Key, ServiceTotals)| ServiceSums {
        environment: texts.text(key[0]),
        service: texts.node([key[1], key[2], key[3], key[4]]),
        version: texts.text(key[5]),
        totals,
    };
    Ok(sums.into_iter().map(row).collect())
}

/// All flows of a range together.
///
/// # Errors
/// ClickHouse can't answer.
pub async fn flows(app: &App, segments: &[Segment], conditions: &Conditions) -> Result<FlowTotals, ApiError> {
    let (_, sums) = read::<FlowTotals>(app, segments, conditions, &[]).await?;
    Ok(sums.into_iter().next().map(|(_, flows)| flows).unwrap_or_default())
}

/// What was added up, by names.
async fn read<T: Rollup>(
    app: &App,
    segments: &[Segment],
    conditions: &Conditions,
    names: &[&str],
) -> Result<(Texts, Vec<(Key, T)>), ApiError> {
    if segments.is_empty() {
        return Ok(Default::default());
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
    Ok(found.added_up().await)
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
    let mut segments = segments.to_vec();
    segments.sort_by_key(|segment| segment.tier.width_s());
    // ClickHouse writes an answer with one thread, so each tier gives one of its own where rows come as they are.
    let together = |one: &Segment, next: &Segment| adding == Adding::There || one.tier == next.tier;
    let (sender, mut blocks) = mpsc::channel(BLOCKS_WAITING);
    let mut tasks = JoinSet::new();
    for segments in segments.chunk_by(together) {
        let sql = sql(&columns, segments, conditions, names, adding);
        let (stored, conditions) = (app.stored.clone(), conditions.clone());
        tasks.spawn(fetch(stored, sql, segments.to_vec(), conditions, sender.clone()));
    }
    drop(sender);
    let mut found = Found { names: names.len(), columns, ..Found::default() };
    while let Some(block) = blocks.recv().await {
        found.add(block)?;
        if adding == Adding::Here && !found.are_few() {
            return Ok(found);
        }
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap_or_else(|failed| std::panic::resume_unwind(failed.into_panic()))?;
    }
    Ok(found)
}

/// Sends the blocks of an answer on, until nobody wants them.
async fn fetch(
    stored: Stored,
    sql: String,
    segments: Vec<Segment>,
    conditions: Conditions,
    blocks: mpsc::Sender<Block>,
) -> Result<(), Error> {
    let (mut query, _turn) = stored.large(&sql).await;
    for (at, segment) in segments.iter().enumerate() {
        query = query.param(&format!("from{at}"), segment.from_s).param(&format!("to{at}"), segment.to_s);
    }
    let mut found = Blocks::new(conditions.bind(query).fetch_bytes("Native")?);
    while let Some(block) = found.next().await? {
        if blocks.send(block).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// Where rows are added up here, segments are of one tier; else they are in its order.
fn sql(
    columns: &Columns,
    segments: &[Segment],
    conditions: &Conditions,
    names: &[&str],
    adding: Adding,
) -> String {
    let Columns { table, counts, raw, histograms, means } = columns;
    let (mut rows, mut sums) = (Vec::new(), Vec::new());
    let mut column = |row: String, sum: String| {
        rows.push(row);
        sums.push(sum);
    };
    let decimal = |name: &str| (format!("e.{name}"), format!("toDecimal64(sum(e.{name}), 3)"));
    for name in names {
        column(format!("e.{name}"), format!("e.{name}"));
    }
    for name in *counts {
        let (row, sum) = decimal(name);
        column(row, sum);
    }
    column(format!("e.{raw}"), format!("sum(e.{raw})"));
    for (name, _) in *histograms {
        if means.contains(name) {
            // A mean needs no more than the number of values.
            column(format!("arraySum(e.{name}.2) AS {name}_count"), format!("sum(e.{name}_count)"));
            continue;
        }
        for part in [1, 2] {
            let sum = format!("tupleElement(sumMap(e.{name}_1, e.{name}_2), {part})");
            column(format!("e.{name}.{part} AS {name}_{part}"), sum);
        }
    }
    for (_, name) in *histograms {
        let (row, sum) = decimal(name);
        column(row, sum);
    }
    let mut first = 0;
    let tiers = segments.chunk_by(|one, next| one.tier == next.tier).map(|segments| {
        let within = |at| {
            format!(
                "e.window >= toDateTime({{from{at}:UInt32}}) AND e.window < toDateTime({{to{at}:UInt32}})"
            )
        };
        let ranges = (first..first + segments.len()).map(within).collect::<Vec<_>>().join(" OR ");
        first += segments.len();
        format!(
            "SELECT {} FROM {table}_{} AS e WHERE ({ranges}) AND {}",
            rows.join(", "),
            segments[0].tier.suffix(),
            conditions.sql()
        )
    });
    let tiers = tiers.collect::<Vec<_>>().join(" UNION ALL ");
    match adding {
        Adding::Here => format!("{tiers} LIMIT {FEW_ROWS} + 1"),
        Adding::There => {
            format!("SELECT {} FROM ({tiers}) AS e GROUP BY ALL LIMIT {{rows:UInt32}} + 1", sums.join(", "))
        }
    }
}

/// Rows by their names. They are kept as they came, and added up at the end.
#[derive(Default)]
struct Found {
    columns: Columns,
    /// How many columns of names there are.
    names: usize,
    texts: Texts,
    /// Where in `sums` the rows with these names are.
    places: HashMap<Key, usize>,
    sums: Vec<Sum>,
    rows: Vec<Row>,
    parts: Vec<Part>,
    bytes: usize,
}

/// Rows of the same names.
struct Sum {
    key: Key,
    /// Where in `rows` the last of them is.
    last: Option<usize>,
}

/// A row.
struct Row {
    part: usize,
    row: usize,
    /// Where in `rows` the one of the same names before it is.
    before: Option<usize>,
}

/// Names by number.
#[derive(Default)]
struct Texts {
    texts: Vec<Arc<str>>,
    numbers: HashMap<Bytes, u32>,
    /// By cluster, namespace, name and kind.
    nodes: HashMap<[u32; 4], Arc<Node>>,
}

/// A block without its names.
struct Part {
    counts: Vec<Numbers>,
    raw: Numbers,
    histograms: Vec<Values>,
    sums: Vec<Numbers>,
}

/// A column of histograms.
enum Values {
    /// Buckets with their counts.
    All(Lists<2>, Lists<8>),
    /// How many values there are.
    Count(Numbers),
}

impl Found {
    fn add(&mut self, block: Block) -> Result<(), Error> {
        self.bytes += block.bytes;
        let mut columns = block.columns.into_iter();
        let names: Vec<Names> = several(&mut columns, self.names)?;
        let numbers =
            names.iter().map(|names| self.texts.numbers(&names.names)).collect::<Result<Vec<_>, _>>()?;
        let mut place = 0;
        for row in 0..block.rows {
            let mut key = Key::default();
            for ((key, names), numbers) in key.iter_mut().zip(&names).zip(&numbers) {
                *key = numbers[names.keys[row] as usize];
            }
            // Every window has the same names in the same order, or nearly.
            place = match self.sums.get(place + 1) {
                Some(next) if next.key == key => place + 1,
                _ => *self.places.entry(key).or_insert_with(|| {
                    self.sums.push(Sum { key, last: None });
                    self.sums.len() - 1
                }),
            };
            let before = self.sums[place].last.replace(self.rows.len());
            self.rows.push(Row { part: self.parts.len(), row, before });
        }
        let Columns { counts, histograms, means, .. } = &self.columns;
        let (counts, raw) = (several(&mut columns, counts.len())?, one(&mut columns)?);
        let values = |(lists, _): &(&str, &str)| match means.contains(lists) {
            true => one(&mut columns).map(Values::Count),
            false => Ok(Values::All(one(&mut columns)?, one(&mut columns)?)),
        };
        let histograms = histograms.iter().map(values).collect::<Result<Vec<_>, _>>()?;
        let sums = several(&mut columns, histograms.len())?;
        self.parts.push(Part { counts, raw, histograms, sums });
        Ok(())
    }

    fn are_few(&self) -> bool {
        self.rows.len() <= FEW_ROWS && self.bytes <= FEW_BYTES
    }

    /// Everything added up, half of it by another thread: ClickHouse has done its part, so a core is free.
    async fn added_up<T: Rollup>(mut self) -> (Texts, Vec<(Key, T)>) {
        let texts = std::mem::take(&mut self.texts);
        let half = self.sums.len() / 2;
        let all = Arc::new(self);
        let others = all.clone();
        let others = tokio::task::spawn_blocking(move || others.part_added_up(half..others.sums.len()));
        let mut sums = all.part_added_up(0..half);
        sums.extend(others.await.unwrap_or_else(|failed| std::panic::resume_unwind(failed.into_panic())));
        (texts, sums)
    }

    fn part_added_up<T: Rollup>(&self, sums: Range<usize>) -> Vec<(Key, T)> {
        let mut buckets = Buckets::default();
        let mut rows = Vec::new();
        let sum = |sum: &Sum| {
            let last = sum.last.map(|at| &self.rows[at]);
            rows.clear();
            rows.extend(successors(last, |row| row.before.map(|at| &self.rows[at])));
            (sum.key, added_up(&self.columns, &self.parts, &rows, &mut buckets))
        };
        self.sums[sums].iter().map(sum).collect()
    }
}

impl Texts {
    /// The numbers of names.
    fn numbers(&mut self, names: &[Bytes]) -> Result<Vec<u32>, Error> {
        let number = |name: &Bytes| {
            if let Some(number) = self.numbers.get(name) {
                return Ok(*number);
            }
            let text = str::from_utf8(name).map_err(|error| Error::DataFormat(error.into()))?;
            let number = self.texts.len() as u32;
            self.texts.push(text.into());
            self.numbers.insert(name.clone(), number);
            Ok(number)
        };
        names.iter().map(number).collect()
    }

    fn text(&self, number: u32) -> Arc<str> {
        self.texts[number as usize].clone()
    }

    fn node(&mut self, place: [u32; 4]) -> Arc<Node> {
        let node = || {
            let [cluster, namespace, name, kind] = place.map(|number| &*self.texts[number as usize]);
            let [cluster, namespace, name] = [cluster, namespace, name].map(ToOwned::to_owned);
            Arc::new(Node { cluster, namespace, name, kind: Kind::of_text(kind) })
        };
        self.nodes.entry(place).or_insert_with(node).clone()
    }
}

/// Rows added up.
fn added_up<T: Rollup>(columns: &Columns, parts: &[Part], rows: &[&Row], buckets: &mut Buckets) -> T {
    let sum = |of: &dyn Fn(&Part) -> &Numbers| {
        rows.iter().fold(0_i64, |sum, row| sum.saturating_add(of(&parts[row.part]).of(row.row)))
    };
    let counts: Vec<i64> = (0..columns.counts.len()).map(|at| sum(&|part| &part.counts[at])).collect();
    let histogram = |at: usize| {
        for Row { part, row, .. } in rows {
            match &parts[*part].histograms[at] {
                Values::All(of, counts) => {
                    for (bucket, count) in of.of(*row).iter().zip(counts.of(*row)) {
                        buckets.add(u16::from_le_bytes(*bucket), i64::from_le_bytes(*count));
                    }
                }
                Values::Count(count) => buckets.add(0, count.of(*row)),
            }
        }
        buckets.take(sum(&|part| &part.sums[at]))
    };
    let histograms: Vec<Histogram> = (0..columns.histograms.len()).map(histogram).collect();
    let mut totals = T::default();
    totals.add_row(&counts, sum(&|part| &part.raw), &histograms);
    totals
}

/// The next columns of one type.
fn several<T: TryFrom<Column, Error = Error>>(
    columns: &mut impl Iterator<Item = Column>,
    count: usize,
) -> Result<Vec<T>, Error> {
    (0..count).map(|_| one(columns)).collect()
}

fn one<T: TryFrom<Column, Error = Error>>(columns: &mut impl Iterator<Item = Column>) -> Result<T, Error> {
    columns.next().ok_or_else(|| Error::DataFormat("a column is missing".into()))?.try_into()
}

/// Adds sums to a graph. Edges and services name the same nodes, so that each of them is kept once.
#[derive(Debug, Default)]
pub struct Adder {
    nodes: HashSet<Arc<Node>>,
}

impl Adder {
    /// Adds an edge.
    pub fn edge(&mut self, builder: &mut GraphBuilder, row: EdgeSums) {
        let id = (self.node(row.client), self.node(row.server));
        builder.within(row.environment).add_edge(id, row.totals.into());
    }

    /// Adds a service.
    pub fn service(&mut self, builder: &mut GraphBuilder, row: ServiceSums) {
        let totals = ServiceTotals { versions: [row.version].into(), ..row.totals };
        builder.within(row.environment).add_service(self.node(row.service), totals.into());
    }

    /// A service that names can mean.
    pub fn known(&mut self, builder: &mut GraphBuilder, row: KnownNode) {
        let node = self.node(row.node());
        builder.within(row.environment).know(&node);
    }

    fn node(&mut self, node: Arc<Node>) -> Arc<Node> {
        self.nodes.get_or_insert(node).clone()
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
        let (mut segments, conditions) = (segments(59, 7_261), of_filter(&filter));
        segments.sort_by_key(|segment| segment.tier.width_s());
        assert_eq!(segments.len(), 6, "seconds and minutes at both ends, tens of minutes, an hour");
        for adding in [Adding::Here, Adding::There] {
            let sql = sql(&EdgeTotals::COLUMNS, &segments, &conditions, &["server"], adding);
            for at in 0..segments.len() {
                assert_eq!(sql.matches(&format!("{{from{at}:UInt32}}")).count(), 1, "{sql}");
            }
            assert_eq!(sql.matches(" FROM edges_").count(), 4, "a tier is read once: {sql}");
            assert!(!sql.contains('\'') && sql.contains("{c0:String}"), "{sql}");
        }
    }
}
