//! Who owns which partition. One thread keeps the membership in the consumer group, starts a shard's thread for
//! each partition it is given, and ends it before it gives the partition back.

use super::failure::Failure;
use super::kafka::KafkaInput;
use super::running::{Down, Ended, Running};
use super::standby::{Kept, Standby};
use super::{PART, Room};
use crate::group::{give_back, take};
use anyhow::{Context as _, bail};
use process::Health;
use rdkafka::client::ClientContext;
use rdkafka::consumer::base_consumer::BaseConsumer;
use rdkafka::consumer::{CommitMode, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaRespErr;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, TryRecvError, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

const POLL: Duration = Duration::from_millis(100);
const ROUND: Duration = Duration::from_secs(1);
/// A shard's last transaction takes at most its watchdog's time; after that its successor fences it anyway.
const STOP_WITHIN: Duration = Duration::from_secs(30);
/// How long a shard is kept in memory after its partition was taken away: a broker that restarts, or a process that
/// was stopped for a moment, gives it back soon.
const KEEP: Duration = Duration::from_secs(60);

/// Two processes with the same --group-instance-id put each other out: the one that this happens to again within so
/// long gives way.
const PUT_OUT_AGAIN: Duration = Duration::from_secs(60);
const REJOIN_AFTER: Duration = Duration::from_secs(3);

/// Keeps the membership until `stop`, or until everything is drained, then ends all shards.
///
/// # Errors
/// A shard that can't go on, or a group that doesn't want this member any more.
pub fn run(room: Arc<Room>, health: &Health, stop: &CancellationToken) -> anyhow::Result<()> {
    let group = Arc::new(Group::new(room));
    let mut put_out: Option<Instant> = None;
    loop {
        health.ready(PART, false, "joining the consumer group");
        let member = join(&group)?;
        let over = keep(&member, health, stop);
        group.end(|_| true);
        let code = match over {
            Ok(Over::PutOut(code)) => code,
            ended => {
                group.copies().values().for_each(Standby::stop);
                return ended.map(drop);
            }
        };
        // A broker that restarts can take a member with a name for a stranger.
        if put_out.is_some_and(|before| before.elapsed() < PUT_OUT_AGAIN) {
            bail!("the consumer group doesn't accept this member any more: {code}");
        }
        tracing::warn!("the consumer group has put this member out, it joins again: {code}");
        put_out = Some(Instant::now());
        thread::sleep(REJOIN_AFTER);
    }
}

fn join(group: &Arc<Group>) -> anyhow::Result<BaseConsumer<Member>> {
    let Room { options, topics, .. } = &*group.room;
    let member: BaseConsumer<Member> = options
        .member()
        .create_with_context(Member(group.clone()))
        .context("no member of the consumer group can be made")?;
    member.subscribe(&[&topics.spans]).with_context(|| format!("can't subscribe to {}", topics.spans))?;
    Ok(member)
}

/// Why a membership is over.
enum Over {
    /// There is nothing more to do.
    Ended,
    /// The group doesn't know this member any more.
    PutOut(RDKafkaErrorCode),
}

fn keep(member: &BaseConsumer<Member>, health: &Health, stop: &CancellationToken) -> anyhow::Result<Over> {
    let Member(group) = &**member.context();
    let mut round = Instant::now();
    while !stop.is_cancelled() && !group.is_drained() {
        match member.poll(POLL) {
            Some(Err(KafkaError::MessageConsumptionFatal(code))) => return Ok(Over::PutOut(code)),
            Some(Err(error)) => tracing::debug!("consumer group: {error}"),
            // The partitions are paused; what was fetched before that is not for this consumer.
            Some(Ok(_)) | None => {}
        }
        group.look_after()?;
        if round.elapsed() >= ROUND {
            round = Instant::now();
            group.left().retain(|_, left| left.since.elapsed() < KEEP);
            group.tell_lag_monitors(member);
            group.start_confirmed(member);
            if group.room.options.standby && group.joined.load(Ordering::Relaxed) {
                group.copy_others();
            }
        }
        group.report(health);
    }
    Ok(Over::Ended)
}

/// The shards of this process.
struct Group {
    room: Arc<Room>,
    // librdkafka calls back on the thread that polls, so nobody ever waits for this lock; the callback's signature
    // asks for shared access.
    shards: Mutex<BTreeMap<i32, Running>>,
    left: Mutex<BTreeMap<i32, Left>>,
    /// Copies of the shards of others.
    copies: Mutex<BTreeMap<i32, Standby>>,
    joined: AtomicBool,
}

/// A shard without a thread.
struct Left {
    kept: Kept<KafkaInput>,
    since: Instant,
}

impl Group {
    fn new(room: Arc<Room>) -> Self {
        let (shards, left, copies) = (Mutex::default(), Mutex::default(), Mutex::default());
        Self { room, shards, left, copies, joined: AtomicBool::new(false) }
    }

    fn shards(&self) -> MutexGuard<'_, BTreeMap<i32, Running>> {
        self.shards.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn left(&self) -> MutexGuard<'_, BTreeMap<i32, Left>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn copies(&self) -> MutexGuard<'_, BTreeMap<i32, Standby>> {
        self.copies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, partition: i32, kept: Kept<KafkaInput>) {
        if kept.work.is_some() || kept.copy.is_some() {
            self.left().insert(partition, Left { kept, since: Instant::now() });
        }
    }

    fn start(&self, partition: i32) -> Running {
        let mut kept = self.left().remove(&partition).map(|left| left.kept).unwrap_or_default();
        if let Some(copy) = self.copies().remove(&partition) {
            self.room.metrics.copied(partition, None);
            kept.copy = copy.end();
        }
        Running::start(&self.room, partition, kept)
    }

    /// Keeps copies of what others have.
    fn copy_others(&self) {
        let (shards, left, mut copies) = (self.shards(), self.left(), self.copies());
        for partition in 0..self.room.partitions.cast_signed() {
            if !shards.contains_key(&partition) && !left.contains_key(&partition) {
                copies.entry(partition).or_insert_with(|| Standby::start(&self.room, partition));
            }
        }
    }

    fn begin(&self, partition: i32) {
        let running = self.start(partition);
        if let Some(before) = self.shards().insert(partition, running) {
            // The group never gives what it has not taken back; if it did, the new thread would fence the old one.
            before.stop.cancel();
        }
    }

    /// Asks all chosen shards to stop, then waits for each: their last transactions run side by side.
    fn end(&self, chosen: impl Fn(i32) -> bool) {
        let mut ending = BTreeMap::new();
        self.shards().retain(|partition, running| {
            let stays = !chosen(*partition);
            if !stays {
                running.stop.cancel();
                ending.insert(*partition, std::mem::replace(&mut running.ended, channel().1));
            }
            stays
        });
        let deadline = Instant::now() + STOP_WITHIN;
        for (partition, ended) in ending {
            let left = deadline.saturating_duration_since(Instant::now());
            match ended.recv_timeout(left) {
                Ok(Ended { why, kept }) => {
                    if let Err(why) = why {
                        tracing::warn!(partition, "the shard did not stop cleanly: {why}");
                    }
                    self.keep(partition, kept);
                }
                Err(RecvTimeoutError::Timeout) => {
                    tracing::error!(partition, "the shard hangs; its next owner fences it");
                }
                Err(RecvTimeoutError::Disconnected) => {}
            }
            self.room.metrics.forget(partition);
        }
    }

    /// Notices shards that ended by themselves.
    fn look_after(&self) -> anyhow::Result<()> {
        for (partition, running) in self.shards().iter_mut() {
            if running.fenced_until.is_some() || running.down.is_some() || running.is_drained() {
                continue;
            }
            match running.ended.try_recv() {
                Ok(Ended { why: Err(Failure::Fenced(why)), kept }) => {
                    tracing::warn!(partition, "the shard stops, another process has its transactions: {why}");
                    running.is_fenced();
                    self.keep(*partition, kept);
                }
                Ok(Ended { why: Err(why), .. }) => {
                    tracing::error!(partition, "the shard stays down: {why}");
                    running.down = Some(Down::Refused(format!("stays down: {why}")));
                }
                Ok(Ended { why: Ok(()), .. }) | Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) => running.crashes(&self.room, *partition),
            }
        }
        self.leave_if_useless()
    }

    /// Where every shard is refused, as by a program of another version, somebody else may be able to do better.
    fn leave_if_useless(&self) -> anyhow::Result<()> {
        let shards = self.shards();
        let refused = shards.iter().map(|(partition, running)| match &running.down {
            Some(Down::Refused(why)) => Some(format!("shard {partition} {why}")),
            _ => None,
        });
        let refused: Option<Vec<String>> = refused.collect();
        match refused.and_then(|refused| refused.into_iter().next()) {
            Some(first) => bail!("{first}"),
            None => Ok(()),
        }
    }

    /// Every shard was closed, as `--drain` asks for.
    fn is_drained(&self) -> bool {
        let shards = self.shards();
        shards.len() as u32 == self.room.partitions && shards.values().all(Running::is_drained)
    }

    /// Group commits only serve tools that watch consumer lag: where a shard goes on is said by its journal.
    fn tell_lag_monitors(&self, member: &BaseConsumer<Member>) {
        let mut offsets = TopicPartitionList::new();
        for (partition, running) in self.shards().iter_mut() {
            let next = running.progress.next_offset();
            if next > running.told && self.add(&mut offsets, *partition, Offset::Offset(next)) {
                running.told = next;
            }
        }
        if offsets.count() > 0
            && let Err(error) = member.commit(&offsets, CommitMode::Async)
        {
            tracing::debug!("offsets for lag monitors: {error}");
        }
    }

    fn add(&self, list: &mut TopicPartitionList, partition: i32, offset: Offset) -> bool {
        list.add_partition_offset(&self.room.topics.spans, partition, offset).is_ok()
    }

    /// Starts fenced shards again whose assignment the group confirms: it takes an offset from members of its
    /// present generation only.
    fn start_confirmed(&self, member: &BaseConsumer<Member>) {
        let now = Instant::now();
        let due = self.shards().iter().find_map(|(partition, running)| {
            let is_due = running.fenced_until.is_some_and(|until| until <= now);
            is_due.then(|| (*partition, running.progress.next_offset().max(0)))
        });
        let Some((partition, next)) = due else { return };
        let mut offsets = TopicPartitionList::new();
        self.add(&mut offsets, partition, Offset::Offset(next));
        let confirmed = member.commit(&offsets, CommitMode::Sync).is_ok();
        let mut shards = self.shards();
        match shards.get_mut(&partition) {
            Some(running) if confirmed => {
                tracing::info!(partition, "the group confirms the assignment, the shard starts again");
                *running = Running { pause: running.pause, ..self.start(partition) };
            }
            Some(running) => running.is_fenced(),
            // A rebalance has taken it away meanwhile.
            None => {}
        }
    }

    fn report(&self, health: &Health) {
        if !self.joined.load(Ordering::Relaxed) {
            return health.ready(PART, false, "joining the consumer group");
        }
        let shards = self.shards();
        if self.room.options.drain {
            let drained = shards.values().filter(|running| running.is_drained()).count();
            let missing = self.room.partitions as usize - shards.len().min(self.room.partitions as usize);
            return health.ready(
                PART,
                false,
                &format!("{drained} shards are drained, {missing} belong to other processors, which must be stopped"),
            );
        }
        let waiting: Vec<String> = shards
            .iter()
            .filter_map(|(partition, running)| Some(format!("shard {partition} {}", running.waits_for()?)))
            .collect();
        if waiting.is_empty() {
            let live = format!("{} shards are live", shards.len());
            let copies = self.copies().len();
            let copies = (copies > 0).then(|| format!(", and copies of {copies} others are kept"));
            health.ready(PART, true, &(live + &copies.unwrap_or_default()));
        } else {
            health.ready(PART, false, &waiting.join(", "));
        }
    }
}

/// The group as librdkafka calls it back. A member that is put out leaves it to the next one.
struct Member(Arc<Group>);

impl ClientContext for Member {}

impl ConsumerContext for Member {
    fn rebalance(
        &self,
        member: &BaseConsumer<Self>,
        event: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let Self(group) = self;
        let named: Vec<i32> = partitions.elements().iter().map(|element| element.partition()).collect();
        let done = if event == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            tracing::info!(partitions = ?named, "partitions assigned");
            group.joined.store(true, Ordering::Relaxed);
            let taken = take(member, partitions);
            let copies = group.copies();
            named.iter().filter_map(|partition| copies.get(partition)).for_each(Standby::stop);
            drop(copies);
            named.iter().for_each(|partition| group.begin(*partition));
            taken
        } else {
            tracing::info!(partitions = ?named, "partitions revoked");
            // In here, because the group hands them on as soon as this returns.
            group.end(|partition| named.contains(&partition));
            // The group answers with an assignment, be it an empty one, as long as it knows this member.
            group.joined.store(!group.shards().is_empty(), Ordering::Relaxed);
            give_back(member, partitions)
        };
        if let Err(error) = done {
            tracing::error!("the assignment could not be changed: {error}");
        }
    }
}
