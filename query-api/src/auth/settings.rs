//! The file of `--auth`: who there is, and what they may know.

use crate::access::{Allowed, Names, Role};
use anyhow::{Context, bail, ensure};
use base64::Engine as _;
use jiff::Timestamp;
use jsonwebtoken::Algorithm;
use process::Secret;
use reqwest::Url;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Bytes below which a session key could be guessed.
const KEY_BYTES: usize = 32;

/// All of the file, checked.
#[derive(Debug)]
pub struct Settings {
    /// In the order of the file; the first whose claim a caller has counts.
    pub grants: Vec<Arc<Grant>>,
    /// Secrets of programs.
    pub tokens: Vec<Token>,
    /// The OpenID provider.
    pub oidc: Option<Oidc>,
}

/// What somebody may do and know of.
#[derive(Debug, PartialEq, Eq)]
pub struct Grant {
    /// Its name in this file.
    pub name: String,
    /// What may be done.
    pub role: Role,
    /// What may be known of.
    pub allowed: Allowed,
    /// Values of the claim that give it.
    pub claims: Vec<String>,
}

/// A secret of one program; only its digest is known.
#[derive(Debug)]
pub struct Token {
    /// For the audit log.
    pub name: String,
    /// SHA-256 of the token.
    pub digest: [u8; 32],
    /// What it gives.
    pub grant: Arc<Grant>,
    /// From when on it is worth nothing.
    pub expires: Option<Timestamp>,
}

/// An OpenID provider and what its tokens are worth here.
#[derive(Debug)]
pub struct Oidc {
    /// As it names itself, exactly.
    pub issuer: Url,
    /// Who programs' tokens have to be for; without it they aren't taken.
    pub audience: Option<String>,
    /// The claim that grants go by: a name, or a path with dots.
    pub grants_claim: String,
    /// Signatures that are taken; asymmetric ones only.
    pub algorithms: Vec<Algorithm>,
    /// How far the provider's clock may be from ours.
    pub leeway: Duration,
    /// Least time between two looks at the provider's keys.
    pub refetch_after: Duration,
    /// How browsers log in.
    pub login: Option<Login>,
}

