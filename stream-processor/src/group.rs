//! Who shares the work of a role, as Kafka tells it.

use process::Finding;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use std::time::Duration;

const ANSWER_WITHIN: Duration = Duration::from_secs(10);

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
