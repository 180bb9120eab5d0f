//! Which calls a trace shows: pairs of spans, and single sides whose other side emits no spans (DESIGN 4.2).

use crate::breakers::Breakers;
use crate::delta::{Node, NodeKind};
use crate::messages::Messages;
use crate::names::Names;
use crate::record::{Record, Verdict};
use crate::tree::NONE;
use crate::view::View;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

/// One attempt to get something done by somebody else.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// The caller's CLIENT or PRODUCER span; `NONE`: not seen.
    pub client: u32,
    /// The callee's span; `NONE`: it emits none.
    pub server: u32,
    pub caller: Arc<Node>,
    pub callee: Arc<Node>,
    pub verdict: Verdict,
    pub retry: bool,
    /// Seen from both sides, or complete as seen from one (topics, databases, named peers).
    pub paired: bool,
    /// The server's length is not what the caller waited for: it stands for an outgoing call.
    pub callee_measured: bool,
    /// The client's span covers several calls: only the first of them carries its length.
    pub caller_measured: bool,
    pub messages: u32,
    pub wait_us: Option<u64>,
}

/// All calls of a trace and what is still missing.
pub(crate) struct Calls {
    pub calls: Vec<Call>,
    /// A request to its service begins with this span.
    pub entry: Vec<bool>,
    /// A CLIENT or PRODUCER entry span that gave status and length to its outgoing call.
    lent: Vec<bool>,
    /// CLIENT spans whose answer may still come.
    pub unanswered: u32,
}

impl Calls {
    /// Whether an entry span's status and length are its service's own.
    pub fn measures_itself(&self, i: u32) -> bool {
        !self.lent[i as usize]
    }
}

/// Why a span is where its service's work begins.
enum Incoming {
    /// A span of the caller's, and the CLIENT half if there is one.
    Span { caller: u32, half: u32 },
    /// Somebody who emits no spans.
    Virtual(Arc<Node>),
    /// It begins by itself: a job, a timer, a browser.
    Nobody,
    /// A parent that may still come.
    Pending,
    /// Inside a request that began further up.
    Nested,
}

struct Finder<'a, 'v> {
    view: &'v View<'a>,
    names: &'v mut Names,
    messages: Messages,
    breakers: Breakers,
    settled: bool,
    answered: Vec<bool>,
    envelope: Vec<bool>,
    /// The CLIENT inside an envelope takes the envelope's word for who was called.
    lent_peer: Vec<u32>,
    /// The call whose callee is this span.
    call_to: Vec<u32>,
    /// (timeout, rejected) as sidecars below this span know it.
    proxy_flags: Vec<(bool, bool)>,
    found: Calls,
}

pub(crate) fn find(view: &View<'_>, names: &mut Names, settled: bool) -> Calls {
    let many = view.records.len();
    let mut finder = Finder {
        view,
        names,
        messages: Messages::new(view),
        breakers: Breakers::new(view),
        settled,
        answered: vec![false; many],
        envelope: vec![false; many],
        lent_peer: vec![NONE; many],
        call_to: vec![NONE; many],
        proxy_flags: proxy_flags(view),
        found: Calls { calls: Vec::new(), entry: vec![false; many], lent: vec![false; many], unanswered: 0 },
    };
    finder.envelopes();
    finder.incoming_calls();
    finder.outgoing_calls();
    finder.breaker_rejections();
    finder.found
}

impl Finder<'_, '_> {
    fn record(&self, i: u32) -> &Record {
        &self.view.records[i as usize]
    }

    fn node_of(&self, i: u32) -> Option<Arc<Node>> {
        self.view.owner[i as usize].as_ref().map(|owner| owner.node.clone())
    }

    fn opaque(&self) -> impl Iterator<Item = u32> + use<> {
        let opaque: Vec<u32> =
            self.view.tree.order.iter().copied().filter(|i| self.view.owner[*i as usize].is_some()).collect();
        opaque.into_iter()
    }

    /// A CLIENT directly around another CLIENT of its service is only its wrapping: an SDK over HTTP.
    fn envelopes(&mut self) {
        for i in self.opaque() {
            let outer = self.view.boundary[i as usize];
            if outer == NONE || !self.view.same_service(i as usize, outer) {
                continue;
            }
            let (inner, around) = (self.record(i), self.record(outer));
            let differ = inner.address != 0 && around.address != 0 && inner.address != around.address;
            let both_call = inner.calls_out() && around.calls_out();
            if both_call && !differ && inner.messaging.is_none() && around.messaging.is_none() {
                self.envelope[outer as usize] = true;
                let from_further_out = self.lent_peer[outer as usize];
                let names_peer = self.record(outer).peer.is_some();
                self.lent_peer[i as usize] = if names_peer { outer } else { from_further_out };
            }
        }
    }

    fn incoming_calls(&mut self) {
        for i in self.opaque() {
            match self.incoming(i) {
                Incoming::Span { caller, half } => self.pair(i, caller, half),
                Incoming::Virtual(caller) => self.pair_with_virtual(i, caller),
                Incoming::Nobody => self.found.entry[i as usize] = !self.record(i).calls_out(),
                Incoming::Pending | Incoming::Nested => {}
            }
        }
    }