/// The authorization-code flow of browsers.
#[derive(Debug)]
pub struct Login {
    /// Weir's name at the provider.
    pub client_id: String,
    /// Its secret there; a public client has none.
    pub client_secret: Option<Secret>,
    /// Where browsers find this server; the provider sends them back to `/auth/callback` there.
    pub public_url: Url,
    /// What is asked for.
    pub scopes: String,
    /// What sessions are sealed with, the same for all instances.
    pub session_key: Option<Secret>,
    /// How long a session lasts.
    pub session: Duration,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    grant: Vec<GrantTable>,
    #[serde(default)]
    token: Vec<TokenTable>,
    oidc: Option<OidcTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct GrantTable {
    name: String,
    role: Role,
    environments: Option<Vec<String>>,
    namespaces: Option<Vec<String>>,
    #[serde(default)]
    claims: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct TokenTable {
    name: String,
    sha256: String,
    grant: String,
    expires: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct OidcTable {
    issuer: String,
    audience: Option<String>,
    #[serde(default = "grants_claim")]
    grants_claim: String,
    #[serde(default = "algorithms")]
    algorithms: Vec<String>,
    #[serde(default = "leeway_s")]
    leeway_s: u32,
    #[serde(default = "refetch_after_s")]
    refetch_after_s: u32,
    login: Option<LoginTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct LoginTable {
    client_id: String,
    client_secret_file: Option<PathBuf>,
    public_url: String,
    #[serde(default = "scopes")]
    scopes: Vec<String>,
    session_key_file: Option<PathBuf>,
    #[serde(default = "session_hours")]
    session_hours: u32,
}

fn grants_claim() -> String {
    "groups".to_owned()
}

fn algorithms() -> Vec<String> {
    ["RS256", "PS256", "ES256", "EdDSA"].map(str::to_owned).to_vec()
}

fn leeway_s() -> u32 {
    60
}

fn refetch_after_s() -> u32 {
    10
}

fn scopes() -> Vec<String> {
    ["openid", "profile"].map(str::to_owned).to_vec()
}

fn session_hours() -> u32 {
    8
}

impl Settings {
    /// Reads the file and those it names.
    ///
    /// # Errors
    /// A file can't be read, or says something that can't work.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let named = || format!("the settings of --auth in {}", path.display());
        let text = std::fs::read_to_string(path).with_context(named)?;
        Self::parse(&text).with_context(named)
    }

    /// From the text of the file.
    ///
    /// # Errors
    /// It says something that can't work.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        // The parser's own words quote the line, and a line may hold what is nobody's business.
        let file: File = toml::from_str(text).map_err(|error| anyhow::anyhow!("{}", error.message()))?;
        let grants: Vec<_> =
            file.grant.into_iter().map(|table| table.read().map(Arc::new)).collect::<Result<_, _>>()?;
        unique("grant", grants.iter().map(|grant| &grant.name))?;
        let tokens: Vec<_> =
            file.token.into_iter().map(|table| table.read(&grants)).collect::<Result<_, _>>()?;
        unique("token", tokens.iter().map(|token| &token.name))?;
        let oidc = file.oidc.map(OidcTable::read).transpose()?;
        ensure!(
            !tokens.is_empty() || oidc.is_some(),
            "there is neither a [[token]] nor [oidc]: nobody could ask"
        );
        Ok(Self { grants, tokens, oidc })
    }

    /// A grant by its name.
    pub fn grant(&self, name: &str) -> Option<&Arc<Grant>> {
        self.grants.iter().find(|grant| grant.name == name)
    }
}

impl GrantTable {
    fn read(self) -> anyhow::Result<Grant> {
        let Self { name, role, environments, namespaces, claims } = self;
        let allowed = Allowed {
            environments: names(&name, "environments", environments)?,
            namespaces: names(&name, "namespaces", namespaces)?,
        };
        Ok(Grant { name, role, allowed, claims })
    }
}

/// Left out means all. An empty list may mean none or all, so it is refused.
fn names(grant: &str, key: &str, names: Option<Vec<String>>) -> anyhow::Result<Names> {
    let Some(names) = names else { return Ok(None) };
    ensure!(!names.is_empty(), "grant {grant}: {key} is empty; leave it out to allow all");
    Ok(Some(Arc::new(names.into_iter().collect::<BTreeSet<_>>())))
}

fn unique<'a>(kind: &str, names: impl Iterator<Item = &'a String>) -> anyhow::Result<()> {
    let mut seen = BTreeSet::new();
    for name in names {
        ensure!(seen.insert(name), "the {kind} {name} is there twice");
    }
    Ok(())
}

impl TokenTable {
    fn read(self, grants: &[Arc<Grant>]) -> anyhow::Result<Token> {
        let Self { name, sha256, grant, expires } = self;
        let found = grants.iter().find(|known| known.name == grant);
        let grant = found.with_context(|| format!("token {name}: there is no grant {grant}"))?.clone();
        let digest = digest(&sha256)
            .with_context(|| format!("token {name}: sha256 is no SHA-256 in 64 hex digits"))?;
        let expires = expires.map(|text| text.parse::<Timestamp>()).transpose();
        let expires = expires.with_context(|| format!("token {name}: expires is no RFC 3339 time"))?;
        Ok(Token { name, digest, grant, expires })
    }
}

fn digest(hex: &str) -> Option<[u8; 32]> {
    if hex.len() != 64 || !hex.is_ascii() {
        return None;
    }
    let mut digest = [0; 32];
    for (at, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(digest)
}

impl OidcTable {
    fn read(self) -> anyhow::Result<Oidc> {
        ensure!(!self.algorithms.is_empty(), "oidc: algorithms is empty");
        ensure!(self.refetch_after_s > 0, "oidc: refetch-after-s is at least 1");
        let oidc = Oidc {
            issuer: safe_url("oidc: issuer", &self.issuer)?,
            audience: self.audience,
            grants_claim: self.grants_claim,
            algorithms: self.algorithms.iter().map(|name| algorithm(name)).collect::<Result<_, _>>()?,
            leeway: Duration::from_secs(self.leeway_s.into()),
            refetch_after: Duration::from_secs(self.refetch_after_s.into()),
            login: self.login.map(LoginTable::read).transpose()?,
        };
        ensure!(
            oidc.audience.is_some() || oidc.login.is_some(),
            "oidc: there is neither an audience for programs' tokens nor [oidc.login] for browsers"
        );
        Ok(oidc)
    }
}

impl LoginTable {
    fn read(self) -> anyhow::Result<Login> {
        let public_url = safe_url("oidc.login: public-url", &self.public_url)?;
        ensure!(
            public_url.path() == "/" && public_url.query().is_none(),
            "oidc.login: public-url has no path; a proxy must not move Weir below one"
        );
        ensure!(self.scopes.iter().any(|scope| scope == "openid"), "oidc.login: scopes lack openid");
        ensure!((1..=24 * 30).contains(&self.session_hours), "oidc.login: session-hours is 1 to 720");
        let session_key = self.session_key_file.map(|path| secret(&path)).transpose()?;
        if let Some(key) = &session_key {
            ensure!(key.reveal().len() >= KEY_BYTES, "the session key is shorter than {KEY_BYTES} bytes");
        }
        Ok(Login {
            client_id: self.client_id,
            client_secret: self.client_secret_file.map(|path| secret(&path)).transpose()?,
            public_url,
            scopes: self.scopes.join(" "),
            session_key,
            session: Duration::from_secs(u64::from(self.session_hours) * 3_600),
        })
    }
}

fn secret(path: &Path) -> anyhow::Result<Secret> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let text = text.trim_end_matches(['\r', '\n']);
    ensure!(!text.is_empty(), "{} is empty", path.display());
    Ok(Secret::from(text))
}

/// An URL over which secrets may travel: https, or this very machine.
fn safe_url(name: &str, text: &str) -> anyhow::Result<Url> {
    let url = Url::parse(text).with_context(|| format!("{name} is no URL"))?;
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_local(&url) => Ok(url),
        _ => bail!("{name} must begin with https:// (http:// only for this machine)"),
    }
}

