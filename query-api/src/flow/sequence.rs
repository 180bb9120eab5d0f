//! A flow's calls in order.

use crate::graph::Graph;
use crate::node::{Kind as NodeKind, Node};
use crate::skew::{self, Placed};
use crate::spans::{SpanRow, SpanService};
use reader::{Semconv, read_stored};
use serde::Serialize;
use std::collections::{HashMap, HashSet};
use stitcher::Span;
use stitcher::span::{Kind, MessagingOperation, PeerKind};
use utoipa::ToSchema;

/// One call, as its callee's span tells it, or its caller's where the callee has none. Times are µs since the epoch on
/// the clock of the root's host, durations µs.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the names say it")]
pub struct Call {
    /// From 1, in the order of the list.
    pub number: usize,
    /// Calls above it; 0 for what nobody in the flow called.
    pub depth: usize,
    /// Id of the caller's node; null where no span of the flow called.
    pub from: Option<String>,
    /// Id of the callee's node; null where nobody names it.
    pub to: Option<String>,
    /// The span's name.
    pub name: String,
    /// `Server`, `Client`, `Producer` or `Consumer`: whose span tells the call.
    pub kind: String,
    pub start_time: i64,
    pub duration: i64,
    /// `OK`, `ERROR` or `UNSET`; `ERROR` if either side says so.
    pub status: String,
    /// Where the span comes from.
    pub pod: String,
    pub span_id: String,
    pub parent_span_id: Option<String>,
}

/// What a span says about who calls whom.
#[derive(Debug, Default)]
struct Ends {
    role: Role,
    own: String,
    peer: Option<String>,
    topic: Option<String>,
}

/// A span's part in a call. What it says about messages outranks its kind (DESIGN 4.2).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Role {
    #[default]
    None,
    Serves,
    Calls,
    Creates,
    Sends,
    Takes,
}

impl Role {
    fn of(span: &Span<'_>) -> Self {
        match (span.facts.messaging.and_then(|messaging| messaging.operation), span.kind) {
            (Some(MessagingOperation::Settle), _) => Self::None,
            (Some(MessagingOperation::Create), _) => Self::Creates,
            (Some(MessagingOperation::Send), _) | (None, Kind::Producer) => Self::Sends,
            (Some(MessagingOperation::Receive | MessagingOperation::Process), _) | (None, Kind::Consumer) => {
                Self::Takes
            }
            (None, Kind::Server) => Self::Serves,
            (None, Kind::Client) => Self::Calls,
            (None, Kind::Internal | Kind::Unspecified) => Self::None,
        }
    }
}

/// The calls of a flow, each followed by those it led to, siblings by time. No more than there are spans.
pub fn calls(semconv: &Semconv, rows: &[SpanRow], graph: &Graph) -> Vec<Call> {
    let names = shown_as(graph);
    let ends: Vec<Ends> = rows.iter().map(|row| ends(semconv, row, &names)).collect();
    let placed = skew::placed(semconv, rows);
    let mut sequence =
        Sequence { rows, elsewhere: told_elsewhere(&ends, &placed), ends, placed, calls: Vec::new() };
    sequence.tell();
    sequence.calls
}

/// A name that joined a service is shown as that service, as in the graph.
fn shown_as(graph: &Graph) -> HashMap<&str, &str> {
    let joined =
        graph.nodes.iter().flat_map(|node| node.joined.iter().map(|id| (id.as_str(), node.id.as_str())));
    joined.collect()
}

/// Which spans are part of a call that another one tells: the calling half of one that is answered, a delivery with
/// another one of the same service and topic inside, a send of messages that were created one by one.
fn told_elsewhere(ends: &[Ends], placed: &[Placed]) -> Vec<bool> {
    let mut elsewhere = vec![false; ends.len()];
    let parent = |at: usize| placed[at].parent.map(|parent| parent as usize);
    let creates: HashSet<Option<usize>> = (0..ends.len())
        .filter(|at| ends[*at].role == Role::Creates)
        .flat_map(|at| [Some(at), parent(at)])
        .collect();
    for at in 0..ends.len() {
        match ends[at].role {
            Role::Serves => {
                if let Some(caller) = parent(at).filter(|caller| ends[*caller].role == Role::Calls) {
                    elsewhere[caller] = true;
                }
            }
            Role::Takes => {
                let outer = around(ends, placed, at).filter(|outer| ends[*outer].takes_the_same(&ends[at]));
                if let Some(outer) = outer {
                    elsewhere[outer] = true;
                }
            }
            // Above, below or beside what was created.
            Role::Sends => {
                let near = parent(at).is_some() && creates.contains(&parent(at));
                elsewhere[at] = near || creates.contains(&Some(at));
            }
            Role::None | Role::Calls | Role::Creates => {}
        }
    }
    elsewhere
}

/// The nearest span above that takes part in a call. No further than a thousand: spans may be each other's parents.
fn around(ends: &[Ends], placed: &[Placed], at: usize) -> Option<usize> {
    let above = std::iter::successors(placed[at].parent, |above| placed[*above as usize].parent);
    above.map(|above| above as usize).take(1_000).find(|above| ends[*above].role != Role::None)
}

