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

/// Polls on this thread until it holds.
fn eventually(what: &str, holds: impl Fn() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < Duration::from_secs(10), "{what} never came true");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_server_without_room_for_its_files_is_started_again_once_there_is_some() {
    let script = Script::new();
    let health = Health::new();
    let supervised = Supervised::start(script.server("exec sleep 100", || Ok(())), health.clone()).unwrap();
    eventually("the first life", || health.is_ready());
    let (folder, away) = (script.folder.path(), script.folder.path().with_extension("away"));
    std::fs::rename(folder, &away).unwrap();
    assert!(supervised.handle().kill());
    eventually("a start that fails", || supervised.handle().deaths().len() > 1);
    let why = &supervised.handle().deaths()[1].why;
    assert!(why.contains("can't write") && !supervised.gave_up(), "{why}");
    std::fs::rename(&away, folder).unwrap();
    eventually("the next life", || health.is_ready());
}

#[test]
fn a_child_runs_in_its_own_folder_wherever_it_was_started_from() {
    let script = Script::new();
    let health = Health::new();
    let _supervised =
        Supervised::start(script.server("pwd -P; exec sleep 100", || Ok(())), health.clone()).unwrap();
    let output = script.folder.path().join("script.out");
    let folder = format!("{}\n", script.folder.path().canonicalize().unwrap().display());
    eventually("it says where", || std::fs::read_to_string(&output).is_ok_and(|text| text == folder));
}

#[test]
fn a_server_that_is_held_down_stays_down_until_it_is_released() {
    let script = Script::new();
    let health = Health::new();
    let supervised = Supervised::start(script.server("exec sleep 100", || Ok(())), health.clone()).unwrap();
    let handle = supervised.handle();
    eventually("the first life", || health.is_ready());
    handle.hold();
    assert!(handle.kill());
    eventually("it is down", || health.parts()["script"].why == "held down");
    assert!(!handle.kill(), "there is no process to kill");
    handle.release();
    eventually("the second life", || health.is_ready());
    assert_eq!(script.starts.load(Ordering::SeqCst), 2);
    assert_eq!(handle.deaths()[0].why, "killed by signal 9");
}

#[test]
fn a_paused_child_is_still_the_same_one_afterwards() {
    let script = Script::new();
    let health = Health::new();
    let supervised = Supervised::start(script.server("exec sleep 100", || Ok(())), health.clone()).unwrap();
    eventually("the first life", || health.is_ready());
    let process = script.process();
    let state = || {
        let text = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
        text.rsplit(") ").next().and_then(|rest| rest.chars().next())
    };
    assert!(supervised.handle().pause());
    eventually("it stands still", || state() == Some('T'));
    assert!(supervised.handle().resume());
    eventually("it goes on", || state() != Some('T'));
    assert_eq!(script.process(), process);
}
