//! Who is whose child in one trace, whatever order the spans came in.

use crate::record::Record;
use crate::span::Kind;
use alloc::vec;
use alloc::vec::Vec;

/// No such span.
pub(crate) const NONE: u32 = u32::MAX;

/// Parents, depths, and an order in which parents come before their children.
pub(crate) struct Tree {
    pub parent: Vec<u32>,
    /// It names a parent that is not here.
    pub lost: Vec<bool>,
    pub depth: Vec<u32>,
    pub order: Vec<u32>,
    /// Loops that had to be cut.
    pub cycles: u32,
}

impl Tree {
    pub fn new(records: &[Record]) -> Self {
        let parent = parents(records);
        let lost = (0..records.len()).map(|i| parent[i] == NONE && records[i].parent_id != 0).collect();
        let mut tree = Self { parent, lost, depth: vec![0; records.len()], order: Vec::new(), cycles: 0 };
        tree.walk(records);
        tree
    }

    /// Breadth first from every top; what is not reached hangs on a loop, which is cut at its earliest span.
    fn walk(&mut self, records: &[Record]) {
        let children = Children::new(&self.parent);
        let mut reached = vec![false; records.len()];
        let tops: Vec<u32> = (0..records.len() as u32).filter(|i| self.parent[*i as usize] == NONE).collect();
        self.visit(&tops, &children, &mut reached);
        let mut walked = Vec::new();
        for start in 0..records.len() {
            if !reached[start] {
                walked.resize(records.len(), NONE);
                let cut = self.earliest_on_loop(start as u32, records, &mut walked);
                self.parent[cut as usize] = NONE;
                self.lost[cut as usize] = true;
                self.cycles += 1;
                self.visit(&[cut], &children, &mut reached);
            }
        }
    }

    fn visit(&mut self, tops: &[u32], children: &Children, reached: &mut [bool]) {
        let mut next = self.order.len();
        for top in tops {
            reached[*top as usize] = true;
            self.order.push(*top);
        }
        while next < self.order.len() {
            let at = self.order[next];
            next += 1;
            for child in children.of(at) {
                if !reached[*child as usize] {
                    reached[*child as usize] = true;
                    self.depth[*child as usize] = self.depth[at as usize] + 1;
                    self.order.push(*child);
                }
            }
        }
    }

    /// `walked` says which walk came by last: where one meets itself is the loop. Each span is walked once, since
    /// everything that hangs on a loop is reached as soon as that is cut.
    fn earliest_on_loop(&self, start: u32, records: &[Record], walked: &mut [u32]) -> u32 {
        let mut on_loop = start;
        while walked[on_loop as usize] != start {
            walked[on_loop as usize] = start;
            on_loop = self.parent[on_loop as usize];
        }
        let key = |at: u32| records[at as usize].place();
        let (mut earliest, mut at) = (on_loop, self.parent[on_loop as usize]);
        while at != on_loop {
            if key(at) < key(earliest) {
                earliest = at;
            }
            at = self.parent[at as usize];
        }
        earliest
    }
}

/// For each span the position of its parent. Where client and server share one id (Zipkin), the server's half
/// is the child of the client's, and everybody else's parent.
fn parents(records: &[Record]) -> Vec<u32> {
    let mut by_id: Vec<(u64, u8, u32)> =
        records.iter().enumerate().map(|(i, record)| (record.span_id, rank(record.kind), i as u32)).collect();
    by_id.sort_unstable();
    let find = |id: u64| {
        let from = by_id.partition_point(|(other, _, _)| *other < id);
        by_id[from..].iter().take_while(move |(other, _, _)| *other == id)
    };
    let parent_of = |(i, record): (usize, &Record)| {
        if record.answers()
            && let Some((_, _, half)) =
                find(record.span_id).find(|(_, _, at)| records[*at as usize].calls_out())
        {
            return *half;
        }
        if record.parent_id == 0 {
            return NONE;
        }
        find(record.parent_id).map(|(_, _, at)| *at).find(|at| *at as usize != i).unwrap_or(NONE)
    };
    records.iter().enumerate().map(parent_of).collect()
}

fn rank(kind: Kind) -> u8 {
    match kind {
        Kind::Server => 0,
        Kind::Consumer => 1,
        Kind::Client => 2,
        Kind::Producer => 3,
        Kind::Internal => 4,
        Kind::Unspecified => 5,
    }
}

/// Children lists in two flat arrays.
struct Children {
    first: Vec<u32>,
    flat: Vec<u32>,
}

impl Children {
    fn new(parent: &[u32]) -> Self {
        let mut first = vec![0_u32; parent.len() + 1];
        for p in parent.iter().filter(|p| **p != NONE) {
            first[*p as usize + 1] += 1;
        }
        for i in 1..first.len() {
            first[i] += first[i - 1];
        }
        let mut next = first.clone();
        let mut flat = vec![0; first[parent.len()] as usize];
        for (child, p) in parent.iter().enumerate().filter(|(_, p)| **p != NONE) {
            flat[next[*p as usize] as usize] = child as u32;
            next[*p as usize] += 1;
        }
        Self { first, flat }
    }

    fn of(&self, at: u32) -> &[u32] {
        &self.flat[self.first[at as usize] as usize..self.first[at as usize + 1] as usize]
    }
}
