//! Pieces of URLs, addresses and headers.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use memchr::{memchr, memchr2};

/// Path of a URL or request target, without query and fragment.
pub(crate) fn path_of(target: &str) -> &str {
    let path = without_query(&target[before_path(target).len()..]);
    if path.is_empty() && !target.is_empty() { "/" } else { path }
}

/// What stands before a URL's path; nothing before a plain path.
pub(crate) fn before_path(target: &str) -> &str {
    let path =
        after_scheme(target).map(|rest| &rest[position(rest, |byte| matches!(byte, b'/' | b'?' | b'#'))..]);
    &target[..target.len() - path.unwrap_or(target).len()]
}

/// A path without query and fragment.
#[inline]
pub(crate) fn without_query(path: &str) -> &str {
    memchr2(b'?', b'#', path.as_bytes()).map_or(path, |end| &path[..end])
}

/// `host[:port]` of a URL, without user and password. Empty when there is none.
pub(crate) fn authority_of(url: &str) -> &str {
    let Some(rest) = after_scheme(url) else { return "" };
    let authority = &rest[..position(rest, |byte| matches!(byte, b'/' | b'?' | b'#' | b';' | b','))];
    authority.rsplit_once('@').map_or(authority, |(_, host)| host)
}

/// An address without its port.
pub(crate) fn host_of(address: &str) -> &str {
    match address.rsplit_once(':') {
        Some((host, port)) if is_port(port) && (!host.contains(':') || host.ends_with(']')) => host,
        _ => address,
    }
}

/// What follows a scheme and `://`. No slash stands before that.
fn after_scheme(url: &str) -> Option<&str> {
    let slash = memchr(b'/', url.as_bytes())?;
    let has_scheme = url[..slash].ends_with(':');
    url[slash..].strip_prefix("//").filter(|_| has_scheme)
}

/// Where the first of some ASCII characters stands, else the text's end.
fn position(text: &str, is_wanted: impl Fn(u8) -> bool) -> usize {
    text.bytes().position(is_wanted).unwrap_or(text.len())
}

/// Whether this is a bare IP address, with or without a port.
pub(crate) fn is_ip(address: &str) -> bool {
    // A zone may follow `%`. Most names are told by their first letters.
    let is_of_ip = |byte: u8| byte.is_ascii_hexdigit() || b"[]:.".contains(&byte);
    if !address.bytes().take(4).all(is_of_ip) {
        return false;
    }
    let plain = address.trim_start_matches('[').trim_end_matches(']');
    plain.parse::<IpAddr>().is_ok() || address.parse::<SocketAddr>().is_ok()
}

/// `address:port`, unless the address has one or none is known.
pub(crate) fn with_port(address: &str, port: Option<i64>) -> Cow<'_, str> {
    match port {
        Some(port @ 1..=65_535) if host_of(address).len() == address.len() && !address.starts_with('/') => {
            Cow::Owned(format!("{address}:{port}"))
        }
        _ => Cow::Borrowed(address),
    }
}

fn is_port(text: &str) -> bool {
    !text.is_empty() && text.len() <= 5 && text.bytes().all(|digit| digit.is_ascii_digit())
}

/// Undoes percent-encoding. What isn't UTF-8 afterwards stays as it was.
pub(crate) fn percent_decoded(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        match (first, after) {
            (b'%', [high, low, after @ ..]) if let (Some(high), Some(low)) = (hex(*high), hex(*low)) => {
                decoded.push(high << 4 | low);
                rest = after;
            }
            _ => {
                decoded.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(decoded).map_or(Cow::Borrowed(text), Cow::Owned)
}

/// Value of a hexadecimal digit.
pub(crate) fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let cases = [
            ("/customer?customer=123", "/customer"),
            ("http://shop.example.com/a/b?x#y", "/a/b"),
            ("https://shop.example.com", "/"),
            ("https://shop.example.com?x=1", "/"),
            ("", ""),
            ("/a#b", "/a"),
            ("/login?next=http://shop.example.com/a", "/login"),
            ("/proxy/http://shop.example.com/a", "/proxy/http://shop.example.com/a"),
        ];
        for (target, path) in cases {
            assert_eq!(path_of(target), path, "{target}");
        }
    }

    #[test]
    fn authorities() {
        let cases = [
            ("https://user:pw@pay.example.com:8443/charge", "pay.example.com:8443"),
            ("jdbc:postgresql://orders-db:5432/orders", "orders-db:5432"),
            ("http://[::1]:80/", "[::1]:80"),
            ("/relative", ""),
        ];
        for (url, authority) in cases {
            assert_eq!(authority_of(url), authority, "{url}");
        }
    }

    #[test]
    fn ports_are_added_once() {
        let with_port = |address, port| with_port(address, port).into_owned();
        assert_eq!(with_port("pay", Some(443)), "pay:443");
        assert_eq!(with_port("pay", Some(65_535)), "pay:65535");
        assert_eq!(with_port("pay:80", Some(443)), "pay:80");
        assert_eq!(with_port("pay", None), "pay");
        assert_eq!(with_port("pay", Some(0)), "pay");
        assert_eq!(with_port("/var/run/docker.sock", Some(1)), "/var/run/docker.sock");
        assert_eq!(host_of("orders-db:5432"), "orders-db");
        assert_eq!(host_of("::1"), "::1");
    }

    #[test]
    fn ip_addresses() {
        for address in ["10.0.0.7", "10.0.0.7:80", "::1", "[::1]", "[::1]:80", "::ffff:172.22.0.7"] {
            assert!(is_ip(address), "{address}");
        }
        for address in ["pay", "pay:80", "1.example.com", "", "10.0.0"] {
            assert!(!is_ip(address), "{address}");
        }
    }

    #[test]
    fn percent_encoding() {
        let cases = [
            ("create_vm", "create_vm"),
            ("create%20vm", "create vm"),
            ("%C3%A4", "ä"),
            ("100%", "100%"),
            ("%ff", "%ff"),
            ("%zz", "%zz"),
        ];
        for (text, decoded) in cases {
            assert_eq!(percent_decoded(text), decoded, "{text}");
        }
    }
}
