//! A graph for Markdown.

use std::collections::BTreeMap;
use std::io::{self, Write};

use stitcher::delta::NodeKind;

use super::dot::label;
use super::fold::{Graph, NodeId};

/// Prints a `flowchart`.
pub(super) fn print(graph: &Graph, out: &mut dyn Write) -> io::Result<()> {
    let keys: BTreeMap<&NodeId, usize> = graph.nodes.keys().zip(0..).collect();
    writeln!(out, "flowchart LR")?;
    for (id, key) in &keys {
        let (open, close) = brackets(id.kind);
        writeln!(out, "  n{key}{open}\"{}\"{close}", escaped(&id.label()))?;
    }
    for (id, edge) in &graph.edges {
        writeln!(out, "  n{} -->|\"{}\"| n{}", keys[&id.client], escaped(&label(edge)), keys[&id.server])?;
    }
    Ok(())
}

fn brackets(kind: NodeKind) -> (&'static str, &'static str) {
    match kind {
        NodeKind::Service => ("[", "]"),
        NodeKind::Database => ("[(", ")]"),
        NodeKind::Topic => ("[[", "]]"),
        NodeKind::User | NodeKind::Client => ("([", "])"),
        NodeKind::External | NodeKind::Unknown => ("{{", "}}"),
    }
}

/// Mermaid's own entities; markup in a name must stay text.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '"' => escaped.push_str("#quot;"),
            '#' => escaped.push_str("#35;"),
            '<' => escaped.push_str("#lt;"),
            '>' => escaped.push_str("#gt;"),
            '&' => escaped.push_str("#amp;"),
            '`' => escaped.push_str("#96;"),
            control if control.is_control() => escaped.push(' '),
            other => escaped.push(other),
        }
    }
    escaped
}