    fn incoming(&mut self, i: u32) -> Incoming {
        let record = self.record(i);
        if record.takes() {
            // A delivery is counted at the innermost `process`, else at `receive`.
            let covered = self.messages.covered[i as usize];
            return if covered { Incoming::Nested } else { Incoming::Virtual(self.topic_of(i)) };
        }
        let above = self.view.above[i as usize];
        if above == NONE {
            return self.incoming_at_top(i);
        }
        if self.is_client_program(i) && !self.view.same_service(i as usize, above) {
            // A page continues the trace of the server that rendered it, but nobody calls a browser.
            return Incoming::Nobody;
        }
        if !self.view.same_service(i as usize, above) {
            let inner = self.view.is_inner(above);
            let half = if inner { self.view.boundary[above as usize] } else { above };
            let is_half =
                half != NONE && self.view.same_service(above as usize, half) && self.record(half).calls_out();
            return Incoming::Span { caller: above, half: if is_half { half } else { NONE } };
        }
        let half = self.view.boundary[i as usize];
        let self_call = record.answers()
            && half != NONE
            && self.record(half).calls_out()
            && self.view.same_service(i as usize, half);
        if self_call { Incoming::Span { caller: half, half } } else { Incoming::Nested }
    }

    /// Browser, mobile app or command line, by its own resource.
    fn is_client_program(&self, i: u32) -> bool {
        self.view.owner[i as usize].as_ref().is_some_and(|owner| owner.node.kind == NodeKind::Client)
    }

    fn incoming_at_top(&mut self, i: u32) -> Incoming {
        let record = &self.view.records[i as usize];
        let serves = record.answers() && !self.is_client_program(i) && !record.marks.timer;
        if self.view.lost[i as usize] {
            return match (serves, self.settled) {
                (true, true) => Incoming::Virtual(self.unknown("unknown")),
                (true, false) => Incoming::Pending,
                (false, _) => Incoming::Nested,
            };
        }
        if !serves {
            return Incoming::Nobody;
        }
        if let Some(peer) = record.peer.as_ref().filter(|_| record.marks.names_peer) {
            return Incoming::Virtual(peer.clone());
        }
        Incoming::Virtual(match &record.calling_client {
            Some(client) => self.names.virtual_node(client, NodeKind::Client),
            None => self.names.virtual_node("user", NodeKind::User),
        })
    }

    fn topic_of(&mut self, i: u32) -> Arc<Node> {
        let record = &self.view.records[i as usize];
        match (&record.topic, &record.peer) {
            (Some(topic), _) => topic.clone(),
            (None, Some(peer)) => peer.clone(),
            (None, None) => self.unknown("unknown"),
        }
    }

    fn unknown(&mut self, name: &str) -> Arc<Node> {
        self.names.virtual_node(name, NodeKind::Unknown)
    }

    fn pair(&mut self, i: u32, caller: u32, half: u32) {
        if half != NONE {
            self.answered[half as usize] = true;
        }
        self.found.entry[i as usize] = true;
        let (Some(from), Some(to)) = (self.node_of(caller), self.node_of(i)) else { return };
        let call = self.call(half, i, from, to);
        self.call_to[i as usize] = self.found.calls.len() as u32;
        self.found.calls.push(call);
    }

    fn pair_with_virtual(&mut self, i: u32, caller: Arc<Node>) {
        self.found.entry[i as usize] = true;
        let Some(callee) = self.node_of(i) else { return };
        let is_topic = self.record(i).takes();
        let is_whole = has_no_other_side(&caller);
        let mut call = self.call(NONE, i, caller, callee);
        call.paired = is_whole;
        if is_topic {
            call.messages = self.record(i).messages;
            call.wait_us = self.messages.waited(self.view, i);
        }
        self.found.calls.push(call);
    }

    fn call(&self, client: u32, server: u32, caller: Arc<Node>, callee: Arc<Node>) -> Call {
        let sides = [client, server]
            .map(|side| if side == NONE { Verdict::default() } else { self.own_verdict(side) });
        let mut verdict = joined(sides[0], sides[1]);
        if server != NONE {
            for proxy in self.view.through(server as usize) {
                verdict.timeout |= proxy.verdict.timeout;
                verdict.rejected |= proxy.verdict.rejected;
            }
        }
        Call {
            client,
            server,
            caller,
            callee,
            verdict,
            retry: false,
            paired: true,
            callee_measured: true,
            caller_measured: true,
            messages: 0,
            wait_us: None,
        }
    }

    /// A rejection that was only passed on is not this span's.
    fn own_verdict(&self, i: u32) -> Verdict {
        let verdict = self.record(i).verdict;
        Verdict { rejected: verdict.rejected && !self.breakers.below[i as usize], ..verdict }
    }

    fn outgoing_calls(&mut self) {
        for i in self.opaque() {
            if self.record(i).hands_over() {
                self.hand_over(i);
            } else if self.record(i).calls_out() && self.record(i).messaging.is_none() {
                self.call_virtual(i);
            }
        }
    }

