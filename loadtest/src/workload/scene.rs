//! How a story is told: a tale is one trace, a scene is what happens inside one of its spans. Whatever a scene
//! does writes the spans that SDKs would report, and beside them the counts that a perfect observer would make.

mod calls;
mod messages;
mod tale;

pub use tale::{Flow, Tale};

use super::answer::Answer;
use super::attributes::{Attributes, Value};
use super::cast::{Actor, Emitter};
use super::span::{Event, Kind, Span, Status};
use crate::truth::{EdgeCounts, Node};
use rand::Rng;
use std::ops::Range;

/// The inside of one span: the service at work in it, and its clock.
pub struct Scene<'t> {
    tale: &'t mut Tale,
    emitter: Emitter,
    span_id: u64,
    now_us: i64,
    /// Which attempt the next call is.
    attempt: u32,
}

/// A span that has begun.
struct Opened {
    emitter: Emitter,
    span_id: u64,
    parent_id: Option<u64>,
    remote_parent: bool,
    kind: Kind,
    start_us: i64,
}

/// What a span says when it ends.
#[derive(Default)]
struct Ending {
    name: String,
    attributes: Attributes,
    failed: bool,
    exception: Option<(&'static str, &'static str)>,
    links: Vec<(u128, u64)>,
}

impl Scene<'_> {
    /// Computes for some time, in microseconds.
    pub fn work(&mut self, range_us: Range<i64>) {
        self.now_us += self.tale.rng.random_range(range_us);
    }

    /// True with the given probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.tale.rng.random_bool(probability)
    }

    /// An INTERNAL span of the same service.
    pub fn inside(&mut self, name: &str, act: impl FnOnce(&mut Scene<'_>) -> Answer) -> Answer {
        self.internal(name, Attributes::new(), act)
    }

    /// A call guarded by a circuit breaker that is closed: the library reports one INTERNAL span around it.
    pub fn guarded(&mut self, breaker: &str, act: impl FnOnce(&mut Scene<'_>) -> Answer) -> Answer {
        self.internal(breaker, breaker_attributes(breaker), act)
    }

    fn internal(
        &mut self,
        name: &str,
        attributes: Attributes,
        act: impl FnOnce(&mut Scene<'_>) -> Answer,
    ) -> Answer {
        let opened = self.open(Kind::Internal, 20);
        let mut inner = self.enter(&opened);
        let answer = act(&mut inner);
        self.now_us = inner.now_us + 20;
        let failed = answer.is_error();
        let exception = failed.then_some(("ServiceException", "a call failed"));
        self.close(opened, Ending { name: name.into(), attributes, failed, exception, ..Ending::default() });
        answer
    }

    /// A call that an open breaker keeps back: a short failed INTERNAL span, nothing below it. It counts as an
    /// attempt at `target`, which fails.
    pub fn rejected(&mut self, breaker: &str, target: Node) -> Answer {
        let opened = self.open(Kind::Internal, 5);
        self.work(30..90);
        let exception = Some((
            "io.github.resilience4j.circuitbreaker.CallNotPermittedException",
            "CircuitBreaker is OPEN and does not permit further calls",
        ));
        let attributes = breaker_attributes(breaker);
        self.close(
            opened,
            Ending { name: breaker.into(), attributes, failed: true, exception, ..Ending::default() },
        );
        let counts = EdgeCounts { calls: 1, errors: 1, rejected: 1, ..EdgeCounts::default() };
        self.tale.count(self.node(), target, counts);
        Answer::Unavailable
    }

    /// Tries up to `attempts` times, as long as asking again makes sense. `call` makes exactly one call.
    pub fn retry(&mut self, attempts: u32, call: impl Fn(&mut Scene<'_>, u32) -> Answer) -> Answer {
        for attempt in 0.. {
            self.attempt = attempt;
            let answer = call(self, attempt);
            self.attempt = 0;
            if !answer.is_retryable() || attempt + 1 >= attempts {
                return answer;
            }
            self.work(10_000..40_000);
        }
        unreachable!("attempts end by the bound above")
    }

    /// Two things at the same time; goes on when both are done.
    pub fn at_once(
        &mut self,
        first: impl FnOnce(&mut Scene<'_>) -> Answer,
        second: impl FnOnce(&mut Scene<'_>) -> Answer,
    ) -> (Answer, Answer) {
        let fork_us = self.now_us;
        let first = first(self);
        let first_done_us = std::mem::replace(&mut self.now_us, fork_us);
        let second = second(self);
        self.now_us = self.now_us.max(first_done_us);
        (first, second)
    }

    /// The node this scene's service is.
    fn node(&self) -> Node {
        self.emitter.actor.node()
    }

    /// Starts a child span of this scene, `delay_us` from now.
    fn open(&mut self, kind: Kind, delay_us: i64) -> Opened {
        self.now_us += delay_us;
        Opened {
            emitter: self.emitter,
            span_id: self.tale.span_id(),
            parent_id: Some(self.span_id),
            remote_parent: false,
            kind,
            start_us: self.now_us,
        }
    }

    /// The scene inside `opened`.
    fn enter(&mut self, opened: &Opened) -> Scene<'_> {
        Scene {
            tale: self.tale,
            emitter: opened.emitter,
            span_id: opened.span_id,
            now_us: opened.start_us,
            attempt: 0,
        }
    }

    /// Ends `opened` now.
    fn close(&mut self, opened: Opened, ending: Ending) {
        self.tale.write(opened, self.now_us, ending);
    }
}

impl Actor {
    /// This actor as a node of the flow graph.
    pub fn node(self) -> Node {
        let kind = if self == Self::Console { "client" } else { "service" };
        Node { kind: kind.into(), namespace: self.namespace().into(), name: self.name().into() }
    }
}

fn breaker_attributes(breaker: &str) -> Attributes {
    vec![("resilience4j.circuitbreaker.name", breaker.into())]
}

fn exception(at_us: i64, (kind, message): (&'static str, &'static str)) -> Event {
    let attributes: Vec<(&'static str, Value)> =
        vec![("exception.type", kind.into()), ("exception.message", message.into())];
    Event { at_us, name: "exception", attributes }
}

impl Opened {
    fn finish(self, trace_id: u128, end_us: i64, ending: Ending) -> Span {
        Span {
            emitter: self.emitter,
            trace_id,
            span_id: self.span_id,
            parent_id: self.parent_id,
            remote_parent: self.remote_parent,
            kind: self.kind,
            name: ending.name,
            start_us: self.start_us,
            end_us,
            due_us: end_us,
            attributes: ending.attributes,
            events: ending.exception.map(|what| exception(end_us, what)).into_iter().collect(),
            links: ending.links,
            status: Status::of(ending.failed),
        }
    }
}
