//! `flow_journal`: what the stitcher journals ▶ records, and back. Pure.

use super::deltas::Stamp;
use super::failure::Failure;
use super::wire::Wire;
use prost::Message;
use schemas::topics::MAX_RECORD_BYTES;
use schemas::v1;
use stitcher::span::TraceId;
use stitcher::{Close, Entombed, Journaled};

/// Bytes of lists in one record; the rest is room for everything else.
const LIST_BYTES: usize = MAX_RECORD_BYTES - 1_000;
/// Evicted traces in one entry.
const EVICTED: usize = 10_000;
/// Room for what isn't in a list.
const HEAD_BYTES: usize = 200;

/// A commit as it stands in the journal.
#[derive(Debug, Clone, PartialEq)]
pub struct Past {
    /// Counted from 1.
    pub seq: u64,
    /// The shard had no state before it.
    pub begins_anew: bool,
    /// Settings it was made with.
    pub config_hash: u64,
    /// The stitcher that made it.
    pub core_version: String,
    /// Offsets of records that were put into quarantine.
    pub skipped: Vec<i64>,
    /// What happened.
    pub journaled: Journaled,
}

/// What is journaled beside what the stitcher says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Beside {
    /// Settings the commit is made with.
    pub config_hash: u64,
    /// The shard had no state before it.
    pub begins_anew: bool,
    /// The shard has none after it.
    pub drained: bool,
    /// The last record that was applied.
    pub last_record: Option<v1::LastRecord>,
    /// Offsets of records that were put into quarantine.
    pub skipped: Vec<i64>,
}

/// How far the lists of a commit reach: where its last trace closes, and where its last late span stands.
#[derive(Debug, Clone, Copy, Default)]
pub struct Reach {
    closes: Option<i64>,
    late: Option<i64>,
}

impl From<&v1::ShardCommit> for Reach {
    fn from(commit: &v1::ShardCommit) -> Self {
        let closes = commit.closes.iter().map(|close| close.position).max();
        Self { closes, late: commit.late.iter().map(|late| late.offset).max() }
    }
}

impl From<&Journaled> for Reach {
    fn from(journaled: &Journaled) -> Self {
        let closes = journaled.closes.iter().map(|close| close.position).max();
        Self { closes, late: journaled.late.iter().map(|(_, offset)| *offset).max() }
    }
}

/// What is wrong with a commit behind `last`, whoever made it. Asserted before a commit is written, and checked of
/// every one in the simulator. Of `next` only `reach` tells what is in its lists.
pub fn mistake(last: Option<&v1::ShardCommit>, next: &v1::ShardCommit, reach: Reach) -> Option<&'static str> {
    let nothing = v1::ShardCommit { next_offset: i64::MIN, clock_us: i64::MIN, ..Default::default() };
    let last = last.unwrap_or(&nothing);
    // Where a shard begins anew, its log may have been made anew too.
    let from = if next.begins_anew { i64::MIN } else { last.next_offset };
    let until = next.next_offset;
    let is_same = (last.seq, last.part + 1) == (next.seq, next.part);
    let is_next = last.seq + 1 == next.seq && next.part == 0;
    let rules = [
        (is_same || is_next, "a commit is missing"),
        (last.seq > 0 || next.begins_anew, "the first commit does not begin anew"),
        (from <= until, "progress goes back"),
        (last.clock_us <= next.clock_us, "log time goes back"),
        (next.low_watermark <= until, "the low watermark is ahead of progress"),
        (!next.drained || (next.low_watermark == until && next.digest == 0), "a drained shard needs its log"),
        (reach.closes.is_none_or(|position| position <= until), "a trace closes in the future"),
        (reach.late.is_none_or(|offset| offset < until), "a late span has not come yet"),
        (next.skipped.iter().all(|offset| (from..until).contains(offset)), "a record is skipped elsewhere"),
    ];
    rules.into_iter().find_map(|(is_kept, rule)| (!is_kept).then_some(rule))
}

/// A record of a commit, as it is written.
#[derive(Default)]
pub struct Written {
    /// All of it but the lists.
    pub head: v1::ShardCommit,
    /// All of it.
    pub bytes: Vec<u8>,
}

impl Written {
    /// Whether it says the same, list for list.
    pub fn is(&self, other: &v1::ShardCommit) -> bool {
        v1::ShardCommit::decode(self.bytes.as_slice()).is_ok_and(|record| record == *other)
    }
}

