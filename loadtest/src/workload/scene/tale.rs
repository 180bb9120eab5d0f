//! One trace from its first span to its last, and what it sets off in traces of its own.

use super::{Ending, Opened, Scene};
use crate::truth::{EdgeCounts, FlowStatus, Node};
use crate::workload::answer::Answer;
use crate::workload::attributes::{HttpCall, Value};
use crate::workload::cast::{Actor, Emitter, Environment};
use crate::workload::places::{Database, VMS, VOLUMES};
use crate::workload::span::{Kind, Span};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;

/// One finished trace with what it should count.
#[derive(Clone, Debug, PartialEq)]
pub struct Flow {
    /// Trace id, which is the flow's id.
    pub trace_id: u128,
    /// When the visit began that led to it, microseconds since the run's start.
    pub told_us: i64,
    /// Where it happened.
    pub environment: Environment,
    /// What the user asked for.
    pub operation: String,
    /// How it ended.
    pub status: FlowStatus,
    /// All its spans, in order of their end.
    pub spans: Vec<Span>,
    /// Calls by client and server.
    pub calls: Vec<(Node, Node, EdgeCounts)>,
}

impl Flow {
    /// When its last span ended.
    pub fn end_us(&self) -> i64 {
        self.spans.iter().map(|span| span.end_us).max().unwrap_or(0)
    }
}

/// A message that was handed to the topic.
#[derive(Clone, Debug)]
pub struct Published {
    pub(super) trace_id: u128,
    pub(super) span_id: u64,
    pub(super) at_us: i64,
    pub(super) key: String,
}

/// A trace while it is being told.
pub struct Tale {
    pub(super) rng: ChaCha8Rng,
    pub(super) environment: Environment,
    pub(super) trace_id: u128,
    pub(super) published: Vec<Published>,
    pub(super) follow_ups: Vec<Flow>,
    pub(super) status: FlowStatus,
    start_us: i64,
    operation: String,
    /// What this flow is about: the `{id}` of its paths, and part of its statements.
    subject: String,
    spans: Vec<Span>,
    calls: BTreeMap<(Node, Node), EdgeCounts>,
}

impl Tale {
    /// A trace that starts at `start_us`. It draws its own random stream, so that a change in one story leaves
    /// the others as they were.
    pub fn new(rng: &mut ChaCha8Rng, environment: Environment, start_us: i64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(rng.random());
        Self {
            environment,
            trace_id: rng.random_range(1..=u128::MAX),
            subject: format!("{:06x}", rng.random_range(0..0x100_0000)),
            rng,
            published: Vec::new(),
            follow_ups: Vec::new(),
            status: FlowStatus::Success,
            start_us,
            operation: String::new(),
            spans: Vec::new(),
            calls: BTreeMap::new(),
        }
    }

    /// Names the operation.
    pub fn operation(&mut self, name: &str) {
        name.clone_into(&mut self.operation);
    }

