//! Flags of `ingest`.

use crate::packer::Packing;
use crate::prepare::PrepareLimits;
use crate::receiver::ReceiverLimits;
use anyhow::ensure;
use clap::ValueEnum;
use http::HeaderValue;
use process::KafkaOptions;
use schemas::topics::MAX_RECORD_BYTES;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::time::Duration;

const LISTEN_GRPC: SocketAddr = local(4317);
const LISTEN_HTTP: SocketAddr = local(4318);
const ADMIN: SocketAddr = local(13133);
const MAX_BODY_BYTES: usize = 20 << 20;
const MAX_MEMORY_BYTES: usize = 256 << 20;
const MAX_CONNECTIONS: u16 = 4096;
const PACK_WAIT_MS: u64 = 50;
// SDKs give up after 10 s; an answer should reach them before.
const ACK_TIMEOUT_MS: u64 = 8_000;
const READ_TIMEOUT_MS: u64 = 30_000;
const START_TIMEOUT_MS: u64 = 60_000;
const DEAD_LETTERS_PER_SECOND: NonZeroU32 = NonZeroU32::new(10).expect("ten is not zero");

const fn local(port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

/// Takes OpenTelemetry spans over OTLP and brings them to Kafka.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Ingest")]
pub struct Options {
    /// Where OTLP/gRPC is taken.
    #[arg(long, env = "WEIR_LISTEN_GRPC", value_name = "HOST:PORT", default_value_t = LISTEN_GRPC)]
    pub listen_grpc: SocketAddr,
    /// Where OTLP/HTTP is taken.
    #[arg(long, env = "WEIR_LISTEN_HTTP", value_name = "HOST:PORT", default_value_t = LISTEN_HTTP)]
    pub listen_http: SocketAddr,
    /// Where /health, /ready and /metrics are served.
    #[arg(long, env = "WEIR_ADMIN", value_name = "HOST:PORT", default_value_t = ADMIN)]
    pub admin: SocketAddr,
    /// Origins whose web pages may send spans, such as https://shop.example; matched exactly. Without any, no
    /// web page may.
    #[arg(long, env = "WEIR_CORS_ORIGIN", value_name = "ORIGIN[,…]", value_delimiter = ',')]
    pub cors_origin: Vec<String>,
    /// Largest request, once decompressed.
    #[arg(long, env = "WEIR_MAX_BODY_BYTES", value_name = "N", default_value_t = MAX_BODY_BYTES)]
    pub max_body_bytes: usize,
    /// Memory that all requests in progress may hold together; beyond it senders are told to retry.
    #[arg(long, env = "WEIR_MAX_MEMORY_BYTES", value_name = "N", default_value_t = MAX_MEMORY_BYTES)]
    pub max_memory_bytes: usize,
    /// Open connections; further ones wait.
    #[arg(long, env = "WEIR_MAX_CONNECTIONS", value_name = "N", default_value_t = MAX_CONNECTIONS)]
    pub max_connections: u16,
    /// Largest Kafka message.
    #[arg(long, env = "WEIR_PACK_BYTES", value_name = "N", default_value_t = MAX_RECORD_BYTES)]
    pub pack_bytes: usize,
    /// How long a message waits for more spans while others are on their way.
    #[arg(long, env = "WEIR_PACK_WAIT_MS", value_name = "MS", default_value_t = PACK_WAIT_MS)]
    pub pack_wait_ms: u64,
    /// How messages are compressed.
    #[arg(long, env = "WEIR_COMPRESSION", value_enum, default_value_t = Compression::Lz4)]
    pub compression: Compression,
    /// How long a request waits for Kafka's acknowledgement.
    #[arg(long, env = "WEIR_ACK_TIMEOUT_MS", value_name = "MS", default_value_t = ACK_TIMEOUT_MS)]
    pub ack_timeout_ms: u64,
    /// How long a request's body may take to arrive.
    #[arg(long, env = "WEIR_READ_TIMEOUT_MS", value_name = "MS", default_value_t = READ_TIMEOUT_MS)]
    pub read_timeout_ms: u64,
    /// How long to wait for Kafka and its topics at the start.
    #[arg(long, env = "WEIR_START_TIMEOUT_MS", value_name = "MS", default_value_t = START_TIMEOUT_MS)]
    pub start_timeout_ms: u64,
    /// How many undecodable requests are kept a second; all are counted.
    #[arg(long, env = "WEIR_DEAD_LETTERS_PER_SECOND", value_name = "N", default_value_t = DEAD_LETTERS_PER_SECOND)]
    pub dead_letters_per_second: NonZeroU32,
    /// Text before every topic's name, where several installations share one Kafka.
    #[arg(long, env = "WEIR_TOPIC_PREFIX", value_name = "TEXT", default_value = "")]
    pub topic_prefix: String,
    /// How to reach Kafka.
    #[command(flatten)]
    pub kafka: KafkaOptions,
}

/// `compression.type`.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Cheapest to read.
    Lz4,
    /// Smallest.
    Zstd,
}

