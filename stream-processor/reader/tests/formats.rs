//! Every file format, told by content.
#![allow(clippy::unwrap_used)] // a test stops where it is wrong

mod support;

use std::io::Write;

use opentelemetry_proto::tonic::trace::v1::{Span, TracesData};
use prost::Message;
use reader::{FileReport, read_from};
use support::{Graph, data, documents};

fn read(bytes: &[u8]) -> (Vec<TracesData>, FileReport) {
    let mut documents = Vec::new();
    let report = read_from("the test", bytes, &mut |document| documents.push(document)).unwrap();
    (documents, report)
}

fn spans(documents: &[TracesData]) -> Vec<&Span> {
    let scopes = documents.iter().flat_map(|data| &data.resource_spans).flat_map(|part| &part.scope_spans);
    scopes.flat_map(|scope| &scope.spans).collect()
}

const OTLP: &str = r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"pay"}}]},
"scopeSpans":[{"spans":[{"traceId":"0000000000000000000000000000000a","spanId":"000000000000000b","name":"op","kind":2,
"startTimeUnixNano":"1735689600000000000","endTimeUnixNano":1735689600000001000,
"attributes":[{"key":"n","value":{"intValue":"7"}},{"key":"f","value":{"doubleValue":0.5}},
{"key":"b","value":{"bytesValue":"AQI="}},{"key":"l","value":{"arrayValue":{"values":[{"boolValue":true}]}}},{"key":"null","value":null}]}]}]}]}"#;

#[test]
fn otlp_json_and_protobuf_are_the_same_document() {
    let (whole, report) = read(OTLP.as_bytes());
    assert_eq!((whole.len(), report.documents, report.bad_lines), (1, 1, 0));
    assert_eq!(spans(&whole)[0].end_time_unix_nano - spans(&whole)[0].start_time_unix_nano, 1_000);
    assert_eq!(spans(&whole)[0].attributes.len(), 5);
    let line = OTLP.replace('\n', "");
    for (text, copies) in [
        (format!("\n  \n{line}\n\n{line}\n"), 2), // a document a line
        (format!("[{line},{line},{line}]"), 3),   // a list of requests
        (format!("[\n{OTLP},\n{OTLP}\n]\n"), 2),  // … over many lines
        (format!("\n\n{OTLP}\n"), 1),
    ] {
        let (documents, report) = read(text.as_bytes());
        assert_eq!((documents.len(), report.bad_lines), (copies, 0), "{text}");
        assert!(documents.iter().all(|document| *document == whole[0]));
    }
    let (decoded, _) = read(&whole[0].encode_to_vec());
    assert_eq!(decoded, whole);
}

#[test]
fn gzip_is_told_by_its_first_bytes() {
    let whole = read(OTLP.as_bytes()).0;
    let pack = |bytes: &[u8]| {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(bytes).unwrap();
        packed.finish().unwrap()
    };
    assert_eq!(read(&pack(OTLP.as_bytes())).0, whole);
    assert_eq!(read(&pack(&whole[0].encode_to_vec())).0, whole);
    // Files that were packed apart and joined are one file.
    let line = OTLP.replace('\n', "") + "\n";
    assert_eq!(read(&[pack(line.as_bytes()), pack(line.as_bytes())].concat()).0.len(), 2);
}

#[test]
fn bad_lines_are_counted_and_the_others_read() {
    let line = OTLP.replace('\n', "");
    let text = format!("{line}\nnonsense\n\n{{\"some\":\"thing\"}}\n{line}\n{{\"cut\":");
    let (documents, report) = read(text.as_bytes());
    assert_eq!((documents.len(), report.documents, report.bad_lines), (2, 2, 3));
    assert_eq!(report.bad.iter().map(|bad| bad.line).collect::<Vec<_>>(), [2, 4, 6]);
    let first_bad = format!("nonsense\n{line}\n");
    let (documents, report) = read(first_bad.as_bytes());
    assert_eq!((documents.len(), report.bad.first().unwrap().line), (1, 1));
}

#[test]
fn garbage_is_an_error_and_nothing_is_none() {
    for garbage in [b"hello there".as_slice(), b"\x1f\x8bnot gzip", b"{]", b"\x00\x01\x02\xff", b"1234"] {
        let sentence = read_from("garbage.bin", garbage, &mut |_| panic!()).unwrap_err().to_string();
        assert!(sentence.contains("garbage.bin"), "{sentence}");
    }
    for nothing in [b"".as_slice(), b" \n\t\n", b"{\"resourceSpans\":[]}"] {
        assert_eq!(spans(&read(nothing).0).len(), 0);
    }
}

const JAEGER: &str = r#"{"traceID":"abc","spans":[
{"traceID":"abc","spanID":"1","operationName":"GET /","references":[],"startTime":1000,"duration":500,"processID":"p1",
 "tags":[{"key":"span.kind","type":"string","value":"server"},{"key":"http.status_code","type":"int64","value":"200"}],
 "logs":[{"timestamp":1200,"fields":[{"key":"event","type":"string","value":"error"},{"key":"error.kind","type":"string","value":"Timeout"}]}]},
{"traceID":"abc","spanID":"2","operationName":"query","startTime":1100,"duration":-5,"processID":"p2",
 "references":[{"refType":"FOLLOWS_FROM","traceID":"abc","spanID":"9"},{"refType":"CHILD_OF","traceID":"abc","spanID":"1"},
               {"refType":"CHILD_OF","traceID":"def","spanID":"7"}],
 "tags":[{"key":"error","type":"bool","value":true},{"key":"span.kind","type":"string","value":"client"}]},
{"traceID":"no id","spanID":"3","operationName":"x","startTime":1,"duration":1,"processID":"p1"}],
"processes":{"p1":{"serviceName":"web","tags":[{"key":"hostname","type":"string","value":"h1"}]},"p2":{"serviceName":"db-client","tags":[]}}}"#;

