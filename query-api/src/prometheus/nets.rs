//! What one commit changes, before it is added to series.

use super::labels::{EdgeLabels, EndpointLabels, Peer};
use super::sums::Net;
use crate::change::{Commit, Endpoint, What};
use crate::filter::PROBE;
use crate::node::{Kind, Node};
use crate::totals::EdgeTotals;
use std::collections::BTreeMap;

/// What a commit changes, series by series: corrections within one series are nothing then.
#[derive(Debug, Default)]
pub struct Nets {
    /// Of calls between nodes.
    pub edges: BTreeMap<EdgeLabels, Net>,
    /// Of requests of entry points. Their kind is empty: a later part of the commit may tell that one is a topic.
    pub endpoints: BTreeMap<EndpointLabels, Net>,
}

impl Nets {
    /// Adds one record of a commit. Probes are no calls; entry points don't tell them apart.
    pub fn add(&mut self, commit: &Commit) {
        for change in commit.changes.iter().filter(|change| &*change.operation != PROBE) {
            if let What::Edge { client, server, calls } = &change.what {
                let labels = EdgeLabels::new(&change.environment, client, server);
                self.edges.entry(labels).or_default().add(&of_calls(server, calls));
            }
        }
        for endpoint in &commit.endpoints {
            let Endpoint { environment, node, entry, requests, errors, latency } = endpoint;
            let labels = EndpointLabels {
                environment: environment.clone(),
                service: Peer::from(&**node),
                entry: entry.clone(),
                span_kind: "",
            };
            let total = requests.saturating_sub(*errors);
            let mut net = Net { total, failed: *errors, ..Net::default() };
            net.server.add(latency);
            self.endpoints.entry(labels).or_default().add(&net);
        }
    }
}

/// Who sends no spans is measured by its callers alone, as databases are in Tempo's metrics.
fn of_calls(server: &Node, EdgeTotals { counts, callee, caller, .. }: &EdgeTotals) -> Net {
    let mut net = Net { total: counts.calls, failed: counts.errors, ..Net::default() };
    net.server.add(if server.kind == Kind::Service { callee } else { caller });
    net.client.add(caller);
    net
}
