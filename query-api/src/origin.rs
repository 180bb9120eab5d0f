//! Which pages may talk to this server. Browsers let any page open a WebSocket to any server, and a page whose host
//! name is pointed at this machine looks like "the same host"; both would leak what flows here.

use axum::http::{HeaderMap, Uri, header};
use std::net::IpAddr;

/// The rule for WebSocket handshakes, and for every request where the server listens on this machine only.
#[derive(Debug, Clone)]
pub struct Origins {
    /// Origins that were configured, such as `https://flows.example.com`.
    listed: Vec<String>,
    /// Whether only this machine is listened to.
    loopback: bool,
}

impl Origins {
    /// With the configured origins; a slash at the end doesn't matter.
    pub fn new(listed: &[String], loopback: bool) -> Self {
        let listed = listed.iter().map(|origin| origin.trim_end_matches('/').to_ascii_lowercase()).collect();
        Self { listed, loopback }
    }

    /// Whether a WebSocket handshake with these headers may go on. An origin must be listed, or be this very host
    /// and port under a name that DNS can't have been bent to: an address or `localhost`. No `Origin` at all means
    /// no browser: every browser sends one with a handshake, and there are no cookies or passwords to borrow.
    pub fn allow_socket(&self, headers: &HeaderMap) -> bool {
        let mut origins = headers.get_all(header::ORIGIN).iter();
        match (origins.next(), origins.next()) {
            (None, _) => self.allow_host(headers),
            (Some(origin), None) => origin.to_str().is_ok_and(|origin| self.allow_origin(origin, headers)),
            (Some(_), Some(_)) => false,
        }
    }

    /// Whether a request that a browser sent with a cookie may change something: the page that made it ask has to be
    /// this server's own or a listed one. Browsers say so in either header, and pages can set neither.
    pub fn allow_write(&self, headers: &HeaderMap) -> bool {
        if headers.contains_key(header::ORIGIN) {
            return self.allow_socket(headers);
        }
        headers.get("sec-fetch-site").is_some_and(|site| site == "same-origin")
    }

    /// Whether a request may be answered: on a server for this machine only, nobody has a reason to call it by
    /// another name.
    pub fn allow_host(&self, headers: &HeaderMap) -> bool {
        !self.loopback || host(headers).is_none_or(|host| is_fixed(host) || self.lists_host(host))
    }

    fn allow_origin(&self, origin: &str, headers: &HeaderMap) -> bool {
        let origin = origin.to_ascii_lowercase();
        if self.listed.contains(&origin) {
            return true;
        }
        let Some(origin_host) = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"))
        else {
            return false;
        };
        host(headers).is_some_and(|host| host.eq_ignore_ascii_case(origin_host) && is_fixed(host))
    }

    fn lists_host(&self, host: &str) -> bool {
        self.listed.iter().any(|origin| {
            origin.rsplit_once("//").is_some_and(|(_, listed)| listed.eq_ignore_ascii_case(host))
        })
    }
}

fn host(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::HOST)?.to_str().ok()
}

/// `localhost` or an address, with or without a port.
fn is_fixed(host: &str) -> bool {
    let Ok(authority) = host.parse::<Uri>() else { return false };
    let name = authority.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(origin: Option<&str>, host: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        headers
    }

    #[test]
    fn the_same_fixed_host_and_listed_origins_may_connect() {
        let origins = Origins::new(&["https://flows.example.com/".to_owned()], true);
        for (origin, host) in [
            ("http://127.0.0.1:8080", "127.0.0.1:8080"),
            ("http://localhost:8080", "localhost:8080"),
            ("http://[::1]:8080", "[::1]:8080"),
            ("https://flows.example.com", "flows.example.com"),
            ("https://flows.example.com", "query-api:8080"),
        ] {
            assert!(origins.allow_socket(&headers(Some(origin), host)), "{origin} to {host}");
        }
    }

    #[test]
    fn every_other_origin_is_refused() {
        let origins = Origins::new(&["https://flows.example.com".to_owned()], false);
        for (origin, host) in [
            ("null", "127.0.0.1:8080"),
            ("", "127.0.0.1:8080"),
            ("http://127.0.0.1:3000", "127.0.0.1:8080"),
            ("http://localhost:8080", "127.0.0.1:8080"),
            ("http://evil.example:8080", "evil.example:8080"),
            ("http://127.0.0.1.evil.example:8080", "127.0.0.1.evil.example:8080"),
            ("http://flows.example.com", "flows.example.com"),
            ("https://flows.example.com.evil.example", "flows.example.com"),
            ("file://", "127.0.0.1:8080"),
        ] {
            assert!(!origins.allow_socket(&headers(Some(origin), host)), "{origin} to {host}");
        }
        let mut twice = headers(Some("https://flows.example.com"), "x");
        twice.append(header::ORIGIN, "https://evil.example".parse().unwrap());
        assert!(!origins.allow_socket(&twice));
    }

    #[test]
    fn without_an_origin_it_is_no_browser() {
        assert!(Origins::new(&[], false).allow_socket(&headers(None, "query-api:8080")));
        assert!(Origins::new(&[], true).allow_socket(&headers(None, "127.0.0.1:8080")));
    }

    #[test]
    fn with_a_cookie_only_our_own_pages_write() {
        let origins = Origins::new(&["https://flows.example.com".to_owned()], false);
        let from = |name: &'static str, value: &'static str| {
            let mut headers = headers(None, "flows.example.com");
            headers.insert(name, value.parse().unwrap());
            origins.allow_write(&headers)
        };
        assert!(from("origin", "https://flows.example.com") && from("sec-fetch-site", "same-origin"));
        assert!(!from("origin", "https://evil.example") && !from("origin", "null"));
        assert!(!from("origin", "https://flows.example.com.evil.example"));
        assert!(!from("sec-fetch-site", "same-site") && !from("sec-fetch-site", "cross-site"));
        assert!(!origins.allow_write(&headers(None, "flows.example.com")));
        let mut both = headers(Some("https://evil.example"), "flows.example.com");
        both.insert("sec-fetch-site", "same-origin".parse().unwrap());
        assert!(!origins.allow_write(&both));
    }

    #[test]
    fn a_server_for_this_machine_answers_to_its_own_names_only() {
        let origins = Origins::new(&["http://weir.local:8080".to_owned()], true);
        assert!(origins.allow_host(&headers(None, "weir.local:8080")));
        assert!(!origins.allow_host(&headers(None, "evil.example:8080")));
        assert!(Origins::new(&[], false).allow_host(&headers(None, "query-api.weir.svc:8080")));
    }
}
