//! A graph for Graphviz.

use std::io::{self, Write};

use stitcher::delta::NodeKind;

use super::fold::{Edge, Graph, NodeId};

/// Prints a `digraph`.
pub(super) fn print(graph: &Graph, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "digraph weir {{")?;
    writeln!(out, "  rankdir=LR;")?;
    writeln!(out, "  node [fontname=\"Helvetica\", shape=box, style=rounded];")?;
    writeln!(out, "  edge [fontname=\"Helvetica\", fontsize=10];")?;
    for id in graph.nodes.keys() {
        writeln!(out, "  {} [label={}, shape={}];", key(id), quoted(&id.label()), shape(id.kind))?;
    }
    for (id, edge) in &graph.edges {
        let colour = if edge.errors.0 > 0 { ", color=red, fontcolor=red" } else { "" };
        writeln!(
            out,
            "  {} -> {} [label={}{colour}];",
            key(&id.client),
            key(&id.server),
            quoted(&label(edge))
        )?;
    }
    writeln!(out, "}}")
}

/// What stands on an edge: calls, errors and retries where there are any, and the 95th percentile.
pub(super) fn label(edge: &Edge) -> String {
    let mut parts = vec![edge.calls.to_string()];
    for (count, name) in [(edge.errors, "errors"), (edge.retries, "retries")] {
        if count.0 > 0 {
            parts.push(format!("{count} {name}"));
        }
    }
    if !edge.latency().is_empty() {
        parts.push(format!("p95 {:.1} ms", edge.latency().percentile_us(95) as f64 / 1_000.0));
    }
    parts.join(", ")
}

fn key(id: &NodeId) -> String {
    quoted(&[&*id.operation, &*id.namespace, &*id.name, id.kind.as_str()].join("|"))
}

fn shape(kind: NodeKind) -> &'static str {
    match kind {
        NodeKind::Service => "box",
        NodeKind::Database => "cylinder",
        NodeKind::Topic => "cds",
        NodeKind::User | NodeKind::Client => "oval",
        NodeKind::External | NodeKind::Unknown => "component",
    }
}

fn quoted(text: &str) -> String {
    let safe: String = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    format!("\"{}\"", safe.replace('\\', "\\\\").replace('"', "\\\""))
}
