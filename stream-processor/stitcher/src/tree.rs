//! Who is whose child in one trace, whatever order the spans came in.

use crate::record::Record;
use crate::span::Kind;
use alloc::vec::Vec;

/// No such span.
pub(crate) const NONE: u32 = u32::MAX;

/// Parents, depths, and an order in which parents come before their children. Built anew for one trace after the other in
/// the same room.
#[derive(Default)]
pub(crate) struct Tree {
    pub parent: Vec<u32>,
    /// It names a parent that is not here.
    pub lost: Vec<bool>,
    pub depth: Vec<u32>,
    pub order: Vec<u32>,
    /// Loops that had to be cut.
    pub cycles: u32,
    by_id: Vec<(u64, u8, u32)>,
    children: Children,
    reached: Vec<bool>,
    walked: Vec<u32>,
}

impl Tree {
    pub fn build(&mut self, records: &[Record]) {
        self.find_parents(records);
        self.lost.clear();
        self.lost.extend(
            self.parent.iter().zip(records).map(|(parent, record)| *parent == NONE && record.parent_id != 0),
        );
        blank(&mut self.depth, records.len(), 0);
        self.order.clear();
        self.cycles = 0;
        self.walk(records);
    }

    /// Breadth first from every top; what is not reached hangs on a loop, which is cut at its earliest span.
    fn walk(&mut self, records: &[Record]) {
        self.children.build(&self.parent);
        blank(&mut self.reached, records.len(), false);
        let tops = (0..records.len() as u32).filter(|i| self.parent[*i as usize] == NONE);
        self.order.extend(tops);
        self.visit(0);
        if self.order.len() == records.len() {
            return;
        }
        blank(&mut self.walked, records.len(), NONE);
        for start in 0..records.len() {
            if !self.reached[start] {
                let cut = self.earliest_on_loop(start as u32, records);
                self.parent[cut as usize] = NONE;
                self.lost[cut as usize] = true;
                self.cycles += 1;
                self.order.push(cut);
                self.visit(self.order.len() - 1);
            }
        }
    }

    /// Everything below what stands in the order from here on.
    fn visit(&mut self, from: usize) {
        self.order[from..].iter().for_each(|top| self.reached[*top as usize] = true);
        let mut next = from;
        while next < self.order.len() {
            let at = self.order[next];
            next += 1;
            for child in self.children.of(at) {
                if !self.reached[*child as usize] {
                    self.reached[*child as usize] = true;
                    self.depth[*child as usize] = self.depth[at as usize] + 1;
                    self.order.push(*child);
                }
            }
        }
    }

    /// `walked` says which walk came by last: where one meets itself is the loop. Each span is walked once, since
    /// everything that hangs on a loop is reached as soon as that is cut.
    fn earliest_on_loop(&mut self, start: u32, records: &[Record]) -> u32 {
        let mut on_loop = start;
        while self.walked[on_loop as usize] != start {
            self.walked[on_loop as usize] = start;
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

    /// For each span the position of its parent. Where client and server share one id (Zipkin), the server's half
    /// is the child of the client's, and everybody else's parent.
    fn find_parents(&mut self, records: &[Record]) {
        let by_id = &mut self.by_id;
        by_id.clear();
        by_id.extend((0..).zip(records).map(|(i, record)| (record.span_id, rank(record.kind()), i)));
        by_id.sort_unstable();
        let find = |id: u64| {
            let from = by_id.partition_point(|(other, _, _)| *other < id);
            by_id[from..].iter().take_while(move |(other, _, _)| *other == id).map(|(_, _, at)| *at)
        };
        let parent_of = |(i, record): (u32, &Record)| {
            let half = || find(record.span_id).find(|at| records[*at as usize].calls_out());
            if record.answers()
                && let Some(half) = half()
            {
                return half;
            }
            match record.parent_id {
                0 => NONE,
                parent => find(parent).find(|at| *at != i).unwrap_or(NONE),
            }
        };
        self.parent.clear();
        self.parent.extend((0..).zip(records).map(parent_of));
    }
}

/// As many of one value, in the same room.
pub(crate) fn blank<T: Clone>(list: &mut Vec<T>, many: usize, value: T) {
    list.clear();
    list.resize(many, value);
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
#[derive(Default)]
struct Children {
    first: Vec<u32>,
    next: Vec<u32>,
    flat: Vec<u32>,
}

impl Children {
    fn build(&mut self, parent: &[u32]) {
        blank(&mut self.first, parent.len() + 1, 0);
        for p in parent.iter().filter(|p| **p != NONE) {
            self.first[*p as usize + 1] += 1;
        }
        for i in 1..self.first.len() {
            self.first[i] += self.first[i - 1];
        }
        self.next.clone_from(&self.first);
        blank(&mut self.flat, self.first[parent.len()] as usize, 0);
        for (child, p) in parent.iter().enumerate().filter(|(_, p)| **p != NONE) {
            self.flat[self.next[*p as usize] as usize] = child as u32;
            self.next[*p as usize] += 1;
        }
    }

    fn of(&self, at: u32) -> &[u32] {
        &self.flat[self.first[at as usize] as usize..self.first[at as usize + 1] as usize]
    }
}
