//! `weir graph` as its users run it: files and standard input in, tables, JSON and pictures out.
#![allow(clippy::unwrap_used)] // a test stops where it is wrong

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value as Json, json};

fn weir(arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
    let mut child = command
        .arg("graph")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn stdout(arguments: &[&str], input: &str) -> String {
    let output = weir(arguments, input);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn graph(arguments: &[&str], input: &str) -> Json {
    serde_json::from_str(&stdout(&[&["--format", "json"], arguments].concat(), input)).unwrap()
}

/// `web` (in namespace shop) asks `pay` twice, the first time in vain, 1 ms and 2 ms, under the operation login.
fn login() -> String {
    let span = |id: u8, parent: &str, kind: u8, start_us: u64, duration_us: u64, more: &str| {
        let at = |us: u64| 1_735_689_600_000_000_000 + us * 1_000;
        format!(
            r#"{{"traceId":"000000000000000000000000000000aa","spanId":"00000000000000{id:02x}","parentSpanId":"{parent}","name":"op","kind":{kind},"startTimeUnixNano":"{}","endTimeUnixNano":"{}"{more}}}"#,
            at(start_us),
            at(start_us + duration_us)
        )
    };
    let attribute =
        |key: &str, value: &str| format!(r#"{{"key":"{key}","value":{{"stringValue":"{value}"}}}}"#);
    let resource = |service: &str, spans: &[String]| {
        let attributes =
            [attribute("service.name", service), attribute("service.namespace", "shop")].join(",");
        format!(
            r#"{{"resource":{{"attributes":[{attributes}]}},"scopeSpans":[{{"spans":[{}]}}]}}"#,
            spans.join(",")
        )
    };
    let operation = format!(r#","attributes":[{}]"#, attribute("weir.operation", "login"));
    let failed = r#","status":{"code":2}"#;
    let web = [
        span(1, "", 2, 0, 9_000, &operation),
        span(2, "0000000000000001", 3, 1_000, 2_000, failed),
        span(4, "0000000000000001", 3, 4_000, 3_000, ""),
    ];
    let pay = [
        span(3, "0000000000000002", 2, 1_500, 1_000, failed),
        span(5, "0000000000000004", 2, 4_500, 2_000, ""),
    ];
    format!(r#"{{"resourceSpans":[{},{}]}}"#, resource("web", &web), resource("pay", &pay)) + "\n"
}

/// A latency of these values; all of them are in buckets of 8 or 16 µs.
fn latency(count: u64, mean: u64, p50: u64, top: u64) -> Json {
    json!({"count": count, "mean": mean, "p50": p50, "p90": top, "p95": top, "p99": top, "max": top})
}

#[test]
fn json_is_the_documented_contract() {
    let nothing = latency(0, 0, 0, 0);
    let expected = json!({
        "edges": [
            {
                "client": "user", "client_kind": "user", "client_namespace": "",
                "server": "web", "server_kind": "service", "server_namespace": "shop",
                "calls": 1, "raw_calls": 1, "errors": 0, "client_errors": 0, "retries": 0, "timeouts": 0, "rejected": 0,
                "confidence": 1.0, "callee_latency_us": latency(1, 9_000, 8_992, 8_992), "caller_latency_us": nothing,
            },
            {
                "client": "web", "client_kind": "service", "client_namespace": "shop",
                "server": "pay", "server_kind": "service", "server_namespace": "shop",
                "calls": 2, "raw_calls": 2, "errors": 1, "client_errors": 0, "retries": 1, "timeouts": 0, "rejected": 0,
                "confidence": 1.0, "callee_latency_us": latency(2, 1_500, 1_002, 2_004),
                "caller_latency_us": latency(2, 2_500, 2_004, 3_000),
            },
        ],
        "nodes": [
            {"name": "user", "kind": "user", "namespace": "", "requests": 0, "errors": 0, "latency_us": nothing, "self_us": nothing},
            {"name": "pay", "kind": "service", "namespace": "shop", "requests": 2, "errors": 1,
             "latency_us": latency(2, 1_500, 1_002, 2_004), "self_us": latency(2, 1_500, 1_002, 2_004)},
            {"name": "web", "kind": "service", "namespace": "shop", "requests": 1, "errors": 0,
             "latency_us": latency(1, 9_000, 8_992, 8_992), "self_us": latency(1, 4_000, 4_008, 4_008)},
        ],
        "operations": [{"name": "login", "flows": 1, "errors": 0, "latency_us": latency(1, 9_000, 8_992, 8_992)}],
        "flows": 1, "spans": 5, "duplicates": 0, "rejected": {},
    });
    let got = graph(&["-"], &login());
    assert_eq!(got, expected, "\n{got:#}");
}

#[test]
fn by_operation_every_edge_and_node_says_its_operation() {
    let got = graph(&["--by", "operation", "-"], &login());
    for list in ["edges", "nodes"] {
        assert!(got[list].as_array().unwrap().iter().all(|item| item["operation"] == "login"), "{got:#}");
    }
}

#[test]
fn a_span_counts_once_however_often_it_comes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("login.json");
    std::fs::write(&file, login()).unwrap();
    let file = file.to_str().unwrap();
    let got = graph(&[file, file, "-"], &login());
    assert_eq!(
        (&got["spans"], &got["duplicates"], &got["edges"][1]["calls"]),
        (&json!(15), &json!(10), &json!(2))
    );
}

#[test]
fn the_table_lines_up() {
    let table = stdout(&["-"], &login());
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("CALLER") && lines[0].contains("P95 ms"), "{table}");
    assert!(lines[2].starts_with("shop/web  shop/pay      2       1"), "{table}");
    let end_of = |line: &str, text: &str| line.find(text).unwrap() + text.len();
    assert_eq!(end_of(lines[0], "P50 ms"), end_of(lines[2], "1.00"), "{table}");
    assert_eq!(*lines.last().unwrap(), "5 spans · 1 flow · 0 duplicates");
}

#[test]
fn names_from_strangers_stay_names() {
    let hostile = login().replace("\"pay\"", r#""a\"]; b <script> \u001b[31m""#);
    let dot = stdout(&["--format", "dot", "-"], &hostile);
    assert!(dot.contains(r#"label="shop/a\"]; b <script>  [31m""#), "{dot}");
    let mermaid = stdout(&["--format", "mermaid", "-"], &hostile);
    assert!(mermaid.contains("shop/a#quot;]; b #lt;script#gt;"), "{mermaid}");
    for text in [dot, mermaid, stdout(&["-"], &hostile)] {
        assert!(!text.contains('\u{1b}'));
    }
}

#[test]
fn bad_lines_are_told_and_counted() {
    let output = weir(&["--format", "json", "-"], &format!("{}nonsense\n", login()));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.starts_with("-: line 2: "), "{said}");
    let got: Json = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&got["flows"], &got["rejected"]), (&json!(1), &json!({"bad_line": 1})));
}

#[test]
fn what_holds_no_traces_is_one_sentence_and_exit_1() {
    for (arguments, input, says) in [
        (["-"], "garbage", "standard input holds no traces"),
        (["no/such/file"], "", "can't open no/such/file"),
    ] {
        let output = weir(&arguments, input);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(said.contains(says) && said.lines().count() == 1, "{said}");
    }
}

/// The folder of real traces: `../shared/data` beside the repository, or `WEIR_TEST_DATA`.
fn data(file: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let path = std::env::var_os("WEIR_TEST_DATA").map_or(beside, PathBuf::from).join(file);
    if !path.exists() {
        println!("SKIPPED: {} is missing (set WEIR_TEST_DATA to the folder of test data)", path.display());
        return None;
    }
    Some(path)
}

#[test]
fn real_traces_of_two_formats_at_once() {
    let files = ["hotrod/jaeger-span-2023-01-24.json", "traceweaver/node_load100.ndjson.gz"].map(data);
    let [Some(hotrod), Some(node)] = &files else { return };
    let got = graph(&[hotrod.to_str().unwrap(), node.to_str().unwrap()], "");
    let redis = got["edges"].as_array().unwrap().iter().find(|edge| edge["server"] == "redis").unwrap();
    let counts = (&redis["client"], &redis["calls"], &redis["errors"], &redis["retries"]);
    assert_eq!(counts, (&json!("driver"), &json!(95), &json!(18), &json!(18)));
    assert_eq!((&got["flows"], &got["duplicates"], &got["rejected"]), (&json!(1_014), &json!(0), &json!({})));
}
