//! Every query of `docs/sql.md`, run against a real ClickHouse with a small known history.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

mod store_support;

use store_support::Database;
use stream_processor::store::migrate;

/// What happened: `login` through a gateway to auth, a broker and a payment service; the gateway has a new version.
const HISTORY: &[&str] = &[
    // A histogram bucket below 256 is its value in µs; 1000 counts are one call.
    "INSERT INTO edges_1s (window, environment, operation, client, client_kind, server, server_kind, version, calls,
        errors, retries, timeouts, rejected, raw_calls, callee_latency, callee_sum_us, lane, batch) VALUES
        (now() - INTERVAL 10 MINUTE, 'production', 'login', 'user', 'user', 'api-gateway', 'service', 'v1', 4, 0, 0, 0,
            0, 4,
            ([100, 200], [3000, 1000]), 500, 0, 1),
        (now() - INTERVAL 9 MINUTE, 'production', 'login', 'api-gateway', 'service', 'auth', 'service', 'v1', 6, 2, 2,
            1, 0, 6,
            ([50], [6000]), 300, 0, 1),
        (now() - INTERVAL 8 MINUTE, 'production', 'login', 'api-gateway', 'service', 'payment', 'external', '', 2, 2,
            0, 0, 2, 2,
            ([10], [2000]), 20, 0, 1),
        (now() - INTERVAL 8 MINUTE, 'staging', 'login', 'user', 'user', 'api-gateway', 'service', 'v9', 50, 50, 0, 0,
            0, 50,
            ([255], [50000]), 12750, 0, 1)",
    "INSERT INTO edges_1s (window, environment, operation, client, client_kind, server, server_kind, calls, raw_calls,
        wait, wait_sum_us, lane, batch) VALUES
        (now() - INTERVAL 10 MINUTE, 'production', 'login', 'kafka:logins', 'topic', 'notification', 'service', 4, 4,
            ([128, 250], [3000, 1000]), 634, 0, 1)",
    "INSERT INTO services_1s (window, environment, operation, service, kind, version, requests, errors, raw_requests,
        critical_path, critical_sum_us, lane, batch) VALUES
        (now() - INTERVAL 10 MINUTE, 'production', 'login', 'api-gateway', 'service', 'v1', 300, 3, 300, ([10],
            [1000]), 250, 0, 1),
        (now() - INTERVAL 10 MINUTE, 'production', 'login', 'api-gateway', 'service', 'v2', 100, 8, 100, ([], []), 0,
            0, 1),
        (now() - INTERVAL 10 MINUTE, 'production', 'login', 'auth', 'service', 'v1', 6, 2, 6, ([10], [1000]), 750, 0,
            1)",
    "INSERT INTO services_1s (window, environment, operation, service, kind, requests, raw_requests, critical_path,
        critical_sum_us, lane, batch) VALUES
        (now() - INTERVAL 1455 MINUTE, 'production', 'login', 'api-gateway', 'service', 1, 1, ([10], [1000]), 500, 0,
            1),
        (now() - INTERVAL 1455 MINUTE, 'production', 'login', 'auth', 'service', 1, 1, ([10], [1000]), 500, 0, 1)",
    "INSERT INTO services_1s (window, environment, operation, namespace, service, kind, requests, raw_requests, lane,
        batch) VALUES
        (now() - INTERVAL 10 MINUTE, 'production', 'create_vm', 'shop', 'payment', 'service', 1, 1, 0, 1),
        (now() - INTERVAL 10 MINUTE, 'production', 'create_vm', 'shop', 'mail', 'service', 1, 1, 0, 1),
        (now() - INTERVAL 10 MINUTE, 'production', 'create_vm', 'news', 'mail', 'service', 1, 1, 0, 1)",
    "INSERT INTO edges_1s (window, environment, operation, client, client_kind, server, server_kind, calls, raw_calls,
        lane, batch) VALUES
        (now() - INTERVAL 8 MINUTE, 'production', 'create_vm', 'vm', 'service', 'mail:25', 'external', 3, 3, 0, 1),
        (now() - INTERVAL 8 MINUTE, 'production', 'create_vm', 'vm', 'service', 'mail.news.svc.cluster.local:25',
            'external', 5, 5, 0, 1),
        (now() - INTERVAL 8 MINUTE, 'production', 'create_vm', 'vm', 'service', 'mail.example.com:443', 'external', 7,
            7, 0, 1)",
    "INSERT INTO operations_1s (window, environment, operation, flows, errors, raw_flows, duration, duration_sum_us,
            lane,
        batch) VALUES
        (now() - INTERVAL 90 MINUTE, 'production', 'login', 2, 0, 2, ([100], [2000]), 200, 0, 1),
        (now() - INTERVAL 10 MINUTE, 'production', 'login', 4, 1, 4, ([200, 1908], [3000, 1000]), 4000000, 0, 1),
        (now() - INTERVAL 90 MINUTE, 'production', 'create_vm', 1, 0, 1, ([120], [1000]), 120, 0, 1),
        (now() - INTERVAL 10 MINUTE, 'production', 'create_vm', 1, 0, 1, ([110], [1000]), 110, 0, 1),
        (now() - INTERVAL 10 MINUTE, 'production', '__probe__', 900, 0, 900, ([1908], [900000]), 1, 0, 1)",
    "INSERT INTO endpoints_1m (window, environment, service, version, entry, requests, errors, raw_requests) VALUES
        (toStartOfMinute(now()) - INTERVAL 5 MINUTE, 'production', 'api-gateway', 'v1', 'POST /login', 7, 2, 7),
        (toStartOfMinute(now()) - INTERVAL 4 MINUTE, 'production', 'api-gateway', 'v2', 'POST /login', 3, 1, 3),
        (toStartOfMinute(now()) - INTERVAL 4 MINUTE, 'production', 'api-gateway', 'v1', 'GET /vms/{id}', 9, 0, 9)",
    "INSERT INTO traces (trace_id, revision, environment, operation, status, start, duration_us, errors,
            session_id) VALUES
        ('0123456789abcdef0123456789abcdef', 1, 'production', 'unknown', 'success', now() - 600, 1000, 0, 'session-7'),
        ('0123456789abcdef0123456789abcdef', 2, 'production', 'login', 'error', now() - 600, 1500, 2, 'session-7'),
        ('1123456789abcdef0123456789abcdef', 1, 'production', 'create_vm', 'success', now() - 500, 2500, 0,
            'session-7'),
        ('2123456789abcdef0123456789abcdef', 1, 'production', 'login', 'success', now() - 400, 900, 0, 'session-8')",
    "INSERT INTO otel_traces (Timestamp, TraceId, SpanId, SpanName, SpanKind, ServiceName, SpanAttributes, Duration,
        StatusCode) VALUES
        (now64(9) - 600, '0123456789abcdef0123456789abcdef', '01', 'POST /login', 'Server', 'api-gateway',
            {'http.response.status_code': '503'}, 1500000, 'Error'),
        (now64(9) - 599, '0123456789abcdef0123456789abcdef', '02', 'Auth/Login', 'Server', 'auth', {}, 500000, 'Unset'),
        (now64(9) - 598, '2123456789abcdef0123456789abcdef', '01', 'POST /login', 'Server', 'api-gateway', {}, 1,
            'Ok')",
    "INSERT INTO flow_graphs (trace_id, revision, environment, operation, start, nodes, edges) VALUES
        ('0123456789abcdef0123456789abcdef', 2, 'production', 'login', now() - 600,
            [('', '', 'api-gateway', 'service', 'v1', 1, 1, 1500, 100, 100), ('', '', 'auth', 'service', 'v1', 2, 1,
            900, 9, 9)],
            [(1, 2, 2, 1, 0, 1, 0, 0, 900)])",
];

