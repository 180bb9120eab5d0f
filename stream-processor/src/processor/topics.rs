//! The topics a processor needs: their names, and whether they can work.

use super::{Options, PART};
use anyhow::bail;
use process::Health;
use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use schemas::topics as declared;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// How long topics may be missing before that counts as a mistake: at a first start somebody creates them.
const MISSING_AT_MOST: Duration = Duration::from_secs(60);
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(500);
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Our largest record with its headers and framing must fit.
const LEAST_MAX_MESSAGE_BYTES: u64 = 1_000_000;

/// Names with the prefix of this installation.
#[derive(Debug, Clone)]
pub struct Topics {
    prefix: String,
    /// OTLP spans: the input.
    pub spans: String,
    /// Changes to flow graphs.
    pub deltas: String,
    /// Starts, updates and completions of flows.
    pub events: String,
    /// Summaries of flows.
    pub traces: String,
    /// Commits.
    pub journal: String,
    /// What of a shard its successor can't read from the log.
    pub state: String,
    /// Input that could not be decoded.
    pub dead_letters: String,
}

impl Topics {
    /// `prefix` before every name of `topics.toml`.
    pub fn named(prefix: &str) -> Self {
        let name = |topic: &str| format!("{prefix}{topic}");
        Self {
            prefix: prefix.to_owned(),
            spans: name(declared::OTLP_SPANS),
            deltas: name(declared::FLOW_DELTAS),
            events: name(declared::FLOW_EVENTS),
            traces: name(declared::FLOW_TRACES),
            journal: name(declared::FLOW_JOURNAL),
            state: name(declared::FLOW_STATE),
            dead_letters: name(declared::FLOW_DEAD_LETTERS),
        }
    }

    /// What `topics.toml` says about the topics used here, by their names in this installation.
    fn declared(&self) -> BTreeMap<String, declared::Topic> {
        let Self { prefix: _, spans, deltas, events, traces, journal, state, dead_letters } = self;
        let used = [spans, deltas, events, traces, journal, state, dead_letters];
        let named =
            declared::all().into_iter().map(|(name, topic)| (format!("{}{name}", self.prefix), topic));
        named.filter(|(name, _)| used.contains(&name)).collect()
    }
}

/// A topic as the broker describes it.
#[derive(Debug, Clone)]
struct Found {
    partitions: usize,
    settings: BTreeMap<String, String>,
}

/// Why the topics can't be used now.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// Ask again.
    #[error("Kafka doesn't answer: {0}")]
    Unreachable(String),
    /// Ask again for a while.
    #[error("the topic {0} doesn't exist; `weir topics` creates it")]
    Missing(String),
    /// Asking again doesn't help.
    #[error("{0}")]
    Wrong(String),
}

/// Returns the number of partitions once the topics can work, `None` when stopped before.
///
/// # Errors
/// The sentence that says which topic is wrong, how, and what it should be.
pub async fn wait_until_usable(
    options: &Options,
    topics: &Topics,
    health: &Health,
    stop: &CancellationToken,
) -> anyhow::Result<Option<u32>> {
    let admin: AdminClient<DefaultClientContext> = options.kafka.client().create()?;
    let declared = topics.declared();
    let mut missing_since = None;
    while !stop.is_cancelled() {
        match describe(&admin, &declared).await.and_then(|found| judge(&declared, &found)) {
            Ok(partitions) => return Ok(Some(partitions)),
            Err(Unusable::Wrong(sentence)) => bail!("{sentence}"),
            Err(why @ Unusable::Missing(_)) => {
                if missing_since.get_or_insert_with(Instant::now).elapsed() > MISSING_AT_MOST {
                    bail!("{why}");
                }
                health.ready(PART, false, &why.to_string());
            }
            Err(why) => health.ready(PART, false, &why.to_string()),
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(ASK_AGAIN_AFTER) => {}
        }
    }
    Ok(None)
}

/// Looks once: the number of partitions, or the sentence that a start would say.
///
/// # Errors
/// The topics can't work, or Kafka doesn't answer.
pub async fn usable_now(options: &Options, topics: &Topics) -> Result<u32, Unusable> {
    let admin = options.kafka.client().create::<AdminClient<DefaultClientContext>>();
    let admin = admin.map_err(|error| Unusable::Wrong(error.to_string()))?;
    let declared = topics.declared();
    judge(&declared, &describe(&admin, &declared).await?)
}

async fn describe(
    admin: &AdminClient<DefaultClientContext>,
    declared: &BTreeMap<String, declared::Topic>,
) -> Result<BTreeMap<String, Found>, Unusable> {
    let unreachable = |error: rdkafka::error::KafkaError| Unusable::Unreachable(error.to_string());
    // All topics are asked for: asking for one by name makes some brokers create it.
    let metadata = tokio::task::block_in_place(|| admin.inner().fetch_metadata(None, ANSWER_WITHIN));
    let mut found = BTreeMap::new();
    for topic in metadata.map_err(unreachable)?.topics() {
        if declared.contains_key(topic.name()) {
            let described = Found { partitions: topic.partitions().len(), settings: BTreeMap::new() };
            found.insert(topic.name().to_owned(), described);
        }
    }
    if found.is_empty() {
        // librdkafka refuses to ask for the settings of nothing.
        return Ok(found);
    }
    let asked: Vec<String> = found.keys().cloned().collect();
    let resources: Vec<_> = asked.iter().map(|name| ResourceSpecifier::Topic(name)).collect();
    let within = AdminOptions::new().request_timeout(Some(ANSWER_WITHIN));
    let answers = admin.describe_configs(&resources, &within).await.map_err(unreachable)?;
    for (name, answer) in asked.iter().zip(answers) {
        let described =
            answer.map_err(|code| Unusable::Unreachable(format!("settings of {name}: {code}")))?;
        let settings = described.entries.into_iter().filter_map(|entry| Some((entry.name, entry.value?)));
        if let Some(found) = found.get_mut(name) {
            found.settings = settings.collect();
        }
    }
    Ok(found)
}

