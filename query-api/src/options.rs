//! Flags of the query API.

use crate::graph::StatusRules;
use crate::limits::Limits;
use process::{ClickHouseOptions, KafkaOptions};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// Where to listen and how to answer.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// Where flow deltas come from.
    #[command(flatten)]
    pub kafka: KafkaOptions,
    /// Where older numbers and raw spans are.
    #[command(flatten)]
    pub clickhouse: ClickHouseOptions,
    /// Address of the page, REST, the WebSocket, health and metrics.
    #[arg(long, env = "WEIR_LISTEN", value_name = "HOST:PORT", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// Origin of a page that may connect, such as https://flows.example.com; may be given several times. Pages
    /// served by this address itself always may.
    #[arg(long, env = "WEIR_ORIGIN", value_name = "URL", value_delimiter = ',')]
    pub origin: Vec<String>,
    /// Metrics page of another role of Weir, such as http://ingest:9465/metrics, whose counts are part of
    /// /api/v1/status; may be given several times.
    #[arg(long = "role", env = "WEIR_ROLE", value_name = "URL", value_delimiter = ',')]
    pub roles: Vec<reqwest::Url>,
    /// Don't tell the schema of GraphQL; its text is part of the documentation anyway.
    #[arg(long, env = "WEIR_NO_INTROSPECTION")]
    pub no_introspection: bool,
    /// Origin of a page that may read answers with a token of its own; may be given several times.
    #[arg(long, env = "WEIR_CORS_ORIGIN", value_name = "URL", value_delimiter = ',')]
    pub cors_origin: Vec<String>,
    /// TOML file that says who may ask what, see docs/access.md; without it everybody may ask everything.
    #[arg(long, env = "WEIR_AUTH", value_name = "FILE")]
    pub auth: Option<PathBuf>,
    /// Lets everybody ask everything although other machines can reach this one.
    #[arg(long, env = "WEIR_NO_AUTH", conflicts_with = "auth")]
    pub no_auth: bool,
    /// Certificate chain for TLS, PEM; read again when it changes.
    #[arg(long, env = "WEIR_TLS_CERT", value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// Key of that certificate, PEM.
    #[arg(long, env = "WEIR_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Requests a second of one caller; four seconds' worth may come at once. 0: any number.
    #[arg(long, env = "WEIR_REQUESTS_PER_SECOND", value_name = "COUNT", default_value_t = 50)]
    pub requests_per_second: u32,
    /// Text before every topic's name, where several installations share one Kafka.
    #[arg(long, env = "WEIR_TOPIC_PREFIX", value_name = "TEXT", default_value = "")]
    pub topic_prefix: String,
    /// Most memory for the last 15 minutes; above it they become fewer minutes.
    #[arg(long, env = "WEIR_LIVE_MEMORY_MIB", value_name = "MIB", default_value_t = 256)]
    pub live_memory_mib: u32,
    /// Share of errors from which a service counts as degraded.
    #[arg(long, env = "WEIR_DEGRADED_ERROR_RATE", value_name = "SHARE", default_value_t = 0.05)]
    pub degraded_error_rate: f64,
    /// Share of errors from which a service counts as down.
    #[arg(long, env = "WEIR_DOWN_ERROR_RATE", value_name = "SHARE", default_value_t = 0.5)]
    pub down_error_rate: f64,
    /// Requests in the window below which no share of errors makes a service degraded or down.
    #[arg(long, env = "WEIR_STATUS_LEAST_REQUESTS", value_name = "COUNT", default_value_t = 10)]
    pub status_least_requests: u32,
}

impl Options {
    /// The defaults over these servers, for processes that run several roles.
    pub fn new(kafka: KafkaOptions, clickhouse: ClickHouseOptions) -> Self {
        Self {
            kafka,
            clickhouse,
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            origin: Vec::new(),
            roles: Vec::new(),
            no_introspection: false,
            cors_origin: Vec::new(),
            auth: None,
            no_auth: false,
            tls_cert: None,
            tls_key: None,
            requests_per_second: 50,
            topic_prefix: String::new(),
            live_memory_mib: 256,
            degraded_error_rate: 0.05,
            down_error_rate: 0.5,
            status_least_requests: 10,
        }
    }

    /// A topic's name in this installation.
    pub(crate) fn topic(&self, name: &str) -> String {
        format!("{}{name}", self.topic_prefix)
    }

    pub(crate) fn limits(&self) -> Limits {
        Limits { live_bytes: (self.live_memory_mib as usize) << 20, ..Limits::default() }
    }

    pub(crate) fn rules(&self) -> StatusRules {
        StatusRules {
            degraded: self.degraded_error_rate,
            down: self.down_error_rate,
            least_requests: i64::from(self.status_least_requests),
        }
    }
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
    fn new_is_what_no_flags_give() {
        let flags = Command::parse_from(["test"]).options;
        let new = Options::new(flags.kafka.clone(), flags.clickhouse.clone());
        assert_eq!(format!("{flags:?}"), format!("{new:?}"));
    }
}
