//! Where the nodes of one flow ran.

use crate::graph::Graph;
use crate::node::{Kind, Node};
use crate::spans::{SpanRow, SpanService};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use stitcher::Span;
use utoipa::ToSchema;

/// Where the spans of a node came from; "" and nothing where they don't say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Place {
    /// The first of `pods` in the order of text.
    #[schema(required = false)]
    pub pod: String,
    #[schema(required = false)]
    pub pods: BTreeSet<String>,
    #[schema(required = false)]
    pub deployment: String,
}

/// Places by the id of their node.
#[derive(Debug, Default)]
pub struct Places(BTreeMap<String, Place>);

impl Places {
    /// Adds where a span came from.
    pub fn add(&mut self, span: &Span<'_>, row: &SpanRow) {
        let resource = &span.resource;
        let kind = if resource.is_client { Kind::Client } else { Kind::Service };
        let node = Node {
            cluster: resource.cluster.to_owned(),
            namespace: resource.namespace.to_owned(),
            name: resource.service.to_owned(),
            kind,
        };
        let place = self.0.entry(node.to_string()).or_default();
        if !resource.pod.is_empty() && !place.pods.contains(resource.pod) {
            place.pods.insert(resource.pod.to_owned());
            place.pod = place.pods.first().cloned().unwrap_or_default();
        }
        if place.deployment.is_empty() {
            place.deployment = SpanService::of(String::new(), &row.resource).deployment;
        }
    }

    /// Tells the graph's services where they ran.
    pub fn tell(mut self, graph: &mut Graph) {
        for node in &mut graph.nodes {
            node.service.place = self.0.remove(&node.id);
        }
    }
}
