//! What goes wrong on an edge (DESIGN 4.3: errors, retries, timeouts, rejections).

mod support;
use support::{check, settle, table};

#[test]
fn a_call_is_at_most_one_of_error_and_client_error() {
    check(&[
        ("the server's code", "1 - C a 0..10\n 2 1 S b 1..9 code=500", &["a>b 1 e1"]),
        ("the client's code", "1 - C a 0..10 code=503\n 2 1 S b 1..9", &["a>b 1 e1"]),
        ("a code outranks the status", "1 - C a 0..10 code=404 err\n 2 1 S b 1..9 code=404", &["a>b 1 c1"]),
        ("no code: either side's status", "1 - C a 0..10 err\n 2 1 S b 1..9", &["a>b 1 e1"]),
        ("both", "1 - C a 0..10 code=500\n 2 1 S b 1..9 code=404", &["a>b 1 e1"]),
        ("gRPC not found", "1 - C a 0..10 grpc=5\n 2 1 S b 1..9 grpc=5", &["a>b 1 c1"]),
        ("gRPC unavailable", "1 - C a 0..10 grpc=14\n 2 1 S b 1..9", &["a>b 1 e1"]),
    ]);
}

#[test]
fn time_outs() {
    check(&[
        ("504", "1 - C a 0..10 code=504 host=x", &["a>external:x 1 e1 t1 ?1"]),
        ("408", "1 - C a 0..10 code=408 host=x", &["a>external:x 1 c1 t1 ?1"]),
        ("gRPC deadline", "1 - C a 0..10 grpc=4\n 2 1 S b 1..30", &["a>b 1 e1 t1"]),
        ("an exception", "1 - C a 0..10 fail=timeout\n 2 1 S b 1..30 code=200", &["a>b 1 e1 t1"]),
    ]);
}

#[test]
fn a_retry_follows_a_failure_at_once() {
    check(&[
        (
            "the same request again",
            "1 - S a 0..100\n 2 1 C a 0..10 host=x code=503 key=1\n 3 1 C a 11..20 host=x code=200 key=1",
            &["a>external:x 2 e1 r1 ?2", "user>a 1"],
        ),
        (
            "another request",
            "1 - S a 0..100\n 2 1 C a 0..10 host=x code=503 key=1\n 3 1 C a 11..20 host=x code=200 key=2",
            &["a>external:x 2 e1 ?2", "user>a 1"],
        ),
        (
            "another peer",
            "1 - S a 0..100\n 2 1 C a 0..10 host=x code=503\n 3 1 C a 11..20 host=y code=200",
            &["a>external:x 1 e1 ?1", "a>external:y 1 ?1", "user>a 1"],
        ),
        (
            "at the same time",
            "1 - S a 0..100\n 2 1 C a 0..10 host=x code=503\n 3 1 C a 5..20 host=x code=200",
            &["a>external:x 2 e1 ?2", "user>a 1"],
        ),
        (
            "not immediately: the call between succeeded",
            "1 - S a 0..100
             2 1 C a 0..10 host=x code=503
             3 1 C a 11..20 host=x code=200
             4 1 C a 21..30 host=x code=200",
            &["a>external:x 3 e1 r1 ?3", "user>a 1"],
        ),
        (
            "the caller's own fault is not retryable",
            "1 - S a 0..100\n 2 1 C a 0..10 host=x code=404\n 3 1 C a 11..20 host=x code=200",
            &["a>external:x 2 c1 ?2", "user>a 1"],
        ),
        (
            "two attempts that reached the server",
            "1 - S a 0..100
             2 1 C a 0..10 code=503
             3 2 S b 1..9 code=503
             4 1 C a 11..20 code=200
             5 4 S b 12..19 code=200",
            &["a>b 2 e1 r1", "user>a 1"],
        ),
        ("a resend by its own word", "1 - C a 0..10 host=x resend=2", &["a>external:x 1 r1 ?1"]),
        (
            "a redirect followed is no retry",
            "1 - S a 0..100\n 2 1 C a 0..10 host=x code=302\n 3 1 C a 11..20 host=x code=200 resend=1",
            &["a>external:x 2 ?2", "user>a 1"],
        ),
        (
            "credentials asked for",
            "1 - S a 0..100\n 2 1 C a 0..10 host=x code=401\n 3 1 C a 11..20 host=x code=200 resend=1",
            &["a>external:x 2 c1 ?2", "user>a 1"],
        ),
    ]);
}

#[test]
fn of_several_servers_under_one_client_those_after_a_failure_are_retries() {
    check(&[
        (
            "after a failed attempt",
            "1 - C a 0..100\n 2 1 S b 1..10 code=503\n 3 1 S b 20..30 code=200",
            &["a>b 2 e1 r1"],
        ),
        (
            "at the same time: nothing follows",
            "1 - C a 0..100\n 2 1 S b 1..10 code=503\n 3 1 S b 2..11 code=503",
            &["a>b 2 e2"],
        ),
        ("a fan-out", "1 - C a 0..100\n 2 1 S b 1..10\n 3 1 S b 20..30", &["a>b 2"]),
        (
            "another service",
            "1 - C a 0..100\n 2 1 S b 1..10 code=503\n 3 1 S c 20..30",
            &["a>b 1 e1", "a>c 1"],
        ),
        (
            "one that outlived its time-out",
            "1 - C a 0..100
             5 1 C a.mesh 1..10 proxy=a fail=timeout
             2 5 S b 1..60
             3 1 S b 20..30",
            &["a>b 2 r1 t1"],
        ),
    ]);
}

#[test]
fn a_rejected_call_was_never_sent() {
    check(&[
        (
            "the breaker's other calls say who was meant",
            "1 - S a 0..100
             2 1 I a 1..20 breaker=pay
             3 2 C a 2..19 code=503
             4 3 S pay 3..18 code=503
             5 1 I a 30..31 breaker=pay fail=rejection err",
            &["a>pay 2 e2 x1 ?1", "user>a 1"],
        ),
        (
            "nothing says who was meant",
            "1 - S a 0..100\n 5 1 I a 30..31 breaker=pay fail=rejection err",
            &["a>unknown:pay 1 e1 x1 ?1", "user>a 1"],
        ),
        (
            "an exception that travels up is one rejection",
            "1 - S a 0..100 err fail=rejection\n 2 1 I a 1..9 fail=rejection err\n 5 2 I a 2..3 breaker=pay fail=rejection err",
            &["a>unknown:pay 1 e1 x1 ?1", "user>a 1 e1"],
        ),
        (
            "a client that was not let through",
            "1 - C a 0..1 host=pay fail=rejection err",
            &["a>external:pay 1 e1 x1 ?1"],
        ),
    ]);
}

#[test]
fn both_sides_measure() {
    let commit = settle(&table("1 - C a 0..100\n 2 1 S b 20..80"));
    let counts = &commit.deltas.edges[0].1;
    assert_eq!((counts.caller_latency.sum_us, counts.callee_latency.sum_us), (100_000, 60_000));
    let commit = settle(&table("1 - C a 0..100 stream\n 2 1 S b 20..80 stream"));
    let counts = &commit.deltas.edges[0].1;
    assert_eq!((counts.calls, counts.caller_latency.count(), counts.callee_latency.count()), (1, 0, 0));
    let commit = settle(&table("1 - C a 0..400000\n 2 1 S b 20..80"));
    assert_eq!(commit.deltas.edges[0].1.caller_latency.count(), 0, "over five minutes it is a stream");
}