impl From<v1::ShardCommit> for Written {
    fn from(record: v1::ShardCommit) -> Self {
        let bytes = record.encode_to_vec();
        let (closes, entombed, late) = (vec![], vec![], vec![]);
        let (published, revised, postponed) = (vec![], vec![], vec![]);
        let head = v1::ShardCommit { closes, entombed, late, published, revised, postponed, ..record };
        Self { head, bytes }
    }
}

/// The records of a commit: one, or several of equal `seq` when there is very much to tell.
pub fn records(stamp: Stamp, journaled: &Journaled, beside: Beside) -> Vec<Written> {
    let skipped = beside.skipped;
    let head = v1::ShardCommit {
        shard: stamp.shard,
        seq: stamp.seq,
        next_offset: journaled.next_offset,
        clock_us: stamp.clock_us,
        timestamp_us: journaled.timestamp_us,
        low_watermark: journaled.low_watermark,
        commits_back: journaled.commits_back,
        begins_anew: beside.begins_anew,
        drained: beside.drained,
        config_hash: beside.config_hash,
        last_record: beside.last_record,
        core_version: stitcher::CORE_VERSION.to_owned(),
        digest: journaled.digest,
        ..Default::default()
    };
    let pages = Pages::of(journaled);
    let parts = pages.len() as u32;
    let written = |(part, page): (u32, Page)| {
        let mut head = v1::ShardCommit { part, parts, ..head.clone() };
        if part == 0 {
            head.skipped.clone_from(&skipped);
        }
        Written { bytes: record(&head, &page), head }
    };
    (0..).zip(pages).map(written).collect()
}

/// The lists of one record, as they stand on the wire: fields 6, and from 12 to 16.
#[derive(Default)]
struct Page {
    closes: Wire,
    others: Wire,
}

/// Pages that are full, and the one being filled.
#[derive(Default)]
struct Pages {
    full: Vec<Page>,
    open: Page,
}

impl Pages {
    fn of(journaled: &Journaled) -> Vec<Page> {
        let mut pages = Self::default();
        for entry in &journaled.closes {
            pages.write(|page| &mut page.closes, 6, |wire| close(wire, entry));
        }
        for entry in &journaled.entombed {
            let mut evicted = entry.evicted.chunks(EVICTED);
            let first = evicted.next().unwrap_or_default();
            pages.write(|page| &mut page.others, 12, |wire| entombed(wire, entry, first));
            for more in evicted {
                pages.write(
                    |page| &mut page.others,
                    12,
                    |wire| {
                        wire.pieces(8, more.iter().map(bytes)).uint(9, true);
                    },
                );
            }
        }
        let mut list = |field, entry: &(TraceId, u64)| {
            pages.write(
                |page| &mut page.others,
                field,
                |wire| {
                    wire.element(1, &bytes(&entry.0)).uint(2, entry.1);
                },
            );
        };
        journaled.late.iter().for_each(|(id, offset)| list(13, &(*id, offset.cast_unsigned())));
        journaled.published.iter().for_each(|(id, sample)| list(14, &(*id, u64::from(*sample))));
        journaled.revised.iter().for_each(|(id, revision)| list(15, &(*id, u64::from(*revision))));
        journaled.postponed.iter().for_each(|(id, spans)| list(16, &(*id, u64::from(*spans))));
        pages.full.push(pages.open);
        pages.full
    }

    /// Writes an entry of a list, on a new page if it doesn't fit on this one.
    fn write(&mut self, list: impl Fn(&mut Page) -> &mut Wire, field: u32, entry: impl FnOnce(&mut Wire)) {
        let wire = list(&mut self.open);
        let at = wire.len();
        wire.message(field, entry);
        if self.open.closes.len() + self.open.others.len() > LIST_BYTES {
            let entry = list(&mut self.open).split_off(at);
            self.full.push(std::mem::take(&mut self.open));
            list(&mut self.open).append(&entry);
        }
    }
}

fn record(head: &v1::ShardCommit, page: &Page) -> Vec<u8> {
    let mut wire = Wire::with_capacity(page.closes.len() + page.others.len() + HEAD_BYTES);
    wire.uint(1, head.shard)
        .uint(2, head.seq)
        .int(3, head.next_offset)
        .int(4, head.clock_us)
        .int(5, head.low_watermark)
        .append(&page.closes)
        .fixed(7, head.config_hash)
        .text(8, &head.core_version)
        .optional_int(9, head.timestamp_us)
        .uint(10, head.commits_back)
        .uint(11, head.begins_anew)
        .append(&page.others)
        .fixed(17, head.digest)
        .uint(18, head.part)
        .uint(19, head.parts);
    if let Some(last) = head.last_record {
        wire.message(20, |wire| {
            wire.int(1, last.offset).int(2, last.appended_us);
        });
    }
    wire.packed(21, head.skipped.iter().map(|offset| offset.cast_unsigned())).uint(22, head.drained);
    wire.into_bytes()
}

