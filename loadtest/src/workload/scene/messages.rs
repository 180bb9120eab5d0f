//! Messages through the topic: one consumer continues the producer's trace, the other starts its own and links.

use super::tale::{Published, Tale, counts_of};
use super::{Ending, Opened, Scene};
use crate::truth::{FlowStatus, Node};
use crate::workload::answer::Answer;
use crate::workload::attributes;
use crate::workload::cast::Actor;
use crate::workload::places::VM_EVENTS;
use crate::workload::span::Kind;
use rand::Rng;

/// The topic as a node of the flow graph.
fn topic() -> Node {
    Node::outside("topic", format!("kafka:{VM_EVENTS}"))
}

impl Scene<'_> {
    /// Hands one message to the topic.
    pub fn publish(&mut self) {
        let opened = self.open(Kind::Producer, 30);
        self.work(400..2_500);
        let key = self.tale.subject().to_owned();
        let message =
            Published { trace_id: self.tale.trace_id, span_id: opened.span_id, at_us: self.now_us, key };
        let attributes = attributes::message(VM_EVENTS, "send", &message.key);
        self.close(opened, Ending { name: format!("send {VM_EVENTS}"), attributes, ..Ending::default() });
        self.tale.count(self.node(), topic(), counts_of(Answer::Fine, 0));
        self.tale.published.push(message);
    }
}

impl Tale {
    /// What was handed to the topic so far.
    pub fn published(&self) -> Vec<Published> {
        self.published.clone()
    }

    /// `consumer` works on `message` in the producer's trace: its CONSUMER span is the producer's child.
    pub fn process(
        &mut self,
        consumer: Actor,
        message: &Published,
        act: impl FnOnce(&mut Scene<'_>) -> Answer,
    ) {
        let opened = Opened {
            emitter: self.emitter(consumer),
            span_id: self.span_id(),
            parent_id: Some(message.span_id),
            remote_parent: true,
            kind: Kind::Consumer,
            start_us: message.at_us + self.rng.random_range(2_000..60_000),
        };
        self.work_on(opened, message, Vec::new(), act);
    }

    /// `consumer` works on `message` in a trace of its own: a receive as root, the work below it, and links back
    /// to the producer.
    pub fn process_apart(
        &mut self,
        consumer: Actor,
        message: &Published,
        act: impl FnOnce(&mut Scene<'_>) -> Answer,
    ) {
        let arrives_us = message.at_us + self.rng.random_range(2_000..60_000);
        let mut apart = Tale::new(&mut self.rng, self.environment, arrives_us);
        // Nobody names it: the fallback says what was done and with which node of the graph.
        apart.operation(&format!("process {}", topic().name));
        let emitter = apart.emitter(consumer);
        let receive = apart.root(emitter, Kind::Consumer);
        let link = (message.trace_id, message.span_id);
        let work = Opened {
            emitter,
            span_id: apart.span_id(),
            parent_id: Some(receive.span_id),
            remote_parent: false,
            kind: Kind::Consumer,
            start_us: arrives_us + 200,
        };
        let end_us = apart.work_on(work, message, vec![link], act);
        let attributes = attributes::message(VM_EVENTS, "receive", &message.key);
        let name = format!("receive {VM_EVENTS}");
        apart.write(
            receive,
            end_us + 100,
            Ending { name, attributes, links: vec![link], ..Ending::default() },
        );
        apart.status = FlowStatus::Success;
        self.follow_ups.extend(apart.end());
    }

    fn work_on(
        &mut self,
        opened: Opened,
        message: &Published,
        links: Vec<(u128, u64)>,
        act: impl FnOnce(&mut Scene<'_>) -> Answer,
    ) -> i64 {
        let emitter = opened.emitter;
        let mut scene =
            Scene { emitter, span_id: opened.span_id, now_us: opened.start_us, attempt: 0, tale: self };
        let answer = act(&mut scene);
        let end_us = scene.now_us + 40;
        let mut attributes = attributes::message(VM_EVENTS, "process", &message.key);
        attributes.push(("messaging.consumer.group.name", emitter.actor.name().into()));
        let failed = !answer.is_fine();
        let exception = failed.then_some(("MessageHandlingException", "the message could not be handled"));
        let name = format!("process {VM_EVENTS}");
        self.write(opened, end_us, Ending { name, attributes, failed, exception, links });
        let answer = if failed { Answer::Failed } else { Answer::Fine };
        self.count(topic(), emitter.actor.node(), counts_of(answer, 0));
        end_us
    }
}
