//! TEST ONLY. Runs the real driver, commit and recovery of stream-processor, and the real lanes of its store, on a
//! simulated Kafka and a simulated ClickHouse, under one seeded scheduler and virtual time: no thread, no socket, no
//! clock. The same seed gives the same run, byte for byte.
//!
//! [`run`] is one run: a [`world::World`] of a simulated [`cluster`], processes that crash, hang and take shards from
//! each other, and an [`input`] of spans. The [`oracle`] compares what consumers of the topics saw with a run of the
//! same input in which nothing went wrong. Beside them [`stores`] carry the topics into simulated [`tables`], which
//! [`stored`] compares with what one batch of everything would have been.

mod broker;
mod cluster;
mod fates;
mod faults;
mod input;
mod lane;
mod oracle;
mod stored;
mod stores;
mod tables;
mod world;

pub use cluster::Planted;
pub use faults::{Coverage, Step};

use input::Input;
use world::World;

/// What a run ended in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// Why it is wrong, if it is.
    pub wrong: Option<String>,
    /// Which steps were interrupted, and how often.
    pub coverage: Coverage,
    /// Processes killed.
    pub crashes: u32,
    /// Starts from a copy.
    pub takeovers: u64,
    /// A hash over everything that consumers saw.
    pub digest: u64,
}

/// Runs a seed with faults and without, and compares.
pub fn run(seed: u64, planted: Option<Planted>) -> Report {
    let input = Input::of(seed);
    let calm = World::calm(seed, &input).run();
    let mut world = World::stormy(seed, &input, planted);
    let stormy = world.run();
    let wrong = match (calm, stormy) {
        (Ok(calm), Ok(stormy)) => {
            let wrong = if input.is_exact() { stormy.difference_from(&calm) } else { None };
            return report(seed, &world, wrong, stormy.digest());
        }
        (Err(why), _) => Some(format!("the calm run: {why}")),
        (_, Err(why)) => Some(why),
    };
    report(seed, &world, wrong, 0)
}

fn report(seed: u64, world: &World<'_>, wrong: Option<String>, digest: u64) -> Report {
    let (coverage, crashes, takeovers) = world.told();
    Report { seed, wrong, coverage, crashes, takeovers, digest }
}