fn close(wire: &mut Wire, close: &Close) {
    wire.element(1, &bytes(&close.trace_id))
        .int(2, close.position)
        .text(3, &close.operation)
        .text(4, &close.environment)
        .int(5, close.since_us)
        .uint(6, close.complete)
        .uint(7, close.truncated);
}

fn entombed(wire: &mut Wire, entombed: &Entombed, evicted: &[TraceId]) {
    wire.element(1, &bytes(&entombed.trace_id))
        .int(2, entombed.position)
        .text(3, &entombed.environment)
        .text(4, &entombed.operation)
        .int(5, entombed.since_us)
        .int(6, entombed.until_us)
        .pieces(7, entombed.prints.iter().map(|print| print.to_le_bytes()))
        .pieces(8, evicted.iter().map(bytes));
}

fn bytes(id: &TraceId) -> [u8; 16] {
    id.0.to_be_bytes()
}

/// Records of a partition in order, as commits without holes.
#[derive(Default)]
pub struct Chain {
    commits: Vec<Past>,
    /// The last record as it was written, and the offset behind it.
    last: Option<v1::ShardCommit>,
    next_offset: i64,
}

impl Chain {
    /// The next record.
    ///
    /// # Errors
    /// It can't be read, or commits are missing before it.
    pub fn add(&mut self, offset: i64, value: &[u8]) -> Result<(), Failure> {
        let record = v1::ShardCommit::decode(value).map_err(|error| {
            Failure::Refused(format!("the journal record at offset {offset} can't be read: {error}"))
        })?;
        let follows = match &self.last {
            // Where reading began by chance in the middle of a commit, that one is left out.
            None if record.part > 0 => return Ok(()),
            None => true,
            Some(before) if record.part > 0 => (before.seq, before.part + 1) == (record.seq, record.part),
            Some(before) => before.seq + 1 == record.seq && is_last_part(before),
        };
        if !follows {
            let before = self.last.as_ref().map_or(0, |before| before.seq);
            return Err(Failure::Refused(format!(
                "the journal of shard {} goes from commit {before} to {} at offset {offset}: commits are missing",
                record.shard, record.seq
            )));
        }
        (self.last, self.next_offset) = (Some(record.clone()), offset + 1);
        self.learn(record).ok_or_else(|| {
            Failure::Refused(format!("the journal record at offset {offset} says what can't be"))
        })
    }

    fn learn(&mut self, record: v1::ShardCommit) -> Option<()> {
        if record.part == 0 {
            self.commits.push(past(&record));
        }
        let journaled = &mut self.commits.last_mut()?.journaled;
        let ids = |id: &[u8], value: u32| Some((trace_id(id)?, value));
        for entry in &record.closes {
            journaled.closes.push(read_close(entry)?);
        }
        for entry in &record.entombed {
            let evicted = entry.evicted.chunks_exact(16).map(trace_id).collect::<Option<Vec<_>>>()?;
            match entry.continues {
                true => journaled.entombed.last_mut()?.evicted.extend(evicted),
                false => journaled.entombed.push(read_entombed(entry, evicted)?),
            }
        }
        for entry in &record.late {
            journaled.late.push((trace_id(&entry.trace_id)?, entry.offset));
        }
        for entry in &record.published {
            journaled.published.push(ids(&entry.trace_id, entry.sample_milli)?);
        }
        for entry in &record.revised {
            journaled.revised.push(ids(&entry.trace_id, entry.revision)?);
        }
        for entry in &record.postponed {
            journaled.postponed.push(ids(&entry.trace_id, entry.spans)?);
        }
        Some(())
    }

    /// The last record as it was written.
    pub fn last(&self) -> Option<&v1::ShardCommit> {
        self.last.as_ref()
    }

    /// The offset behind the last record.
    pub fn next_offset(&self) -> i64 {
        self.next_offset
    }

    /// Takes the oldest commit, if all of it is here.
    pub fn take_first(&mut self) -> Option<Past> {
        let is_whole = self.commits.len() > 1 || self.last.as_ref().is_some_and(is_last_part);
        (is_whole && !self.commits.is_empty()).then(|| self.commits.remove(0))
    }

