//! Which calls a trace shows: pairs of spans, and single sides whose other side emits no spans (DESIGN 4.2).

use crate::breakers::Breakers;
use crate::delta::NodeKind;
use crate::messages::Messages;
use crate::names::{NodeId, UNKNOWN_NODE, USER_NODE};
use crate::record::Record;
use crate::shape::{Shape, Verdict};
use crate::tree::{NONE, blank};
use crate::view::View;
use alloc::vec::Vec;

/// One attempt to get something done by somebody else.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    /// The caller's CLIENT or PRODUCER span; `NONE`: not seen.
    pub client: u32,
    /// The callee's span; `NONE`: it emits none.
    pub server: u32,
    pub caller: NodeId,
    pub callee: NodeId,
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

/// All calls of a trace and what is still missing; found anew for one trace after the other in the same room.
#[derive(Default)]
pub(crate) struct Calls {
    pub calls: Vec<Call>,
    /// A request to its service begins with this span.
    pub entry: Vec<bool>,
    /// A CLIENT or PRODUCER entry span that gave status and length to its outgoing call.
    lent: Vec<bool>,
    /// CLIENT spans whose answer may still come.
    pub unanswered: u32,
    answered: Vec<bool>,
    envelope: Vec<bool>,
    /// The CLIENT inside an envelope takes the envelope's word for who was called.
    lent_peer: Vec<u32>,
    /// The call whose callee is this span.
    call_to: Vec<u32>,
    /// (timeout, rejected) as sidecars below an unanswered CLIENT know it; empty without sidecars.
    proxy_flags: Vec<(bool, bool)>,
    messages: Messages,
    breakers: Breakers,
}

impl Calls {
    pub fn find(&mut self, view: &View<'_>, settled: bool) {
        let many = view.records.len();
        self.calls.clear();
        blank(&mut self.entry, many, false);
        blank(&mut self.lent, many, false);
        self.unanswered = 0;
        blank(&mut self.answered, many, false);
        blank(&mut self.envelope, many, false);
        blank(&mut self.lent_peer, many, NONE);
        blank(&mut self.call_to, many, NONE);
        self.ask_proxies(view);
        self.messages.look(view);
        self.breakers.look(view);
        let mut finder = Finder { view, settled, found: self };
        finder.envelopes();
        finder.incoming_calls();
        finder.outgoing_calls();
        finder.breaker_rejections();
    }

    fn ask_proxies(&mut self, view: &View<'_>) {
        if !view.has_proxies() {
            return;
        }
        blank(&mut self.proxy_flags, view.records.len(), (false, false));
        for i in 0..view.records.len() as u32 {
            let (above, Shape { marks, verdict, .. }) = (view.above(i), view.spans.shape(i));
            if marks.proxy && above != NONE && !view.is_opaque(i) {
                let (timeout, rejected) = &mut self.proxy_flags[above as usize];
                *timeout |= verdict.timeout;
                *rejected |= verdict.rejected;
            }
        }
    }

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
    Virtual(NodeId),
    /// It begins by itself: a job, a timer, a browser.
    Nobody,
    /// A parent that may still come.
    Pending,
    /// Inside a request that began further up.
    Nested,
}

struct Finder<'a, 'v> {
    view: &'v View<'a>,
    settled: bool,
    found: &'v mut Calls,
}

