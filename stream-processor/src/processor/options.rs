//! What can be set from outside.

use super::recovery::Rules;
use crate::group;
use clap::ValueEnum;
use process::{KafkaOptions, Secret};
use rdkafka::ClientConfig;
use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;
use stitcher::Settings;

/// Flags of role `processor`.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Processor")]
pub struct Options {
    /// Consumer group that shares the partitions among processes.
    #[arg(long, env = "WEIR_GROUP", value_name = "NAME", default_value = "weir-processor")]
    pub group: String,
    /// Stable name of this replica (its ordinal, say): after a restart it gets its partitions back at once.
    #[arg(long, env = "WEIR_GROUP_INSTANCE_ID", value_name = "NAME")]
    pub group_instance_id: Option<String>,
    /// Seconds after which a silent process loses its partitions.
    #[arg(
        long,
        env = "WEIR_SESSION_TIMEOUT_S",
        value_name = "SECONDS",
        default_value_t = 6,
        value_parser = clap::value_parser!(u32).range(1..=1800)
    )]
    pub session_timeout_s: u32,
    /// Text before every topic's name, where several installations share one Kafka.
    #[arg(long, env = "WEIR_TOPIC_PREFIX", value_name = "TEXT", default_value = "")]
    pub topic_prefix: String,
    /// Keeps copies of the shards that other processes own, and takes over from one without reading its log again. It
    /// costs their memory, and the time to decode their spans.
    #[arg(long, env = "WEIR_STANDBY")]
    pub standby: bool,
    /// Where a shard begins that has no journal: with the earliest span, if it has none because it is new; one that
    /// has lost its journal begins only where this says.
    #[arg(long, env = "WEIR_FIRST_BOOT_FROM", value_enum)]
    pub first_boot_from: Option<FirstBoot>,
    /// Goes on where the log begins when spans that a shard has not read are gone from it; they are counted.
    #[arg(long, env = "WEIR_ACCEPT_GAP")]
    pub accept_gap: bool,
    /// Passes over a record that crashes its shard: it goes to flow_dead_letters instead. May be given several times.
    #[arg(long, env = "WEIR_QUARANTINE", value_name = "PARTITION:OFFSET", value_delimiter = ',')]
    pub quarantine: Vec<RecordAt>,
    /// Closes all flows and ends, so that another version, or one with other settings, can go on. Stop all other
    /// processors before.
    #[arg(long, env = "WEIR_DRAIN")]
    pub drain: bool,
    /// Successful flows a second and shard whose events are published; of more, a share is. Failed flows always are.
    #[arg(long, env = "WEIR_EVENTS_PER_SECOND", value_name = "NUMBER", default_value_t = 200)]
    pub events_per_second: u32,
    /// Flows at least this long get their graph into flow_traces, as failed ones do.
    #[arg(long, env = "WEIR_SLOW_MS", value_name = "MILLISECONDS", default_value_t = 1000)]
    pub slow_ms: u32,
    /// Environment of spans that name none.
    #[arg(long, env = "WEIR_DEFAULT_ENVIRONMENT", value_name = "NAME", default_value = "")]
    pub default_environment: String,
    /// File with the key of the user-id hash; without it, user ids are left out.
    #[arg(long, env = "WEIR_USER_HASH_KEY_FILE", value_name = "FILE", value_parser = read_key)]
    pub user_hash_key_file: Option<Secret>,
    /// Address of /health, /ready and /metrics.
    #[arg(
        long,
        env = "WEIR_ADMIN",
        value_name = "HOST:PORT",
        default_value_t = SocketAddr::from((Ipv4Addr::LOCALHOST, 13134))
    )]
    pub admin: SocketAddr,
    /// How to reach Kafka. Last, because its flags bring a heading of their own.
    #[command(flatten)]
    pub kafka: KafkaOptions,
}

/// Where a shard without a journal begins.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstBoot {
    /// With the oldest span that is still in the log.
    Earliest,
    /// With spans that arrive from now on.
    Latest,
}

/// A record of `otlp_spans`, written `PARTITION:OFFSET`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordAt {
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
}

impl FromStr for RecordAt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = |(partition, offset): (&str, &str)| {
            let (partition, offset) = (partition.parse::<u16>().ok()?, offset.parse::<u64>().ok()?);
            Some(Self { partition: partition.into(), offset: i64::try_from(offset).ok()? })
        };
        text.split_once(':')
            .and_then(read)
            .ok_or_else(|| "a record is named PARTITION:OFFSET, as 3:1207".to_owned())
    }
}

impl Options {
    /// The defaults, with these brokers.
    pub fn new(kafka: KafkaOptions) -> Self {
        Self {
            kafka,
            group: "weir-processor".to_owned(),
            group_instance_id: None,
            session_timeout_s: 6,
            topic_prefix: String::new(),
            standby: false,
            first_boot_from: None,
            accept_gap: false,
            quarantine: Vec::new(),
            drain: false,
            events_per_second: 200,
            slow_ms: 1000,
            default_environment: String::new(),
            user_hash_key_file: None,
            admin: SocketAddr::from((Ipv4Addr::LOCALHOST, 13134)),
        }
    }

