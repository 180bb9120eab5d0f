//! The consumer group that shares the work of a role: its members never fetch, they are only told what is theirs.

use process::Finding;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::KafkaResult;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::time::Duration;

const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// A member. Since it never fetches, its offsets mean nothing.
pub fn member(
    mut client: ClientConfig,
    group: &str,
    session_timeout_s: u32,
    instance: Option<&str>,
) -> ClientConfig {
    let session_ms = u64::from(session_timeout_s) * 1000;
    client
        .set("group.id", group)
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("session.timeout.ms", session_ms.to_string())
        .set("heartbeat.interval.ms", (session_ms / 3).to_string())
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "latest");
    if let Some(name) = instance {
        client.set("group.instance.id", name);
    }
    client
}

/// Accepts partitions without ever fetching them.
pub fn take<C: ConsumerContext>(
    member: &BaseConsumer<C>,
    partitions: &mut TopicPartitionList,
) -> KafkaResult<()> {
    partitions.set_all_offsets(Offset::End)?;
    match member.rebalance_protocol() {
        RebalanceProtocol::Cooperative => member.incremental_assign(partitions)?,
        _ => member.assign(partitions)?,
    }
    member.pause(partitions)
}

/// Gives them up.
pub fn give_back<C: ConsumerContext>(
    member: &BaseConsumer<C>,
    partitions: &TopicPartitionList,
) -> KafkaResult<()> {
    match member.rebalance_protocol() {
        RebalanceProtocol::Cooperative => member.incremental_unassign(partitions),
        _ => member.unassign(),
    }
}

/// How many members of a role are in their consumer group.
pub fn examine(client: &ClientConfig, role: &str, group: &str) -> Finding {
    let part = format!("{role}s");
    let asked = client
        .create::<BaseConsumer>()
        .and_then(|consumer| consumer.fetch_group_list(Some(group), ANSWER_WITHIN));
    match asked {
        Err(error) => {
            Finding::degraded(part, format!("Kafka doesn't tell who is in the group {group}: {error}"))
        }
        Ok(found) => match found.groups().iter().map(|group| group.members().len()).sum::<usize>() {
            0 => Finding::degraded(part, format!("no {role} is in the group {group}")),
            1 => Finding::ok(part, format!("1 is in the group {group}")),
            members => Finding::ok(part, format!("{members} are in the group {group}")),
        },
    }
}
