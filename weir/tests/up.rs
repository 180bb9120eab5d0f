//! `weir up` as a user meets it: real servers on ports of their own, one life after the other.
//!
//! Kafka and ClickHouse come from the cache (WEIR_CACHE); the first run of all fetches them.

#![allow(clippy::unwrap_used)] // the functions that tests share are tests too

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(300);

/// A data folder and the ports of its `weir up`.
struct Place {
    folder: tempfile::TempDir,
    ports: Vec<u16>,
}

/// Six ports; the last one has two successors for the roles' health. Below the range from which outgoing connections
/// are given theirs: one of those must not take a port between this look and its use.
fn free_ports() -> Vec<u16> {
    loop {
        let first = 20_000 + (RandomState::new().build_hasher().finish() % 12_000) as u16;
        let wanted = first..first + 8;
        // All are held at once, so that none is given twice.
        let held: Vec<TcpListener> =
            wanted.clone().filter_map(|port| TcpListener::bind(("127.0.0.1", port)).ok()).collect();
        if held.len() == wanted.len() {
            return wanted.take(6).collect();
        }
    }
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), ports: free_ports() }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn weir_up(&self, data: &Path, more: &[&str]) -> Command {
        let [kafka, clickhouse, grpc, http, api, admin] = self.ports[..] else { panic!("six ports") };
        let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
        command.arg("up").arg("--data-dir").arg(data).args(more).args([
            format!("--kafka-port={kafka}"),
            format!("--clickhouse-port={clickhouse}"),
            format!("--grpc=127.0.0.1:{grpc}"),
            format!("--http=127.0.0.1:{http}"),
            format!("--listen=127.0.0.1:{api}"),
            format!("--admin-port={admin}"),
        ]);
        // The servers of `tools/with-servers` are not ours.
        command.env_remove("WEIR_KAFKA").env_remove("WEIR_CLICKHOUSE");
        command
    }

    fn start(&self, more: &[&str], ready: &str) -> Up {
        let errors = std::fs::File::create(self.folder.path().join("weir.err")).unwrap();
        let mut child =
            self.weir_up(&self.data(), more).stdout(Stdio::piped()).stderr(errors).spawn().unwrap();
        let lines = lines(child.stdout.take().unwrap());
        let up = Up { child };
        loop {
            match lines.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(ready) => return up,
                Ok(_) => {}
                Err(_) => panic!("weir up did not get ready:\n{}", self.errors()),
            }
        }
    }

    fn errors(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("weir.err")).unwrap_or_default()
    }

    fn process_of(&self, server: &str) -> u32 {
        let file = self.data().join(server).join(format!("{server}.pid"));
        std::fs::read_to_string(file).unwrap().trim().parse().unwrap()
    }
}

/// Lines of a pipe that is read until its end, so that the writer never waits for us.
fn lines(pipe: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    receiver
}

/// A running `weir up`; a test that fails leaves nothing behind.
struct Up {
    child: Child,
}

impl Up {
    fn process(&self) -> u32 {
        self.child.id()
    }

