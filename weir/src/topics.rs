//! `weir topics`: creates what is missing and refuses what can't work.

mod broker;
mod fitness;

use anyhow::{Context, bail};
use broker::Broker;
use fitness::Faults;
use process::KafkaOptions;
use schemas::topics::{Cleanup, Partitions, Timestamp, Topic};
use std::time::Duration;

/// Flags of `weir topics`.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Options {
    /// How to reach Kafka.
    #[command(flatten)]
    pub kafka: KafkaOptions,
    /// What the topics should be like.
    #[command(flatten)]
    pub wish: Wish,
    /// Only checks, creates nothing.
    #[arg(long, env = "WEIR_CHECK")]
    pub check: bool,
}

const EXAMPLES: &str = "\
Examples:
  weir topics --kafka broker:9092 --partitions 64 --replication 3
  weir topics --kafka broker:9092 --check        change nothing, exit 1 on a fault

A topic's partition count is fixed for its life: another count would send a
trace's later spans to another partition.";

/// Numbers that are chosen once for an installation.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "Topics")]
pub struct Wish {
    /// Partitions of otlp_spans and of what its shards write; fixed for the topics' life. New topics get 2, existing
    /// ones keep theirs.
    #[arg(long, env = "WEIR_PARTITIONS", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub partitions: Option<u32>,
    /// Partitions of store_journal: the most stores that can share the work. New topics get one for each lane of the
    /// store, that is 2 more than otlp_spans has, 64 at most.
    #[arg(long, env = "WEIR_LANES", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub lanes: Option<u32>,
    /// Replicas of new topics; the brokers' own default where it is not given.
    #[arg(long, env = "WEIR_REPLICATION", value_name = "N", value_parser = clap::value_parser!(u16).range(1..=16))]
    pub replication: Option<u16>,
}

/// More stores than this don't help, and every partition costs the brokers something.
const MOST_LANES: u32 = 64;

/// A topic as it is, or as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Number of partitions.
    pub partitions: u32,
    /// `cleanup.policy`.
    pub cleanup: String,
    /// `message.timestamp.type`.
    pub timestamp: String,
    /// `max.message.bytes`.
    pub max_message_bytes: usize,
    /// `retention.ms`, where records are deleted by age.
    pub retention_ms: Option<i64>,
}

/// What became of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Name of the topic.
    pub name: String,
    /// Whether it was made just now.
    pub created: bool,
    /// What it is like.
    pub shape: Shape,
}

/// Room for the headers and framing around our largest record.
const MAX_MESSAGE_BYTES: usize = 1_048_588;

/// Creates the missing topics and checks the others.
///
/// # Errors
/// Kafka can't be reached, or a topic can't work: one sentence each.
pub fn ensure(kafka: &KafkaOptions, wish: &Wish, check_only: bool) -> anyhow::Result<Vec<Outcome>> {
    let broker = Broker::connect(kafka)?;
    let topics = schemas::topics::all();
    let found = broker.shapes(topics.keys().map(String::as_str))?;
    let counts = Counts::choose(wish, |name| found.get(name).map(|shape| shape.partitions));

    let mut outcomes = Vec::new();
    let mut missing = Vec::new();
    let mut faults = Faults::default();
    for (name, topic) in &topics {
        let wanted = wanted(topic, counts);
        match found.get(name) {
            Some(shape) => {
                faults.look(name, shape, &wanted);
                outcomes.push(Outcome { name: name.clone(), created: false, shape: shape.clone() });
            }
            None => missing.push((name.as_str(), wanted)),
        }
    }
    if check_only {
        missing.iter().for_each(|(name, _)| faults.missing(name));
    }
    let faults = faults.sentences();
    if !faults.is_empty() {
        bail!("{}", faults.join("\n"));
    }
    broker.create(&missing, wish.replication)?;
    outcomes.extend(missing.into_iter().map(|(name, shape)| Outcome {
        name: name.to_owned(),
        created: true,
        shape,
    }));
    outcomes.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(outcomes)
}

/// How many brokers answer.
///
/// # Errors
/// None does.
pub fn brokers(kafka: &KafkaOptions, within: Duration) -> anyhow::Result<usize> {
    Broker::connect(kafka)?.count(within)
}

/// Runs the command.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let outcomes = ensure(&options.kafka, &options.wish, options.check)
        .with_context(|| format!("the topics on {} are not fit for Weir", options.kafka.kafka))?;
    println!(
        "{:<18} {:>10}  {:<8} {:<14} {:>9}  ",
        "TOPIC", "PARTITIONS", "CLEANUP", "TIMESTAMP", "RETENTION"
    );
    for Outcome { name, created, shape } in outcomes {
        let retention = shape.retention_ms.map_or("–".to_owned(), |ms| format!("{} h", ms / 3_600_000));
        let Shape { partitions, cleanup, timestamp, .. } = shape;
        let news = if created { "created" } else { "fits" };
        println!("{name:<18} {partitions:>10}  {cleanup:<8} {timestamp:<14} {retention:>9}  {news}");
    }
    Ok(())
}

/// The two numbers that are fixed for the life of the topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counts {
    shards: u32,
    lanes: u32,
}

impl Counts {
    /// What was asked for, else what is there, else the numbers for one machine.
    fn choose(wish: &Wish, found: impl Fn(&str) -> Option<u32>) -> Self {
        let shards = wish.partitions.or_else(|| found(schemas::topics::OTLP_SPANS)).unwrap_or(2);
        let journal = wish.lanes.or_else(|| found(schemas::topics::STORE_JOURNAL));
        // Deltas and flows are a lane each, spans have one a partition.
        let lanes = journal.unwrap_or((shards + 2).min(MOST_LANES));
        Self { shards, lanes }
    }
}

fn wanted(topic: &Topic, counts: Counts) -> Shape {
    Shape {
        partitions: match topic.partitions {
            Partitions::Shards => counts.shards,
            Partitions::Lanes => counts.lanes,
            Partitions::One => 1,
        },
        cleanup: Cleanup::as_str(topic.cleanup).to_owned(),
        timestamp: Timestamp::as_str(topic.timestamp).to_owned(),
        max_message_bytes: MAX_MESSAGE_BYTES,
        retention_ms: topic.retention_hours.map(|hours| i64::from(hours) * 3_600_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_asked_for_or_found_or_those_of_one_machine() {
        let found = |name: &str| (name == schemas::topics::OTLP_SPANS).then_some(64);
        let nothing = Wish::default();
        assert_eq!(Counts::choose(&nothing, found), Counts { shards: 64, lanes: 64 });
        assert_eq!(Counts::choose(&nothing, |_| None), Counts { shards: 2, lanes: 4 });
        let wish = Wish { partitions: Some(4), lanes: Some(2), replication: None };
        assert_eq!(Counts::choose(&wish, found), Counts { shards: 4, lanes: 2 });
    }

    #[test]
    fn every_topic_takes_our_largest_record() {
        for (name, topic) in schemas::topics::all() {
            let shape = wanted(&topic, Counts { shards: 2, lanes: 1 });
            assert!(shape.max_message_bytes > schemas::topics::MAX_RECORD_BYTES, "{name}");
        }
    }
}
