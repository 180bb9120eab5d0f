//! `weir doctor`: what is wrong with an installation, what that means, and the command that mends it. It looks with
//! the eyes of the roles themselves, so it can't disagree with their start, and it changes nothing.

mod explain;
mod report;

use crate::topics;
use clap::Args;
use explain::Explained;
use process::{ClickHouseOptions, Finding, KafkaOptions, Level};
use std::process::ExitCode;
use std::time::Duration;
use stream_processor::{processor, store};

const ANSWER_WITHIN: Duration = Duration::from_secs(5);
const KAFKA: &str = "Kafka";

/// Flags of `weir doctor`: those of the roles that say where to look.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Options {
    /// How to reach Kafka.
    #[command(flatten)]
    pub kafka: KafkaOptions,
    /// How to reach ClickHouse.
    #[command(flatten)]
    pub clickhouse: ClickHouseOptions,
    /// Text before every topic's name, as the roles have it.
    #[arg(long, env = "WEIR_TOPIC_PREFIX", value_name = "TEXT", default_value = "")]
    pub topic_prefix: String,
    /// Consumer group of the processors.
    #[arg(long, env = "WEIR_GROUP", value_name = "NAME", default_value = "weir-processor")]
    pub group: String,
    /// Environment of spans that name none, as the processors have it.
    #[arg(long, env = "WEIR_DEFAULT_ENVIRONMENT", value_name = "NAME", default_value = "")]
    pub default_environment: String,
    /// Where roles answer /ready: their own reasons are told too.
    #[arg(long, env = "WEIR_READY", value_name = "HOST:PORT", value_delimiter = ',')]
    pub ready: Vec<String>,
    /// Rebuilds each shard as a start would, to see whether it comes out the same. Only while no processor runs.
    #[arg(long, env = "WEIR_REBUILD")]
    pub rebuild: bool,
    /// Prints one JSON document.
    #[arg(long, env = "WEIR_JSON")]
    pub json: bool,
}

const EXAMPLES: &str = "\
Examples:
  weir doctor                                            the servers of `weir up`
  weir doctor --ready 127.0.0.1:13133,127.0.0.1:13134,127.0.0.1:13135,127.0.0.1:8080
  weir doctor --kafka broker:9092 --clickhouse https://clickhouse:8443 --json

Exit code: 0 healthy, 1 degraded, 2 a role would refuse to start. Nothing is written and nobody is fenced.";

/// Looks at everything and prints it.
///
/// # Errors
/// The command itself fails.
pub async fn run(options: Options) -> anyhow::Result<ExitCode> {
    let mut found = kafka(&options).await?;
    let mut store = store::Options::new(options.kafka.clone(), options.clickhouse.clone());
    store.topic_prefix.clone_from(&options.topic_prefix);
    let is_ok =
        |found: &[Finding], part| found.iter().any(|each| each.part == part && each.level == Level::Ok);
    let has_kafka = is_ok(&found, KAFKA);
    found.extend(store::doctor::clickhouse(&store).await);
    if has_kafka && is_ok(&found, store::doctor::TABLES) {
        found.extend(store::doctor::lanes(&store).await?);
    }
    for address in &options.ready {
        found.push(ready(address).await);
    }
    let found: Vec<Explained> = found.into_iter().map(Explained::of).collect();
    print!("{}", if options.json { report::json(&found)? } else { report::text(&found) });
    Ok(match found.iter().map(|each| each.finding.level).max() {
        None | Some(Level::Ok) => ExitCode::SUCCESS,
        Some(Level::Degraded) => ExitCode::from(1),
        Some(Level::Refused) => ExitCode::from(2),
    })
}

async fn kafka(options: &Options) -> anyhow::Result<Vec<Finding>> {
    let kafka = options.kafka.clone();
    let brokers = tokio::task::spawn_blocking(move || topics::brokers(&kafka, ANSWER_WITHIN)).await?;
    let mut found = match brokers {
        Err(why) => {
            return Ok(vec![Finding::degraded(
                "Kafka",
                format!("{} doesn't answer: {why:#}", options.kafka.kafka),
            )]);
        }
        Ok(1) => vec![Finding::ok(KAFKA, format!("1 broker at {}", options.kafka.kafka))],
        Ok(brokers) => vec![Finding::ok(KAFKA, format!("{brokers} brokers at {}", options.kafka.kafka))],
    };
    let mut processor = processor::Options::new(options.kafka.clone());
    processor.group.clone_from(&options.group);
    processor.topic_prefix.clone_from(&options.topic_prefix);
    processor.default_environment.clone_from(&options.default_environment);
    found.extend(processor::doctor::examine(&processor, options.rebuild).await?);
    Ok(found)
}

/// What a role says about itself.
async fn ready(address: &str) -> Finding {
    let part = format!("role at {address}");
    let asked = async {
        let client = reqwest::Client::builder().no_proxy().timeout(ANSWER_WITHIN).build()?;
        let answer = client.get(format!("http://{address}/ready")).send().await?;
        Ok::<_, reqwest::Error>((answer.status().as_u16(), answer.text().await?))
    };
    match asked.await {
        Ok((200, _)) => Finding::ok(part, "ready"),
        Ok((503, reasons)) => Finding::degraded(part, reasons.trim_end().replace('\n', "; ")),
        Ok((status, _)) => {
            Finding::degraded(part, format!("answers {status} to /ready: is this a role of Weir?"))
        }
        Err(error) => Finding::degraded(part, format!("doesn't answer: {error}")),
    }
}