/// The answer to each question, by its number on the page.
const ANSWERS: &[&[&str]] = &[
    &[
        "user\tapi-gateway\t4\t0.2",
        "api-gateway\tauth\t6\t0.05",
        "api-gateway\tpayment\t2\t0.01",
        "kafka:logins\tnotification\t4\t0",
    ],
    &["api-gateway\tauth\tlogin\t6\t2\t1.5"],
    &["auth\t0.5\t0.75", "api-gateway\t0.5\t0.25"],
    &["v1\t300\t3\t1", "v2\t100\t8\t8"],
    &[
        "login\terror\t1.5\t2\t0123456789abcdef0123456789abcdef",
        "create_vm\tsuccess\t2.5\t0\t1123456789abcdef0123456789abcdef",
    ],
    &["api-gateway\tPOST /login\tServer\t1.5\tError\t503", "auth\tAuth/Login\tServer\t0.5\tUnset\t"],
    &["login\t0.1\t2002.944"],
    &["login\t6\t83.33", "create_vm\t2\t100"],
    &["api-gateway\tpayment\t0\t2\t2", "api-gateway\tauth\t1\t0\t6"],
    &["kafka:logins\tnotification\t4\t0.128\t0.25"],
    &["POST /login\t10\t3"],
    &["api-gateway\tauth\t1"],
    &["mail.news.svc.cluster.local:25\tnews\tmail\t5", "payment\tshop\tpayment\t2"],
];