    /// All commits were taken, and the last one is whole.
    pub fn is_followed(&self) -> bool {
        self.commits.is_empty() && self.last.as_ref().is_some_and(is_last_part)
    }

    /// Whether it goes back far enough for a successor of its last commit.
    pub fn is_sufficient(&self) -> bool {
        self.start().is_some()
    }

    /// Takes the commits that a successor of the last one needs, if they are all here.
    pub fn needed(&mut self) -> Option<Vec<Past>> {
        let start = self.start()?;
        self.commits.drain(..start);
        Some(std::mem::take(&mut self.commits))
    }

    fn start(&self) -> Option<usize> {
        let last = &self.commits.last()?.journaled;
        let anew = self.commits.iter().rposition(|commit| commit.begins_anew);
        let first = anew.unwrap_or(0);
        let is_before = |commit: &Past| commit.journaled.next_offset <= last.low_watermark;
        let before = self.commits[first..].iter().rposition(is_before).map(|at| first + at).or(anew)?;
        let back = usize::try_from(last.commits_back).ok()?;
        (self.commits.len() - first).checked_sub(1 + back).map(|at| before.min(first + at))
    }
}

fn is_last_part(record: &v1::ShardCommit) -> bool {
    record.part + 1 == record.parts.max(1)
}

fn past(record: &v1::ShardCommit) -> Past {
    Past {
        seq: record.seq,
        begins_anew: record.begins_anew,
        config_hash: record.config_hash,
        core_version: record.core_version.clone(),
        skipped: record.skipped.clone(),
        journaled: Journaled {
            next_offset: record.next_offset,
            clock_us: record.clock_us,
            timestamp_us: record.timestamp_us,
            low_watermark: record.low_watermark,
            commits_back: record.commits_back,
            digest: record.digest,
            ..Default::default()
        },
    }
}

fn read_close(close: &v1::Close) -> Option<Close> {
    Some(Close {
        trace_id: trace_id(&close.trace_id)?,
        position: close.position,
        since_us: close.since_us,
        complete: close.complete,
        truncated: close.truncated,
        operation: close.operation.as_str().into(),
        environment: close.environment.as_str().into(),
    })
}

fn read_entombed(entombed: &v1::Entombed, evicted: Vec<TraceId>) -> Option<Entombed> {
    let (prints, []) = entombed.prints.as_chunks() else { return None };
    Some(Entombed {
        trace_id: trace_id(&entombed.trace_id)?,
        position: entombed.position,
        environment: entombed.environment.as_str().into(),
        operation: entombed.operation.as_str().into(),
        since_us: entombed.since_us,
        until_us: entombed.until_us,
        prints: prints.iter().map(|print| u32::from_le_bytes(*print)).collect(),
        evicted,
    })
}

