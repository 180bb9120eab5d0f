//! What browsers show instead of a token: sealed cookies.

use super::seal::Seal;
use super::settings::Login;
use axum::http::{HeaderMap, header};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The cookie of a browser that has logged in.
pub const SESSION: &str = "session";
/// The cookie of one that is about to.
pub const LOGIN: &str = "login";

/// Sealed cookies of browsers.
#[derive(Debug)]
pub struct Sessions {
    seal: Seal,
    /// Whether browsers reach this server over TLS: then they send the cookies over nothing else.
    secure: bool,
    /// How long a session lasts.
    pub lasts: Duration,
}

/// A browser that has logged in.
#[derive(Debug, Serialize, Deserialize)]
pub struct Session {
    /// For the audit log.
    pub who: String,
    /// For the page. Sessions of earlier versions have none.
    #[serde(default)]
    pub name: String,
    /// Name of what was granted.
    pub grant: String,
    /// Seconds since the epoch.
    pub until: i64,
}

impl Sessions {
    /// With the key of the settings, or one of this process.
    pub fn new(login: &Login) -> Self {
        let secure = login.public_url.scheme() == "https";
        Self { seal: Seal::new(login.session_key.as_ref()), secure, lasts: login.session }
    }

    /// The session whose cookie a request brings, if it still lasts.
    pub fn of(&self, headers: &HeaderMap, now: Timestamp) -> Option<Session> {
        self.read::<Session>(SESSION, headers).filter(|session| now.as_second() < session.until)
    }

    /// Seals what the browser keeps.
    pub fn close<T: Serialize>(&self, purpose: &str, value: &T) -> String {
        self.seal.close(purpose, value)
    }

    /// What a request brings for a purpose.
    pub fn read<T: DeserializeOwned>(&self, purpose: &str, headers: &HeaderMap) -> Option<T> {
        let name = self.name(purpose);
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut pairs =
            cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.find_map(|(found, value)| if found == name { self.seal.open(purpose, value) } else { None })
    }

    /// Browsers take a cookie named `__Host-…` from this very host and over TLS only.
    fn name(&self, purpose: &str) -> String {
        format!("{}weir-{purpose}", if self.secure { "__Host-" } else { "" })
    }

    /// A `Set-Cookie` header.
    pub fn cookie(&self, purpose: &str, value: &str, lasts: Duration) -> String {
        let secure = if self.secure { "; Secure" } else { "" };
        let (name, seconds) = (self.name(purpose), lasts.as_secs());
        format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}")
    }

    /// A header that removes the cookie.
    pub fn forget(&self, purpose: &str) -> String {
        self.cookie(purpose, "", Duration::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sessions(public_url: &str) -> Sessions {
        let text = format!(
            "[[grant]]\nname = \"ops\"\nrole = \"admin\"\n[oidc]\nissuer = \"https://id.example\"\n\
             [oidc.login]\nclient-id = \"weir\"\npublic-url = \"{public_url}\"\n"
        );
        Sessions::new(&crate::auth::settings::Settings::parse(&text).unwrap().oidc.unwrap().login.unwrap())
    }

    #[test]
    fn over_tls_a_cookie_is_for_this_very_host_only() {
        let set = |public_url| sessions(public_url).cookie(SESSION, "x", Duration::from_secs(60));
        let expected = "__Host-weir-session=x; Path=/; HttpOnly; SameSite=Lax; Max-Age=60; Secure";
        assert_eq!(set("https://flows.example.com"), expected);
        assert_eq!(
            set("http://localhost:8080"),
            "weir-session=x; Path=/; HttpOnly; SameSite=Lax; Max-Age=60"
        );
    }

    #[test]
    fn a_session_ends_in_time_whatever_the_browser_keeps() {
        let sessions = sessions("https://flows.example.com");
        let session =
            Session { who: "oidc:alice".into(), name: String::new(), grant: "ops".into(), until: 1_000 };
        let cookie = format!("a=b; __Host-weir-session={}", sessions.close(SESSION, &session));
        let headers = HeaderMap::from_iter([(header::COOKIE, cookie.parse().unwrap())]);
        let at = |second| {
            sessions.of(&headers, Timestamp::from_second(second).unwrap()).map(|session| session.who)
        };
        assert_eq!((at(999).as_deref(), at(1_000)), (Some("oidc:alice"), None));
        let weaker = HeaderMap::from_iter([(header::COOKIE, cookie.replace("__Host-", "").parse().unwrap())]);
        assert!(
            sessions.of(&weaker, Timestamp::from_second(0).unwrap()).is_none(),
            "anybody could set that one"
        );
    }
}