impl<'a, 'v> Finder<'a, 'v> {
    fn record(&self, i: u32) -> &'a Record {
        &self.view.records[i as usize]
    }

    fn shape(&self, i: u32) -> &'a Shape {
        self.view.spans.shape(i)
    }

    /// Parents before their children.
    fn opaque(&self) -> impl Iterator<Item = u32> + use<'a, 'v> {
        let view = self.view;
        view.tree.order.iter().copied().filter(|i| view.is_opaque(*i))
    }

    /// A CLIENT directly around another CLIENT of its service is only its wrapping: an SDK over HTTP.
    fn envelopes(&mut self) {
        for i in self.opaque() {
            let outer = self.view.boundary(i);
            if outer == NONE || !self.view.same_service(i, outer) {
                continue;
            }
            let (inner, around) = (self.record(i), self.record(outer));
            if !inner.calls_out() || !around.calls_out() {
                continue;
            }
            let (inner, around) = (self.shape(i), self.shape(outer));
            let differ = inner.address != 0 && around.address != 0 && inner.address != around.address;
            if !differ && inner.messaging.is_none() && around.messaging.is_none() {
                self.found.envelope[outer as usize] = true;
                let from_further_out = self.found.lent_peer[outer as usize];
                self.found.lent_peer[i as usize] =
                    if around.peer.is_some() { outer } else { from_further_out };
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
        if self.view.spans.takes(i) {
            // A delivery is counted at the innermost `process`, else at `receive`.
            let covered = self.found.messages.is_covered(i);
            return if covered { Incoming::Nested } else { Incoming::Virtual(self.topic_of(i)) };
        }
        let above = self.view.above(i);
        if above == NONE {
            return self.incoming_at_top(i);
        }
        if self.is_client_program(i) && !self.view.same_service(i, above) {
            // A page continues the trace of the server that rendered it, but nobody calls a browser.
            return Incoming::Nobody;
        }
        if !self.view.same_service(i, above) {
            let inner = self.view.is_inner(above);
            let half = if inner { self.view.boundary(above) } else { above };
            let is_half =
                half != NONE && self.view.same_service(above, half) && self.record(half).calls_out();
            return Incoming::Span { caller: above, half: if is_half { half } else { NONE } };
        }
        let half = self.view.boundary(i);
        let self_call = record.answers()
            && half != NONE
            && self.record(half).calls_out()
            && self.view.same_service(i, half);
        if self_call { Incoming::Span { caller: half, half } } else { Incoming::Nested }
    }

    /// Browser, mobile app or command line, by its own resource.
    fn is_client_program(&self, i: u32) -> bool {
        self.view.owner(i).is_some_and(|owner| owner.is_client)
    }

    fn incoming_at_top(&mut self, i: u32) -> Incoming {
        let shape = self.shape(i);
        let serves = self.record(i).answers() && !self.is_client_program(i) && !shape.marks.timer;
        if self.view.is_lost(i) {
            return match (serves, self.settled) {
                (true, true) => Incoming::Virtual(UNKNOWN_NODE),
                (true, false) => Incoming::Pending,
                (false, _) => Incoming::Nested,
            };
        }
        if !serves {
            return Incoming::Nobody;
        }
        let named_peer = shape.peer.filter(|_| shape.marks.names_peer);
        Incoming::Virtual(named_peer.or(shape.calling_client).unwrap_or(USER_NODE))
    }

    fn topic_of(&self, i: u32) -> NodeId {
        let shape = self.shape(i);
        shape.topic.or(shape.peer).unwrap_or(UNKNOWN_NODE)
    }

    fn pair(&mut self, i: u32, caller: u32, half: u32) {
        if half != NONE {
            self.found.answered[half as usize] = true;
        }
        self.found.entry[i as usize] = true;
        let (Some(from), Some(to)) = (self.view.node(caller), self.view.node(i)) else { return };
        let call = self.call(half, i, from, to);
        self.found.call_to[i as usize] = self.found.calls.len() as u32;
        self.found.calls.push(call);
    }

    fn pair_with_virtual(&mut self, i: u32, caller: NodeId) {
        self.found.entry[i as usize] = true;
        let Some(callee) = self.view.node(i) else { return };
        let is_topic = self.view.spans.takes(i);
        let is_whole = self.has_no_other_side(caller);
        let mut call = self.call(NONE, i, caller, callee);
        call.paired = is_whole;
        if is_topic {
            call.messages = self.view.spans.messages(i);
            call.wait_us = self.found.messages.waited(self.view, i);
        }
        self.found.calls.push(call);
    }

    fn call(&self, client: u32, server: u32, caller: NodeId, callee: NodeId) -> Call {
        let sides = [client, server]
            .map(|side| if side == NONE { Verdict::default() } else { self.own_verdict(side) });
        let mut verdict = joined(sides[0], sides[1]);
        if server != NONE {
            for proxy in self.view.through(server).map(|proxy| self.shape(proxy).verdict) {
                verdict.timeout |= proxy.timeout;
                verdict.rejected |= proxy.rejected;
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
        let verdict = self.shape(i).verdict;
        Verdict { rejected: verdict.rejected && !self.found.breakers.is_echo(i), ..verdict }
    }

    fn outgoing_calls(&mut self) {
        for i in self.opaque() {
            if self.view.spans.hands_over(i) {
                self.hand_over(i);
            } else if self.record(i).calls_out() && self.shape(i).messaging.is_none() {
                self.call_virtual(i);
            }
        }
    }

    /// A message is counted at `create`, else at `send`.
    fn hand_over(&mut self, i: u32) {
        let rpc = self.found.answered[i as usize] && self.shape(i).topic.is_none();
        if rpc || self.found.messages.is_covered(i) {
            return;
        }
        let Some(caller) = self.view.node(i) else { return };
        let callee = self.topic_of(i);
        let mut call = self.call(i, NONE, caller, callee);
        call.messages = self.view.spans.messages(i);
        self.strip_incoming(i);
        self.found.calls.push(call);
    }

    fn call_virtual(&mut self, i: u32) {
        if self.found.answered[i as usize] || self.found.envelope[i as usize] {
            return;
        }
        if self.stands_for_its_service(i) {
            self.found.unanswered += 1;
            return;
        }
        let lender = self.found.lent_peer[i as usize];
        let peer = self.shape(if lender == NONE { i } else { lender }).peer;
        // A database never answers with a span: its calls need not wait.
        let is_database = peer.is_some_and(|peer| self.kind_of(peer) == NodeKind::Database);
        if !is_database {
            self.found.unanswered += 1;
            if !self.settled {
                return;
            }
        }
        let Some(caller) = self.view.node(i) else { return };
        let callee = peer.unwrap_or(UNKNOWN_NODE);
        let is_whole = self.has_no_other_side(callee);
        let mut call = self.call(i, NONE, caller, callee);
        call.paired = is_whole;
        if self.view.has_proxies() {
            let (timeout, rejected) = self.found.proxy_flags[i as usize];
            call.verdict.timeout |= timeout;
            call.verdict.rejected |= rejected;
        }
        self.strip_incoming(i);
        self.found.calls.push(call);
    }

    /// A CLIENT span that begins its service's work and calls nobody else by name is that service's only span of
    /// the call: drivers that emit the database's spans do so.
    fn stands_for_its_service(&self, i: u32) -> bool {
        if !self.found.entry[i as usize] {
            return false;
        }
        let name = |node: NodeId| &self.view.spans.names.node(node).name;
        let peer = self.shape(i).peer;
        peer.is_none_or(|peer| self.view.node(i).is_some_and(|own| name(own) == name(peer)))
    }

    /// Status and length of a CLIENT entry span belong to its outgoing call only.
    fn strip_incoming(&mut self, i: u32) {
        let at = self.found.call_to[i as usize];
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
        if !self.found.breakers.says_rejected {
            return;
        }
        let is_rejection = |i: &u32| {
            self.view.is_inner(*i) && self.own_verdict(*i).rejected && !self.found.entry[*i as usize]
        };
        let name = |node: NodeId| &self.view.spans.names.node(node).name;
        let inner: Vec<u32> = self.opaque().filter(is_rejection).collect();
        let targets = self.found.breakers.targets(self.view, &self.found.calls);
        for i in inner {
            let Some(caller) = self.view.node(i) else { continue };
            let callee = match self.found.breakers.around(i) {
                None => UNKNOWN_NODE,
                Some(breaker) => targets.get(&(name(caller), breaker)).copied().unwrap_or(breaker),
            };
            let mut call = self.call(i, NONE, caller, callee);
            call.verdict = Verdict { error: true, rejected: true, ..Verdict::default() };
            call.caller_measured = false;
            call.paired = false;
            self.found.calls.push(call);
        }
    }

    fn kind_of(&self, node: NodeId) -> NodeKind {
        self.view.spans.names.node(node).kind
    }

    /// Users, clients, databases and topics emit no spans: of a call with one of them nothing is missing. An external host
    /// may be a service whose spans were lost, or one of another name.
    fn has_no_other_side(&self, node: NodeId) -> bool {
        match self.kind_of(node) {
            NodeKind::User | NodeKind::Client | NodeKind::Database | NodeKind::Topic => true,
            NodeKind::Unknown | NodeKind::Service | NodeKind::External => false,
        }
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
