//! Records of `flow_deltas` with edges between nodes of every kind, and entry points.
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use crate::support::now_s;
use prost::Message;
use schemas::v1::{EdgeDelta, EndpointDelta, FlowDeltas, Histogram, Node, NodeKind};
use stitcher::histogram::bucket_of;

/// Environment, client, server, calls, errors, and how long each took, µs. Nodes are `kind/namespace/name`.
pub type Edge = (&'static str, &'static str, &'static str, i64, i64, u64);
/// Environment, service, entry point, requests, errors, and how long each took, µs.
pub type Entry = (&'static str, &'static str, &'static str, i64, i64, u64);

/// A commit of shard 0 in the making.
#[derive(Default)]
pub struct Deltas(FlowDeltas);

impl Deltas {
    fn text(&mut self, text: &str) -> u32 {
        let found = self.0.strings.iter().position(|known| known == text);
        let at = found.unwrap_or_else(|| {
            self.0.strings.push(text.to_owned());
            self.0.strings.len() - 1
        });
        at.try_into().unwrap()
    }

    fn node(&mut self, id: &str) -> u32 {
        let [kind, namespace, name]: [&str; 3] = id.split('/').collect::<Vec<_>>().try_into().unwrap();
        let kind = match kind {
            "service" => NodeKind::Service,
            "user" => NodeKind::User,
            "database" => NodeKind::Database,
            "topic" => NodeKind::Topic,
            _ => NodeKind::External,
        };
        let (namespace, name) = (self.text(namespace), self.text(name));
        self.0.nodes.push(Node { cluster: 0, namespace, name, kind: kind.into() });
        (self.0.nodes.len() - 1).try_into().unwrap()
    }

    /// The record of a commit.
    pub fn commit(seq: u64, edges: &[Edge], entries: &[Entry]) -> Vec<u8> {
        let clock_us = i64::from(now_s()) * 1_000_000;
        let mut deltas = Self(FlowDeltas { seq, parts: 1, clock_us, ..FlowDeltas::default() });
        deltas.text("");
        for (environment, client, server, calls, errors, us) in edges {
            let sends_spans = server.starts_with("service");
            let edge = EdgeDelta {
                environment: deltas.text(environment),
                operation: deltas.text("login"),
                client: deltas.node(client),
                server: deltas.node(server),
                window_s: now_s(),
                weight_milli: 1_000,
                calls: *calls,
                errors: *errors,
                callee_latency: sends_spans.then(|| histogram(*calls, *us)),
                caller_latency: client.starts_with("service").then(|| histogram(*calls, *us * 2)),
                ..EdgeDelta::default()
            };
            deltas.0.edges.push(edge);
        }
        for (environment, service, entry, requests, errors, us) in entries {
            let endpoint = EndpointDelta {
                environment: deltas.text(environment),
                node: deltas.node(service),
                entry: deltas.text(entry),
                window_s: now_s(),
                weight_milli: 1_000,
                requests: *requests,
                errors: *errors,
                latency: Some(histogram(*requests, *us)),
                ..EndpointDelta::default()
            };
            deltas.0.endpoints.push(endpoint);
        }
        deltas.0.encode_to_vec()
    }
}

fn histogram(calls: i64, us: u64) -> Histogram {
    Histogram { bucket: vec![bucket_of(us).into()], count: vec![calls], sum_us: calls * us as i64 }
}
