//! An OpenID provider in the process of the test: real HTTP, real keys.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, RsaKeyPair};
use axum::extract::{Form, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Redirect;
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// A key that signs.
#[derive(Clone)]
pub struct Key {
    pub id: String,
    pub algorithm: Algorithm,
    pub key: EncodingKey,
    /// The public half.
    pub jwk: Value,
}

/// The provider.
#[derive(Clone)]
pub struct Provider {
    pub issuer: String,
    state: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    keys: Mutex<Vec<Key>>,
    fetched: AtomicUsize,
    logins: Mutex<HashMap<String, HashMap<String, String>>>,
    /// What the token of the next login says beyond what it must.
    extra: Mutex<Value>,
}

impl Key {
    pub fn rsa(id: &str) -> Self {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let der = AsDer::<Pkcs8V1Der>::as_der(&pair).unwrap();
        Self::new(id, Algorithm::RS256, EncodingKey::from_rsa_pem(&pem(der.as_ref())).unwrap())
    }

    pub fn ec(id: &str) -> Self {
        let der =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
        Self::new(id, Algorithm::ES256, EncodingKey::from_ec_pem(&pem(der.as_ref())).unwrap())
    }

    fn new(id: &str, algorithm: Algorithm, key: EncodingKey) -> Self {
        let mut jwk = serde_json::to_value(Jwk::from_encoding_key(&key, algorithm).unwrap()).unwrap();
        jwk["kid"] = id.into();
        jwk["use"] = "sig".into();
        Self { id: id.to_owned(), algorithm, key, jwk }
    }

    pub fn sign(&self, claims: &Value) -> String {
        let header = Header { kid: Some(self.id.clone()), ..Header::new(self.algorithm) };
        encode(&header, claims, &self.key).unwrap()
    }
}

fn pem(der: &[u8]) -> Vec<u8> {
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(der)).into_bytes()
}

pub fn now() -> i64 {
    i64::try_from(jsonwebtoken::get_current_timestamp()).unwrap()
}

impl Provider {
    pub async fn start(keys: Vec<Key>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}/realms/weir", listener.local_addr().unwrap());
        let provider = Self { issuer, state: Arc::default() };
        provider.publish(keys);
        let router = Router::new()
            .route("/realms/weir/.well-known/openid-configuration", get(discovery))
            .route("/keys", get(keys_of))
            .route("/authorize", get(authorize))
            .route("/token", post(token))
            .with_state(provider.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        provider
    }

    /// From now on these keys are the provider's.
    pub fn publish(&self, keys: Vec<Key>) {
        *self.state.keys.lock().unwrap() = keys;
    }

    /// How often somebody has asked for its keys.
    pub fn fetched(&self) -> usize {
        self.state.fetched.load(Ordering::SeqCst)
    }

    /// What tokens of logins say beside, or instead of, what they should.
    pub fn say(&self, extra: Value) {
        *self.state.extra.lock().unwrap() = extra;
    }

    /// Claims of a good token for `audience`.
    pub fn claims(&self, audience: &str) -> Value {
        let expires = now() + 300;
        json!({"iss": self.issuer, "aud": audience, "sub": "alice", "exp": expires, "groups": ["weir-viewers"]})
    }
}

async fn discovery(State(provider): State<Provider>) -> Json<Value> {
    let base = provider.issuer.trim_end_matches("/realms/weir");
    Json(json!({
        "issuer": provider.issuer,
        "jwks_uri": format!("{base}/keys"),
        "authorization_endpoint": format!("{base}/authorize"),
        "token_endpoint": format!("{base}/token"),
    }))
}

async fn keys_of(State(provider): State<Provider>) -> Json<Value> {
    provider.state.fetched.fetch_add(1, Ordering::SeqCst);
    let mut keys: Vec<Value> =
        provider.state.keys.lock().unwrap().iter().map(|key| key.jwk.clone()).collect();
    // A kind of key that nobody knows yet must not hide the others.
    keys.push(json!({"kty": "LATTICE", "kid": "next-century"}));
    Json(json!({"keys": keys}))
}

/// Everybody is logged in at once.
async fn authorize(
    State(provider): State<Provider>,
    Query(asked): Query<HashMap<String, String>>,
) -> Redirect {
    assert_eq!((asked["response_type"].as_str(), asked["code_challenge_method"].as_str()), ("code", "S256"));
    let code = format!("code-{}", provider.state.logins.lock().unwrap().len());
    let place =
        format!("{}?code={code}&state={}&iss={}", asked["redirect_uri"], asked["state"], provider.issuer);
    provider.state.logins.lock().unwrap().insert(code, asked);
    Redirect::to(&place)
}

/// A code is good once, for who has its verifier and the client's secret.
async fn token(
    State(provider): State<Provider>,
    headers: HeaderMap,
    Form(form): Form<HashMap<String, String>>,
) -> Result<Json<Value>, StatusCode> {
    let expected = format!("Basic {}", STANDARD.encode("weir:s%2Fecret"));
    let known = headers.get("authorization").is_some_and(|shown| shown == expected.as_str());
    let asked = provider.state.logins.lock().unwrap().remove(&form["code"]).ok_or(StatusCode::BAD_REQUEST)?;
    let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, form["code_verifier"].as_bytes()));
    if !known || challenge != asked["code_challenge"] || form["redirect_uri"] != asked["redirect_uri"] {
        return Err(StatusCode::BAD_REQUEST);
    }
    let mut claims = provider.claims("weir");
    claims["nonce"] = asked["nonce"].clone().into();
    for (name, value) in provider.state.extra.lock().unwrap().as_object().into_iter().flatten() {
        claims[name] = value.clone();
    }
    let key = provider.state.keys.lock().unwrap()[0].clone();
    Ok(Json(json!({"access_token": "opaque", "token_type": "Bearer", "id_token": key.sign(&claims)})))
}
