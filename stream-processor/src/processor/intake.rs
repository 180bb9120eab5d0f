//! Records in: the spans of a record go to the shard; what can't be decoded, or crashes it, becomes a dead letter.

use reader::{Reader, Undecodable};
use schemas::topics::MAX_RECORD_BYTES;
use schemas::v1::LastRecord;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use stitcher::{Commit, Shard};

/// Bytes of an undecodable record that a dead letter keeps: enough to see what it is.
const HEAD_BYTES: usize = 16_384;
/// Of a record in quarantine all is kept, for whoever mends what it breaks; the rest is room for headers.
const WHOLE_BYTES: usize = MAX_RECORD_BYTES - 1_000;
/// Output that ends a commit before its time, so that a transaction stays small: flows and dead letters together.
const OUTPUT_BYTES: usize = 8 << 20;

/// The shard, and what was applied to it since the last commit.
pub struct Intake {
    reader: Reader,
    shard: Shard,
    applied: Applied,
}

/// What was applied since the last commit.
#[derive(Debug, Default)]
pub struct Applied {
    /// Records, undecodable ones among them.
    pub records: u64,
    /// Spans that reached the shard.
    pub spans: u64,
    /// Spans that didn't, by reason.
    pub rejected: BTreeMap<&'static str, u64>,
    /// The last record.
    pub last_record: Option<LastRecord>,
    /// Offsets of records that were passed over.
    pub skipped: Vec<i64>,
    /// Undecodable records, and those passed over.
    pub dead_letters: Vec<DeadLetter>,
    /// Bytes they keep.
    pub dead_letter_bytes: usize,
}

/// A record that could not be decoded, or is in quarantine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its first bytes.
    pub head: Vec<u8>,
    name: &'static str,
    reason: String,
    length: usize,
    sha256: String,
    topic: String,
    partition: i32,
    offset: i64,
}

/// Where a record stood.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// Topic with its prefix.
    pub topic: &'a str,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// The broker's clock when it appended the record.
    pub appended_us: i64,
}

impl Intake {
    /// Takes over a shard.
    pub fn new(reader: Reader, shard: Shard) -> Self {
        Self { reader, shard, applied: Applied::default() }
    }

    /// Applies one record: log time moves on to its timestamp, then its spans follow.
    pub fn apply(&mut self, origin: Origin<'_>, value: &[u8]) {
        self.applied.records += 1;
        self.applied.last_record = Some(origin.last_record());
        self.shard.begin_record(origin.offset, origin.appended_us);
        let shard = &mut self.shard;
        match self.reader.read(value, &mut |span| shard.apply(span)) {
            Ok(read) => self.count(read.spans, read.rejected),
            Err(undecodable) => {
                self.shard.count_rejected("undecodable_record", 1);
                self.bury(DeadLetter::new(&undecodable, origin, value));
            }
        }
    }

    /// Passes over a record that crashes the shard. A commit has to follow before the next one: a successor must know.
    pub fn skip(&mut self, origin: Origin<'_>, value: &[u8]) {
        self.applied.records += 1;
        self.applied.last_record = Some(origin.last_record());
        self.applied.skipped.push(origin.offset);
        self.bury(DeadLetter::in_quarantine(origin, value));
    }

    /// A record was passed over since the last commit.
    pub fn has_skipped(&self) -> bool {
        !self.applied.skipped.is_empty()
    }

    /// Closes open traces, the oldest first, until a commit is due or all are closed. Whether all are.
    pub fn settle(&mut self) -> bool {
        while !self.is_full(u64::MAX) {
            if !self.shard.settle_oldest() {
                self.shard.settle_all();
                return true;
            }
        }
        false
    }

    fn count(&mut self, spans: u64, rejected: BTreeMap<&'static str, u64>) {
        self.applied.spans += spans;
        for (reason, spans) in rejected {
            self.shard.count_rejected(reason, spans);
            *self.applied.rejected.entry(reason).or_default() += spans;
        }
    }

    fn bury(&mut self, letter: DeadLetter) {
        self.applied.dead_letter_bytes += letter.head.len();
        self.applied.dead_letters.push(letter);
    }

    /// Nothing unread is left in the log: time may move on without records.
    pub fn end_of_log(&mut self, now_us: i64) {
        self.shard.end_of_log(now_us);
    }

    /// Something waits to be written.
    pub fn has_output(&self) -> bool {
        self.shard.has_output() || !self.applied.dead_letters.is_empty()
    }

    /// So much was applied that the commit should not wait for its time.
    pub fn is_full(&self, spans: u64) -> bool {
        let bytes = self.applied.dead_letter_bytes + self.shard.output_bytes();
        self.applied.spans >= spans || bytes >= OUTPUT_BYTES
    }

    /// What is wrong with the shard, if anything is. Slow.
    pub fn mistake(&self) -> Option<&'static str> {
        self.shard.mistake()
    }

    /// Log time.
    pub fn clock_us(&self) -> i64 {
        self.shard.clock_us()
    }

    /// How long after a trace's close its duplicates are certainly recognised, µs.
    pub fn duplicate_reach_us(&self) -> i64 {
        self.shard.duplicate_reach_us()
    }

    /// Spans in traces that have not closed.
    pub fn open_spans(&self) -> usize {
        self.shard.open_spans()
    }

    /// Traces that have not closed.
    pub fn open_traces(&self) -> usize {
        self.shard.open_traces()
    }

    /// Hands over everything since the last commit. The consumer knows offsets that the shard doesn't: where it began,
    /// and those that hold no record.
    pub fn commit(&mut self, next_offset: i64) -> (Commit, Applied) {
        self.shard.skip_to(next_offset);
        (self.shard.commit(), std::mem::take(&mut self.applied))
    }
}

