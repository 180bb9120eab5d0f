//! People before their dashboards: a socket each, on which the filter changes every few seconds.

use crate::Args;
use crate::commits::{self, Made, SHARDS, WIDE_OPERATIONS, WIDE_SERVICES, operation, service};
use crate::frame::number;
use crate::listeners::Listeners;
use crate::machine::Cores;
use crate::made_up::Random;
use crate::server::Server;
use crate::subscribers::{Quantiles, listen_to, nap, now_us, open, say, subscription};
use crate::topics::Topics;
use anyhow::ensure;
use process::KafkaOptions;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::thread;
use std::time::Duration;
use tokio::task::LocalSet;
use tokio_util::sync::CancellationToken;

/// Between two filters of one person.
const CHANGE_EVERY: Duration = Duration::from_secs(5);
/// Everybody has had several filters by then.
const WARM_UP: Duration = Duration::from_secs(15);
/// Between two looks at the server's memory.
const LOOK_EVERY: Duration = Duration::from_secs(10);
const HEAD_BYTES: usize = 1_024;

/// Whom to ask, how many, and how long.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Wishes {
    pub server: SocketAddr,
    pub people: usize,
    pub seconds: u64,
}

/// What people saw.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Seen {
    pub changes: u64,
    /// Filters that were changed again before the first frame came.
    pub unanswered: u64,
    /// Filters that the server took no more of.
    pub refused: u64,
    pub frames: u64,
    pub bytes: u64,
    /// From a filter's change until the whole graph was there …
    pub answer_ms: Quantiles,
    /// … and from the moment for which the server took the numbers until a delta was.
    pub delivery_ms: Quantiles,
    /// Sockets that the server closed.
    pub closed: u64,
}

/// One run.
#[derive(Clone, Debug, Serialize)]
pub struct Dashboards {
    pub people: usize,
    pub seconds: u64,
    /// How much of its core the server took.
    pub core_share: f64,
    /// Resident memory of the server every ten seconds.
    pub memory_mib: Vec<f64>,
    pub seen: Seen,
}

/// Starts everything anew and measures once: 1,000 services and 5,000 edges, of which each changes once a second.
pub fn measure(args: &Args, cores: &Cores) -> anyhow::Result<Dashboards> {
    let kafka = KafkaOptions::plaintext(&args.kafka);
    let topics = Topics::create(&kafka, SHARDS)?;
    let stop = CancellationToken::new();
    let made = Made::wide(args.updates);
    let past = made.past_s() as f64 * f64::from(SHARDS);
    let commits = commits::write(&kafka, &topics, made, args.updates, stop.clone())?;
    let ends_commits = stop.drop_guard();
    let mut server = cores.of_server(|| Server::start(&args.query_api, &args.kafka, &topics))?;
    server.wait_for_records(past)?;
    let run = watch(args, &mut server);
    drop(ends_commits);
    commits.join().map_err(|_| anyhow::anyhow!("the commits have panicked"))??;
    run
}

fn watch(args: &Args, server: &mut Server) -> anyhow::Result<Dashboards> {
    let Args { people, people_seconds: seconds, .. } = *args;
    let mut listeners = Listeners::start("--watch", &Wishes { server: server.address, people, seconds })?;
    listeners.wait_for("measured from here")?;
    let before = server.process.usage()?;
    let mut memory_kib = vec![before.memory_kib];
    for _ in 0..seconds / LOOK_EVERY.as_secs() {
        thread::sleep(LOOK_EVERY);
        memory_kib.push(server.process.usage()?.memory_kib);
    }
    listeners.wait_for("to here")?;
    let after = server.process.usage()?;
    let seen: Seen = serde_json::from_str(&listeners.line()?)?;
    ensure!(seen.frames > 0 && seen.changes > 0, "nobody has seen anything");
    Ok(Dashboards {
        people,
        seconds,
        core_share: (after.cpu - before.cpu).as_secs_f64() / (after.wall - before.wall).as_secs_f64(),
        memory_mib: memory_kib.into_iter().map(|kib| kib as f64 / 1_024.0).collect(),
        seen,
    })
}

/// The people, as a process of their own.
pub fn run(wishes: &Wishes) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(LocalSet::new().run_until(all(wishes)))
}