    fn ended(mut self) -> std::process::ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn signal(name: &str, process: u32) {
    assert!(Command::new("kill").args([name, &process.to_string()]).status().unwrap().success());
}

fn lives(process: u32) -> bool {
    Path::new(&format!("/proc/{process}/exe")).exists()
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "{what} never came true");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The answer to a GET, if there is one.
fn get(port: u16, path: &str) -> Option<String> {
    use std::io::{Read, Write};
    let mut stream = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

fn is_ok(port: u16, path: &str) -> bool {
    get(port, path).is_some_and(|answer| answer.lines().next().is_some_and(|status| status.contains(" 200 ")))
}

fn refusal(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    text
}

#[test]
fn a_river_comes_up_is_defended_mends_itself_and_goes() {
    let place = Place::new();
    let [_, clickhouse_port, _, _, api, admin] = place.ports[..] else { panic!("six ports") };
    let up = place.start(&[], "Ctrl-C drains");
    for port in [api, admin, admin + 1, admin + 2] {
        assert!(is_ok(port, "/ready"), "port {port}: {:?}", get(port, "/ready"));
        assert!(is_ok(port, "/metrics"), "port {port}");
    }

    let second = place.weir_up(&place.data(), &[]).output().unwrap();
    let said = refusal(&second);
    assert!(said.contains(&format!("another weir (process {}) already runs on", up.process())), "{said}");
    assert_eq!(said.trim().lines().count(), 1, "{said}");

    let elsewhere = place.folder.path().join("elsewhere");
    let taken = refusal(&place.weir_up(&elsewhere, &["--servers-only"]).output().unwrap());
    let kafka = place.process_of("kafka");
    let holder = format!("port {} for Kafka is taken by process {kafka} (`java", place.ports[0]);
    assert!(taken.contains(&holder) && taken.contains("--kafka-port"), "{taken}");

    let killed = ["kafka", "clickhouse"].map(|server| (server, place.process_of(server)));
    killed.iter().for_each(|(_, process)| signal("-KILL", *process));
    for (server, process) in killed {
        eventually("a new process", || {
            place.process_of(server) != process && lives(place.process_of(server))
        });
    }
    eventually("ClickHouse answers", || is_ok(clickhouse_port, "/ping"));
    for port in [api, admin, admin + 1, admin + 2] {
        eventually("the role is ready again", || is_ok(port, "/ready"));
    }

    while_kafka_is_away(&place, api);
    let servers = ["kafka", "clickhouse"].map(|server| place.process_of(server));
    signal("-INT", up.process());
    let ended = up.ended();
    assert!(ended.success(), "{ended}\n{}", place.errors());
    assert!(servers.iter().all(|process| !lives(*process)));
}

/// Kafka stands still: what was there is answered, with a word about what may be missing, until it goes on.
fn while_kafka_is_away(place: &Place, api: u16) {
    let graph = "/api/v1/graph?window=1m";
    let answer = |path: &str| get(api, path).unwrap_or_default();
    assert!(!answer(graph).contains("Kafka doesn't answer"), "{}", answer(graph));
    let kafka = place.process_of("kafka");
    signal("-STOP", kafka);
    eventually("readiness says that it is Kafka", || {
        let ready = answer("/ready");
        ready.lines().next().is_some_and(|status| status.contains(" 503 ")) && ready.contains("kafka")
    });
    for path in [graph, "/api/v1/operations", "/api/v1/status"] {
        let answer = answer(path);
        assert!(answer.lines().next().is_some_and(|status| status.contains(" 200 ")), "{path}: {answer}");
        assert!(
            answer.contains("\"fresh\":false") && answer.contains("Kafka doesn't answer"),
            "{path}: {answer}"
        );
    }
    // Whoever looks after Kafka may have started another one meanwhile.
    if lives(kafka) {
        signal("-CONT", kafka);
    }
    eventually("the API is ready again", || is_ok(api, "/ready"));
    eventually("nothing is missing any more", || !answer(graph).contains("Kafka doesn't answer"));
}

#[test]
fn servers_go_with_a_killed_parent_and_keep_their_data() {
    let place = Place::new();
    let ready = "Kafka and ClickHouse are ready";
    let up = place.start(&["--servers-only", "--partitions=3"], ready);
    let servers = ["kafka", "clickhouse"].map(|server| place.process_of(server));
    signal("-KILL", up.process());
    up.ended();
    for process in servers {
        eventually("a server without a parent ends", || !lives(process));
    }

    // The topics are still there: another partition count is refused, the one they have is not.
    let other = place.weir_up(&place.data(), &["--servers-only", "--partitions=4"]).output().unwrap();
    let said = refusal(&other);
    assert!(said.contains("3 partitions, not 4") && said.contains("fixed for its life"), "{said}");
    let up = place.start(&["--servers-only"], ready);
    signal("-TERM", up.process());
    assert!(up.ended().success(), "{}", place.errors());
}
