//! query-api takes ClickHouse's state as of `store_progress` and goes on in Kafka from there: it is started and
//! killed again and again at random moments, while shards commit, the store inserts and is killed too, and every
//! answer is compared with what exactly the commits it claims to hold have said.
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod roles;
mod shards;
mod truth;

use rand::seq::IndexedRandom as _;
use rand::{Rng, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use roles::{Api, Bench, Role};
use serde_json::Value;
use shards::Shards;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use truth::{CORRECTED_S, OPERATIONS, Sum, Truth};

const SHARDS: u32 = 3;
const READY_WITHIN: Duration = Duration::from_secs(60);

fn now_us() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros()).unwrap()
}

fn now_s() -> u32 {
    u32::try_from(now_us() / 1_000_000).unwrap()
}

/// A longer trial, or another one, is a matter of the environment.
fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|number| number.parse().ok()).unwrap_or(default)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_is_restarted_at_random_moments_counts_everything_once() {
    let Some(bench) = Bench::new(SHARDS).await else { return };
    let seed = number("WEIR_TEST_SEED", 1);
    println!("seed {seed}");
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let truth = Truth::default();
    let mut shards = Shards::start(&bench.kafka, &bench.topic("flow_deltas"), SHARDS, seed << 8, &truth);
    let mut store = Some(bench.store());
    let mut compared = Compared::default();
    for _ in 0..number("WEIR_TEST_RESTARTS", 24) {
        tokio::time::sleep(Duration::from_millis(rng.random_range(0..700))).await;
        store = disturbed(store, &bench, &mut rng).await;
        let least = shards.committed();
        let api = bench.query_api();
        let questions = rng.random_range(4..14);
        // Half of them are asked while it is still loading.
        if rng.random_bool(0.5) {
            until_ready(&api).await;
            compared.ask(&api, &truth, Question::live(), &least).await;
        }
        for _ in 0..questions {
            compared.ask(&api, &truth, Question::random(&mut rng), &[0; SHARDS as usize]).await;
        }
        api.role.kill();
    }
    drop(store.take());
    let _store = bench.store();
    shards.stop();
    at_the_end(&bench, &truth, &shards.committed(), &mut compared).await;
    println!("{compared:?}");
    assert!(compared.live > 50 && compared.stored > 20 && compared.joined > 20, "{compared:?}");
    bench.drop().await;
}

/// Kills the store in two of three cases; in one of them it stays away while query-api starts.
async fn disturbed(store: Option<Role>, bench: &Bench, rng: &mut ChaCha8Rng) -> Option<Role> {
    match (store, rng.random_range(0..3)) {
        (Some(store), 0) => Some(store),
        (Some(store), what) => {
            store.kill();
            (what == 1).then(|| bench.store())
        }
        (None, _) => Some(bench.store()),
    }
}

