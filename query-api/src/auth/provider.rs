//! The OpenID provider: where it answers, and with which keys it signs now.

use super::settings::{Oidc, is_local};
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, Header};
use reqwest::{Client, Url};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long the provider may take for one answer.
const ANSWER_TIME: Duration = Duration::from_secs(5);
/// Longest answer of the provider that is read.
const ANSWER_BYTES: usize = 1 << 20;
/// Age from which keys are fetched again, so that a key that was taken back is not trusted for long.
const FRESH: Duration = Duration::from_secs(10 * 60);
/// Age up to which keys are used while the provider doesn't answer.
const LAST: Duration = Duration::from_secs(24 * 3_600);
/// Keys of a provider that are kept.
const KEYS: usize = 64;

/// A provider and what is known of it.
#[derive(Debug)]
pub struct Provider {
    /// What it is worth here.
    pub settings: Oidc,
    /// Talks to it.
    pub client: Client,
    found: Mutex<Option<Arc<Found>>>,
    /// When it was asked last. Whoever holds it asks; the others wait for what it hears.
    asked: tokio::sync::Mutex<Option<Instant>>,
}

/// What the provider said.
#[derive(Debug)]
pub struct Found {
    /// Where it answers.
    pub places: Places,
    keys: Vec<Jwk>,
    at: Instant,
}

/// OpenID Connect Discovery 1.0, as far as it is needed.
#[derive(Debug, Deserialize)]
pub struct Places {
    issuer: String,
    #[serde(deserialize_with = "url")]
    jwks_uri: Url,
    /// Where browsers are sent.
    #[serde(default, deserialize_with = "some_url")]
    pub authorization_endpoint: Option<Url>,
    /// Where codes are exchanged.
    #[serde(default, deserialize_with = "some_url")]
    pub token_endpoint: Option<Url>,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Vec<String>,
}

fn url<'de, D: Deserializer<'de>>(from: D) -> Result<Url, D::Error> {
    String::deserialize(from)?.parse().map_err(D::Error::custom)
}

fn some_url<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Url>, D::Error> {
    url(from).map(Some)
}

/// Keys are read one by one: one that this program doesn't know must not hide the others.
#[derive(Deserialize)]
struct KeySet {
    keys: Vec<serde_json::Value>,
}

/// Why the provider could not help.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// It can't be reached, or says what can't be read. The reason is for the log.
    #[error("the OpenID provider does not answer")]
    Away,
    /// It has no such key.
    #[error("the token is signed with a key that the provider does not have")]
    UnknownKey,
}

impl Provider {
    /// Nothing is asked yet.
    ///
    /// # Errors
    /// The client can't be made, as where the system has no certificates.
    pub fn new(settings: Oidc) -> anyhow::Result<Self> {
        let client = Client::builder()
            .timeout(ANSWER_TIME)
            // Who answers instead could answer anything.
            .redirect(reqwest::redirect::Policy::none());
        let client = if is_local(&settings.issuer) { client.no_proxy() } else { client };
        Ok(Self {
            settings,
            client: client.build()?,
            found: Mutex::default(),
            asked: tokio::sync::Mutex::default(),
        })
    }

    /// Where the provider answers.
    ///
    /// # Errors
    /// It can't be reached.
    pub async fn places(&self) -> Result<Arc<Found>, ProviderError> {
        match self.known(FRESH) {
            Some(found) => Ok(found),
            None => self.ask(|_| false).await.ok_or(ProviderError::Away),
        }
    }

    /// The key that a token says it is signed with. One that is unknown may be new, so the provider is asked again,
    /// but not for every token that somebody makes up.
    ///
    /// # Errors
    /// There is no such key, or nobody to ask.
    pub async fn key(&self, header: &Header) -> Result<DecodingKey, ProviderError> {
        if let Some(key) = self.known(FRESH).and_then(|found| found.key(header)) {
            return Ok(key);
        }
        let found = self.ask(|found| found.key(header).is_some()).await.ok_or(ProviderError::Away)?;
        found.key(header).ok_or(ProviderError::UnknownKey)
    }