/// The common number of partitions, or what is wrong.
fn judge(
    declared: &BTreeMap<String, declared::Topic>,
    found: &BTreeMap<String, Found>,
) -> Result<u32, Unusable> {
    let mut shards: Option<(&str, usize)> = None;
    for (name, should) in declared {
        let is = found.get(name).ok_or_else(|| Unusable::Missing(name.clone()))?;
        expect(name, is, "cleanup.policy", should.cleanup.as_str())?;
        if should.timestamp == declared::Timestamp::LogAppendTime {
            expect(name, is, "message.timestamp.type", should.timestamp.as_str())?;
        }
        expect_room(name, is)?;
        match should.partitions {
            declared::Partitions::Shards => match shards {
                Some((other, partitions)) if partitions != is.partitions => {
                    return Err(Unusable::Wrong(format!(
                        "the topics {other} and {name} have {partitions} and {} partitions, but a shard writes to \
                         the partition number it reads: create them with equal counts",
                        is.partitions
                    )));
                }
                _ => shards = Some((name, is.partitions)),
            },
            declared::Partitions::One | declared::Partitions::Lanes => {}
        }
    }
    Ok(shards.map_or(0, |(_, partitions)| u32::try_from(partitions).unwrap_or(u32::MAX)))
}

fn expect(name: &str, is: &Found, setting: &str, value: &str) -> Result<(), Unusable> {
    match is.settings.get(setting) {
        Some(found) if found == value => Ok(()),
        found => Err(Unusable::Wrong(format!(
            "the topic {name} has {setting}={}, it must be {value}",
            found.map_or("(unknown)", String::as_str)
        ))),
    }
}

fn expect_room(name: &str, is: &Found) -> Result<(), Unusable> {
    let most = is.settings.get("max.message.bytes").and_then(|value| value.parse::<u64>().ok());
    if most.is_some_and(|most| most >= LEAST_MAX_MESSAGE_BYTES) {
        return Ok(());
    }
    Err(Unusable::Wrong(format!(
        "the topic {name} has max.message.bytes={}, it must be at least {LEAST_MAX_MESSAGE_BYTES}",
        most.map_or("(unknown)".to_owned(), |most| most.to_string())
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good(topics: &Topics) -> BTreeMap<String, Found> {
        let found = topics.declared().into_iter().map(|(name, topic)| {
            let settings = [
                ("cleanup.policy", topic.cleanup.as_str()),
                ("message.timestamp.type", topic.timestamp.as_str()),
                ("max.message.bytes", "1048588"),
            ];
            let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
            (name, Found { partitions: 2, settings })
        });
        found.collect()
    }

    /// What `judge` says after one thing was changed.
    fn check(change: impl FnOnce(&mut BTreeMap<String, Found>)) -> Result<u32, String> {
        let topics = Topics::named("a.");
        let mut found = good(&topics);
        change(&mut found);
        judge(&topics.declared(), &found).map_err(|why| why.to_string())
    }

    fn set(found: &mut BTreeMap<String, Found>, topic: &str, setting: &str, value: &str) {
        let settings = &mut found.get_mut(topic).unwrap().settings;
        settings.insert(setting.to_owned(), value.to_owned());
    }

    #[test]
    fn topics_as_declared_are_usable() {
        assert_eq!(check(|_| {}), Ok(2));
    }

    #[test]
    fn one_sentence_names_what_is_wrong() {
        let missing = check(|found| drop(found.remove("a.flow_traces")));
        assert_eq!(missing.unwrap_err(), "the topic a.flow_traces doesn't exist; `weir topics` creates it");
        let compacted = check(|found| set(found, "a.otlp_spans", "cleanup.policy", "compact"));
        assert_eq!(
            compacted.unwrap_err(),
            "the topic a.otlp_spans has cleanup.policy=compact, it must be delete"
        );
        let stamped = check(|found| set(found, "a.otlp_spans", "message.timestamp.type", "CreateTime"));
        assert!(stamped.unwrap_err().ends_with("it must be LogAppendTime"));
        let small = check(|found| set(found, "a.flow_deltas", "max.message.bytes", "65536"));
        assert!(small.unwrap_err().ends_with("it must be at least 1000000"));
        let uneven = check(|found| found.get_mut("a.flow_journal").unwrap().partitions = 3);
        assert!(uneven.unwrap_err().contains("have 2 and 3 partitions"));
    }

    #[test]
    fn dead_letters_may_have_any_number_of_partitions() {
        assert_eq!(check(|found| found.get_mut("a.flow_dead_letters").unwrap().partitions = 7), Ok(2));
    }
}
