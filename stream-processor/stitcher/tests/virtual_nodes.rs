//! Callers and callees that emit no spans (DESIGN 4.2: virtual caller, virtual callee, sampling, identity).

mod support;
use support::{check, settle, table};

#[test]
fn a_client_without_an_answer_calls_who_it_names() {
    check(&[
        ("named service", "1 - C app 0..10 peer=ldap", &["app>external:ldap 1 ?1"]),
        ("database", "1 - C app 0..10 db=postgresql:db/orders", &["app>database:postgresql:db/orders 1"]),
        (
            "host",
            "1 - C app 0..10 host=pay.example.com:443 code=502",
            &["app>external:pay.example.com:443 1 e1 ?1"],
        ),
        (
            "bare addresses share a node",
            "1 - C app 0..10 ip=10.0.0.1\n 2 - C app 0..10 ip=10.0.0.2",
            &["app>external:ip 2 ?2"],
        ),
        ("nobody", "1 - C app 0..10", &["app>unknown 1 ?1"]),
        ("itself", "1 - C app 0..10 peer=app", &["app>external:app 1 ?1"]),
    ]);
}

#[test]
fn a_server_without_a_caller_was_called_by_whom_it_names() {
    check(&[
        ("nobody known", "1 - S app 0..10", &["user>app 1"]),
        ("a peer by name", "1 - S app 0..10 peer=partner", &["external:partner>app 1 ?1"]),
        ("an address is no name", "1 - S app 0..10 host=10.0.0.7:4711", &["user>app 1"]),
        ("a browser by its user agent", "1 - S app 0..10 calling=browser", &["client:browser>app 1"]),
        ("a timer", "1 - S app 0..10 timer", &[]),
        ("a parent that never came", "1 9 S app 0..10", &["unknown>app 1 ?1"]),
        ("work inside a service needs no caller", "1 9 I app 0..10\n 2 - I job 0..10", &[]),
        ("nameless", "1 - S - 0..10", &[]),
        (
            "a browser with its own spans is a client and has no caller",
            "1 - C console 0..100 browser\n 2 1 S gw 10..90",
            &["client:console>gw 1"],
        ),
        (
            "nor does the server that rendered its page call it",
            "1 - S gw 0..100\n 2 1 I console 110..150 browser\n 3 2 C console 120..140 browser\n 4 3 S gw 121..139",
            &["client:console>gw 1", "user>gw 1"],
        ),
    ]);
}

#[test]
fn a_call_is_seen_whole_unless_its_other_side_could_have_spans() {
    check(&[
        ("both sides", "1 - C app 0..10\n 2 1 S auth 1..9", &["app>auth 1"]),
        ("a database has none", "1 - C app 0..10 db=redis:cache", &["app>database:redis:cache 1"]),
        ("a user has none", "1 - S app 0..10", &["user>app 1"]),
        ("an external host may be a service", "1 - C app 0..10 host=auth", &["app>external:auth 1 ?1"]),
        ("so may a caller", "1 - S app 0..10 peer=partner", &["external:partner>app 1 ?1"]),
        ("and somebody unknown", "1 9 S app 0..10", &["unknown>app 1 ?1"]),
    ]);
}

#[test]
fn a_client_entry_span_gives_status_and_length_to_its_outgoing_call_only() {
    check(&[
        (
            "it names another",
            "1 - S foo 0..100\n 2 1 U - 1..99\n 3 2 C bar 2..50 peer=baz err\n 4 2 C bar 51..90 peer=baz",
            &["bar>external:baz 2 e1 r1 ?2", "foo>bar 2", "user>foo 1"],
        ),
        (
            "it names nobody: it is its service's only span",
            "1 - S driver 0..100\n 2 1 C redis 1..30 err key=7\n 3 1 C redis 31..60 key=7",
            &["driver>redis 2 e1 r1", "user>driver 1"],
        ),
    ]);
}

#[test]
fn counts_are_scaled_by_sampling() {
    let commit = settle(&table("1 - C app 0..10 weight=4000\n 2 1 S auth 1..9 weight=2000"));
    let (key, counts) = &commit.deltas.edges[0];
    assert_eq!(
        (key.weight_milli, counts.calls, counts.paired),
        (2000, 1, 0),
        "the smaller weight, low confidence"
    );
    let commit = settle(&table("1 - C app 0..10 weight=4000\n 2 1 S auth 1..9 weight=4000"));
    let (key, counts) = &commit.deltas.edges[0];
    assert_eq!((key.weight_milli, counts.calls, counts.paired), (4000, 1, 1));
}

#[test]
fn identity_has_a_namespace_and_the_callee_s_version() {
    let commit =
        settle(&table("1 - C app 0..10 namespace=a version=1\n 2 1 S app 1..9 namespace=b version=2"));
    let (key, counts) = &commit.deltas.edges[0];
    assert_eq!((&*key.client.namespace, &*key.server.namespace, &*key.version), ("a", "b", "2"));
    assert_eq!(counts.calls, 1);
}