    fn known(&self, age: Duration) -> Option<Arc<Found>> {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner).clone();
        found.filter(|found| found.at.elapsed() < age)
    }

    /// Asks the provider, unless somebody has just done so; what was known before stands where it doesn't answer.
    async fn ask(&self, enough: impl Fn(&Found) -> bool) -> Option<Arc<Found>> {
        let mut asked = self.asked.lock().await;
        if let Some(found) = self.known(FRESH).filter(|found| enough(found)) {
            return Some(found);
        }
        if asked.is_none_or(|asked| asked.elapsed() >= self.settings.refetch_after) {
            *asked = Some(Instant::now());
            match self.fetch().await {
                Ok(found) => {
                    *self.found.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(found));
                }
                Err(error) => tracing::warn!(error = %format!("{error:#}"), "the OpenID provider"),
            }
        }
        self.known(LAST)
    }

    async fn fetch(&self) -> anyhow::Result<Found> {
        let issuer = self.settings.issuer.as_str().trim_end_matches('/');
        let places: Places = self.read(&format!("{issuer}/.well-known/openid-configuration")).await?;
        anyhow::ensure!(
            places.issuer.trim_end_matches('/') == issuer,
            "it calls itself {:?}, not {issuer:?}",
            places.issuer
        );
        for place in
            [Some(&places.jwks_uri), places.token_endpoint.as_ref(), places.authorization_endpoint.as_ref()]
                .into_iter()
                .flatten()
        {
            let safe = place.scheme() == "https" || (is_local(place) && is_local(&self.settings.issuer));
            anyhow::ensure!(safe, "it answers at {place}, which is not https");
        }
        let set: KeySet = self.read(places.jwks_uri.as_str()).await?;
        let keys = set.keys.into_iter().filter_map(|key| serde_json::from_value(key).ok());
        Ok(Found { keys: keys.filter(is_for_signatures).take(KEYS).collect(), places, at: Instant::now() })
    }

    async fn read<T: DeserializeOwned>(&self, url: &str) -> anyhow::Result<T> {
        let answer = self.client.get(url).header("accept", "application/json").send().await?;
        read(answer.error_for_status()?).await
    }
}

/// Reads a JSON answer of bounded length.
///
/// # Errors
/// It is longer, breaks off, or is no such JSON.
pub async fn read<T: DeserializeOwned>(mut answer: reqwest::Response) -> anyhow::Result<T> {
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        bytes.extend_from_slice(&chunk);
        anyhow::ensure!(bytes.len() <= ANSWER_BYTES, "its answer is longer than {ANSWER_BYTES} bytes");
    }
    // What can't be read may be a token: its words stay out of the error.
    serde_json::from_slice(&bytes)
        .map_err(|error| anyhow::anyhow!("its answer ends at column {}", error.column()))
}

impl Found {
    /// The one key that fits: by its id where the token gives one, else the only one of its kind.
    fn key(&self, header: &Header) -> Option<DecodingKey> {
        let mut fitting = self
            .keys
            .iter()
            .filter(|key| fits(key, header.alg))
            .filter(|key| header.kid.is_none() || key.common.key_id == header.kid);
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => DecodingKey::from_jwk(key).ok(),
            _ => None,
        }
    }

    /// Whether the client's secret goes into the form rather than into a header.
    pub fn secret_in_form(&self) -> bool {
        let methods = &self.places.token_endpoint_auth_methods_supported;
        let has = |name: &str| methods.iter().any(|method| method == name);
        !has("client_secret_basic") && has("client_secret_post")
    }
}

fn is_for_signatures(key: &Jwk) -> bool {
    matches!(key.common.public_key_use, None | Some(PublicKeyUse::Signature))
}

/// Whether a key is of the kind that an algorithm needs, and not meant for another. A key says nothing about how it
/// may be used by being a key: an RSA modulus would make a fine HMAC secret that everybody knows.
fn fits(key: &Jwk, algorithm: Algorithm) -> bool {
    let meant = key.common.key_algorithm.is_none_or(|meant| meant.to_string() == format!("{algorithm:?}"));
    let kind = match &key.algorithm {
        AlgorithmParameters::RSA(_) => algorithm.family() == AlgorithmFamily::Rsa,
        AlgorithmParameters::EllipticCurve(ec) => match algorithm {
            Algorithm::ES256 => ec.curve == EllipticCurve::P256,
            Algorithm::ES384 => ec.curve == EllipticCurve::P384,
            _ => false,
        },
        AlgorithmParameters::OctetKeyPair(_) => algorithm == Algorithm::EdDSA,
        _ => false,
    };
    meant && kind
}
