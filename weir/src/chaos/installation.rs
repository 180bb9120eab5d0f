//! A whole Weir whose every process can be lost alone: Kafka, ClickHouse, and each role as a process of its own.

use super::schedule::{PROCESSORS, Target};
use crate::river::River;
use crate::servers::health_check;
use crate::servers::supervise::{Handle, Limits, Server, Supervised};
use crate::servers::{packages, ports};
use crate::topics::Wish;
use crate::up::{self, GivenClickHouse, GivenKafka, Machine, RolePorts};
use anyhow::{Context, anyhow, ensure};
use loadtest::demo::Targets;
use process::Health;
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Two shards a processor, so that a lost one leaves more than one behind.
const PARTITIONS: u32 = 4;
/// A role that ends is started again at once, as an orchestrator does with one that doesn't do so all the time.
const ROLE: Limits = Limits {
    answer_within: Duration::from_secs(120),
    silent_for: Duration::from_secs(60),
    stop_within: Duration::from_secs(40),
    first_starts: 3,
    longest_pause: Duration::from_secs(2),
};

/// Where it keeps its data and where it listens.
pub struct Place {
    /// Folder for the servers' data and everybody's logs.
    pub folder: PathBuf,
    /// Folder of the fetched servers.
    pub cache_dir: Option<PathBuf>,
    kafka: SocketAddr,
    clickhouse: SocketAddr,
    grpc: SocketAddr,
    http: SocketAddr,
    api: SocketAddr,
    ingest: SocketAddr,
    store: SocketAddr,
    processors: Vec<SocketAddr>,
}

impl Place {
    /// Free ports for everybody.
    ///
    /// # Errors
    /// The folder is used already: what is in it would be counted too.
    pub fn choose(folder: PathBuf, cache_dir: Option<PathBuf>) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&folder).with_context(|| format!("can't create {}", folder.display()))?;
        let folder = std::path::absolute(folder)?;
        let empty = std::fs::read_dir(&folder)?.next().is_none();
        ensure!(empty, "{} is not empty; chaos needs a folder of its own", folder.display());
        let mut taken = BTreeSet::new();
        let mut next = || free_address(&mut taken);
        Ok(Self {
            kafka: next()?,
            clickhouse: next()?,
            grpc: next()?,
            http: next()?,
            api: next()?,
            ingest: next()?,
            store: next()?,
            processors: (0..PROCESSORS).map(|_| next()).collect::<anyhow::Result<_>>()?,
            folder,
            cache_dir,
        })
    }

    /// Folder of a server.
    pub fn folder_of(&self, server: Target) -> PathBuf {
        self.folder.join(server.name())
    }

    fn servers(&self) -> up::Options {
        let cache_dir = self.cache_dir.clone().unwrap_or_else(packages::default_cache_dir);
        up::Options {
            kafka: GivenKafka(None),
            clickhouse: GivenClickHouse(None),
            machine: Machine {
                data_dir: self.folder.clone(),
                cache_dir: Some(cache_dir),
                kafka_port: self.kafka.port(),
                clickhouse_port: self.clickhouse.port(),
                clickhouse_native_port: None,
                servers_only: true,
            },
            ports: RolePorts {
                grpc: self.grpc,
                http: self.http,
                listen: self.api,
                admin_port: self.ingest.port(),
            },
            topics: Wish { partitions: Some(PARTITIONS), ..Wish::default() },
        }
    }

    /// A role's name, flags and the address of its health.
    fn roles(&self) -> Vec<(Target, Vec<String>, SocketAddr)> {
        let kafka = format!("--kafka={}", self.kafka);
        let clickhouse = format!("--clickhouse=http://{}", self.clickhouse);
        let admin = |address: SocketAddr| format!("--admin={address}");
        let flags = |role: &str, flags: &[&String]| -> Vec<String> {
            std::iter::once(role.to_owned()).chain(flags.iter().map(|flag| (*flag).clone())).collect()
        };
        let (grpc, http) = (format!("--listen-grpc={}", self.grpc), format!("--listen-http={}", self.http));
        let ingest = flags("ingest", &[&kafka, &grpc, &http, &admin(self.ingest)]);
        let store = flags("store", &[&kafka, &clickhouse, &admin(self.store)]);
        let query_api = flags("query-api", &[&kafka, &clickhouse, &format!("--listen={}", self.api)]);
        let mut roles = vec![(Target::Ingest, ingest, self.ingest)];
        for (nth, address) in (0..).zip(&self.processors) {
            let mut processor = flags("processor", &[&kafka, &admin(*address)]);
            // Both kinds of member: one that gets its partitions back when it returns, and one that loses them, but
            // keeps copies of what the other has.
            processor.push(if nth == 0 { "--group-instance-id=processor-0" } else { "--standby" }.to_owned());
            roles.push((Target::Processor(nth), processor, *address));
        }
        roles.push((Target::Store, store, self.store));
        roles.push((Target::QueryApi, query_api, self.api));
        roles
    }
}

