//! What a flow is called, how it ended and how long it took (DESIGN 4.5).

mod support;
use stitcher::flow::FlowStatus;
use stitcher::{Settings, Shard};
use support::{settle, table};

fn operation(text: &'static str) -> String {
    settle(&table(text)).traces[0].operation.to_string()
}

#[test]
fn the_strongest_source_names_the_flow() {
    let cases = [
        (
            "said outright, on any span",
            "1 - S gw 0..10 route=/login method=POST\n 2 1 S auth 1..9 operation=login",
            "login",
        ),
        (
            "an attribute outranks a header",
            "1 - S gw 0..10 header=x\n 2 1 S auth 1..9 operation=login",
            "login",
        ),
        (
            "among equals: nearest the root",
            "1 - S gw 0..10\n 3 2 S user 3..4 operation=deep\n 2 1 S auth 2..9 operation=near",
            "near",
        ),
        (
            "among equals: earliest",
            "1 - S gw 0..10\n 2 1 S a 3..9 operation=late\n 3 1 S b 2..4 operation=early",
            "early",
        ),
        (
            "among equals: smallest span id",
            "1 - S gw 0..10\n 3 1 S a 2..9 operation=b\n 2 1 S b 2..4 operation=a",
            "a",
        ),
        (
            "route of the outermost server",
            "1 - C web 0..10\n 2 1 S gw 1..9 method=POST route=/vms/{id}\n 3 2 S vm 2..8 route=/x",
            "POST /vms/{id}",
        ),
        (
            "a route that says nothing is passed over",
            "1 - S gw 0..10 route=/*\n 2 1 S vm 1..9 method=GET route=/vms",
            "GET /vms",
        ),
        ("RPC method", "1 - S gw 0..10 route=/*\n 2 1 S vm 1..9 rpc=vm.Vms/Get", "vm.Vms/Get"),
        (
            "… but what was asked for outranks what that led to",
            "1 - S gw 0..10 name=/vms\n 2 1 S vm 1..9 rpc=vm.Vms/Get",
            "/vms",
        ),
        ("topic", "1 - K mail 0..10 topic=kafka:orders", "process kafka:orders"),
        (
            "a path as name, ids templated",
            "1 - U gw 0..10 name=/*\n 2 1 U auth 1..9 name=/users/42",
            "/users/{}",
        ),
        ("the root's name", "1 - I nightly 0..10 name=clean-up\n 2 1 C nightly 1..2 db=x", "clean-up"),
        ("nothing at all", "1 9 I a 0..10", "unknown"),
        ("health checks", "1 - S gw 0..10 route=/healthz probe", "__probe__"),
        ("… unless somebody gave it a name", "1 - S gw 0..10 probe operation=check", "check"),
    ];
    for (name, text, expected) in cases {
        assert_eq!(operation(text), expected, "{name}");
    }
}

#[test]
fn status_and_duration_are_the_root_s() {
    let summary = |text| settle(&table(text)).traces.remove(0);
    let flow = summary(
        "1 - S gw 0..100 code=200\n 2 1 C gw 10..20 code=503 host=x\n 3 1 C gw 21..30 code=404 host=y",
    );
    assert_eq!(
        (flow.status, flow.duration_us, flow.errors, flow.client_errors),
        (FlowStatus::Success, 100_000, 1, 1)
    );
    let failed = summary("1 - S gw 0..100 code=500");
    assert_eq!(
        (failed.status, failed.errors),
        (FlowStatus::Error, 0),
        "the root's own failure is the status"
    );
    assert_eq!(summary("1 - S gw 0..100 code=504").status, FlowStatus::Timeout);
    assert_eq!(summary("1 - S gw 0..100 code=404").status, FlowStatus::Success);
    let headless = summary("2 9 S auth 10..20 code=500\n 3 2 S user 11..12");
    assert_eq!(
        (headless.status, headless.duration_us, headless.complete),
        (FlowStatus::Error, 10_000, false)
    );
    let tail = summary("1 - P shop 0..10 topic=k:o\n 2 1 K mail 100..150 topic=k:o");
    assert_eq!((tail.duration_us, tail.tail_us), (10_000, 140_000), "asynchronous work is given apart");
    let wrong_clock = summary("1 - C web 0..100 browser\n 2 1 S gw 5000..5050");
    assert_eq!(
        wrong_clock.start_us, 1_700_000_005_000_000,
        "a flow from a wrong clock starts with its first server"
    );
}

#[test]
fn a_flow_s_environment_is_the_one_nearest_its_root() {
    let commit =
        settle(&table("1 - C web 0..100\n 3 2 S auth 2..9 env=staging\n 2 1 S gw 1..99 env=production"));
    assert_eq!(&*commit.traces[0].environment, "production");
    assert!(commit.deltas.edges.iter().all(|(key, _)| &*key.environment == "production"));
}

#[test]
fn user_ids_leave_only_as_a_keyed_hash() {
    let with_key = |key: &[u8]| {
        let mut shard = Shard::new(Settings { user_hash_key: key.to_vec(), ..Settings::default() });
        shard.begin_record(0, 0);
        table("1 - S gw 0..10 user=ada session=s1").iter().for_each(|span| shard.apply(span));
        shard.settle_all();
        shard.commit().traces.remove(0)
    };
    assert_eq!(with_key(b"").user_hash, "");
    let (one, other) = (with_key(b"one").user_hash, with_key(b"other").user_hash);
    assert_eq!(one.len(), 32);
    assert_ne!(one, other);
    assert_eq!(&*with_key(b"one").session_id, "s1");
}

#[test]
fn failed_flows_carry_their_graph_and_services_are_listed_once() {
    let flow = settle(&table("1 - S gw 0..100 code=500\n 2 1 S auth 1..9 code=500\n 3 1 S auth 10..19"))
        .traces
        .remove(0);
    let names: Vec<&str> = flow.services.iter().map(|name| &**name).collect();
    assert_eq!(names, ["auth", "gw"]);
    let graph = flow.graph.expect("a failed flow's graph");
    let edges: Vec<(&str, &str, u32, u32)> = graph
        .edges
        .iter()
        .map(|edge| {
            let name = |at: u32| &*graph.nodes[at as usize].node.name;
            (name(edge.client), name(edge.server), edge.calls, edge.errors)
        })
        .collect();
    assert_eq!(edges, [("gw", "auth", 2, 1), ("user", "gw", 1, 1)]);
    let quick = settle(&table("1 - S gw 0..100 code=200")).traces.remove(0);
    assert!(quick.graph.is_none(), "a quick success is neither slow, failed nor sampled");
}

#[test]
fn self_time_is_what_a_service_did_not_spend_waiting() {
    let commit =
        settle(&table("1 - S gw 0..100\n 2 1 C gw 10..90\n 3 2 S auth 20..80\n 4 3 C auth 30..40 db=x"));
    let of = |name: &str| {
        let (_, counts) = commit.deltas.services.iter().find(|(key, _)| &*key.node.name == name).expect(name);
        (counts.requests, counts.self_time.sum_us, counts.critical_path.sum_us)
    };
    assert_eq!(of("gw").1, 20_000);
    assert_eq!(of("auth").1, 50_000);
    assert_eq!(of("x"), (1, 0, 10_000), "a database holds the flow up for as long as its caller waits");
    let held_up: i64 = commit.deltas.services.iter().map(|(_, counts)| counts.critical_path.sum_us).sum();
    assert_eq!(held_up, 80_000, "all of the root's time but what the wire took");
}