fn trace_id(bytes: &[u8]) -> Option<TraceId> {
    bytes.try_into().ok().map(|bytes| TraceId(u128::from_be_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp { shard: 2, seq: 7, clock_us: 99 };

    fn journaled(next_offset: i64) -> Journaled {
        Journaled { next_offset, clock_us: STAMP.clock_us, ..Default::default() }
    }

    fn add(chain: &mut Chain, seq: u64, journaled: &Journaled, begins_anew: bool) -> Result<(), Failure> {
        let records = records(Stamp { seq, ..STAMP }, journaled, Beside { begins_anew, ..Beside::default() });
        records.iter().try_for_each(|record| chain.add(0, &record.bytes))
    }

    fn everything(closes: u128, evicted: u128) -> Journaled {
        let close = |index| Close {
            trace_id: TraceId(index + 1),
            position: index as i64,
            since_us: 5,
            complete: index % 2 == 0,
            truncated: index % 3 == 0,
            operation: "x".repeat(256).into(),
            environment: "y".repeat(256).into(),
        };
        let entombed = Entombed {
            trace_id: TraceId(9),
            position: 3,
            environment: "prod".into(),
            operation: "login".into(),
            since_us: 1,
            until_us: 2,
            prints: (0..100_000).collect(),
            evicted: (0..evicted).map(TraceId).collect(),
        };
        Journaled {
            timestamp_us: Some(-5),
            low_watermark: 4,
            digest: u64::MAX,
            closes: (0..closes).map(close).collect(),
            entombed: vec![entombed.clone(), Entombed { prints: [].into(), evicted: vec![], ..entombed }],
            late: vec![(TraceId(1), 8), (TraceId(2), 9)],
            published: vec![(TraceId(3), 500)],
            revised: vec![(TraceId(4), 2)],
            postponed: vec![(TraceId(5), 2_100)],
            commits_back: 3,
            ..journaled(100)
        }
    }

    #[test]
    fn what_is_journaled_comes_back_as_it_went_in_however_much_it_is() {
        let beside = Beside { config_hash: 77, begins_anew: true, skipped: vec![6, 8], ..Beside::default() };
        for (closes, evicted, parts) in [(0, 0, 1), (3, 2, 1), (4_000, 0, 3), (10, 100_000, 3)] {
            let journaled = everything(closes, evicted);
            let records = records(STAMP, &journaled, beside.clone());
            assert_eq!(records.len(), parts, "{closes} closes, {evicted} evicted");
            let mut chain = Chain::default();
            for record in records {
                let Written { head, bytes } = record;
                assert!(bytes.len() <= MAX_RECORD_BYTES);
                let read = v1::ShardCommit::decode(bytes.as_slice()).unwrap();
                assert!(read.encode_to_vec() == bytes, "as prost writes it");
                assert_eq!(Written::from(read).head, head);
                chain.add(0, &bytes).unwrap();
            }
            let [past] = &chain.commits[..] else { panic!("one commit") };
            assert_eq!((past.seq, past.config_hash, past.begins_anew), (7, 77, true));
            assert_eq!(
                (past.core_version.as_str(), &past.skipped),
                (stitcher::CORE_VERSION, &beside.skipped)
            );
            assert_eq!(past.journaled, journaled);
        }
    }

    #[test]
    fn a_chain_refuses_holes_and_leaves_out_half_a_commit_at_its_start() {
        let mut chain = Chain::default();
        let large = records(Stamp { seq: 4, ..STAMP }, &everything(4_000, 0), Beside::default());
        large[1..].iter().try_for_each(|record| chain.add(0, &record.bytes)).unwrap();
        assert!(chain.last().is_none());
        add(&mut chain, 5, &everything(4_000, 0), false).unwrap();
        add(&mut chain, 6, &journaled(1), false).unwrap();
        assert!(matches!(add(&mut chain, 8, &journaled(1), false), Err(Failure::Refused(_))));
        assert!(matches!(add(&mut chain, 6, &journaled(1), false), Err(Failure::Refused(_))));
        assert!(matches!(chain.add(0, &[0xff]), Err(Failure::Refused(_))));
        assert!(matches!(chain.add(0, &large[2].bytes), Err(Failure::Refused(_))));
    }

    #[test]
    fn a_successor_needs_what_l_and_fingerprints_ask_for_and_nothing_from_another_life() {
        let seqs = |offsets: &[i64], low_watermark: i64, commits_back: u64, anew: Option<u64>| {
            let mut chain = Chain::default();
            for (seq, next_offset) in (1..).zip(offsets) {
                let journaled = Journaled { low_watermark, commits_back, ..journaled(*next_offset) };
                add(&mut chain, seq, &journaled, anew == Some(seq)).unwrap();
            }
            assert_eq!(chain.is_sufficient(), chain.start().is_some());
            chain.needed().map(|commits| commits.iter().map(|past| past.seq).collect::<Vec<_>>())
        };
        assert_eq!(seqs(&[10, 20, 20, 30], 25, 0, None), Some(vec![3, 4]));
        assert_eq!(seqs(&[10, 20, 20, 30], 20, 0, None), Some(vec![3, 4]));
        assert_eq!(seqs(&[10, 20, 20, 20], 20, 2, None), Some(vec![2, 3, 4]), "idle commits don't hide any");
        assert_eq!(seqs(&[10, 20, 20, 30], 30, 0, None), Some(vec![4]));
        assert_eq!(seqs(&[10, 20, 20, 30], 9, 0, None), None, "more has to be read");
        assert_eq!(seqs(&[10, 20, 20, 30], 30, 4, None), None, "more has to be read");
        assert_eq!(seqs(&[10, 20, 20, 30], 9, 0, Some(1)), Some(vec![1, 2, 3, 4]), "there is no more");
        assert_eq!(seqs(&[900, 950, 20, 30], 25, 0, Some(3)), Some(vec![3, 4]), "the log was made anew");
        assert_eq!(seqs(&[900, 950, 20, 30], 15, 1, Some(3)), Some(vec![3, 4]));
    }
}
