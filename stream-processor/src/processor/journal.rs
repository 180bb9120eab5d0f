//! `flow_journal`: what the stitcher journals ▶ records, and back. Pure.

use super::deltas::Stamp;
use super::failure::Failure;
use prost::Message;
use schemas::topics::MAX_RECORD_BYTES;
use schemas::v1;
use stitcher::span::TraceId;
use stitcher::{Close, Entombed, Journaled};

/// Bytes of lists in one record; the rest is room for everything else.
const LIST_BYTES: usize = MAX_RECORD_BYTES - 1_000;
/// Evicted traces in one entry.
const EVICTED: usize = 10_000;
/// Field number and length before an entry of a list.
const FRAME_BYTES: usize = 6;

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

/// What is wrong with a commit behind `last`, whoever made it. Asserted before a commit is written, and checked of
/// every one in the simulator.
pub fn mistake(last: Option<&v1::ShardCommit>, next: &v1::ShardCommit) -> Option<&'static str> {
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
        (next.closes.iter().all(|close| close.position <= until), "a trace closes in the future"),
        (next.late.iter().all(|late| late.offset < until), "a late span has not come yet"),
        (next.skipped.iter().all(|offset| (from..until).contains(offset)), "a record is skipped elsewhere"),
    ];
    rules.into_iter().find_map(|(is_kept, rule)| (!is_kept).then_some(rule))
}

/// The records of a commit: one, or several of equal `seq` when there is very much to tell.
pub fn records(stamp: Stamp, journaled: &Journaled, beside: Beside) -> Vec<v1::ShardCommit> {
    let empty = v1::ShardCommit {
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
    let first = v1::ShardCommit { skipped: beside.skipped, ..empty.clone() };
    let mut parts = Parts { records: vec![first], empty, bytes: 0 };
    for entry in journaled.closes.iter().map(close) {
        parts.with_room(&entry).closes.push(entry);
    }
    for entry in journaled.entombed.iter().flat_map(entombed) {
        parts.with_room(&entry).entombed.push(entry);
    }
    for (id, offset) in &journaled.late {
        let entry = v1::LateRecord { trace_id: bytes(*id), offset: *offset };
        parts.with_room(&entry).late.push(entry);
    }
    for (id, sample_milli) in &journaled.published {
        let entry = v1::PublishedFlow { trace_id: bytes(*id), sample_milli: *sample_milli };
        parts.with_room(&entry).published.push(entry);
    }
    for (id, revision) in &journaled.revised {
        let entry = v1::Revision { trace_id: bytes(*id), revision: *revision };
        parts.with_room(&entry).revised.push(entry);
    }
    for (id, spans) in &journaled.postponed {
        let entry = v1::Postponed { trace_id: bytes(*id), spans: *spans };
        parts.with_room(&entry).postponed.push(entry);
    }
    parts.numbered()
}

struct Parts {
    empty: v1::ShardCommit,
    records: Vec<v1::ShardCommit>,
    bytes: usize,
}

impl Parts {
    /// The last record, or a new one if the entry doesn't fit into it.
    fn with_room(&mut self, entry: &impl Message) -> &mut v1::ShardCommit {
        let bytes = entry.encoded_len() + FRAME_BYTES;
        self.bytes += bytes;
        if self.bytes > LIST_BYTES {
            self.bytes = bytes;
            self.records.push(self.empty.clone());
        }
        let last = self.records.len() - 1;
        &mut self.records[last]
    }

    fn numbered(mut self) -> Vec<v1::ShardCommit> {
        let parts = self.records.len() as u32;
        for (part, record) in (0..).zip(&mut self.records) {
            (record.part, record.parts) = (part, parts);
        }
        self.records
    }
}

fn close(close: &Close) -> v1::Close {
    v1::Close {
        trace_id: bytes(close.trace_id),
        position: close.position,
        since_us: close.since_us,
        complete: close.complete,
        truncated: close.truncated,
        operation: close.operation.to_string(),
        environment: close.environment.to_string(),
    }
}

fn entombed(entombed: &Entombed) -> Vec<v1::Entombed> {
    let mut evicted = entombed.evicted.chunks(EVICTED);
    let whole = v1::Entombed {
        trace_id: bytes(entombed.trace_id),
        position: entombed.position,
        environment: entombed.environment.to_string(),
        operation: entombed.operation.to_string(),
        since_us: entombed.since_us,
        until_us: entombed.until_us,
        prints: entombed.prints.iter().flat_map(|print| print.to_le_bytes()).collect(),
        evicted: evicted.next().map(many).unwrap_or_default(),
        continues: false,
    };
    let more = |ids| v1::Entombed { evicted: many(ids), continues: true, ..Default::default() };
    std::iter::once(whole).chain(evicted.map(more)).collect()
}

fn bytes(id: TraceId) -> Vec<u8> {
    id.0.to_be_bytes().to_vec()
}

fn many(ids: &[TraceId]) -> Vec<u8> {
    ids.iter().flat_map(|id| id.0.to_be_bytes()).collect()
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
        records.iter().try_for_each(|record| chain.add(0, &record.encode_to_vec()))
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
                let bytes = record.encode_to_vec();
                assert!(bytes.len() <= MAX_RECORD_BYTES);
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
        large[1..].iter().try_for_each(|record| chain.add(0, &record.encode_to_vec())).unwrap();
        assert!(chain.last().is_none());
        add(&mut chain, 5, &everything(4_000, 0), false).unwrap();
        add(&mut chain, 6, &journaled(1), false).unwrap();
        assert!(matches!(add(&mut chain, 8, &journaled(1), false), Err(Failure::Refused(_))));
        assert!(matches!(add(&mut chain, 6, &journaled(1), false), Err(Failure::Refused(_))));
        assert!(matches!(chain.add(0, &[0xff]), Err(Failure::Refused(_))));
        assert!(matches!(chain.add(0, &large[2].encode_to_vec()), Err(Failure::Refused(_))));
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