#[test]
fn jaeger_in_all_its_wrappings() {
    let line = JAEGER.replace('\n', "");
    let wrappings = [
        format!(r#"{{"data":[{line}],"total":0}}"#),
        format!("[{line}]"),
        line.clone(),
        format!("{{\n\"data\":\n[{JAEGER}]}}"),
    ];
    for text in wrappings {
        let (documents, report) = read(text.as_bytes());
        assert_eq!((report.bad_lines, report.rejected["bad_id"]), (0, 1));
        let all = spans(&documents);
        assert_eq!(all.len(), 2);
        let mut trace_id = vec![0; 16];
        trace_id[14..].copy_from_slice(&[0x0a, 0xbc]);
        assert_eq!((&all[0].trace_id, all[0].kind, all[0].parent_span_id.len()), (&trace_id, 2, 0));
        assert_eq!((all[0].start_time_unix_nano, all[0].end_time_unix_nano), (1_000_000, 1_500_000));
        assert_eq!((all[0].events.len(), all[0].events[0].name.as_str()), (1, "error"));
        assert_eq!((all[1].parent_span_id.clone(), all[1].links.len()), (vec![0, 0, 0, 0, 0, 0, 0, 1], 2));
        assert_eq!((all[1].status.as_ref().unwrap().code, all[1].kind), (2, 3));
        assert!(
            all[1].end_time_unix_nano < all[1].start_time_unix_nano,
            "a negative duration is kept for the stitcher"
        );
        assert_eq!(documents[0].resource_spans.len(), 2);
    }
}

#[test]
fn jaeger_as_elasticsearch_stores_it() {
    let text = concat!(
        r#"{"index":{}}"#,
        "\n",
        r#"{"traceID":"a","spanID":"1","operationName":"GET","startTime":1,"duration":2,"references":[],"tags":[],"#,
        r#""tag":{"span@kind":"server","http@status_code":503},"process":{"serviceName":"web","tags":[],"tag":{"k8s@pod@name":"web-0"}}}"#,
        "\n",
    );
    let (documents, report) = read(text.as_bytes());
    assert_eq!((report.documents, report.bad_lines), (1, 0));
    let graph = Graph::of(&documents);
    assert_eq!(graph.edge("user", "web").errors, 1);
}

#[test]
fn zipkin_spans_that_share_an_id_pair() {
    let text = r#"[
      {"traceId":"a","id":"1","kind":"CLIENT","name":"get","timestamp":10,"duration":9,"localEndpoint":{"serviceName":"web"}},
      {"traceId":"a","id":"1","kind":"SERVER","name":"get","timestamp":12,"duration":5,"shared":true,
       "localEndpoint":{"serviceName":"app"},"tags":{"error":""}},
      {"traceId":"a","parentId":"1","id":"2","kind":"CLIENT","name":"query","timestamp":13,"duration":1,
       "localEndpoint":{"serviceName":"app"},"remoteEndpoint":{"serviceName":"mysql","ipv4":"10.0.0.1","port":3306}},
      {"traceId":"nothex","id":"2"}]"#;
    let (documents, report) = read(text.as_bytes());
    assert_eq!((report.documents, report.rejected["bad_id"]), (1, 1));
    let known = Graph::of(&documents).known_edges();
    let edge = |client: &str, server: &str| known[&(client.to_owned(), server.to_owned())];
    assert_eq!((edge("web", "app"), edge("app", "mysql"), known.len()), ((1, 1), (1, 0), 2));
    // Lists of traces, and a span a line, are the same.
    let list = format!("[{text}]");
    assert_eq!(spans(&read(list.as_bytes()).0).len(), 3);
}

#[test]
fn a_bad_line_is_named_by_its_number() {
    let bad = |text: &str| read_from("x", text.as_bytes(), &mut |_| {}).unwrap_err().to_string();
    assert!(bad("\n\n{\"some\":\"thing\"}").contains("line 3:"));
    assert!(bad("{\"some\":\"thing\"}\n").contains("line 1:"));
}

#[test]
fn no_byte_of_a_document_can_make_it_panic() {
    let zipkin = r#"[{"traceId":"a","id":"1","kind":"CLIENT","timestamp":9223372036854775807,"duration":-9223372036854775808,
        "localEndpoint":{"serviceName":"web"},"remoteEndpoint":{"port":-1},"tags":{"a":"b"},"annotations":[{"timestamp":1}]}]"#;
    for text in [OTLP, JAEGER, zipkin] {
        for at in 0..text.len() {
            for change in *b"\"0-9e.[]{}:,n\\\n\xff" {
                let mut changed = text.as_bytes().to_vec();
                changed[at] = change;
                let _ = read_from("changed", changed.as_slice(), &mut |_| {});
                changed.truncate(at);
                let _ = read_from("cut", changed.as_slice(), &mut |_| {});
            }
        }
    }
}

#[test]
fn real_zipkin_and_jaeger_files_are_read_whole() {
    for (file, expected) in
        [("zipkin/messaging-kafka.json", 0), ("zipkin/skew.json", 4), ("crisp/test_cases/1.json", 0)]
    {
        let Some(path) = data(file) else { return };
        let (documents, report) = documents(&path);
        assert_eq!((report.bad_lines, report.rejected.len()), (0, 0), "{file}");
        let count = spans(&documents).len();
        assert!(count > 0 && (expected == 0 || count == expected), "{file}: {count} spans");
    }
}