#[tokio::test]
async fn every_question_of_the_page_is_answered() {
    let Some(database) = Database::new("sql_page") else { return };
    migrate(&database.options).await.unwrap();
    for insert in HISTORY {
        database.execute(insert).await;
    }
    let page = include_str!("../../docs/sql.md");
    let questions = questions(page);
    assert_eq!(questions.len(), ANSWERS.len());
    for ((title, query), answer) in questions.iter().zip(ANSWERS) {
        assert_eq!(database.ask(query).await, *answer, "{title}\n{query}");
    }
    database.drop().await;
}

#[tokio::test]
async fn the_views_say_the_same() {
    let Some(database) = Database::new("views") else { return };
    migrate(&database.options).await.unwrap();
    for insert in HISTORY {
        database.execute(insert).await;
    }
    let dependencies = "SELECT client, server, calls, error_share, p95_ms FROM service_dependencies
                        WHERE environment = 'production' AND client = 'user'";
    assert_eq!(database.ask(dependencies).await, ["user\tapi-gateway\t4\t0\t0.2"]);
    let operations = "SELECT operation, flows, error_share, p50_ms, mean_ms FROM operation_stats
                      WHERE window >= now() - INTERVAL 1 HOUR ORDER BY operation";
    assert_eq!(database.ask(operations).await, ["create_vm\t1\t0\t0.11\t0.11", "login\t4\t0.25\t0.2\t1000"]);
    assert_eq!(database.ask("SELECT * FROM retry_storms").await, [""; 0]);
    database
        .execute(
            "INSERT INTO edges_1s (window, environment, operation, client, server, calls, retries, lane, batch)
             VALUES (now(), 'production', 'login', 'api-gateway', 'auth', 40, 30, 0, 2)",
        )
        .await;
    let storms = "SELECT client, server, calls, retries, amplification FROM retry_storms";
    assert_eq!(database.ask(storms).await, ["api-gateway\tauth\t40\t30\t4"]);
    let shares = "SELECT service, critical_share FROM critical_path_share
                  WHERE window >= now() - INTERVAL 1 HOUR ORDER BY service";
    assert_eq!(database.ask(shares).await, ["api-gateway\t0.25", "auth\t0.75"]);
    database.drop().await;
}

/// Title and query of every section that has one.
fn questions(page: &str) -> Vec<(&str, &str)> {
    let sections = page.split("\n## ").skip(1);
    let with_query = sections.filter_map(|section| {
        let (_, rest) = section.split_once("```sql\n")?;
        let (query, _) = rest.split_once("```")?;
        Some((section.lines().next()?, query))
    });
    with_query.collect()
}
