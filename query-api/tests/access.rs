//! Who may ask: every path, every role; tokens of an OpenID provider, good and bad.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod alone;
mod oidc;

use alone::{Alone, problem, tokens};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use oidc::{Key, Provider, now};
use serde_json::{Value, json};
use std::time::Duration;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// The least role of every path; `nobody` may be unknown. A path of the OpenAPI document that has no line here fails
/// the test: somebody has to decide who may ask it.
const MATRIX: &[(&str, &str)] = &[
    ("/health", "nobody"),
    ("/page/main.js", "nobody"),
    ("/", "viewer"),
    ("/operations", "viewer"),
    ("/auth/me", "viewer"),
    ("/nothing/here", "viewer"),
    ("/api/docs/", "viewer"),
    ("/api/v1/openapi.json", "viewer"),
    ("/api/v1/live", "viewer"),
    ("/api/v1/graph", "viewer"),
    ("/api/v1/operations", "viewer"),
    ("/api/v1/dependencies", "viewer"),
    ("/api/v1/dependencies/compare", "viewer"),
    ("/api/v1/operations/{name}/stats", "viewer"),
    ("/api/v1/services", "viewer"),
    ("/api/v1/services/{name}", "viewer"),
    ("/api/v1/services/{name}/stats", "viewer"),
    ("/api/v1/services/{name}/endpoints", "viewer"),
    ("/api/v1/edges/{from}/{to}/stats", "viewer"),
    ("/api/v1/heatmap", "viewer"),
    ("/api/v1/statistics", "viewer"),
    ("/api/v1/status", "viewer"),
    ("/api/v1/events", "viewer"),
    ("/graphql", "viewer"),
    ("/api/v1/flows", "analyst"),
    ("/api/v1/traces", "analyst"),
    ("/api/v1/errors", "analyst"),
    ("/api/v1/diff", "analyst"),
    ("/api/v1/flows/{flowId}", "analyst"),
    ("/api/v1/traces/{traceId}", "analyst"),
    ("/tempo/ready", "viewer"),
    ("/tempo/api/echo", "viewer"),
    ("/tempo/api/status/buildinfo", "viewer"),
    ("/tempo/api/traces/{traceId}", "analyst"),
    ("/tempo/api/v2/traces/{traceId}", "analyst"),
    ("/tempo/api/search", "analyst"),
    ("/tempo/api/search/tags", "analyst"),
    ("/tempo/api/v2/search/tags", "analyst"),
    ("/tempo/api/search/tag/name/values", "analyst"),
    ("/tempo/api/v2/search/tag/name/values", "analyst"),
    ("/tempo/api/metrics/query_range", "analyst"),
    ("/api/v1/config", "admin"),
    ("/metrics", "admin"),
    ("/metrics/graph", "viewer"),
];

const ROLES: [&str; 4] = ["nobody", "viewer", "analyst", "admin"];

