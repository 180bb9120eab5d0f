//! What is done to whom and when: a function of the seed alone.

use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

/// Processors that share the partitions.
pub const PROCESSORS: u8 = 2;
/// Kills for which one pause is added.
const KILLS_A_PAUSE: usize = 5;
/// Longer than a processor's session (6 s), so that its partitions move while it stands still, and for some longer
/// than its transactions may stay open (10 s).
const PAUSE_MS: std::ops::Range<u64> = 8_000..15_000;
const KAFKA_AWAY: Duration = Duration::from_secs(180);
const CLICKHOUSE_AWAY: Duration = Duration::from_secs(600);
const DISK_FULL: Duration = Duration::from_secs(20);
/// Time between everything being well and the next fault.
const CALM_MS: std::ops::Range<u64> = 300..5_000;
/// Time between two faults that overlap.
const OVERLAP_MS: std::ops::Range<u64> = 100..4_000;
/// One in so many faults strikes before the one before it is mended.
const OVERLAPPING: u32 = 3;
/// Faults that strike while a server is away.
const WHILE_AWAY: u64 = 4;

/// A process that can be lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    Ingest,
    Processor(u8),
    Store,
    QueryApi,
    Kafka,
    ClickHouse,
}

/// What happens to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// SIGKILL.
    Kill,
    /// SIGSTOP, and SIGCONT after this time.
    Pause(Duration),
    /// SIGKILL, and no new start for this time.
    Away(Duration),
    /// No room on its disk for this time.
    DiskFull(Duration),
}

/// One fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    pub kind: Kind,
    pub target: Target,
    /// Since the fault before it began; for an episode's first one, since everything was well.
    pub after: Duration,
}

/// Faults that overlap; behind an episode everything has to be well again.
pub type Episode = Vec<Fault>;

/// `kills` kills, pauses among them, and with `long` the faults that take minutes. Every process gets its share.
pub fn draw(seed: u64, kills: usize, long: bool) -> Vec<Episode> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut drawn: Vec<(Kind, Target)> =
        deal(&mut rng, kills).into_iter().map(|target| (Kind::Kill, target)).collect();
    let mut paused = deal(&mut rng, kills.div_ceil(KILLS_A_PAUSE));
    // A processor that loses its partitions and doesn't know it is what transactions are for: never left out.
    if let Some(first) = paused.first_mut() {
        *first = Target::Processor(rng.random_range(0..PROCESSORS));
    }
    for target in paused {
        drawn.push((Kind::Pause(millis(&mut rng, PAUSE_MS)), target));
    }
    drawn.shuffle(&mut rng);
    if long {
        for fault in [
            (Kind::Away(KAFKA_AWAY), Target::Kafka),
            (Kind::Away(CLICKHOUSE_AWAY), Target::ClickHouse),
            (Kind::DiskFull(DISK_FULL), Target::Kafka),
            (Kind::DiskFull(DISK_FULL), Target::ClickHouse),
        ] {
            drawn.insert(rng.random_range(0..=drawn.len()), fault);
        }
    }
    episodes(&mut rng, drawn)
}

/// So many targets, all equally often as far as that goes: decks of all of them, shuffled.
fn deal(rng: &mut ChaCha8Rng, many: usize) -> Vec<Target> {
    let mut dealt = Vec::new();
    while dealt.len() < many {
        let processor = Target::Processor(rng.random_range(0..PROCESSORS));
        let mut deck =
            [Target::Ingest, processor, Target::Store, Target::QueryApi, Target::Kafka, Target::ClickHouse];
        deck.shuffle(rng);
        dealt.extend(deck);
    }
    dealt.truncate(many);
    dealt
}

/// Decides which faults overlap. No process is struck twice in one episode: there would be nothing to strike.
fn episodes(rng: &mut ChaCha8Rng, drawn: Vec<(Kind, Target)>) -> Vec<Episode> {
    let mut left = VecDeque::from(drawn);
    let mut episodes = Vec::new();
    while let Some((kind, target)) = left.pop_front() {
        let mut episode = vec![Fault { kind, target, after: millis(rng, CALM_MS) }];
        if let Kind::Away(time) = kind {
            strike_meanwhile(rng, time, &mut episode, &mut left);
        } else {
            join_some(rng, &mut episode, &mut left);
        }
        episodes.push(episode);
    }
    episodes
}

/// While a server is away its users die and come back: the next faults of others are spread over that time.
fn strike_meanwhile(
    rng: &mut ChaCha8Rng,
    away: Duration,
    episode: &mut Episode,
    left: &mut VecDeque<(Kind, Target)>,
) {
    let share_ms = away.as_millis() as u64 / (WHILE_AWAY + 1);
    for _ in 0..WHILE_AWAY {
        let is_another = |(kind, target): &(Kind, Target)| {
            matches!(kind, Kind::Kill | Kind::Pause(_)) && is_whole(episode, *target)
        };
        let Some((kind, target)) = left.iter().position(is_another).and_then(|nth| left.remove(nth)) else {
            return;
        };
        episode.push(Fault { kind, target, after: millis(rng, share_ms / 4..share_ms) });
    }
}