impl Ends {
    fn takes_the_same(&self, other: &Self) -> bool {
        self.role == Role::Takes && (&self.own, &self.topic) == (&other.own, &other.topic)
    }
}

struct Sequence<'a> {
    rows: &'a [SpanRow],
    ends: Vec<Ends>,
    placed: Vec<Placed>,
    elsewhere: Vec<bool>,
    calls: Vec<Call>,
}

impl Sequence<'_> {
    /// Depth first, without recursion: a trace may be as deep as it has spans.
    fn tell(&mut self) {
        let mut children: Vec<Vec<usize>> = vec![Vec::new(); self.rows.len()];
        let mut roots = Vec::new();
        for (at, place) in self.placed.iter().enumerate() {
            match place.parent {
                Some(parent) => children[parent as usize].push(at),
                None => roots.push(at),
            }
        }
        // Spans that are each other's parents have no root: the earliest that is left is one.
        roots.sort_by_key(|at| self.start_us(*at));
        let mut left: Vec<usize> = (0..self.rows.len()).collect();
        left.sort_by_key(|at| self.start_us(*at));
        let mut is_told = vec![false; self.rows.len()];
        for root in roots.into_iter().chain(left) {
            let mut waiting = vec![(root, 0)];
            while let Some((at, depth)) = waiting.pop() {
                if std::mem::replace(&mut is_told[at], true) {
                    continue;
                }
                let below = depth + usize::from(self.add(at, depth));
                let mut next = std::mem::take(&mut children[at]);
                next.sort_by_key(|child| std::cmp::Reverse((self.start_us(*child), *child)));
                waiting.extend(next.into_iter().map(|child| (child, below)));
            }
        }
    }

    fn start_us(&self, at: usize) -> i64 {
        self.rows[at].start_us().saturating_add(self.placed[at].shift_us)
    }

    /// Adds the call that a span tells, if it tells one.
    fn add(&mut self, at: usize, depth: usize) -> bool {
        let (row, end) = (&self.rows[at], &self.ends[at]);
        let parent = self.placed[at].parent.map(|parent| parent as usize);
        let by_parent = || parent.map(|parent| self.ends[parent].own.clone());
        let own = || Some(end.own.clone());
        let (from, to) = match end.role {
            _ if self.elsewhere[at] => return false,
            Role::None => return false,
            Role::Serves => (by_parent(), own()),
            Role::Takes => (end.topic.clone().or_else(by_parent), own()),
            Role::Creates | Role::Sends => (own(), end.topic.clone().or(end.peer.clone())),
            Role::Calls => (own(), end.peer.clone().or(end.topic.clone())),
        };
        let caller = parent.filter(|parent| self.elsewhere[*parent]).map(|parent| &self.rows[parent]);
        let failed = [Some(row), caller].into_iter().flatten().any(|row| row.status == "Error");
        let call = Call {
            number: self.calls.len() + 1,
            depth,
            from,
            to,
            name: row.name.clone(),
            kind: row.kind.clone(),
            start_time: self.start_us(at),
            duration: row.duration_us(),
            status: if failed { "ERROR".to_owned() } else { row.status.to_ascii_uppercase() },
            pod: SpanService::of(String::new(), &row.resource).pod,
            span_id: row.span_id.clone(),
            parent_span_id: Some(row.parent_span_id.clone()).filter(|id| !id.is_empty()),
        };
        self.calls.push(call);
        true
    }
}

fn ends(semconv: &Semconv, row: &SpanRow, names: &HashMap<&str, &str>) -> Ends {
    let mut found = Ends::default();
    let shown = |node: Node| {
        let id = node.to_string();
        names.get(id.as_str()).map_or(id.clone(), |service| (*service).to_owned())
    };
    read_stored(semconv, &row.stored(), &mut |span| {
        found = Ends {
            role: Role::of(span),
            own: shown(own(span)),
            peer: peer(span).map(&shown),
            topic: topic(span).map(&shown),
        };
    });
    found
}

fn own(span: &Span<'_>) -> Node {
    let resource = &span.resource;
    let proxied = span.facts.proxy.filter(|proxy| !proxy.service.is_empty());
    let name = proxied.map_or(resource.service, |proxy| proxy.service);
    let namespace = proxied.map(|proxy| proxy.namespace).filter(|namespace| !namespace.is_empty());
    Node {
        cluster: resource.cluster.to_owned(),
        namespace: namespace.unwrap_or(resource.namespace).to_owned(),
        name: name.to_owned(),
        kind: if resource.is_client { NodeKind::Client } else { NodeKind::Service },
    }
}

/// The node that the stitcher makes of a peer that doesn't answer.
fn peer(span: &Span<'_>) -> Option<Node> {
    let peer = span.facts.peer.as_ref()?;
    let (name, kind) = match peer.kind {
        PeerKind::Service | PeerKind::External => (peer.name.to_string(), NodeKind::External),
        PeerKind::Database => (peer.name.to_string(), NodeKind::Database),
        PeerKind::Ip => ("ip".to_owned(), NodeKind::External),
    };
    Some(virtual_node(peer.namespace, name, kind))
}

