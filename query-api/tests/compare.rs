//! What changed between two times, on a real log.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod support;

use serde_json::Value;
use support::{Bench, Calls, calls_to, now_s};

fn calls(server: &'static str, ago_s: u32, calls: i64, errors: i64) -> Calls {
    Calls { operation: "login", server, window_s: now_s() - ago_s, calls, errors }
}

fn servers(edges: &Value) -> Vec<&str> {
    edges.as_array().unwrap().iter().map(|edge| edge["to"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn edges_are_added_removed_and_changed_from_one_time_to_another() {
    let Some(bench) = Bench::new("compare").await else { return };
    let before = [calls("auth", 300, 100, 0), calls("same", 300, 100, 5), calls("old", 300, 40, 0)];
    let now = [calls("auth", 60, 100, 50), calls("same", 60, 100, 6), calls("new", 60, 40, 0)];
    bench.commit(1, &before).await;
    bench.commit(2, &now).await;
    let api = bench.start().await;
    api.until("/api/v1/graph?window=15m", |graph| calls_to(graph, "auth") == 200).await;
    // Both times are as long, so that rates are equal.
    let times = "startTime=now-2m&endTime=now&baselineStartTime=now-6m&baselineEndTime=now-4m";
    let (status, answer) = api.get(&format!("/api/v1/dependencies/compare?{times}")).await;
    assert_eq!(status, 200, "{answer:#}");
    assert_eq!(
        (servers(&answer["added"]), servers(&answer["removed"])),
        (vec!["new"], vec!["old"]),
        "{answer:#}"
    );
    assert_eq!(answer["unchangedCount"], 1, "{answer:#}");
    let [change] = &answer["changed"].as_array().unwrap()[..] else { panic!("{answer:#}") };
    assert_eq!((&change["current"]["to"], &change["current"]["errorCount"]), (&"auth".into(), &50.into()));
    assert_eq!(
        (&change["baseline"]["errorCount"], &change["errorRate"]["significant"]),
        (&0.into(), &true.into())
    );
    assert_eq!(
        (&change["latency"]["significant"], &change["rate"]["value"]),
        (&false.into(), &1.0.into()),
        "{change:#}"
    );

    for refused in [
        "",
        "?baselineEndTime=now",
        "?version=1&baselineVersion=2",
        "?service=auth&version=1",
        "?baselineStartTime=tomorrow",
        "?baselineEnvironment=dev&colour=red",
    ] {
        let (status, problem) = api.get(&format!("/api/v1/dependencies/compare{refused}")).await;
        assert_eq!((status, &problem["code"]), (400, &"bad_request".into()), "{refused}: {problem:#}");
    }
    let (status, other) = api.get("/api/v1/dependencies/compare?window=15m&baselineEnvironment=dev").await;
    assert_eq!((status, servers(&other["added"]).len()), (200, 4), "dev is empty: {other:#}");
    api.stop().await;
    bench.drop().await;
}