    /// A message is counted at `create`, else at `send`.
    fn hand_over(&mut self, i: u32) {
        let record = &self.view.records[i as usize];
        let rpc = self.answered[i as usize] && record.topic.is_none();
        if rpc || self.messages.covered[i as usize] {
            return;
        }
        let Some(caller) = self.node_of(i) else { return };
        let callee = self.topic_of(i);
        let mut call = self.call(i, NONE, caller, callee);
        call.messages = record.messages;
        self.strip_incoming(i);
        self.found.calls.push(call);
    }

    fn call_virtual(&mut self, i: u32) {
        let record = &self.view.records[i as usize];
        if self.answered[i as usize] || self.envelope[i as usize] {
            return;
        }
        if self.stands_for_its_service(i) {
            self.found.unanswered += 1;
            return;
        }
        // A database never answers with a span: its calls need not wait.
        let lender = self.lent_peer[i as usize];
        let peer = if lender == NONE { record.peer.clone() } else { self.record(lender).peer.clone() };
        let is_database = peer.as_ref().is_some_and(|peer| peer.kind == NodeKind::Database);
        if !is_database {
            self.found.unanswered += 1;
            if !self.settled {
                return;
            }
        }
        let Some(caller) = self.node_of(i) else { return };
        let callee = peer.unwrap_or_else(|| self.unknown("unknown"));
        let is_whole = has_no_other_side(&callee);
        let mut call = self.call(i, NONE, caller, callee);
        call.paired = is_whole;
        call.verdict.timeout |= self.proxy_flags[i as usize].0;
        call.verdict.rejected |= self.proxy_flags[i as usize].1;
        self.strip_incoming(i);
        self.found.calls.push(call);
    }

    /// A CLIENT span that begins its service's work and calls nobody else by name is that service's only span of
    /// the call: drivers that emit the database's spans do so.
    fn stands_for_its_service(&self, i: u32) -> bool {
        let record = self.record(i);
        let own_name = self.node_of(i).map(|node| node.name.clone());
        let calls_itself = record.peer.as_ref().map(|peer| peer.name.clone()) == own_name;
        self.found.entry[i as usize] && (record.peer.is_none() || calls_itself)
    }

    /// Status and length of a CLIENT entry span belong to its outgoing call only.
    fn strip_incoming(&mut self, i: u32) {
        let at = self.call_to[i as usize];
        if at != NONE {
            self.found.lent[i as usize] = true;
            let client = self.found.calls[at as usize].client;
            self.found.calls[at as usize].verdict =
                if client == NONE { Verdict::default() } else { self.own_verdict(client) };
            self.found.calls[at as usize].callee_measured = false;
        }
    }

    /// A breaker's own INTERNAL span that says "not permitted" is a call that was never sent. Its target is who
    /// that breaker's other calls in this trace went to, else unknown, under the breaker's name.
    fn breaker_rejections(&mut self) {
        let inner: Vec<u32> = self
            .opaque()
            .filter(|i| {
                self.view.is_inner(*i) && self.own_verdict(*i).rejected && !self.found.entry[*i as usize]
            })
            .collect();
        if inner.is_empty() {
            return;
        }
        let targets = self.breakers.targets(self.view, &self.found.calls);
        for i in inner {
            let Some(caller) = self.node_of(i) else { continue };
            let callee = match self.breakers.around(i).cloned() {
                None => self.unknown("unknown"),
                Some(breaker) => match targets.get(&(caller.name.clone(), breaker.clone())) {
                    Some(target) => target.clone(),
                    None => self.unknown(&breaker),
                },
            };
            let mut call = self.call(i, NONE, caller, callee);
            call.verdict = Verdict { error: true, rejected: true, ..Verdict::default() };
            call.caller_measured = false;
            call.paired = false;
            self.found.calls.push(call);
        }
    }
}

/// Users, clients, databases and topics emit no spans: of a call with one of them nothing is missing. An external host
/// may be a service whose spans were lost, or one of another name.
fn has_no_other_side(node: &Node) -> bool {
    match node.kind {
        NodeKind::User | NodeKind::Client | NodeKind::Database | NodeKind::Topic => true,
        NodeKind::Unknown | NodeKind::Service | NodeKind::External => false,
    }
}

/// One call is at most one of error and client error.
fn joined(client: Verdict, server: Verdict) -> Verdict {
    let error = client.error || server.error;
    Verdict {
        error,
        client_error: !error && (client.client_error || server.client_error),
        timeout: client.timeout || server.timeout,
        rejected: client.rejected || server.rejected,
        retryable: client.retryable || server.retryable,
        redirected: client.redirected || server.redirected,
    }
}

/// Sidecars below an unanswered CLIENT know why nobody answered.
fn proxy_flags(view: &View<'_>) -> Vec<(bool, bool)> {
    let mut flags = vec![(false, false); view.records.len()];
    for (i, proxy) in view.records.iter().enumerate().filter(|(_, record)| record.marks.proxy) {
        let above = view.above[i];
        if view.owner[i].is_none() && above != NONE {
            flags[above as usize].0 |= proxy.verdict.timeout;
            flags[above as usize].1 |= proxy.verdict.rejected;
        }
    }
    flags
}
