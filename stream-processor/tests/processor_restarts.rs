//! Stops, crashes and rebalances: what is committed is never written again, and nothing is left out.

#![allow(clippy::unwrap_used)] // test code; clippy looks for it in functions marked as tests only

mod processor_river;

use processor_river::spans::{first_half, second_half, traces};
use processor_river::{River, wait};
use schemas::v1::FlowTrace;
use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use stream_processor::processor::Options;

fn gateway_to_auth(river: &River) -> i64 {
    river.calls().get(&("gateway".to_owned(), "auth".to_owned())).copied().unwrap_or_default()
}

/// A processor as a process of its own, to be killed.
struct Process(Child);

impl Process {
    fn start(river: &River, more: &[&str]) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_stream-processor"))
            .args(["--role", "processor", "--kafka", &river.brokers, "--topic-prefix", &river.prefix])
            .args(["--group", &river.options().group, "--admin", "127.0.0.1:0"])
            .args(more)
            .stderr(Stdio::null())
            .spawn();
        Self(child.unwrap())
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.0.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// SIGKILL.
    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_and_a_start_go_on_where_the_journal_ends() {
    let Some(river) = River::new("stop", 2).await else { return };
    for round in 1..=3 {
        let processor = river.start(river.options());
        processor.wait_live(2).await;
        river.send_packed(&traces(round, 50));
        wait("the calls of every round", || gateway_to_auth(&river) == round as i64 * 50).await;
        processor.stop().await.unwrap();
    }
    river.assert_no_holes();
    let end = river.journal().into_iter().fold([0; 2], |mut ends, commit| {
        ends[commit.shard as usize] = commit.next_offset;
        ends
    });
    assert_eq!(end, [3, 3], "three packed messages a partition");
    river.drop_topics().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_processor_leaves_nothing_half_done() {
    let Some(river) = River::new("kill", 2).await else { return };
    let mut sent = 0;
    for round in 1..=3 {
        // A member with a name gets its partitions back at once.
        let processor = Process::start(&river, &["--group-instance-id", "processor-0"]);
        river.send_keyed(&traces(round * 2, 100));
        sent += 100;
        wait("the calls of every round", || gateway_to_auth(&river) == sent).await;
        // More comes in while it dies.
        river.send_packed(&traces(round * 2 + 1, 100));
        sent += 100;
        processor.kill();
    }
    let _last = Process::start(&river, &["--group-instance-id", "processor-0"]);
    wait("all calls", || gateway_to_auth(&river) == sent).await;
    river.assert_no_holes();
    river.drop_topics().await;
}

/// The last revision of every flow, by trace.
fn flows(river: &River) -> BTreeMap<Vec<u8>, FlowTrace> {
    let mut flows: BTreeMap<Vec<u8>, FlowTrace> = BTreeMap::new();
    for flow in river.traces() {
        let before = flows.insert(flow.trace_id.clone(), flow.clone());
        assert!(before.is_none_or(|before| before.revision < flow.revision), "a flow is told twice");
    }
    flows
}

#[tokio::test(flavor = "multi_thread")]
async fn traces_that_were_open_when_a_processor_was_killed_go_on_in_its_successor() {
    let Some(river) = River::new("open", 2).await else { return };
    let mut sent = 0;
    for round in 1..=4 {
        let processor = Process::start(&river, &["--group-instance-id", "processor-0"]);
        let traces = traces(round, 50);
        river.send_each(&traces, first_half);
        sent += 50;
        let from_user = || river.calls().get(&("user".to_owned(), "gateway".to_owned())) == Some(&sent);
        wait("the first halves are counted", from_user).await;
        processor.kill();
        river.send_each(&traces, second_half);
    }
    let _last = Process::start(&river, &["--group-instance-id", "processor-0"]);
    wait("every flow has closed", || flows(&river).len() as i64 == sent).await;
    // Should a start have taken so long that flows closed without their second halves, those were late corrections.
    let is_whole = || flows(&river).values().all(|flow| flow.spans == 3);
    wait("every flow is whole", is_whole).await;
    let edge = |from: &str, to: &str| ((from.to_owned(), to.to_owned()), sent);
    assert_eq!(river.calls(), BTreeMap::from([edge("user", "gateway"), edge("gateway", "auth")]));
    let counted = river.deltas().into_iter().flat_map(|deltas| deltas.operations);
    assert_eq!(counted.map(|operation| operation.flows).sum::<i64>(), sent, "no flow is cut in two");
    river.assert_no_holes();
    river.drop_topics().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_processor_that_lost_its_partitions_for_a_while_goes_on_with_its_open_traces() {
    let Some(river) = River::new("paused", 2).await else { return };
    let processor = Process::start(&river, &[]);
    let sent = traces(1, 50);
    river.send_each(&sent, first_half);
    let from_user = || river.calls().get(&("user".to_owned(), "gateway".to_owned())) == Some(&50);
    wait("the first halves are read", from_user).await;

    // A machine that sleeps: the group has given its partitions up when it wakes.
    processor.signal("-STOP");
    wait("the group has no member", || river.members() == 0).await;
    processor.signal("-CONT");
    river.send_each(&sent, second_half);
    // Should it take so long that a flow closes without its second half, that one comes as a late correction.
    let whole = || river.traces().iter().filter(|flow| flow.complete && flow.spans == 3).count();
    wait("50 whole summaries", || whole() == 50).await;
    assert_eq!(gateway_to_auth(&river), 50);
    river.assert_no_holes();
    river.drop_topics().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processors_share_the_partitions_and_one_takes_over_from_the_other() {
    let Some(river) = River::new("share", 2).await else { return };
    let first = river.start(river.options());
    first.wait_live(2).await;
    river.send_packed(&traces(1, 50));
    wait("50 calls", || gateway_to_auth(&river) == 50).await;

    let second = river.start(river.options());
    second.wait_live(1).await;
    first.wait_live(1).await;
    let third = river.start(river.options());
    third.wait_live(0).await;
    river.send_packed(&traces(2, 50));
    wait("100 calls", || gateway_to_auth(&river) == 100).await;
    third.stop().await.unwrap();

    first.stop().await.unwrap();
    second.wait_live(2).await;
    river.send_packed(&traces(3, 50));
    wait("150 calls", || gateway_to_auth(&river) == 150).await;
    second.stop().await.unwrap();
    river.assert_no_holes();
    river.drop_topics().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_groups_on_one_river_fence_each_other_but_double_nothing() {
    let Some(river) = River::new("fence", 1).await else { return };
    let first = river.start(river.options());
    first.wait_live(1).await;
    river.send_packed(&traces(1, 50));
    wait("50 calls", || gateway_to_auth(&river) == 50).await;

    // A mistake in the configuration: the same topics under another group.
    let second = river.start(Options { group: format!("{}other", river.prefix), ..river.options() });
    let fenced = || first.health.reasons().contains("was fenced by another process");
    wait("the first notices", fenced).await;
    river.send_packed(&traces(2, 50));
    wait("100 calls", || gateway_to_auth(&river) == 100).await;
    second.stop().await.unwrap();
    first.wait_live(1).await;
    river.send_packed(&traces(3, 50));
    wait("150 calls", || gateway_to_auth(&river) == 150).await;
    first.stop().await.unwrap();
    river.assert_no_holes();
    river.drop_topics().await;
}

/// Value of a metric in a processor's answer.
async fn metric(admin: &str, line: &str) -> Option<u64> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut connection = tokio::net::TcpStream::connect(admin).await.ok()?;
    connection.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").await.ok()?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.ok()?;
    answer.lines().find_map(|answered| answered.strip_prefix(line)?.trim().parse().ok())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_takes_over_without_reading_the_log_again() {
    let Some(river) = River::new("standby", 1).await else { return };
    let first = Process::start(&river, &["--group-instance-id", "processor-0"]);
    let sent = traces(1, 50);
    river.send_each(&sent, first_half);
    let from_user = || river.calls().get(&("user".to_owned(), "gateway".to_owned())) == Some(&50);
    wait("the first halves are counted", from_user).await;

    let admin = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let second = river.start(Options { standby: true, admin, ..river.options() });
    let copies = || second.says("0 shards are live, and copies of 1 others are kept");
    wait("the second keeps a copy", copies).await;
    river.send_each(&sent[..25], second_half);
    wait("half of the calls", || gateway_to_auth(&river) == 25).await;
    first.kill();
    river.send_each(&sent[25..], second_half);
    wait("all calls", || gateway_to_auth(&river) == 50).await;
    wait("every flow is whole", || flows(&river).values().filter(|flow| flow.spans == 3).count() == 50).await;
    let admin = admin.to_string();
    let told = async |name: &str| metric(&admin, &format!("weir_processor_{name}{{partition=\"0\"}}")).await;
    assert_eq!((told("takeovers_total").await, told("wrong_copies_total").await), (Some(1), Some(0)));
    second.stop().await.unwrap();
    river.assert_no_holes();
    river.drop_topics().await;
}
