//! Who sent a request, for dead letters.

use crate::dead_letters::Origin;
use crate::door::Peer;
use http::{HeaderMap, header};

/// Headers longer than this are cut.
const TEXT_BYTES: usize = 200;

/// The sender as its connection and headers tell.
pub fn origin_of(protocol: &'static str, peer: Option<&Peer>, headers: &HeaderMap) -> Origin {
    let encoding = text(headers, if protocol == "grpc" { "grpc-encoding" } else { "content-encoding" });
    Origin {
        protocol,
        peer: peer.map_or_else(String::new, |peer| peer.0.to_string()),
        user_agent: text(headers, header::USER_AGENT.as_str()),
        content: format!("{} {encoding}", text(headers, header::CONTENT_TYPE.as_str())).trim_end().to_owned(),
    }
}

fn text(headers: &HeaderMap, name: &str) -> String {
    let value = headers.get(name).map_or(&[][..], |value| value.as_bytes());
    String::from_utf8_lossy(&value[..value.len().min(TEXT_BYTES)]).into_owned()
}
