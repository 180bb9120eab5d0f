//! Which lanes this process has: those whose journal is in the partitions of `store_journal` that the consumer group
//! has given to it. One thread keeps the membership, starts a thread for each of these lanes, and ends it before it
//! gives the partition back. Nothing is ever fetched here: every lane has a consumer of its own.

use super::failure::Failure;
use super::lane::Lane;
use super::running::Running;
use super::{KAFKA, Shared};
use crate::group::{give_back, take};
use anyhow::{Context as _, bail};
use rdkafka::client::ClientContext;
use rdkafka::consumer::base_consumer::BaseConsumer;
use rdkafka::consumer::{CommitMode, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaRespErr;
use schemas::topics::STORE_JOURNAL;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{RecvTimeoutError, TryRecvError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

const POLL: Duration = Duration::from_millis(100);
const ROUND: Duration = Duration::from_secs(1);
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// ClickHouse may take long for an insert; the next owner fences a lane that is not done by then.
const STOP_WITHIN: Duration = Duration::from_secs(30);
const ELSEWHERE: &str = "another store has it";

/// Keeps the membership until `stop`, then ends all lanes.
///
/// # Errors
/// A lane that can't go on, or a group that doesn't want this member any more.
pub fn run(
    shared: Arc<Shared>,
    lanes: Vec<Lane>,
    runtime: Handle,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let topic = shared.options.topic(STORE_JOURNAL);
    let member: BaseConsumer<Group> = shared
        .options
        .member()
        .create_with_context(Group { shared, lanes, runtime, running: Mutex::default() })
        .context("no member of the consumer group can be made")?;
    member.subscribe(&[&topic]).with_context(|| format!("can't subscribe to {topic}"))?;
    member.context().has_joined(false);
    let worked = keep(&member, &topic, stop);
    member.context().end(|_| true);
    worked
}

fn keep(member: &BaseConsumer<Group>, topic: &str, stop: &CancellationToken) -> anyhow::Result<()> {
    let group = member.context();
    let mut round = Instant::now();
    while !stop.is_cancelled() {
        match member.poll(POLL) {
            Some(Err(KafkaError::MessageConsumptionFatal(code))) => {
                bail!("the consumer group doesn't accept this member any more: {code}")
            }
            Some(Err(error)) => tracing::debug!("consumer group: {error}"),
            // The partitions are paused; what was fetched before that is not for this consumer.
            Some(Ok(_)) | None => {}
        }
        group.look_after()?;
        if round.elapsed() >= ROUND {
            round = Instant::now();
            group.start_confirmed(member, topic);
        }
    }
    Ok(())
}

/// The lanes of this process.
struct Group {
    shared: Arc<Shared>,
    /// All there are.
    lanes: Vec<Lane>,
    runtime: Handle,
    // librdkafka calls back on the thread that polls, so nobody ever waits for this lock; the callback's signature
    // asks for shared access.
    running: Mutex<BTreeMap<u16, Running>>,
}

impl Group {
    fn running(&self) -> MutexGuard<'_, BTreeMap<u16, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lanes of these partitions.
    fn lanes_of(&self, partitions: &[i32]) -> impl Iterator<Item = &Lane> {
        let all = self.shared.journal_partitions;
        self.lanes.iter().filter(move |lane| partitions.contains(&lane.journal(all)))
    }

    fn start(&self, lane: &Lane) -> Running {
        self.shared.health.ready(&lane.part(), false, "reading its journal");
        Running::start(&self.shared, lane.clone(), &self.runtime)
    }

    fn begin(&self, partitions: &[i32]) {
        for lane in self.lanes_of(partitions) {
            if let Some(before) = self.running().insert(lane.number, self.start(lane)) {
                // The group never gives what it has not taken back; if it did, the new thread would fence the old one.
                before.stop.cancel();
            }
        }
    }

    /// Asks all chosen lanes to stop, then waits for each: their last inserts run side by side.
    fn end(&self, chosen: impl Fn(&Lane) -> bool) {
        let mut ending = Vec::new();
        for lane in self.lanes.iter().filter(|lane| chosen(lane)) {
            if let Some(running) = self.running().remove(&lane.number) {
                running.stop.cancel();
                ending.push((lane, running.ended));
            }
        }
        let deadline = Instant::now() + STOP_WITHIN;
        for (lane, ended) in ending {
            match ended.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(Err(why)) => tracing::warn!(lane = lane.number, "the lane did not stop cleanly: {why}"),
                Err(RecvTimeoutError::Timeout) => {
                    tracing::error!(lane = lane.number, "the lane hangs; its next owner fences it");
                }
                Ok(Ok(())) | Err(RecvTimeoutError::Disconnected) => {}
            }
            self.shared.metrics.forget(lane);
            self.shared.health.ready(&lane.part(), true, ELSEWHERE);
        }
    }

    /// Notices lanes that ended by themselves.
    fn look_after(&self) -> anyhow::Result<()> {
        for (number, running) in self.running().iter_mut() {
            if running.refused.is_some() {
                continue;
            }
            match running.ended.try_recv() {
                Ok(Err(why @ (Failure::Fenced(_) | Failure::Taken(_)))) => {
                    tracing::warn!(lane = number, "the lane stops: {why}");
                    running.fenced(&why);
                }
                Ok(Err(why)) => {
                    tracing::error!(lane = number, "the lane stays down: {why}");
                    running.refused = Some(why.to_string());
                }
                Err(TryRecvError::Disconnected) if running.fenced_until.is_none() => {
                    bail!("lane {number} crashed")
                }
                Ok(Ok(())) | Err(_) => {}
            }
        }
        // Where every lane is refused, somebody else may be able to do better.
        let running = self.running();
        let refused: Option<Vec<&String>> = running.values().map(|lane| lane.refused.as_ref()).collect();
        match refused.as_deref() {
            Some([first, ..]) => bail!("no lane can go on: {first}"),
            _ => Ok(()),
        }
    }

    /// Starts fenced lanes again whose assignment the group confirms: it takes offsets from members of its present
    /// generation only.
    fn start_confirmed(&self, member: &BaseConsumer<Self>, topic: &str) {
        let now = Instant::now();
        let is_due = |running: &Running| running.fenced_until.is_some_and(|until| until <= now);
        let due: BTreeSet<u16> =
            self.running().iter().filter(|(_, running)| is_due(running)).map(|(lane, _)| *lane).collect();
        if due.is_empty() {
            return;
        }
        let due: Vec<&Lane> = self.lanes.iter().filter(|lane| due.contains(&lane.number)).collect();
        let partitions = due.iter().map(|lane| lane.journal(self.shared.journal_partitions)).collect();
        if let Err(why) = confirm(member, topic, &partitions) {
            // It is asked again in the next round, until it confirms or takes the lanes back.
            tracing::debug!("the group doesn't confirm the assignment: {why}");
            return;
        }
        for lane in due {
            // A rebalance may have taken it away meanwhile.
            if let Some(before) = self.running().get_mut(&lane.number) {
                tracing::info!(
                    lane = lane.number,
                    "the group confirms the assignment, the lane starts again"
                );
                *before = Running { pause: before.pause, ..self.start(lane) };
            }
        }
    }

    /// Lanes of others are no reason for this process not to be ready.
    fn has_joined(&self, joined: bool) {
        let health = &self.shared.health;
        health.ready(KAFKA, joined, if joined { "" } else { "joining the consumer group" });
        let running = self.running();
        for lane in self.lanes.iter().filter(|lane| joined && !running.contains_key(&lane.number)) {
            health.ready(&lane.part(), true, ELSEWHERE);
        }
    }
}

/// Where a lane goes on is said by its journal: the offsets only serve to be accepted, and tools that watch lag.
fn confirm(member: &BaseConsumer<Group>, topic: &str, partitions: &BTreeSet<i32>) -> KafkaResult<()> {
    let mut offsets = TopicPartitionList::new();
    for partition in partitions {
        let (_, end) = member.fetch_watermarks(topic, *partition, ANSWER_WITHIN)?;
        offsets.add_partition_offset(topic, *partition, Offset::Offset(end))?;
    }
    member.commit(&offsets, CommitMode::Sync)
}

impl ClientContext for Group {}

impl ConsumerContext for Group {
    fn rebalance(
        &self,
        member: &BaseConsumer<Self>,
        event: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let named: Vec<i32> = partitions.elements().iter().map(|element| element.partition()).collect();
        let done = if event == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            tracing::info!(journals = ?named, "lanes assigned");
            let taken = take(member, partitions);
            self.begin(&named);
            self.has_joined(true);
            taken
        } else {
            tracing::info!(journals = ?named, "lanes revoked");
            // In here, because the group hands them on as soon as this returns.
            let all = self.shared.journal_partitions;
            self.end(|lane| named.contains(&lane.journal(all)));
            // The group answers with an assignment, be it an empty one, as long as it knows this member.
            let has_some = !self.running().is_empty();
            self.has_joined(has_some);
            give_back(member, partitions)
        };
        if let Err(error) = done {
            tracing::error!("the assignment could not be changed: {error}");
        }
    }
}