    /// True with the given probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.rng.random_bool(probability)
    }

    /// The user's click: the browser's root CLIENT span, and the gateway's answer to it.
    pub fn click(
        &mut self,
        method: &'static str,
        route: &'static str,
        answer: impl FnOnce(&mut Scene<'_>) -> Answer,
    ) -> Answer {
        let browser = self.emitter(Actor::Console);
        let opened = self.root(browser, Kind::Client);
        let root = self.spans.len();
        let mut scene = Scene {
            emitter: browser,
            span_id: opened.span_id,
            now_us: opened.start_us,
            attempt: 0,
            tale: self,
        };
        let host = Actor::Gateway.host();
        let answer = scene.answered(
            &opened,
            Actor::Gateway,
            |gateway| {
                let answer = answer(gateway);
                gateway.work(100..400);
                answer
            },
            |tale, answer, dialect| tale.http_server(method, route, host, answer, dialect),
        );
        let end_us = scene.now_us;
        self.describe_click(opened, end_us, method, route, answer);
        debug_assert!(self.spans.len() > root);
        self.status = status_of(answer);
        self.count(Actor::Console.node(), Actor::Gateway.node(), counts_of(answer, 0));
        answer
    }

    fn describe_click(
        &mut self,
        opened: Opened,
        end_us: i64,
        method: &'static str,
        route: &'static str,
        answer: Answer,
    ) {
        let path = self.path(route);
        let host = Actor::Gateway.host();
        let call = HttpCall { method, route, path: &path, host, attempt: 0, answer, answered: true };
        let mut attributes = call.client(Actor::Console.dialect());
        let session = format!("{:032x}", self.rng.random::<u128>());
        let user = format!("user-{}", self.rng.random_range(0..500));
        attributes.extend([
            ("weir.operation", Value::from(self.operation.as_str())),
            ("session.id", session.into()),
            ("user.id", user.into()),
            ("app.screen.name", "console".into()),
            (
                "user_agent.original",
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Chrome/142.0.0.0".into(),
            ),
        ]);
        let failed = answer.is_error() || answer.is_client_error();
        self.write(opened, end_us, Ending { name: method.into(), attributes, failed, ..Ending::default() });
    }

    /// Whoever asks without leaving a span: a kubelet that checks a service's health.
    pub fn probe(&mut self, target: Actor, name: &str, attributes: crate::workload::attributes::Attributes) {
        let emitter = self.emitter(target);
        let opened = self.root(emitter, Kind::Server);
        let end_us = opened.start_us + self.rng.random_range(80..900);
        self.write(opened, end_us, Ending { name: name.into(), attributes, ..Ending::default() });
        self.count(Node::outside("user", "user"), target.node(), counts_of(Answer::Fine, 0));
    }

    /// This trace and those it set off.
    pub fn end(mut self) -> Vec<Flow> {
        self.spans.sort_by_key(|span| (span.end_us, span.span_id));
        let calls =
            self.calls.into_iter().map(|((client, server), counts)| (client, server, counts)).collect();
        let flow = Flow {
            trace_id: self.trace_id,
            told_us: self.start_us,
            environment: self.environment,
            operation: self.operation,
            status: self.status,
            spans: self.spans,
            calls,
        };
        std::iter::once(flow).chain(self.follow_ups).collect()
    }

    pub(super) fn root(&mut self, emitter: Emitter, kind: Kind) -> Opened {
        let span_id = self.span_id();
        Opened { emitter, span_id, parent_id: None, remote_parent: false, kind, start_us: self.start_us }
    }

    /// One of the processes of `actor`.
    pub(super) fn emitter(&mut self, actor: Actor) -> Emitter {
        let replica = self.rng.random_range(0..actor.replicas(self.environment));
        Emitter { environment: self.environment, actor, replica }
    }

    pub(super) fn span_id(&mut self) -> u64 {
        self.rng.random_range(1..=u64::MAX)
    }

    pub(super) fn write(&mut self, opened: Opened, end_us: i64, ending: Ending) {
        self.spans.push(opened.finish(self.trace_id, end_us, ending));
    }

    pub(super) fn count(&mut self, client: Node, server: Node, counts: EdgeCounts) {
        *self.calls.entry((client, server)).or_default() += counts;
    }

    /// `route` with this flow's subject in place of `{id}`.
    pub(super) fn path(&self, route: &str) -> String {
        route.replace("{id}", &self.subject)
    }

    /// What this flow is about.
    pub(super) fn subject(&self) -> &str {
        &self.subject
    }

    /// How much slower than usual `database` is at this moment: the slow spells of the day.
    pub(super) fn slowness(&self, database: Database, at_us: i64) -> i64 {
        let second = at_us / 1_000_000;
        match database {
            VMS if (25..32).contains(&(second % 60)) => 8,
            VOLUMES if (48..52).contains(&(second % 90)) => 5,
            _ => 1,
        }
    }
}

/// What one call with this end counts as its `attempt`-th attempt.
pub(super) fn counts_of(answer: Answer, attempt: u32) -> EdgeCounts {
    EdgeCounts {
        calls: 1,
        errors: answer.is_error().into(),
        client_errors: answer.is_client_error().into(),
        retries: (attempt > 0).into(),
        rejected: 0,
        timeouts: (answer == Answer::TimedOut).into(),
    }
}

/// What a flow whose root ended so is.
fn status_of(answer: Answer) -> FlowStatus {
    match answer {
        Answer::TimedOut => FlowStatus::Timeout,
        answer if answer.is_error() => FlowStatus::Error,
        _ => FlowStatus::Success,
    }
}
