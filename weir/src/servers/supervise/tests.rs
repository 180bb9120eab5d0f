use super::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

fn quick() -> Limits {
    Limits {
        answer_within: Duration::from_secs(10),
        silent_for: Duration::from_secs(10),
        stop_within: Duration::from_millis(300),
        first_starts: 2,
        longest_pause: Duration::from_millis(20),
    }
}

struct Script {
    folder: tempfile::TempDir,
    starts: Arc<AtomicU32>,
}

impl Script {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), starts: Arc::default() }
    }

    /// A shell script as server; it works as soon as it runs.
    fn server(
        &self,
        script: &'static str,
        check: impl Fn() -> Result<(), String> + Send + 'static,
    ) -> Server {
        let starts = self.starts.clone();
        Server {
            name: "script",
            command: Box::new(move || {
                starts.fetch_add(1, Ordering::SeqCst);
                let mut shell = Command::new("sh");
                shell.args(["-c", script]);
                shell
            }),
            check: Box::new(check),
            output: self.folder.path().join("script.out"),
            limits: quick(),
        }
    }

    fn process(&self) -> libc::pid_t {
        let text = std::fs::read_to_string(self.folder.path().join("script.pid")).unwrap();
        text.trim().parse().unwrap()
    }
}

fn alive(process: libc::pid_t) -> bool {
    Path::new(&format!("/proc/{process}")).exists()
}

fn kill_hard(process: libc::pid_t) {
    assert!(Command::new("kill").args(["-9", &process.to_string()]).status().unwrap().success());
}

async fn within_10_s(health: &Health) {
    tokio::time::timeout(Duration::from_secs(10), health.wait_ready()).await.unwrap();
}

#[tokio::test]
async fn a_killed_child_is_started_again_and_stops_when_asked() {
    let script = Script::new();
    let health = Health::new();
    let mut supervised =
        Supervised::start(script.server("exec sleep 100", || Ok(())), health.clone()).unwrap();
    within_10_s(&health).await;
    let first = script.process();
    kill_hard(first);
    // The change of the pid file is the restart; readiness may not have been lost in between for us to see.
    let restarted = async {
        while script.process() == first {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), restarted).await.unwrap();
    within_10_s(&health).await;
    let second = script.process();
    supervised.stop().unwrap();
    assert!(!alive(first) && !alive(second));
    assert_eq!(script.starts.load(Ordering::SeqCst), 2);
}

#[test]
fn a_child_that_ignores_sigterm_is_killed() {
    let script = Script::new();
    let server = script.server("trap '' TERM; while true; do sleep 0.05; done", || Ok(()));
    let health = Health::new();
    let mut supervised = Supervised::start(server, health.clone()).unwrap();
    while !health.is_ready() {
        std::thread::yield_now();
    }
    supervised.stop().unwrap();
    assert!(!alive(script.process()));
}

#[test]
fn a_server_that_never_works_is_given_up_with_its_last_words() {
    let script = Script::new();
    let server = script.server("echo no such option; exit 7", || Err("no answer".to_owned()));
    let mut supervised = Supervised::start(server, Health::new()).unwrap();
    while !supervised.gave_up() {
        std::thread::yield_now();
    }
    let error = supervised.stop().unwrap_err().to_string();
    assert!(error.contains("exit code 7") && error.contains("no such option"), "{error}");
    assert_eq!(script.starts.load(Ordering::SeqCst), 2);
}

#[test]
fn pauses_double_up_to_the_longest() {
    let longest = Duration::from_secs(30);
    let pauses = [1, 2, 3, 100].map(|failures| pause(failures, longest).as_millis());
    assert_eq!(pauses, [500, 1000, 2000, 30_000]);
}
