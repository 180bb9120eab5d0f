//! Who asks. Off on a server for this machine alone; everywhere else a token, or a session of a browser.

mod claims;
pub mod login;
pub mod permissions;
mod provider;
mod seal;
mod sessions;
pub mod settings;
mod tokens;

use crate::access::Access;
use crate::error::ApiError;
use axum::http::{HeaderMap, header};
use claims::Unproven;
use jiff::Timestamp;
use provider::Provider;
use sessions::Sessions;
use settings::{Grant, Settings};
use std::path::Path;

/// How callers are told apart.
#[derive(Debug)]
pub enum Auth {
    /// Not at all: everybody may do everything.
    Off,
    /// By tokens and sessions.
    On(Box<Guard>),
}

/// What callers are compared with.
#[derive(Debug)]
pub struct Guard {
    /// Grants and tokens.
    pub settings: Settings,
    /// The OpenID provider.
    pub provider: Option<Provider>,
    /// Browsers that have logged in.
    pub sessions: Option<Sessions>,
}

/// How a caller has proved who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// There was nothing to prove.
    None,
    /// A token in a header, which no page of others can make a browser send.
    Token,
    /// A cookie, which browsers send along whoever made them ask.
    Cookie,
}

/// Why nobody is known.
#[derive(Debug)]
pub enum Refusal {
    /// Nothing was shown.
    Nothing,
    /// What was shown proves nothing; the words are for the caller.
    Invalid(String),
    /// It proves who it is, and nothing was granted.
    NoGrant,
    /// The provider can't be asked.
    Away(String),
}

impl Auth {
    /// From the file of `--auth`; without one it is off.
    ///
    /// # Errors
    /// The file can't be read or can't work.
    pub fn read(file: Option<&Path>) -> anyhow::Result<Self> {
        let Some(file) = file else { return Ok(Self::Off) };
        Ok(Self::On(Box::new(Guard::new(Settings::read(file)?)?)))
    }

    /// Whether callers have to say who they are.
    pub fn is_on(&self) -> bool {
        matches!(self, Self::On(_))
    }

    /// What callers are compared with.
    pub fn guard(&self) -> Option<&Guard> {
        match self {
            Self::Off => None,
            Self::On(guard) => Some(guard),
        }
    }

    /// The origin of the page as browsers see it.
    pub fn public_origin(&self) -> Option<String> {
        let login = self.guard()?.provider.as_ref()?.settings.login.as_ref()?;
        Some(login.public_url.origin().ascii_serialization())
    }

    /// Who asks, and how that is known.
    ///
    /// # Errors
    /// Nobody knows.
    pub async fn identify(&self, headers: &HeaderMap) -> Result<(Access, Proof), Refusal> {
        match self {
            Self::Off => Ok((Access::everything(), Proof::None)),
            Self::On(guard) => guard.identify(headers).await,
        }
    }
}

impl Guard {
    fn new(mut settings: Settings) -> anyhow::Result<Self> {
        let oidc = settings.oidc.take();
        let sessions = oidc.as_ref().and_then(|oidc| oidc.login.as_ref()).map(Sessions::new);
        let provider = oidc.map(Provider::new).transpose()?;
        Ok(Self { settings, provider, sessions })
    }

    async fn identify(&self, headers: &HeaderMap) -> Result<(Access, Proof), Refusal> {
        let mut shown = headers.get_all(header::AUTHORIZATION).iter();
        match (shown.next(), shown.next()) {
            (None, _) => self.of_cookie(headers).map(|access| (access, Proof::Cookie)),
            (Some(value), None) => {
                let token = value.to_str().ok().and_then(bearer);
                let token =
                    token.ok_or_else(|| Refusal::Invalid("Authorization is no Bearer token".into()))?;
                self.of_token(token).await.map(|access| (access, Proof::Token))
            }
            (Some(_), Some(_)) => Err(Refusal::Invalid("Authorization is there twice".into())),
        }
    }

    async fn of_token(&self, token: &str) -> Result<Access, Refusal> {
        if let Some(known) = tokens::find(&self.settings.tokens, token, Timestamp::now()) {
            return Ok(access(format!("token:{}", known.name), &known.grant));
        }
        let unknown = || Refusal::Invalid("the token is unknown or has expired".into());
        let provider = self.provider.as_ref().ok_or_else(unknown)?;
        let audience = provider.settings.audience.as_deref().ok_or_else(unknown)?;
        if token.split('.').count() != 3 {
            return Err(unknown());
        }
        let claims = claims::verify(provider, token, audience).await?;
        let grant = claims::grant(&self.settings, &provider.settings.grants_claim, &claims);
        Ok(access(claims::who(&claims), grant.ok_or(Refusal::NoGrant)?))
    }

    fn of_cookie(&self, headers: &HeaderMap) -> Result<Access, Refusal> {
        let session = self.sessions.as_ref().and_then(|sessions| sessions.of(headers, Timestamp::now()));
        let session = session.ok_or(Refusal::Nothing)?;
        // Grants are looked up each time: one that left the file is worth nothing any more.
        let grant = self.settings.grant(&session.grant).ok_or(Refusal::NoGrant)?;
        Ok(access(session.who, grant))
    }
}

fn access(who: String, grant: &Grant) -> Access {
    Access { who: who.into(), role: grant.role, allowed: grant.allowed.clone() }
}

/// The token of `Bearer …`; the scheme's case doesn't matter.
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

impl From<Unproven> for Refusal {
    fn from(unproven: Unproven) -> Self {
        match unproven {
            Unproven::Provider(away @ provider::ProviderError::Away) => Self::Away(away.to_string()),
            other => Self::Invalid(other.to_string()),
        }
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Nothing => Self::unauthorized("say who you are: Authorization: Bearer TOKEN"),
            Refusal::Invalid(words) => Self::unauthorized(words),
            Refusal::NoGrant => Self::forbidden("you are known, but nothing is granted to you here"),
            Refusal::Away(words) => Self::too_many(words),
        }
    }
}
