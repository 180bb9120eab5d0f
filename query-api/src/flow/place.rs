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

/// Places by the id of their node, with the version that its spans say.
#[derive(Debug, Default)]
pub struct Places(BTreeMap<String, (Place, String)>);

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
        let (place, version) = self.0.entry(node.to_string()).or_default();
        // Of several the greatest, as in the graphs that are stored.
        if resource.version > version.as_str() {
            resource.version.clone_into(version);
        }
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
            let Some((place, version)) = self.0.remove(&node.id) else { continue };
            node.service.place = Some(place);
            // Nobody calls a browser, so no call says its version.
            if node.service.versions.is_empty() && !version.is_empty() {
                node.service.versions = vec![version.clone()];
                node.service.version = version;
            }
        }
    }
}
