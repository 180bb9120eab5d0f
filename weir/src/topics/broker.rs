//! The few administrative questions that topics need.

use super::Shape;
use anyhow::{Context, anyhow, bail};
use process::KafkaOptions;
use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigResource, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::types::RDKafkaErrorCode;
use std::collections::BTreeMap;
use std::time::Duration;

const ANSWER_WITHIN: Duration = Duration::from_secs(15);

/// A connection for administration.
pub struct Broker {
    client: AdminClient<DefaultClientContext>,
    // The answers are futures, the command is not asynchronous.
    runtime: tokio::runtime::Runtime,
}

impl Broker {
    /// Prepares a connection; the first question makes it.
    pub fn connect(kafka: &KafkaOptions) -> anyhow::Result<Self> {
        let client = kafka.client().create().context("Kafka's options don't go together")?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { client, runtime })
    }

    /// How many brokers there are.
    pub fn count(&self, within: Duration) -> anyhow::Result<usize> {
        Ok(self.client.inner().fetch_metadata(None, within)?.brokers().len())
    }

    /// The topics among `names` that exist.
    pub fn shapes<'a>(
        &self,
        names: impl Iterator<Item = &'a str>,
    ) -> anyhow::Result<BTreeMap<String, Shape>> {
        let metadata =
            self.client.inner().fetch_metadata(None, ANSWER_WITHIN).context("Kafka does not answer")?;
        let counts: BTreeMap<&str, u32> = metadata
            .topics()
            .iter()
            .map(|topic| (topic.name(), u32::try_from(topic.partitions().len()).unwrap_or(u32::MAX)))
            .collect();
        let existing: Vec<&str> = names.filter(|name| counts.contains_key(name)).collect();
        let resources: Vec<ResourceSpecifier<'_>> =
            existing.iter().map(|name| ResourceSpecifier::Topic(name)).collect();
        if resources.is_empty() {
            return Ok(BTreeMap::new());
        }
        let described = self
            .runtime
            .block_on(self.client.describe_configs(&resources, &options()))
            .context("Kafka does not tell the topics' configuration")?;
        let mut shapes = BTreeMap::new();
        for (name, resource) in existing.iter().zip(described) {
            let resource = resource
                .map_err(|code| anyhow!("Kafka does not tell the configuration of {name}: {code}"))?;
            shapes.insert((*name).to_owned(), shape(counts[name], &resource)?);
        }
        Ok(shapes)
    }

    /// Creates topics; one that another process has just created counts as created.
    pub fn create(&self, topics: &[(&str, Shape)], replication: Option<u16>) -> anyhow::Result<()> {
        if topics.is_empty() {
            return Ok(());
        }
        let settings: Vec<Vec<(&str, String)>> = topics.iter().map(|(_, shape)| settings(shape)).collect();
        let new = topics.iter().zip(&settings).map(|((name, shape), settings)| {
            // −1 leaves the number to the brokers' own default.
            let replicas = replication.map_or(-1, i32::from);
            let count = i32::try_from(shape.partitions).unwrap_or(i32::MAX);
            let topic = NewTopic::new(name, count, TopicReplication::Fixed(replicas));
            settings.iter().fold(topic, |topic, (key, value)| topic.set(key, value))
        });
        let new: Vec<NewTopic<'_>> = new.collect();
        let created = self
            .runtime
            .block_on(self.client.create_topics(&new, &options()))
            .context("Kafka creates no topics")?;
        for outcome in created {
            match outcome {
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((name, code)) => bail!("Kafka refuses to create topic {name}: {code}"),
            }
        }
        Ok(())
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(ANSWER_WITHIN)).operation_timeout(Some(ANSWER_WITHIN))
}

fn settings(shape: &Shape) -> Vec<(&'static str, String)> {
    let mut settings = vec![
        ("cleanup.policy", shape.cleanup.clone()),
        ("message.timestamp.type", shape.timestamp.clone()),
        ("max.message.bytes", shape.max_message_bytes.to_string()),
    ];
    settings.extend(shape.retention_ms.map(|ms| ("retention.ms", ms.to_string())));
    settings
}

fn shape(partitions: u32, resource: &ConfigResource) -> anyhow::Result<Shape> {
    let text = |key: &str| {
        let entry = resource.get(key).and_then(|entry| entry.value.clone());
        entry.with_context(|| format!("Kafka does not tell `{key}` of {:?}", resource.specifier))
    };
    let cleanup = text("cleanup.policy")?;
    let deletes = cleanup.contains("delete");
    Ok(Shape {
        partitions,
        cleanup,
        timestamp: text("message.timestamp.type")?,
        max_message_bytes: text("max.message.bytes")?.parse()?,
        retention_ms: if deletes { Some(text("retention.ms")?.parse()?) } else { None },
    })
}