impl Origin<'_> {
    fn last_record(&self) -> LastRecord {
        LastRecord { offset: self.offset, appended_us: self.appended_us }
    }
}

impl DeadLetter {
    /// Keeps the head of `value`.
    pub fn new(undecodable: &Undecodable, origin: Origin<'_>, value: &[u8]) -> Self {
        Self::with(undecodable.reason(), undecodable.to_string(), origin, value, HEAD_BYTES)
    }

    /// Keeps all of `value` that a record can hold.
    pub fn in_quarantine(origin: Origin<'_>, value: &[u8]) -> Self {
        let reason = "put into quarantine by --quarantine".to_owned();
        Self::with("quarantined", reason, origin, value, WHOLE_BYTES)
    }

    fn with(name: &'static str, reason: String, origin: Origin<'_>, value: &[u8], kept: usize) -> Self {
        Self {
            head: value[..value.len().min(kept)].to_vec(),
            name,
            reason,
            length: value.len(),
            sha256: Sha256::digest(value).iter().map(|byte| format!("{byte:02x}")).collect(),
            topic: origin.topic.to_owned(),
            partition: origin.partition,
            offset: origin.offset,
        }
    }

    /// The name under which it is counted.
    pub fn reason(&self) -> &'static str {
        self.name
    }

    /// What its headers say; those that `ingest` writes too have the same names there.
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        vec![
            ("origin", "processor".to_owned()),
            ("reason", self.reason.clone()),
            ("sha256", self.sha256.clone()),
            ("length", self.length.to_string()),
            ("topic", self.topic.clone()),
            ("partition", self.partition.to_string()),
            ("offset", self.offset.to_string()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, TracesData};
    use prost::Message;
    use reader::Semconv;
    use std::sync::Arc;
    use stitcher::Settings;

    fn record(spans: Vec<Span>) -> Vec<u8> {
        let scope_spans = vec![ScopeSpans { spans, ..Default::default() }];
        TracesData { resource_spans: vec![ResourceSpans { scope_spans, ..Default::default() }] }
            .encode_to_vec()
    }

    fn span(trace_id: u8) -> Span {
        Span {
            trace_id: vec![trace_id; 16],
            span_id: vec![1; 8],
            name: "GET /".to_owned(),
            kind: 2,
            start_time_unix_nano: 1_000_000_000,
            end_time_unix_nano: 1_500_000_000,
            ..Default::default()
        }
    }

    fn intake() -> Intake {
        Intake::new(Reader::new(Arc::new(Semconv::embedded())), Shard::new(Settings::default()))
    }

    fn at(offset: i64) -> Origin<'static> {
        Origin { topic: "otlp_spans", partition: 4, offset, appended_us: 2_000_000 }
    }

    #[test]
    fn spans_of_a_record_reach_the_shard_and_bad_ones_are_counted() {
        let mut intake = intake();
        intake.apply(at(9), &record(vec![span(1), span(0), span(2)]));
        let (commit, applied) = intake.commit(11);
        assert_eq!((applied.records, applied.spans), (1, 2));
        assert_eq!(applied.rejected.values().sum::<u64>(), 1);
        assert_eq!((commit.journaled.next_offset, commit.journaled.low_watermark), (11, 9));
        assert_eq!(intake.open_spans(), 2);
    }

    #[test]
    fn garbage_becomes_a_dead_letter_and_progress_goes_on() {
        let mut intake = intake();
        let garbage = vec![0xff; 20_000];
        intake.apply(at(7), &garbage);
        assert!(intake.has_output());
        let (_, applied) = intake.commit(8);
        assert_eq!((applied.records, applied.spans), (1, 0));
        let letter = &applied.dead_letters[0];
        assert_eq!(letter.head, garbage[..HEAD_BYTES]);
        let headers = letter.headers();
        for (name, text) in
            [("topic", "otlp_spans"), ("partition", "4"), ("offset", "7"), ("length", "20000")]
        {
            assert!(headers.contains(&(name, text.to_owned())), "{name}: {headers:?}");
        }
        assert!(headers.iter().any(|(name, text)| *name == "reason" && !text.is_empty()));
        assert!(!intake.has_output(), "a letter is handed over once");
    }

    #[test]
    fn a_flood_of_garbage_asks_for_a_commit_by_its_bytes() {
        let mut intake = intake();
        let garbage = vec![0xff; HEAD_BYTES];
        let letters = OUTPUT_BYTES / HEAD_BYTES;
        (0..letters as i64).for_each(|offset| intake.apply(at(offset), &garbage));
        assert!(intake.is_full(u64::MAX));
        intake.commit(letters as i64);
        assert!(!intake.is_full(u64::MAX));
    }

    #[test]
    fn a_record_in_quarantine_is_kept_whole_and_moves_nothing() {
        let mut intake = intake();
        let value = record(vec![span(1); 1_000]);
        assert!(value.len() > HEAD_BYTES);
        intake.skip(at(3), &value);
        assert!(intake.has_skipped() && intake.has_output());
        assert_eq!((intake.open_spans(), intake.clock_us()), (0, 0));
        let (commit, applied) = intake.commit(4);
        assert_eq!((commit.journaled.next_offset, &applied.skipped[..]), (4, &[3][..]));
        assert_eq!(
            (applied.dead_letters[0].reason(), &applied.dead_letters[0].head),
            ("quarantined", &value)
        );
        assert!(!intake.has_skipped());
    }

    #[test]
    fn the_hash_is_that_of_the_whole_record() {
        let letter = DeadLetter::new(&Undecodable::Malformed, at(1), b"abc");
        let hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert!(letter.headers().contains(&("sha256", hash.to_owned())));
        assert_eq!(letter.reason(), "malformed");
    }
}