    /// Settings of the shard of `partition`.
    pub(super) fn settings(&self, partition: i32) -> Settings {
        Settings {
            shard: partition.unsigned_abs(),
            slow_us: i64::from(self.slow_ms) * 1000,
            events_per_second: self.events_per_second,
            user_hash_key: self.user_hash_key_file.as_ref().map_or(Vec::new(), |key| key.reveal().into()),
            default_environment: self.default_environment.clone(),
            ..Settings::default()
        }
    }

    /// What the shard of `partition` goes by.
    pub(super) fn rules(&self, topic: &str, partition: i32) -> Rules {
        let here = self.quarantine.iter().filter(|record| record.partition == partition);
        let mut rules = Rules::new(topic.to_owned(), self.settings(partition));
        rules.quarantine = here.map(|record| record.offset).collect();
        (rules.first_boot_from, rules.accept_gap) = (self.first_boot_from, self.accept_gap);
        rules.drain = self.drain;
        rules
    }

    /// The consumer that is a member of the group.
    pub(super) fn member(&self) -> ClientConfig {
        let instance = self.group_instance_id.as_deref();
        group::member(self.kafka.client(), &self.group, self.session_timeout_s, instance)
    }

    /// A consumer that is handed its partition and its offset, and that may not choose another one by itself.
    pub(super) fn reader(&self) -> ClientConfig {
        let mut client = self.kafka.client();
        client
            // librdkafka wants a group even where nobody joins one.
            .set("group.id", &self.group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("isolation.level", "read_committed")
            .set("enable.partition.eof", "true")
            // A full queue is looked at again after 10 ms, not after a second of idling.
            .set("fetch.queue.backoff.ms", "10")
            // Of each partition; 64 MiB by default. More would only lie longer in memory before it is read.
            .set("queued.max.messages.kbytes", "8192");
        client
    }

    /// A producer whose transactions are this shard's commits.
    pub(super) fn producer(&self, transactional_id: &str) -> ClientConfig {
        let mut client = self.kafka.client();
        client
            .set("transactional.id", transactional_id)
            .set("transaction.timeout.ms", "10000")
            .set("message.timeout.ms", "8000")
            // The default level takes twice the CPU, for 2 % fewer bytes.
            .set("compression.type", "zstd")
            .set("compression.level", "1")
            // A commit fails if a record is not delivered: nobody has to be told of each.
            .set("delivery.report.only.error", "true")
            // A commit's records are sent in one go: waiting longer for more would only delay it.
            .set("linger.ms", "1");
        client
    }
}

fn read_key(path: &str) -> Result<Secret, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("can't read it: {error}"))?;
    Ok(Secret::from(text.trim_end()))
}

/// Hash (FNV-1a) of the settings by which a replay of the same records would differ. Keys and sample rates of what
/// is published are not among them.
pub(super) fn config_hash(settings: &Settings) -> u64 {
    let text = format!("{:?} {:?} {}", settings.waits, settings.limits, settings.default_environment);
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use rdkafka::consumer::BaseConsumer;
    use rdkafka::producer::BaseProducer;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        options: Options,
    }

    fn options(args: &[&str]) -> Options {
        Command::parse_from(std::iter::once("test").chain(args.iter().copied())).options
    }

    #[test]
    fn the_defaults_of_flags_and_of_code_are_the_same() {
        let in_code = Options::new(KafkaOptions::plaintext("127.0.0.1:9092"));
        assert_eq!(format!("{:?}", options(&[])), format!("{in_code:?}"));
    }

    #[test]
    fn records_are_named_by_partition_and_offset() {
        let named = options(&["--quarantine", "3:1207,0:0", "--quarantine", "3:9"]).quarantine;
        let at = |partition, offset| RecordAt { partition, offset };
        assert_eq!(named, [at(3, 1207), at(0, 0), at(3, 9)]);
        for wrong in ["", "3", "3:", "3:-1", "-1:3", "a:b"] {
            assert!(wrong.parse::<RecordAt>().is_err(), "{wrong:?}");
        }
        let rules = options(&["--quarantine", "3:1207,0:0"]).rules("otlp_spans", 3);
        assert!(rules.quarantine.contains(&1207) && rules.quarantine.len() == 1);
    }

    #[test]
    fn librdkafka_accepts_every_client() {
        let options = options(&["--group-instance-id", "processor-0", "--session-timeout-s", "10"]);
        assert_eq!(options.member().get("session.timeout.ms"), Some("10000"));
        options.member().create::<BaseConsumer>().unwrap();
        options.reader().create::<BaseConsumer>().unwrap();
        options.producer("weir.otlp_spans.0").create::<BaseProducer>().unwrap();
    }

    #[test]
    fn the_hash_tells_only_settings_that_alter_a_replay() {
        let settings = options(&[]).settings(0);
        let hash = config_hash(&settings);
        let mut other = settings.clone();
        other.events_per_second = 1;
        other.user_hash_key = b"key".to_vec();
        assert_eq!(config_hash(&other), hash);
        other.waits.complete_us += 1;
        assert_ne!(config_hash(&other), hash);
    }
}
