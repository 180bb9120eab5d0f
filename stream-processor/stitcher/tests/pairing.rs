//! Who calls whom, where both sides emit spans (DESIGN 4.2: pairing, envelopes, proxies).

mod support;
use support::check;

#[test]
fn a_call_is_a_span_whose_parent_is_in_another_service() {
    check(&[
        (
            "client and server",
            "1 - S gw 0..100
             2 1 C gw 10..90
             3 2 S auth 20..80",
            &["gw>auth 1", "user>gw 1"],
        ),
        ("no client span", "1 - S gw 0..100\n 3 1 S auth 20..80", &["gw>auth 1", "user>gw 1"]),
        ("kinds not said", "1 - U gw 0..100\n 2 1 U auth 20..80\n 3 2 U auth 30..40", &["gw>auth 1"]),
        (
            "internal spans are walked through",
            "1 - S gw 0..100
             2 1 I gw 5..95
             3 2 C gw 10..90
             4 3 I gw 11..89
             5 4 S auth 20..80
             6 5 I auth 21..79",
            &["gw>auth 1", "user>gw 1"],
        ),
        (
            "nameless spans are walked through",
            "1 - S gw 0..100
             2 1 U - 10..90
             3 2 C auth 20..80 peer=ldap",
            &["auth>external:ldap 1 ?1", "gw>auth 1", "user>gw 1"],
        ),
        (
            "a nameless client belongs to its nearest named ancestor",
            "1 - S gw 0..100\n 2 1 C - 10..90 peer=auth",
            &["gw>external:auth 1 ?1", "user>gw 1"],
        ),
        ("a nameless client without one counts nothing", "1 - C - 0..10 peer=auth", &[]),
        ("a service may call itself", "1 - C app 0..100\n 2 1 S app 10..90", &["app>app 1"]),
        (
            "a server inside a server's request is no call",
            "1 - S app 0..100\n 2 1 I app 5..95\n 3 2 S app 10..90",
            &["user>app 1"],
        ),
        (
            "a missing span links nothing",
            "1 - S gw 0..100\n 9 7 S auth 20..80",
            &["unknown>auth 1 ?1", "user>gw 1"],
        ),
        (
            "one client with several servers: each its own call",
            "1 - C gw 0..100\n 2 1 S a 10..30\n 3 1 S b 40..60\n 4 1 S b 70..80",
            &["gw>a 1", "gw>b 2"],
        ),
        (
            "an RPC under a PRODUCER that names no topic",
            "1 - P producer 0..10\n 2 1 S server 2..8",
            &["producer>server 1"],
        ),
    ]);
}

#[test]
fn one_id_for_both_halves_of_a_call() {
    check(&[
        (
            "the server's half hangs below the client's, children below the server's",
            "1 - S web 0..100
             2 1 C web 10..90
             2 1 S app 20..80
             3 2 C app 30..70 peer=db",
            &["app>external:db 1 ?1", "user>web 1", "web>app 1"],
        ),
        ("the server's half without a parent id", "1 - C web 0..100\n 1 - S app 10..90", &["web>app 1"]),
    ]);
}

#[test]
fn an_envelope_counts_nothing_and_lends_its_name() {
    check(&[
        (
            "AWS SDK over HTTP",
            "1 - S app 0..100
             2 1 C app 10..90 host=S3
             3 2 I app 11..89
             4 3 C app 12..88 host=s3.amazonaws.com",
            &["app>external:S3 1 ?1", "user>app 1"],
        ),
        (
            "a nameless envelope has nothing to lend",
            "1 - S app 0..100\n 2 1 C app 10..90\n 4 2 C app 12..88 host=pay.example.com",
            &["app>external:pay.example.com 1 ?1", "user>app 1"],
        ),
        (
            "around an answered call",
            "1 - S app 0..100\n 2 1 C app 10..90\n 3 2 C app 12..88\n 4 3 S auth 20..80",
            &["app>auth 1", "user>app 1"],
        ),
        (
            "two servers' addresses are two calls",
            "1 - S app 0..100\n 2 1 C app 10..90 host=a addr=a\n 3 2 C app 12..88 host=b addr=b",
            &["app>external:a 1 ?1", "app>external:b 1 ?1", "user>app 1"],
        ),
    ]);
}

#[test]
fn proxies_repeat_what_the_application_says() {
    check(&[
        (
            "two sidecars, one call",
            "1 - S shop 0..100
             2 1 C shop 10..90
             3 2 C shop.mesh 11..89 proxy=shop
             4 3 S pay.mesh 12..88 proxy=pay
             5 4 S pay 20..80",
            &["shop>pay 1", "user>shop 1"],
        ),
        (
            "applications without spans: the sidecars stand for them",
            "3 - C shop.mesh 11..89 proxy=shop\n 4 3 S pay.mesh 12..88 proxy=pay",
            &["shop>pay 1"],
        ),
        (
            "only the callee has no spans",
            "1 - S shop 0..100
             2 1 C shop 10..90
             3 2 C shop.mesh 11..89 proxy=shop
             4 3 S pay.mesh 12..88 proxy=pay",
            &["shop>pay 1", "user>shop 1"],
        ),
        (
            "the sidecar's flags say why nobody answered",
            "1 - S shop 0..100
             2 1 C shop 10..90 code=503 host=pay
             3 2 C shop.mesh 11..89 proxy=shop code=503 fail=rejection",
            &["shop>external:pay 1 e1 x1 ?1", "user>shop 1"],
        ),
        (
            "the sidecar's flags on an answered call",
            "1 - S shop 0..100
             2 1 C shop 10..90 code=504
             3 2 C shop.mesh 11..89 proxy=shop fail=timeout
             4 3 S pay 20..80",
            &["shop>pay 1 e1 t1", "user>shop 1"],
        ),
    ]);
}