fn topic(span: &Span<'_>) -> Option<Node> {
    let messaging = span.facts.messaging?;
    let name = match (messaging.system, messaging.destination) {
        ("", "") => return None,
        (system, "") => system.to_owned(),
        ("", destination) => destination.to_owned(),
        (system, destination) => format!("{system}:{destination}"),
    };
    Some(virtual_node("", name, NodeKind::Topic))
}

fn virtual_node(namespace: &str, name: String, kind: NodeKind) -> Node {
    Node { cluster: String::new(), namespace: namespace.to_owned(), name, kind }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spans::made::{pairs, row};

    fn span(id: &str, parent: &str, kind: &str, service: &str, start_us: i64) -> SpanRow {
        SpanRow {
            parent_span_id: parent.into(),
            resource: pairs(&[("service.name", service)]),
            ..row(id, kind, 1_000_000 + start_us)
        }
    }

    fn told(rows: &[SpanRow]) -> Vec<Call> {
        calls(&Semconv::embedded(), rows, &Graph::default())
    }

    /// Depth, caller and callee of each call.
    fn shown(calls: &[Call]) -> Vec<String> {
        let text = |id: &Option<String>| id.clone().unwrap_or_else(|| "–".to_owned());
        let line =
            |call: &Call| format!("{} {} {} → {}", call.number, call.depth, text(&call.from), text(&call.to));
        calls.iter().map(line).collect()
    }

    #[test]
    fn calls_are_nested_and_siblings_stand_in_the_order_of_time() {
        let mut query = span("05", "03", "Client", "auth", 40);
        query.attributes = pairs(&[("db.system.name", "redis")]);
        let mut failed = span("06", "01", "Client", "web", 20);
        failed.status = "Error".into();
        let rows = [
            span("01", "", "Server", "web", 0),
            span("02", "01", "Client", "web", 30),
            span("03", "02", "Server", "auth", 35),
            query,
            span("04", "03", "Internal", "auth", 36),
            failed,
            span("07", "06", "Server", "users", 25),
        ];
        let calls = told(&rows);
        assert_eq!(
            shown(&calls),
            ["1 0 – → web", "2 1 web → users", "3 1 web → auth", "4 2 auth → database:redis"]
        );
        assert_eq!(
            (calls[1].status.as_str(), calls[1].span_id.as_str()),
            ("ERROR", "07"),
            "its caller says so"
        );
        assert_eq!(calls[2].status, "UNSET");
    }

    #[test]
    fn messages_are_calls_of_a_topic() {
        let mut sent = span("02", "01", "Producer", "web", 10);
        sent.attributes = pairs(&[("messaging.system", "kafka"), ("messaging.destination.name", "orders")]);
        let mut taken = span("03", "02", "Consumer", "mail", 900);
        taken.attributes = sent.attributes.clone();
        assert_eq!(
            shown(&told(&[span("01", "", "Server", "web", 0), sent, taken])),
            ["1 0 – → web", "2 1 web → topic:kafka:orders", "3 2 topic:kafka:orders → mail"]
        );
    }

    #[test]
    fn a_message_that_is_received_and_then_processed_is_one_call() {
        let message = pairs(&[("messaging.system", "kafka"), ("messaging.destination.name", "orders")]);
        let taken = |id: &str, parent: &str, service: &str| SpanRow {
            attributes: message.clone(),
            ..span(id, parent, "Consumer", service, 0)
        };
        let rows =
            [taken("01", "", "mail"), span("02", "01", "Internal", "mail", 1), taken("03", "02", "mail")];
        let calls = told(&rows);
        assert_eq!(
            (shown(&calls), calls[0].span_id.as_str()),
            (vec!["1 0 topic:kafka:orders → mail".to_owned()], "03")
        );
        assert_eq!(told(&[taken("01", "", "mail"), taken("02", "01", "billing")]).len(), 2, "two services");
        let of = |id: &str, parent: &str, operation: &str| SpanRow {
            attributes: [message.clone(), pairs(&[("messaging.operation.type", operation)])].concat(),
            ..span(id, parent, "Producer", "web", 0)
        };
        let created = told(&[
            span("01", "", "Server", "web", 0),
            of("02", "01", "create"),
            of("03", "01", "create"),
            of("04", "01", "send"),
        ]);
        assert_eq!(created.iter().map(|call| call.span_id.as_str()).collect::<Vec<_>>(), ["01", "02", "03"]);
    }

    #[test]
    fn times_are_those_of_the_roots_clock() {
        let rows = [
            SpanRow { duration_ns: 9_000_000, ..span("01", "", "Client", "web", 100_000) },
            span("02", "01", "Server", "auth", 0),
        ];
        let calls = told(&rows);
        assert_eq!(
            (calls.len(), calls[0].start_time),
            (1, 1_102_000),
            "the middle of what its caller waited"
        );
    }

    #[test]
    fn spans_without_a_root_and_in_a_circle_are_told_once() {
        let rows = [span("01", "02", "Server", "web", 0), span("02", "01", "Server", "auth", 10)];
        assert_eq!(told(&rows).len(), 2);
        assert!(told(&[]).is_empty());
    }
}
