//! The consumer on the page `docs/kafka.md`, run as a reader would run it.

#![allow(clippy::unwrap_used)] // test code; clippy looks for it in functions marked as tests only

mod processor_river;

use processor_river::spans::traces;
use processor_river::{LIMIT, River};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The first block of the page in that language.
fn block(language: &str) -> String {
    let page = std::fs::read_to_string(root().join("docs/kafka.md")).unwrap();
    let (_, after) = page.split_once(&format!("```{language}\n")).expect("the page has such a block");
    after.split_once("```").unwrap().0.to_owned()
}

/// A Python that has the packages the page names, or the reason why there is none.
fn python() -> Result<String, String> {
    let python = std::env::var("WEIR_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let imports = "import confluent_kafka, google.protobuf, grpc_tools.protoc";
    let tried = Command::new(&python).args(["-c", imports]).stderr(Stdio::null()).status();
    match tried {
        Ok(status) if status.success() => Ok(python),
        _ => Err(format!("{python} lacks confluent-kafka, protobuf or grpcio-tools")),
    }
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Its lines as they come.
fn lines(child: &mut Child) -> Receiver<String> {
    let (tell, lines) = channel();
    let output = BufReader::new(child.stdout.take().unwrap());
    std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
    lines
}

#[tokio::test(flavor = "multi_thread")]
async fn the_consumer_of_the_page_prints_flows_and_calls() {
    let python = match python() {
        Ok(python) => python,
        Err(why) => return println!("skipped: {why}"),
    };
    let Some(river) = River::new("page", 2).await else { return };

    let folder = tempfile::tempdir().unwrap();
    let protoc = block("sh").replacen("python", &python, 1);
    let protoc = protoc.replace("--python_out=.", &format!("--python_out={}", folder.path().display()));
    let generated = Command::new("sh").args(["-c", &protoc]).current_dir(root()).status().unwrap();
    assert!(generated.success(), "{protoc}");
    let program = ["flow_events", "flow_deltas"]
        .iter()
        .fold(block("python"), |program, topic| {
            program.replace(&format!("\"{topic}\""), &format!("\"{}\"", river.topic(topic)))
        })
        .replace("flow-printer", &format!("{}printer", river.prefix));
    std::fs::write(folder.path().join("consumer.py"), program).unwrap();

    let processor = river.start(river.options());
    processor.wait_live(2).await;
    let sent = traces(1, 3);
    river.send_keyed(&sent);
    let mut child = Command::new(&python)
        .args(["consumer.py", &river.brokers])
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = lines(&mut child);
    let _running = Running(child);

    let mut expected: Vec<String> =
        sent.iter().map(|trace| format!("flow {:032x} login success 10000 µs", trace.id)).collect();
    expected.push("edge gateway auth 3 calls".to_owned());
    expected.push("edge user gateway 3 calls".to_owned());
    let deadline = Instant::now() + LIMIT;
    while !expected.is_empty() {
        let left = deadline.saturating_duration_since(Instant::now());
        let line = output.recv_timeout(left).unwrap_or_else(|_| panic!("never printed: {expected:?}"));
        expected.retain(|wanted| *wanted != line);
    }
    processor.stop().await.unwrap();
    river.drop_topics().await;
}