impl Compression {
    /// librdkafka's spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

impl Options {
    /// The defaults, for these brokers.
    pub fn new(kafka: KafkaOptions) -> Self {
        Self {
            kafka,
            listen_grpc: LISTEN_GRPC,
            listen_http: LISTEN_HTTP,
            admin: ADMIN,
            cors_origin: Vec::new(),
            max_body_bytes: MAX_BODY_BYTES,
            max_memory_bytes: MAX_MEMORY_BYTES,
            max_connections: MAX_CONNECTIONS,
            pack_bytes: MAX_RECORD_BYTES,
            pack_wait_ms: PACK_WAIT_MS,
            compression: Compression::Lz4,
            ack_timeout_ms: ACK_TIMEOUT_MS,
            read_timeout_ms: READ_TIMEOUT_MS,
            start_timeout_ms: START_TIMEOUT_MS,
            dead_letters_per_second: DEAD_LETTERS_PER_SECOND,
            topic_prefix: String::new(),
        }
    }

    /// Refuses values that can't work together.
    ///
    /// # Errors
    /// Says which and why.
    pub fn check(&self) -> anyhow::Result<()> {
        let (pack, body, memory) = (self.pack_bytes, self.max_body_bytes, self.max_memory_bytes);
        ensure!(
            (1024..=MAX_RECORD_BYTES).contains(&pack),
            "--pack-bytes is {pack}; Kafka's limits allow 1024 to {MAX_RECORD_BYTES}"
        );
        // Positions in a request are kept in 32 bits.
        ensure!(body > 0 && body < 1 << 30, "--max-body-bytes is {body}; it must be below 1 GiB");
        ensure!(
            memory / 8 >= body,
            "--max-memory-bytes is {memory}; requests of {body} bytes (--max-body-bytes) need at least 8 times that"
        );
        Ok(())
    }

    /// Origins as browsers send them.
    ///
    /// # Errors
    /// One of them can't be an origin.
    pub fn origins(&self) -> anyhow::Result<Vec<HeaderValue>> {
        self.cors_origin.iter().map(|origin| origin_header(origin)).collect()
    }

    /// When messages go out.
    pub fn packing(&self) -> Packing {
        Packing { bytes: self.pack_bytes, wait: Duration::from_millis(self.pack_wait_ms) }
    }

    /// Bounds of a request, where the topic has this many partitions.
    pub fn receiver_limits(&self, partitions: u32) -> ReceiverLimits {
        let prepare =
            PrepareLimits { body_bytes: self.max_body_bytes, fragment_bytes: self.pack_bytes, partitions };
        ReceiverLimits {
            prepare,
            read_time: Duration::from_millis(self.read_timeout_ms),
            ack_time: self.ack_time(),
        }
    }

    /// How long a request waits for Kafka.
    pub fn ack_time(&self) -> Duration {
        Duration::from_millis(self.ack_timeout_ms)
    }
}

/// `scheme://host[:port]` and nothing more. `*` and `null` are refused: spans of any page, and of any sandboxed
/// frame, would be taken.
fn origin_header(origin: &str) -> anyhow::Result<HeaderValue> {
    let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
    let plain = host.is_some_and(|host| !host.is_empty() && !host.contains(['/', '*', ' ', '@', '?', '#']));
    ensure!(
        plain,
        "--cors-origin {origin:?} is no origin; write it as browsers send it, such as https://shop.example"
    );
    Ok(origin.to_ascii_lowercase().parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        options: Options,
    }

    #[test]
    fn the_flags_default_to_what_new_gives() {
        let parsed = Command::parse_from(["ingest"]).options;
        let built = Options::new(KafkaOptions::plaintext("127.0.0.1:9092"));
        assert_eq!(format!("{parsed:?}"), format!("{built:?}"));
        built.check().unwrap();
    }

    #[test]
    fn origins_are_exact() {
        for (origin, taken) in [
            ("https://shop.example", true),
            ("http://localhost:3000", true),
            ("*", false),
            ("null", false),
            ("https://*.example", false),
            ("https://shop.example/", false),
            ("shop.example", false),
        ] {
            assert_eq!(origin_header(origin).is_ok(), taken, "{origin}");
        }
    }

    #[test]
    fn limits_that_contradict_each_other_are_refused() {
        let refused = |args: &[&str]| {
            let args = std::iter::once("ingest").chain(args.iter().copied());
            Command::parse_from(args).options.check().unwrap_err().to_string()
        };
        assert!(refused(&["--pack-bytes", "2000000"]).contains("--pack-bytes"));
        assert!(refused(&["--max-memory-bytes", "20000000"]).contains("--max-memory-bytes"));
        assert!(refused(&["--max-body-bytes", "0"]).contains("--max-body-bytes"));
    }
}