/// Whether an URL leads to this machine.
pub fn is_local(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Symmetric signatures can be made by everybody who can check them; `none` by everybody.
fn algorithm(name: &str) -> anyhow::Result<Algorithm> {
    let algorithm: Algorithm =
        name.parse().map_err(|_| anyhow::anyhow!("oidc: there is no algorithm {name}"))?;
    ensure!(!name.starts_with("HS"), "oidc: {name} is symmetric; take RS256, PS256, ES256 or EdDSA");
    Ok(algorithm)
}

/// Base64 as URLs and cookies take it.
pub fn base64url(bytes: &[u8]) -> String {
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRANT: &str = "[[grant]]\nname = \"ops\"\nrole = \"admin\"\n";
    const ZEROS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

    fn refused(text: &str) -> String {
        format!("{:#}", Settings::parse(text).expect_err(text))
    }

    #[test]
    fn grants_tokens_and_a_provider_are_read() {
        let settings = Settings::parse(&format!(
            "{GRANT}[[grant]]\nname = \"shop\"\nrole = \"analyst\"\nenvironments = [\"production\"]\n\
             namespaces = [\"shop\", \"cart\"]\nclaims = [\"team-shop\"]\n\
             [[token]]\nname = \"ci\"\nsha256 = \"{ZEROS}\"\ngrant = \"shop\"\nexpires = \"2030-01-01T00:00:00Z\"\n\
             [oidc]\nissuer = \"https://id.example.com/realms/weir\"\naudience = \"weir\"\n\
             [oidc.login]\nclient-id = \"weir\"\npublic-url = \"https://flows.example.com\"\n"
        ))
        .unwrap();
        let token = &settings.tokens[0];
        assert_eq!((token.digest, token.grant.name.as_str()), ([0; 32], "shop"));
        assert!(token.grant.allowed.environment("production") && !token.grant.allowed.environment("dev"));
        assert!(token.grant.allowed.namespace("cart") && settings.grants[0].allowed.namespace("any"));
        let oidc = settings.oidc.unwrap();
        assert_eq!((oidc.grants_claim.as_str(), oidc.algorithms.len()), ("groups", 4));
        assert_eq!(oidc.login.unwrap().session.as_secs(), 8 * 3_600);
    }

    #[test]
    fn what_can_not_work_is_refused_with_its_name() {
        let token = |rest: &str| format!("{GRANT}[[token]]\nname = \"ci\"\n{rest}\n");
        let oidc = |rest: &str| format!("{GRANT}[oidc]\n{rest}\n");
        for (text, words) in [
            (GRANT.to_owned(), "nobody could ask"),
            (format!("{GRANT}{GRANT}"), "the grant ops is there twice"),
            (GRANT.replace("admin", "root"), "root"),
            (format!("{GRANT}environments = []\n"), "environments is empty"),
            (format!("{GRANT}colour = 1\n"), "colour"),
            (token("sha256 = \"abc\"\ngrant = \"ops\""), "no SHA-256"),
            (token(&format!("sha256 = \"{ZEROS}\"\ngrant = \"nobody\"")), "no grant nobody"),
            (token(&format!("sha256 = \"{ZEROS}\"\ngrant = \"ops\"\nexpires = \"soon\"")), "expires"),
            (oidc("issuer = \"http://id.example.com\"\naudience = \"a\""), "https://"),
            (oidc("issuer = \"https://id.example.com\""), "neither an audience"),
            (oidc("issuer = \"https://a.example\"\naudience = \"a\"\nalgorithms = [\"HS256\"]"), "symmetric"),
            (oidc("issuer = \"https://a.example\"\naudience = \"a\"\nalgorithms = [\"none\"]"), "none"),
        ] {
            assert!(refused(&text).contains(words), "{text}: {}", refused(&text));
        }
    }

    #[test]
    fn a_secret_is_not_quoted_in_an_error() {
        let error = refused(&format!("{GRANT}[[token]]\nname = \"ci\"\ntoken = \"hunter2\"\n"));
        assert!(!error.contains("hunter2"), "{error}");
    }
}