async fn all(wishes: &Wishes) -> anyhow::Result<()> {
    tokio::task::spawn_local(nap());
    let tally = Rc::new(Tally::default());
    for person in 0..wishes.people {
        let (tally, server, people) = (tally.clone(), wishes.server, wishes.people);
        tokio::task::spawn_local(async move {
            // Not all at once, as people aren't.
            tokio::time::sleep(CHANGE_EVERY * person as u32 / people as u32).await;
            if let Err(error) = watch_as(server, person as u64, &tally).await {
                eprintln!("a dashboard: {error:#}");
            }
            tally.closed.set(tally.closed.get() + 1);
        });
    }
    tokio::time::sleep(WARM_UP).await;
    println!("measured from here");
    tally.counts.set(true);
    tokio::time::sleep(Duration::from_secs(wishes.seconds)).await;
    tally.counts.set(false);
    println!("to here");
    println!("{}", serde_json::to_string(&tally.seen())?);
    Ok(())
}

/// What all people together have seen; they share one thread.
#[derive(Default)]
struct Tally {
    counts: Cell<bool>,
    changes: Cell<u64>,
    unanswered: Cell<u64>,
    refused: Cell<u64>,
    closed: Cell<u64>,
    bytes: Cell<u64>,
    answers_us: RefCell<Vec<i64>>,
    deliveries_us: RefCell<Vec<i64>>,
}

impl Tally {
    fn add(&self, to: &Cell<u64>, more: u64) {
        to.set(to.get() + if self.counts.get() { more } else { 0 });
    }

    fn seen(&self) -> Seen {
        let deliveries_us = self.deliveries_us.take();
        Seen {
            changes: self.changes.get(),
            unanswered: self.unanswered.get(),
            refused: self.refused.get(),
            frames: deliveries_us.len() as u64,
            bytes: self.bytes.get(),
            answer_ms: Quantiles::of(self.answers_us.take()),
            delivery_ms: Quantiles::of(deliveries_us),
            closed: self.closed.get(),
        }
    }
}

async fn watch_as(server: SocketAddr, person: u64, tally: &Tally) -> anyhow::Result<()> {
    let mut wish = Wish(Random(person + 1));
    let asked_us = Cell::new(Some(now_us()));
    let socket = open(server, &wish.next()).await?;
    let hears = listen_to(&socket, HEAD_BYTES, |head, bytes| {
        let heard_us = now_us();
        tally.add(&tally.bytes, bytes as u64);
        if head.starts_with(b"{\"type\":\"snapshot\"") {
            if let Some(asked_us) = asked_us.take().filter(|_| tally.counts.get()) {
                tally.answers_us.borrow_mut().push(heard_us - asked_us);
            }
        } else if head.starts_with(b"{\"type\":\"graph_delta\"") {
            if let Some(as_of_us) = number(head, "\"asOf\":").filter(|_| tally.counts.get()) {
                tally.deliveries_us.borrow_mut().push(heard_us - as_of_us);
            }
        } else if head.starts_with(b"{\"type\":\"error\"") {
            asked_us.take();
            tally.add(&tally.refused, 1);
        }
        Ok(())
    });
    let changes = async {
        loop {
            tokio::time::sleep(CHANGE_EVERY).await;
            if asked_us.replace(Some(now_us())).is_some() {
                tally.add(&tally.unanswered, 1);
            }
            tally.add(&tally.changes, 1);
            say(&socket, &subscription(&wish.next())).await?;
        }
    };
    tokio::select! { ended = hears => ended, failed = changes => failed }
}

/// What somebody looks at next: of twenty, fourteen at an operation, five at a service, one at everything.
struct Wish(Random);

impl Wish {
    fn next(&mut self) -> Value {
        let window = ["1m", "5m", "15m"][self.0.below(3) as usize];
        match self.0.below(20) {
            0 => json!({ "window": window }),
            1..=5 => {
                let name = service(self.0.below(WIDE_SERVICES as u64) as usize);
                json!({ "service": name, "window": window })
            }
            _ => {
                json!({ "operation": operation(self.0.below(WIDE_OPERATIONS as u64) as usize), "window": window })
            }
        }
    }
}