/// The status of a question under each role: 401 for strangers, 403 for who may less, and anything else for who may.
#[tokio::test(flavor = "multi_thread")]
async fn every_path_asks_for_its_role_and_no_path_is_forgotten() {
    let api = Alone::with_auth(&tokens()).await;
    let document: Value = api.ask("/api/v1/openapi.json", "admin-secret").await.json().await.unwrap();
    let mut asked: Vec<(String, String)> =
        MATRIX.iter().map(|(path, _)| ("get".to_owned(), (*path).to_owned())).collect();
    for (path, methods) in document["paths"].as_object().unwrap() {
        let known = MATRIX.iter().any(|(known, _)| known == path);
        assert!(known, "{path} is new: say in the matrix, and in auth/permissions.rs, who may ask it");
        asked.extend(methods.as_object().unwrap().keys().map(|method| (method.clone(), path.clone())));
    }
    for (method, path) in asked {
        let least = MATRIX.iter().find(|(known, _)| *known == path).unwrap().1;
        let least = ROLES.iter().position(|role| *role == least).unwrap();
        let concrete = path.replace("{flowId}", TRACE).replace("{traceId}", TRACE);
        let concrete =
            ["{name}", "{from}", "{to}"].iter().fold(concrete, |path, name| path.replace(name, "web"));
        for (level, role) in ROLES.iter().enumerate() {
            let request = api.request(&method.to_uppercase(), &concrete);
            let request = if level == 0 { request } else { request.bearer_auth(format!("{role}-secret")) };
            let status = request.send().await.unwrap().status().as_u16();
            let expected = match (level >= least, level) {
                (true, _) => None,
                (false, 0) => Some(401),
                (false, _) => Some(403),
            };
            match expected {
                Some(expected) => assert_eq!(status, expected, "{role} asks {method} {path}"),
                None => assert!(status != 401 && status != 403, "{role} asks {method} {path}: {status}"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_are_unknown_expired_or_oddly_shown_are_refused() {
    let api = Alone::with_auth(&tokens()).await;
    for shown in [
        "Bearer old-secret",
        "Bearer guess",
        "Bearer ",
        "Bearer",
        "Basic viewer-secret",
        "viewer-secret",
        "Bearer viewer-secret2",
        "Bearer viewer-secret admin-secret",
        "Bearer a.b.c",
    ] {
        let answer = api.get("/api/v1/operations").header("authorization", shown).send().await.unwrap();
        assert_eq!(answer.headers()["www-authenticate"], "Bearer realm=\"weir\", error=\"invalid_token\"");
        assert_eq!(problem(answer).await, (401, "unauthorized".to_owned()), "{shown}");
    }
    let twice = api.get("/auth/me").bearer_auth("guess").bearer_auth("admin-secret").send().await.unwrap();
    assert_eq!(twice.status(), 401);
    let nothing = api.get("/api/v1/operations").header("accept", "text/html").send().await.unwrap();
    assert_eq!(nothing.headers()["www-authenticate"], "Bearer realm=\"weir\"", "nowhere to log in");
    let me: Value = api.ask("/auth/me", "analyst-secret").await.json().await.unwrap();
    let expected = json!({"who": "token:analyst", "name": "", "role": "analyst", "environments": ["production"],
        "namespaces": ["shop"], "canLogOut": false});
    assert_eq!(me, expected);
}

/// Grafana's datasource shows a token even where nobody has given it one.
#[tokio::test(flavor = "multi_thread")]
async fn an_empty_token_does_no_harm_where_nobody_is_asked() {
    let api = Alone::start(alone::free_address(), None, |_| ()).await;
    for path in ["/auth/me", "/metrics/graph"] {
        let answer = api.get(path).header("authorization", "Bearer ").send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_settings_are_shown_without_secrets() {
    let api = Alone::start(alone::free_address(), Some(&tokens()), |options| {
        options.clickhouse.clickhouse = "http://weir:hunter2@127.0.0.1:1/?password=hunter2".to_owned();
        options.clickhouse.clickhouse_password = Some("hunter2".into());
        options.kafka.kafka_password = Some("hunter2".into());
    })
    .await;
    let text = api.ask("/api/v1/config", "admin-secret").await.text().await.unwrap();
    assert!(text.contains("\"requestsPerSecond\":50") && text.contains("\"grant\":\"analyst\""), "{text}");
    for secret in ["hunter2", "sha256", "viewer-secret"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

fn programs(provider: &Provider) -> String {
    format!(
        "{}[oidc]\nissuer = \"{}\"\naudience = \"weir-api\"\nrefetch-after-s = 1\n",
        tokens(),
        provider.issuer
    )
}

async fn who(api: &Alone, token: &str) -> Result<String, u16> {
    let answer = api.ask("/auth/me", token).await;
    match answer.status().as_u16() {
        200 => Ok(answer.json::<Value>().await.unwrap()["who"].as_str().unwrap().to_owned()),
        status => Err(status),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_show_tokens_of_the_provider() {
    let (rsa, ec) = (Key::rsa("rsa"), Key::ec("ec"));
    let provider = Provider::start(vec![rsa.clone(), ec.clone()]).await;
    let api = Alone::with_auth(&programs(&provider)).await;
    let claims = provider.claims("weir-api");
    for key in [&rsa, &ec] {
        assert_eq!(who(&api, &key.sign(&claims)).await, Ok("oidc:alice".to_owned()));
    }
    let mut several = claims.clone();
    several["aud"] = json!(["other", "weir-api"]);
    assert_eq!(who(&api, &rsa.sign(&several)).await, Ok("oidc:alice".to_owned()));
    assert_eq!(provider.fetched(), 1, "the keys are remembered");
    // With one key of its kind, its id need not be said.
    let header = Header::new(Algorithm::RS256);
    assert_eq!(who(&api, &encode(&header, &claims, &rsa.key).unwrap()).await, Ok("oidc:alice".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_token_lacks_is_not_overlooked() {
    let key = Key::rsa("rsa");
    let provider = Provider::start(vec![key.clone()]).await;
    let api = Alone::with_auth(&programs(&provider)).await;
    for (name, value, status) in [
        ("iss", json!("http://127.0.0.1:1/realms/evil"), 401),
        ("iss", Value::Null, 401),
        ("aud", json!("other"), 401),
        ("aud", json!([]), 401),
        ("aud", Value::Null, 401),
        ("exp", json!(now() - 120), 401),
        ("exp", Value::Null, 401),
        ("exp", json!("never"), 401),
        ("nbf", json!(now() + 120), 401),
        ("sub", Value::Null, 401),
        ("groups", json!(["others"]), 403),
        ("groups", json!("weir-viewers-2"), 403),
        ("groups", Value::Null, 403),
        // Within the leeway of a minute.
        ("exp", json!(now() - 20), 200),
        ("nbf", json!(now() + 20), 200),
    ] {
        let mut claims = provider.claims("weir-api");
        match &value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value.clone(),
        }
        let found = api.ask("/auth/me", &key.sign(&claims)).await.status();
        assert_eq!(found, status, "{name}: {value}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_algorithm_is_our_choice() {
    let (rsa, ec) = (Key::rsa("rsa"), Key::ec("ec"));
    let provider = Provider::start(vec![rsa.clone(), ec.clone()]).await;
    let api = Alone::with_auth(&format!("{}algorithms = [\"ES256\"]\n", programs(&provider))).await;
    let claims = provider.claims("weir-api");
    assert_eq!(who(&api, &ec.sign(&claims)).await, Ok("oidc:alice".to_owned()));
    assert_eq!(who(&api, &rsa.sign(&claims)).await, Err(401));
}

/// A token with this header, whatever it is, and a signature that was made somehow.
fn forged(header: &Value, claims: &Value, signature: &[u8]) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.{}", part(header), part(claims), URL_SAFE_NO_PAD.encode(signature))
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_tokens_are_refused() {
    let (rsa, ec) = (Key::rsa("rsa"), Key::ec("ec"));
    let provider = Provider::start(vec![rsa.clone(), ec.clone()]).await;
    let api = Alone::with_auth(&programs(&provider)).await;
    let claims = provider.claims("weir-api");
    let good = rsa.sign(&claims);
    assert_eq!(who(&api, &good).await, Ok("oidc:alice".to_owned()));

    // The public key as an HMAC secret: what everybody knows would make everybody's token good.
    let mut confused = Header::new(Algorithm::HS256);
    confused.kid = Some("rsa".to_owned());
    let modulus = URL_SAFE_NO_PAD.decode(rsa.jwk["n"].as_str().unwrap()).unwrap();
    let confused = encode(&confused, &claims, &EncodingKey::from_secret(&modulus).unwrap()).unwrap();
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let payload = URL_SAFE_NO_PAD.encode(json!({"sub": "admin", "iss": provider.issuer}).to_string());
    let foreign = Key::rsa("rsa");
    let mut of_other_kind = foreign.clone();
    of_other_kind.id = "ec".to_owned();
    for token in [
        forged(&json!({"alg": "none"}), &claims, b""),
        forged(&json!({"alg": "none", "kid": "rsa"}), &claims, b"x"),
        forged(&json!({"alg": "nOnE"}), &claims, b""),
        forged(&json!({"alg": "RS256", "kid": "rsa"}), &claims, b""),
        forged(&json!({"alg": "RS256", "kid": "rsa", "jwk": foreign.jwk}), &claims, b"x"),
        forged(&json!({"alg": "RS256", "kid": "../../keys"}), &claims, b"x"),
        confused,
        foreign.sign(&claims),
        of_other_kind.sign(&claims),
        format!("{signed}."),
        format!("{}.{payload}.{signature}", good.split('.').next().unwrap()),
        format!("{good}x"),
        format!(
            "{signed}.{}",
            signature.replace(&signature[..1], if signature.starts_with('A') { "B" } else { "A" })
        ),
        "..".to_owned(),
        "x".repeat(20_000) + ".b.c",
    ] {
        assert_eq!(who(&api, &token).await, Err(401), "{token}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn new_keys_are_found_and_made_up_ones_do_not_make_us_ask_each_time() {
    let (old, new) = (Key::rsa("old"), Key::ec("new"));
    let provider = Provider::start(vec![old.clone()]).await;
    let api = Alone::with_auth(&programs(&provider)).await;
    let claims = provider.claims("weir-api");
    assert_eq!(who(&api, &old.sign(&claims)).await, Ok("oidc:alice".to_owned()));
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    provider.publish(vec![new.clone()]);
    assert_eq!(
        who(&api, &new.sign(&claims)).await,
        Ok("oidc:alice".to_owned()),
        "an unknown key is looked for"
    );
    assert_eq!(who(&api, &old.sign(&claims)).await, Err(401), "what the provider took back is worth nothing");
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let before = provider.fetched();
    let made_up = Key::ec("made-up");
    let tokens = (0..20).map(|_| made_up.sign(&claims)).collect::<Vec<_>>();
    let answers = futures_util::future::join_all(tokens.iter().map(|token| who(&api, token))).await;
    assert!(answers.iter().all(|answer| *answer == Err(401)), "{answers:?}");
    let asked = provider.fetched() - before;
    assert!((1..=3).contains(&asked), "{asked} times in one or two seconds");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_away_is_no_reason_to_let_anybody_in() {
    let text = format!("{}[oidc]\nissuer = \"http://127.0.0.1:1\"\naudience = \"weir-api\"\n", tokens());
    let api = Alone::with_auth(&text).await;
    let token = Key::rsa("rsa")
        .sign(&json!({"iss": "http://127.0.0.1:1", "aud": "weir-api", "sub": "a", "exp": now() + 60}));
    assert_eq!(problem(api.ask("/auth/me", &token).await).await.0, 503);
    assert_eq!(
        who(&api, "viewer-secret").await,
        Ok("token:viewer".to_owned()),
        "its own tokens need no provider"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_listens_for_other_machines_without_asking_who_is_there() {
    let run = |change: fn(&mut query_api::Options)| {
        let mut options = alone::options();
        options.listen = "0.0.0.0:0".parse().unwrap();
        change(&mut options);
        let stop = tokio_util::sync::CancellationToken::new();
        stop.cancel();
        query_api::run(options, process::Health::new(), stop)
    };
    let error = run(|_| ()).await.unwrap_err().to_string();
    assert!(error.contains("--auth") && error.contains("--no-auth"), "{error}");
    run(|options| options.no_auth = true).await.unwrap();
    let missing = run(|options| options.auth = Some("/nowhere.toml".into())).await.unwrap_err();
    assert!(missing.to_string().contains("/nowhere.toml"), "{missing:#}");
}
