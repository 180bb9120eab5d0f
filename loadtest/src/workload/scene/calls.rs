//! Calls between services, to databases and to other companies.

use super::tale::{Tale, counts_of};
use super::{Ending, Opened, Scene};
use crate::truth::Node;
use crate::workload::answer::Answer;
use crate::workload::attributes::{self, Attributes, HttpCall, Value};
use crate::workload::cast::{Actor, Dialect};
use crate::workload::places::{Database, Host};
use crate::workload::span::Kind;
use rand::Rng;
use std::ops::Range;

/// Time on the wire, each way.
const NETWORK_US: Range<i64> = 150..700;

impl Scene<'_> {
    /// An HTTP call to another service: a CLIENT span here, a SERVER span there.
    pub fn http(
        &mut self,
        to: Actor,
        method: &'static str,
        route: &'static str,
        act: impl FnOnce(&mut Scene<'_>) -> Answer,
    ) -> Answer {
        let attempt = std::mem::take(&mut self.attempt);
        let opened = self.open(Kind::Client, 10);
        let host = to.host();
        let answer = self.answered(&opened, to, act, |tale, answer, dialect| {
            tale.http_server(method, route, host, answer, dialect)
        });
        let path = self.tale.path(route);
        let call = HttpCall { method, route, path: &path, host, attempt, answer, answered: true };
        let attributes = call.client(self.emitter.actor.dialect());
        let failed = !answer.is_fine();
        self.close(opened, Ending { name: method.into(), attributes, failed, ..Ending::default() });
        self.tale.count(self.node(), to.node(), counts_of(answer, attempt));
        answer
    }

    /// A gRPC call to another service; `method` is `package.Service/Method`.
    pub fn grpc(
        &mut self,
        to: Actor,
        method: &'static str,
        act: impl FnOnce(&mut Scene<'_>) -> Answer,
    ) -> Answer {
        let attempt = std::mem::take(&mut self.attempt);
        let opened = self.open(Kind::Client, 10);
        let answer = self.answered(&opened, to, act, |_, answer, dialect| {
            (method.into(), attributes::grpc(dialect, method, answer, None))
        });
        let attributes = attributes::grpc(self.emitter.actor.dialect(), method, answer, Some(to.host()));
        let failed = !answer.is_fine();
        self.close(opened, Ending { name: method.into(), attributes, failed, ..Ending::default() });
        self.tale.count(self.node(), to.node(), counts_of(answer, attempt));
        answer
    }

    /// The callee's side of the call that `client` makes: its SERVER span and all below it. Ends with the
    /// caller's clock where the answer arrives.
    pub(super) fn answered(
        &mut self,
        client: &Opened,
        to: Actor,
        act: impl FnOnce(&mut Scene<'_>) -> Answer,
        describe: impl FnOnce(&Tale, Answer, Dialect) -> (String, Attributes),
    ) -> Answer {
        let there_us = self.tale.rng.random_range(NETWORK_US);
        let back_us = self.tale.rng.random_range(NETWORK_US);
        let server = Opened {
            emitter: self.tale.emitter(to),
            span_id: self.tale.span_id(),
            parent_id: Some(client.span_id),
            remote_parent: true,
            kind: Kind::Server,
            start_us: client.start_us + there_us,
        };
        let mut inner = self.enter(&server);
        let answer = act(&mut inner);
        let end_us = inner.now_us + 50;
        let (name, attributes) = describe(self.tale, answer, to.dialect());
        let failed = answer.is_error();
        self.tale.write(server, end_us, Ending { name, attributes, failed, ..Ending::default() });
        self.now_us = end_us + back_us;
        answer
    }

    /// A statement that works.
    pub fn query(&mut self, database: Database, verb: &'static str, what: &str) -> Answer {
        self.query_that_ends(database, verb, what, Answer::Fine)
    }

    /// A statement that ends as told: `Fine`, `Failed` or `TimedOut`. Databases emit no spans: only a CLIENT.
    pub fn query_that_ends(
        &mut self,
        database: Database,
        verb: &'static str,
        what: &str,
        answer: Answer,
    ) -> Answer {
        let attempt = std::mem::take(&mut self.attempt);
        let opened = self.open(Kind::Client, 10);
        let slowness = self.tale.slowness(database, self.now_us);
        let usual_us = if database.system == "redis" { 200..1_200 } else { 900..9_000 };
        let range_us = if answer == Answer::TimedOut { 100_000..100_400 } else { usual_us };
        self.now_us += slowness * self.tale.rng.random_range(range_us);
        let statement = format!("{verb} {what} {}", self.tale.subject());
        let dialect = self.emitter.actor.dialect();
        let mut attributes = attributes::query(dialect, database, verb, &statement);
        let problem = database_problem(answer);
        if let (Some((kind, _)), Dialect::Current) = (problem, dialect) {
            attributes.push(("error.type", kind.into()));
        }
        let name = format!("{verb} {}", database.namespace);
        let ending =
            Ending { name, attributes, failed: problem.is_some(), exception: problem, ..Ending::default() };
        self.close(opened, ending);
        let node = Node::outside("database", database.node_name());
        self.tale.count(self.node(), node, counts_of(answer, attempt));
        answer
    }

    /// A call to another company: nobody there tells us a span.
    pub fn ask_outside(
        &mut self,
        host: Host,
        method: &'static str,
        path: &str,
        took_us: Range<i64>,
        answer: Answer,
    ) -> Answer {
        let attempt = std::mem::take(&mut self.attempt);
        let opened = self.open(Kind::Client, 10);
        self.work(took_us);
        let answered = answer != Answer::TimedOut;
        let call = HttpCall { method, route: "", path, host, attempt, answer, answered };
        let attributes = call.client(self.emitter.actor.dialect());
        let exception = (!answered).then_some(("java.net.http.HttpTimeoutException", "request timed out"));
        let ending = Ending {
            name: method.into(),
            attributes,
            failed: !answer.is_fine(),
            exception,
            ..Ending::default()
        };
        self.close(opened, ending);
        let node = Node::outside("external", format!("{}:{}", host.name, host.port));
        self.tale.count(self.node(), node, counts_of(answer, attempt));
        answer
    }
}

impl Tale {
    /// Name and attributes of the SERVER span that answers an HTTP request.
    pub(super) fn http_server(
        &self,
        method: &'static str,
        route: &'static str,
        host: Host,
        answer: Answer,
        dialect: Dialect,
    ) -> (String, Attributes) {
        let path = self.path(route);
        let call = HttpCall { method, route, path: &path, host, attempt: 0, answer, answered: true };
        let mut attributes = call.server(dialect);
        if dialect == Dialect::Current {
            attributes.push(("client.address", Value::from("10.42.0.17")));
        }
        (format!("{method} {route}"), attributes)
    }
}

fn database_problem(answer: Answer) -> Option<(&'static str, &'static str)> {
    match answer {
        Answer::TimedOut => Some(("TimeoutError", "Timeout reading from socket")),
        answer if answer.is_error() => Some(("DatabaseError", "could not serialize access")),
        _ => None,
    }
}