/// A process from outside: what to do to it and whether it works. Clones mean the same one.
#[derive(Clone, Debug)]
pub struct Component {
    /// Which one.
    pub target: Target,
    /// Its signals and its deaths.
    pub handle: Handle,
    address: SocketAddr,
}

impl Component {
    /// Why it does not work, if it doesn't. Blocks.
    pub fn trouble(&self) -> Option<String> {
        let answer = match self.target {
            Target::Kafka => health_check::kafka(self.address),
            Target::ClickHouse => health_check::clickhouse(self.address),
            _ => health_check::role(self.address, "/ready"),
        };
        answer.err().map(|why| format!("{}: {why}", self.target))
    }
}

/// The running processes.
pub struct Installation {
    river: River,
    roles: Vec<Supervised>,
    components: Vec<Component>,
}

impl Installation {
    /// Starts the servers and then the roles; `None` when `stop` came first. Not all of them need be ready yet.
    ///
    /// # Errors
    /// A server or a process does not start.
    pub async fn start(place: &Place, stop: &CancellationToken) -> anyhow::Result<Option<Self>> {
        let Some(river) = River::start(place.servers(), stop).await? else { return Ok(None) };
        let mut components: Vec<Component> = Vec::new();
        for handle in river.servers() {
            let (target, address) = match handle.name() {
                "kafka" => (Target::Kafka, place.kafka),
                _ => (Target::ClickHouse, place.clickhouse),
            };
            components.push(Component { target, handle: handle.clone(), address });
        }
        let mut roles = Vec::new();
        for (target, flags, address) in place.roles() {
            let role = Supervised::start(server(&place.folder, target, flags, address), Health::new())?;
            components.push(Component { target, handle: role.handle().clone(), address });
            roles.push(role);
        }
        Ok(Some(Self { river, roles, components }))
    }

    /// Every process.
    pub fn components(&self) -> &[Component] {
        &self.components
    }

    /// Where a client sends and asks.
    pub fn targets(&self) -> Targets {
        self.river.targets()
    }

    /// Returns when a process could not be kept alive.
    pub async fn failed(&mut self) -> anyhow::Error {
        let mut look = tokio::time::interval(Duration::from_millis(200));
        loop {
            tokio::select! {
                failure = self.river.failed() => return failure,
                _ = look.tick() => {}
            }
            if let Some(role) = self.roles.iter_mut().find(|role| role.gave_up()) {
                let name = role.handle().name();
                return role.stop().err().unwrap_or_else(|| anyhow!("{name} ended"));
            }
        }
    }

    /// Lets go of whoever is held or paused, and stops everything in the order of the flow.
    ///
    /// # Errors
    /// The first process that did not stop cleanly.
    pub async fn drain(self) -> anyhow::Result<()> {
        for component in &self.components {
            component.handle.release();
            component.handle.resume();
        }
        let roles = self.roles;
        let stop = move || roles.into_iter().try_for_each(|mut role| role.stop());
        let stopped = tokio::task::spawn_blocking(stop).await?;
        stopped.and(self.river.drain().await)
    }
}

/// A role as a supervised process of this same program.
fn server(folder: &Path, target: Target, flags: Vec<String>, address: SocketAddr) -> Server {
    let name = target.name();
    Server {
        name,
        output: folder.join(format!("{name}.out")),
        command: Box::new(move || {
            let mut command = Command::new("/proc/self/exe");
            command.args(&flags);
            command
        }),
        // Not its readiness: a role that waits for a server that is away must not be killed for it.
        check: Box::new(move || health_check::role(address, "/health")),
        limits: ROLE,
    }
}

fn free_address(taken: &mut BTreeSet<u16>) -> anyhow::Result<SocketAddr> {
    loop {
        let port = ports::any_free()?;
        if taken.insert(port) {
            return Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        }
    }
}
