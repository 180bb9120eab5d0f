//! How to reach Kafka.

use crate::Secret;
use clap::ValueEnum;
use rdkafka::ClientConfig;
use std::path::PathBuf;

/// Flags of every process that talks to Kafka.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Kafka")]
pub struct KafkaOptions {
    /// Brokers to start from.
    #[arg(long, env = "WEIR_KAFKA", value_name = "HOST:PORT[,…]", default_value = "127.0.0.1:9092")]
    pub kafka: String,
    /// How the connection is protected.
    #[arg(long, env = "WEIR_KAFKA_SECURITY", value_name = "PROTOCOL", value_enum, default_value_t = KafkaSecurity::Plaintext)]
    pub kafka_security: KafkaSecurity,
    /// How the user is proved.
    #[arg(long, env = "WEIR_KAFKA_SASL_MECHANISM", value_name = "MECHANISM", value_enum, default_value_t = SaslMechanism::ScramSha512)]
    pub kafka_sasl_mechanism: SaslMechanism,
    /// User name for SASL.
    #[arg(long, env = "WEIR_KAFKA_USER", value_name = "NAME")]
    pub kafka_user: Option<String>,
    /// Password for SASL; better given as a file.
    #[arg(
        long,
        env = "WEIR_KAFKA_PASSWORD",
        value_name = "PASSWORD",
        hide_env_values = true,
        hide_default_value = true
    )]
    pub kafka_password: Option<Secret>,
    /// File that holds the password for SASL.
    #[arg(long, env = "WEIR_KAFKA_PASSWORD_FILE", value_name = "FILE", value_parser = Secret::read_file)]
    pub kafka_password_file: Option<Secret>,
    /// Certificate authority of the brokers, PEM; the system's by default.
    #[arg(long, env = "WEIR_KAFKA_CA", value_name = "FILE")]
    pub kafka_ca: Option<PathBuf>,
}

/// `security.protocol`.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
#[value(rename_all = "snake_case")]
pub enum KafkaSecurity {
    /// No protection.
    Plaintext,
    /// TLS.
    Ssl,
    /// User and password in the clear.
    SaslPlaintext,
    /// User and password over TLS.
    SaslSsl,
}

/// `sasl.mechanism`.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaslMechanism {
    /// The password itself.
    Plain,
    /// Salted challenge and response.
    #[value(name = "scram-sha-256")]
    ScramSha256,
    /// The same with the longer hash.
    #[value(name = "scram-sha-512")]
    ScramSha512,
}

impl KafkaOptions {
    /// Options for brokers that ask for nothing, for children of `weir up` and tests.
    pub fn plaintext(brokers: impl Into<String>) -> Self {
        Self {
            kafka: brokers.into(),
            kafka_security: KafkaSecurity::Plaintext,
            kafka_sasl_mechanism: SaslMechanism::ScramSha512,
            kafka_user: None,
            kafka_password: None,
            kafka_password_file: None,
            kafka_ca: None,
        }
    }

    /// A client configuration with brokers, security and bounded queues; the caller adds what its role needs.
    pub fn client(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        client
            .set("bootstrap.servers", &self.kafka)
            .set("client.id", "weir")
            .set("socket.keepalive.enable", "true")
            // librdkafka's defaults are 64 MB a consumer queue and 1 GB a producer.
            .set("queued.max.messages.kbytes", "16384")
            .set("queue.buffering.max.kbytes", "65536")
            .set("security.protocol", self.kafka_security.as_str());
        if matches!(self.kafka_security, KafkaSecurity::SaslPlaintext | KafkaSecurity::SaslSsl) {
            client.set("sasl.mechanism", self.kafka_sasl_mechanism.as_str());
            client.set("sasl.username", self.kafka_user.as_deref().unwrap_or_default());
            client.set("sasl.password", self.password().map_or("", Secret::reveal));
        }
        if let Some(authority) = &self.kafka_ca {
            client.set("ssl.ca.location", authority.to_string_lossy());
        }
        client
    }

    fn password(&self) -> Option<&Secret> {
        self.kafka_password.as_ref().or(self.kafka_password_file.as_ref())
    }
}

impl KafkaSecurity {
    fn as_str(self) -> &'static str {
        match self {
            Self::Plaintext => "plaintext",
            Self::Ssl => "ssl",
            Self::SaslPlaintext => "sasl_plaintext",
            Self::SaslSsl => "sasl_ssl",
        }
    }
}

impl SaslMechanism {
    fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use rdkafka::producer::BaseProducer;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        kafka: KafkaOptions,
    }

    fn client(args: &[&str]) -> ClientConfig {
        Command::parse_from(std::iter::once("test").chain(args.iter().copied())).kafka.client()
    }

    #[test]
    fn without_flags_it_is_the_local_broker_with_bounded_queues() {
        let client = client(&[]);
        assert_eq!(client.get("bootstrap.servers"), Some("127.0.0.1:9092"));
        assert_eq!(client.get("security.protocol"), Some("plaintext"));
        assert_eq!(client.get("sasl.password"), None);
        assert_eq!(client.get("queue.buffering.max.kbytes"), Some("65536"));
    }

    #[test]
    fn librdkafka_accepts_every_protection() {
        for security in ["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"] {
            for mechanism in ["plain", "scram-sha-256", "scram-sha-512"] {
                let client = client(&[
                    "--kafka-security",
                    security,
                    "--kafka-sasl-mechanism",
                    mechanism,
                    "--kafka-user",
                    "u",
                    "--kafka-password",
                    "p",
                ]);
                let created: Result<BaseProducer, _> = client.create();
                assert!(created.is_ok(), "{security} {mechanism}: {:?}", created.err());
            }
        }
    }
}