/// The faults that don't wait until the ones before them are mended.
fn join_some(rng: &mut ChaCha8Rng, episode: &mut Episode, left: &mut VecDeque<(Kind, Target)>) {
    while rng.random_ratio(1, OVERLAPPING) {
        let is_short = |kind| !matches!(kind, Kind::Away(_));
        let joins = |(kind, target): &mut (Kind, Target)| is_short(*kind) && is_whole(episode, *target);
        let Some((kind, target)) = left.pop_front_if(joins) else { return };
        episode.push(Fault { kind, target, after: millis(rng, OVERLAP_MS) });
    }
}

fn is_whole(episode: &Episode, target: Target) -> bool {
    episode.iter().all(|fault| fault.target != target)
}

fn millis(rng: &mut ChaCha8Rng, range: std::ops::Range<u64>) -> Duration {
    Duration::from_millis(rng.random_range(range))
}

impl Target {
    /// The process's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Processor(0) => "processor-0",
            Self::Processor(_) => "processor-1",
            Self::Store => "store",
            Self::QueryApi => "query-api",
            Self::Kafka => "kafka",
            Self::ClickHouse => "clickhouse",
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let target = self.target;
        match self.kind {
            Kind::Kill => write!(f, "kill -9 {target}"),
            Kind::Pause(time) => write!(f, "SIGSTOP {target} for {:.1} s", time.as_secs_f64()),
            Kind::Away(time) => write!(f, "{target} away for {} s", time.as_secs()),
            Kind::DiskFull(time) => write!(f, "disk of {target} full for {} s", time.as_secs()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(kills: usize, long: bool) -> impl Iterator<Item = Vec<Episode>> {
        (0..100).map(move |seed| draw(seed, kills, long))
    }

    fn count(episodes: &[Episode], matches: impl Fn(&Fault) -> bool) -> usize {
        episodes.iter().flatten().filter(|fault| matches(fault)).count()
    }

    #[test]
    fn a_seed_is_a_schedule() {
        assert_eq!(draw(7, 50, true), draw(7, 50, true));
        assert_ne!(draw(7, 50, true), draw(8, 50, true));
    }

    #[test]
    fn there_are_as_many_kills_as_asked_for_and_every_process_gets_its_share() {
        for episodes in all(50, false) {
            assert_eq!(count(&episodes, |fault| fault.kind == Kind::Kill), 50);
            for target in [Target::Ingest, Target::Store, Target::QueryApi, Target::Kafka, Target::ClickHouse]
            {
                let kills = count(&episodes, |fault| fault.kind == Kind::Kill && fault.target == target);
                assert!((8..=9).contains(&kills), "{kills} of {target}");
            }
        }
    }

    #[test]
    fn a_processor_is_always_paused_for_longer_than_its_session() {
        for episodes in all(1, false) {
            let paused = |fault: &Fault| match (fault.kind, fault.target) {
                (Kind::Pause(time), Target::Processor(_)) => time > Duration::from_secs(6),
                _ => false,
            };
            assert_eq!(count(&episodes, paused), 1);
        }
    }

    #[test]
    fn minutes_are_spent_only_when_asked_for() {
        let long = |fault: &Fault| matches!(fault.kind, Kind::Away(_) | Kind::DiskFull(_));
        for (short, long_ones) in all(5, false).zip(all(5, true)) {
            assert_eq!((count(&short, long), count(&long_ones, long)), (0, 4));
        }
    }

    #[test]
    fn while_a_server_is_away_others_are_struck() {
        for episode in all(50, true).flatten().filter(|episode| matches!(episode[0].kind, Kind::Away(_))) {
            let Kind::Away(time) = episode[0].kind else { panic!("filtered") };
            let last: Duration = episode[1..].iter().map(|fault| fault.after).sum();
            assert!(last < time, "{episode:?}");
        }
        let lonely = |episode: &Episode| matches!(episode[0].kind, Kind::Away(_)) && episode.len() == 1;
        let many = all(50, true).flatten().filter(lonely).count();
        assert!(many < 10, "{many} of 200 outages pass without another fault");
    }

    #[test]
    fn no_process_is_struck_twice_at_once() {
        for episode in all(50, true).flatten() {
            for (index, fault) in episode.iter().enumerate() {
                let others = episode[index + 1..].iter();
                assert!(others.clone().all(|other| other.target != fault.target), "{episode:?}");
            }
        }
    }
}
