//! A ClickHouse as far as the store can tell it from a real one: base tables and targets of materialised views, each
//! of which remembers the tokens it has taken, and inserts that get to some of them only.

use crate::cluster::Planted;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use stream_processor::store::alone::{Block, Entry, Stored};

/// Tokens that a table remembers: the least that tables pin.
const WINDOW: usize = schemas::migrations::PINNED[0].1 as usize;

/// Everything that ClickHouse holds.
pub struct Tables {
    tables: BTreeMap<&'static str, Table>,
    /// View targets by the table whose inserts feed them.
    targets: BTreeMap<&'static str, Vec<&'static str>>,
    /// `store_progress`: batch and next offset by lane and source partition.
    progress: BTreeMap<(u16, i32), (u64, i64)>,
    planted: Option<Planted>,
    /// A promise that was not kept, if there was one.
    pub broken: Option<String>,
}

/// The blocks of one table.
#[derive(Default)]
pub struct Table {
    /// In the order in which they came.
    pub blocks: Vec<Kept>,
    remembered: BTreeSet<String>,
    oldest_first: VecDeque<String>,
}

/// A block that a table has taken.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kept {
    /// Of its insert.
    pub token: String,
    /// How many rows.
    pub rows: usize,
    /// The rows.
    pub bytes: Bytes,
}

impl Tables {
    /// The tables of the migrations, empty.
    pub fn new(planted: Option<Planted>) -> Self {
        let mut targets: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for statement in schemas::migrations::ALL.iter().flat_map(schemas::migrations::Migration::statements)
        {
            let Some((_, view)) = statement.split_once("CREATE MATERIALIZED VIEW IF NOT EXISTS ") else {
                continue;
            };
            let words: Vec<&str> = view.split_whitespace().collect();
            let from = words.iter().position(|word| *word == "FROM").expect("a view reads a table");
            targets.entry(words[from + 1]).or_default().push(words[2]);
        }
        Self { tables: BTreeMap::new(), targets, progress: BTreeMap::new(), planted, broken: None }
    }

    /// The blocks of a table.
    pub fn blocks(&self, table: &str) -> &[Kept] {
        self.tables.get(table).map_or(&[], |table| &table.blocks)
    }

    /// Base tables with the targets of their views.
    pub fn targets(&self) -> impl Iterator<Item = (&'static str, &[&'static str])> {
        self.targets.iter().map(|(table, targets)| (*table, targets.as_slice()))
    }

    /// Takes a block, and hands it on to the views. Each target decides by itself whether it has it already. `is_cut`
    /// ends it before a view.
    pub fn insert(&mut self, block: &Block, mut is_cut: impl FnMut() -> bool) -> bool {
        let base = block.table.name;
        if base == "store_progress" {
            self.promise(&block.bytes);
        } else if !self.table(base).remembered.contains(&block.token) {
            self.check_promise(&block.token);
        }
        self.put(base, block, true);
        for target in self.targets.get(base).cloned().unwrap_or_default() {
            if is_cut() {
                return false;
            }
            self.put(target, block, self.planted != Some(Planted::TokenMissingOnView));
        }
        true
    }

    fn table(&mut self, name: &'static str) -> &mut Table {
        self.tables.entry(name).or_default()
    }

    fn put(&mut self, name: &'static str, block: &Block, has_token: bool) {
        let table = self.table(name);
        if has_token && !table.remembered.insert(block.token.clone()) {
            return;
        }
        table.oldest_first.push_back(block.token.clone());
        if table.oldest_first.len() > WINDOW
            && let Some(oldest) = table.oldest_first.pop_front()
        {
            table.remembered.remove(&oldest);
        }
        let Block { token, rows, bytes, .. } = block.clone();
        table.blocks.push(Kept { token, rows, bytes });
    }

    /// What `store_progress` says of a lane.
    pub fn stored(&self, lane: u16) -> Stored {
        let of_lane = self.progress.range((lane, 0)..=(lane, i32::MAX));
        let next = of_lane.clone().map(|((_, partition), (_, next))| (*partition, *next)).collect();
        Stored { batch: of_lane.map(|(_, (batch, _))| *batch).max().unwrap_or(0), next }
    }

    /// Rows of `store_progress`, before their time.
    pub fn promise_early(&mut self, entry: &Entry) {
        for range in &entry.ranges {
            self.moves(entry.lane, range.partition, entry.batch, range.next);
        }
    }

    fn promise(&mut self, rows: &[u8]) {
        let mut rows = Rows(rows);
        while !rows.0.is_empty() {
            let (lane, batch) = (rows.number::<2>() as u16, rows.number::<8>());
            rows.text();
            let (partition, next) = (rows.number::<4>() as i32, rows.number::<8>().cast_signed());
            // The commit that this is: seq, part, parts, clock.
            rows.take(8 + 4 + 4 + 8);
            self.moves(lane, partition, batch, next);
        }
    }

    /// A row of an older batch doesn't replace one of a newer.
    fn moves(&mut self, lane: u16, partition: i32, batch: u64, next: i64) {
        let row = self.progress.entry((lane, partition)).or_default();
        if batch >= row.0 {
            *row = (batch, next);
        }
    }

    /// Whoever sees a batch in `store_progress` must see all of its rows.
    fn check_promise(&mut self, token: &str) {
        let mut parts = token.split('/').skip(2).map(|part| part.parse::<u64>().unwrap_or_default());
        let (lane, batch) = (parts.next().unwrap_or_default() as u16, parts.next().unwrap_or_default());
        if self.stored(lane).batch >= batch {
            self.broken =
                Some(format!("store_progress had batch {batch} of lane {lane} before the rows of {token}"));
        }
    }
}

/// RowBinary.
pub struct Rows<'b>(pub &'b [u8]);

impl<'b> Rows<'b> {
    /// The next bytes.
    pub fn take(&mut self, length: usize) -> &'b [u8] {
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        taken
    }

    /// An unsigned number of so many bytes.
    pub fn number<const BYTES: usize>(&mut self) -> u64 {
        self.take(BYTES).iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    /// A length.
    pub fn length(&mut self) -> usize {
        let (mut length, mut shift) = (0, 0);
        loop {
            let byte = self.number::<1>() as usize;
            length |= (byte & 0x7f) << shift;
            if byte < 0x80 {
                return length;
            }
            shift += 7;
        }
    }

    /// A text.
    pub fn text(&mut self) -> &'b [u8] {
        let length = self.length();
        self.take(length)
    }
}