async fn until_ready(api: &Api) {
    let began = Instant::now();
    while !api.is_ready().await {
        assert!(began.elapsed() < READY_WITHIN, "query-api does not get ready");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// When nothing is committed any more, a reader that has been there and a new one say the same: all of it.
async fn at_the_end(bench: &Bench, truth: &Truth, committed: &[u64], compared: &mut Compared) {
    let (now_s, began) = (now_s(), Instant::now());
    let questions = [
        Question::live(),
        Question::between(now_s - 5_000, now_s - 1_000),
        Question::between(now_s - 5_000, now_s + 1),
    ];
    for api in [bench.query_api(), bench.query_api()] {
        until_ready(&api).await;
        for question in &questions {
            loop {
                let answer = compared.ask(&api, truth, *question, &[0; SHARDS as usize]).await.unwrap();
                let stored = (0..SHARDS)
                    .map(|shard| answer["staleness"]["stored"]["shards"][shard.to_string()]["seq"].as_u64());
                if answer["source"] == "live" || stored.eq(committed.iter().map(|seq| Some(*seq))) {
                    break;
                }
                assert!(began.elapsed() < READY_WITHIN, "the store doesn't come to the end: {answer:#}");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }
}

/// What a reader is asked for.
#[derive(Debug, Clone, Copy)]
struct Question {
    /// The last 15 minutes without.
    between_s: Option<(u32, u32)>,
    operation: Option<usize>,
}

impl Question {
    fn live() -> Self {
        Self { between_s: None, operation: None }
    }

    fn between(from_s: u32, to_s: u32) -> Self {
        Self { between_s: Some((from_s, to_s)), operation: None }
    }

    fn random(rng: &mut ChaCha8Rng) -> Self {
        let now_s = now_s();
        let mut ago = |ages_s: std::ops::Range<u32>| now_s - rng.random_range(ages_s);
        let ranges = [
            None,
            Some((ago(300..800), ago(0..200))),
            Some((ago(3_000..5_000), ago(950..2_000))),
            Some((ago(950..5_000), now_s + 1)),
        ];
        let between_s = *ranges.choose(rng).unwrap();
        Self { between_s, operation: *[None, Some(0), Some(1)].choose(rng).unwrap() }
    }

    fn path(self) -> String {
        let mut path = "/api/v1/graph?environment=prod".to_owned();
        if let Some((from_s, to_s)) = self.between_s {
            path += &format!("&startTime={from_s}000000&endTime={to_s}000000");
        }
        if let Some(operation) = self.operation {
            path += &format!("&operation={}", OPERATIONS[operation]);
        }
        path
    }
}

/// How many answers were compared, by where they came from, and how many of them had to equal the truth.
#[derive(Debug, Default)]
struct Compared {
    live: u32,
    stored: u32,
    joined: u32,
    exactly: u32,
}

impl Compared {
    /// Asks and compares; `least` is what the answer has to hold.
    async fn ask(&mut self, api: &Api, truth: &Truth, question: Question, least: &[u64]) -> Option<Value> {
        let answer = api.ask(&question.path()).await?;
        let told = Told::of(&answer);
        match answer["source"].as_str().unwrap() {
            "live" => self.live += 1,
            "clickhouse" => self.stored += 1,
            _ => self.joined += 1,
        }
        for shard in 0..SHARDS {
            let claimed = told.live_seq(shard);
            assert!(claimed >= least[shard as usize], "shard {shard}: not up to {least:?}: {answer:#}");
            let (at_least, at_most) = told.bounds(truth, question.operation, shard);
            let found = told.found(shard);
            let fits =
                (at_least.0..=at_most.0).contains(&found.0) && (at_least.1..=at_most.1).contains(&found.1);
            assert!(
                fits || !told.is_bounded(),
                "shard {shard}: {found:?} is not between {at_least:?} and {at_most:?}\n{}\n{answer:#}",
                question.path()
            );
            self.exactly += u32::from(at_least == at_most);
        }
        Some(answer)
    }
}

/// What an answer says about itself.
struct Told<'a> {
    answer: &'a Value,
    from_s: u32,
    /// Where live state begins to answer.
    joint_s: u32,
    to_s: u32,
}

impl<'a> Told<'a> {
    fn of(answer: &'a Value) -> Self {
        let second = |us: &Value| u32::try_from(us.as_i64().unwrap() / 1_000_000).unwrap();
        let (from_s, to_s) = (second(&answer["window"]["from"]), second(&answer["window"]["to"]));
        let joint_s = match answer["source"].as_str().unwrap() {
            "live" => from_s,
            "clickhouse" => to_s,
            _ => second(&answer["staleness"]["completeFrom"]).next_multiple_of(10),
        };
        Self { answer, from_s, joint_s, to_s }
    }

    fn live_seq(&self, shard: u32) -> u64 {
        self.answer["staleness"]["shards"][shard.to_string()]["seq"].as_u64().unwrap_or(0)
    }

    /// Nothing, while the store has said nothing about the shard.
    fn stored_seq(&self, shard: u32) -> u64 {
        self.answer["staleness"]["stored"]["shards"][shard.to_string()]["seq"].as_u64().unwrap_or(0)
    }

    /// Live state holds what it claims and no more; tables hold what they claim, and perhaps more.
    fn bounds(&self, truth: &Truth, operation: Option<usize>, shard: u32) -> (Sum, Sum) {
        let live = truth.sum(shard, self.live_seq(shard), operation, (self.joint_s, self.to_s));
        let stored = |seq| truth.sum(shard, seq, operation, (self.from_s, self.joint_s));
        let (least, most) = (stored(self.stored_seq(shard)), stored(truth.newest(shard)));
        ((live.0 + least.0, live.1 + least.1), (live.0 + most.0, live.1 + most.1))
    }

    /// Whether the sums of the tables in the answer only grow. Before anything is loaded they answer for seconds too
    /// in which calls are still moved from one operation to another.
    fn is_bounded(&self) -> bool {
        self.joint_s == self.from_s || self.joint_s < now_s() - CORRECTED_S
    }

    fn found(&self, shard: u32) -> Sum {
        let server = format!("service-{shard}");
        let mut edges = self.answer["edges"].as_array().unwrap().iter();
        edges.find(|edge| edge["to"] == *server).map_or((0, 0), |edge| {
            (edge["callCount"].as_i64().unwrap(), edge["errorCount"].as_i64().unwrap())
        })
    }
}
