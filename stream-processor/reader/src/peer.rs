//! The other side of a call, as one side names it.

use std::borrow::Cow;

use schemas::semconv::SpanFact;
use stitcher::span::{Kind, Peer, PeerKind};

use crate::said::{Facts, Said};
use crate::semconv::Semconv;
use crate::text::{authority_of, host_of, is_ip, with_port};

const PEER: Facts = Facts::of(&[
    SpanFact::PeerService,
    SpanFact::FaasInvoked,
    SpanFact::DbSystem,
    SpanFact::RpcSystem,
    SpanFact::ServerAddress,
    SpanFact::UrlFull,
    SpanFact::NetworkPeer,
]);

/// The peer, by the strongest statement there is.
pub(crate) fn peer<'s>(semconv: &'s Semconv, said: &Said<'s>, kind: Kind) -> Option<Peer<'s>> {
    if !said.says_any(PEER) {
        return None;
    }
    if let Some(explicit) = explicit(said) {
        return Some(explicit);
    }
    // On the answering side every address attribute is the service's own.
    if matches!(kind, Kind::Server | Kind::Consumer) {
        return None;
    }
    if !said.text(SpanFact::DbSystem).is_empty() {
        return Some(database(semconv, said));
    }
    cloud_service(semconv, said).or_else(|| address(said))
}

fn explicit<'a>(said: &Said<'a>) -> Option<Peer<'a>> {
    let name = [SpanFact::PeerService, SpanFact::FaasInvoked]
        .map(|fact| said.text(fact))
        .into_iter()
        .find(|name| !name.is_empty())?;
    Some(Peer {
        name: Cow::Borrowed(name),
        namespace: said.text(SpanFact::PeerNamespace),
        kind: PeerKind::Service,
    })
}

/// `postgresql:orders-db/orders`: system, address and namespace, as far as they are known.
fn database(semconv: &Semconv, said: &Said<'_>) -> Peer<'static> {
    let mut name = semconv.db_system(said.text(SpanFact::DbSystem)).to_owned();
    let address = match said.text(SpanFact::ServerAddress) {
        "" => authority_of(said.text(SpanFact::DbConnection)),
        address => address,
    };
    if !address.is_empty() {
        name.push(':');
        name.push_str(host_of(address));
    }
    let number = said.value(SpanFact::DbNamespace).number_text();
    let namespace = number.as_deref().unwrap_or(said.text(SpanFact::DbNamespace));
    if !namespace.is_empty() {
        name.push('/');
        name.push_str(namespace);
    }
    Peer { name: Cow::Owned(name), namespace: "", kind: PeerKind::Database }
}

/// AWS SDKs name the service they call, and reach it by hosts that differ from region to region.
fn cloud_service<'a>(semconv: &Semconv, said: &Said<'a>) -> Option<Peer<'a>> {
    if !semconv.is_cloud_rpc(said.text(SpanFact::RpcSystem)) {
        return None;
    }
    let name = match said.text(SpanFact::RpcService) {
        "" => said.text(SpanFact::RpcMethod).split_once('/')?.0,
        service => service,
    };
    Some(Peer { name: Cow::Borrowed(name), namespace: "", kind: PeerKind::External })
}

fn address<'a>(said: &Said<'a>) -> Option<Peer<'a>> {
    let name = match said.text(SpanFact::ServerAddress) {
        "" => match (authority_of(said.text(SpanFact::UrlFull)), said.text(SpanFact::NetworkPeer)) {
            ("", "") => return None,
            ("", ip) => Cow::Borrowed(ip),
            (url_host, _) => Cow::Borrowed(url_host),
        },
        host => with_port(host, said.int(SpanFact::ServerPort)),
    };
    let kind = if is_ip(&name) { PeerKind::Ip } else { PeerKind::External };
    Some(Peer { name, namespace: "", kind })
}
