//! A graph for people who look at a terminal.

use std::io::{self, Write};

use stitcher::delta::NodeKind;

use super::fold::{Edge, EdgeId, Graph, Milli};
use super::latency::Latency;

/// Prints edges, services and operations, each as a table.
pub(super) fn print(graph: &Graph, out: &mut dyn Write) -> io::Result<()> {
    edges(graph).print(out)?;
    writeln!(out)?;
    services(graph).print(out)?;
    writeln!(out)?;
    operations(graph).print(out)?;
    writeln!(out)?;
    summary(graph, out)
}

fn edges(graph: &Graph) -> Table {
    let mut table = Table::new(
        graph.by_operation,
        &["CALLER", "CALLEE"],
        &[
            "CALLS",
            "ERRORS",
            "4XX",
            "RETRIES",
            "TIMEOUTS",
            "REJECTED",
            "P50 ms",
            "P95 ms",
            "P99 ms",
            "MAX ms",
            "BOTH SIDES %",
        ],
    );
    for (id, edge) in &graph.edges {
        let [p50, p95, p99, max] = milliseconds(edge.latency());
        table.row(
            &id.client.operation,
            &[id.client.label(), id.server.label()],
            [edge.calls, edge.errors, edge.client_errors, edge.retries, edge.timeouts, edge.rejected]
                .map(|count| count.to_string())
                .into_iter()
                .chain([p50, p95, p99, max, both_sides(id, edge)]),
        );
    }
    table
}

/// Share of the calls that both sides saw; where one side emits no spans there is nothing to share.
fn both_sides(id: &EdgeId, edge: &Edge) -> String {
    let emits_spans = |kind| matches!(kind, NodeKind::Service | NodeKind::Client);
    if emits_spans(id.client.kind) && emits_spans(id.server.kind) {
        format!("{:.0}", 100.0 * edge.confidence())
    } else {
        "–".to_owned()
    }
}

fn services(graph: &Graph) -> Table {
    let mut table = Table::new(
        graph.by_operation,
        &["NODE"],
        &["REQUESTS", "ERRORS", "P50 ms", "P95 ms", "P99 ms", "MAX ms", "SELF P50 ms", "SELF P95 ms"],
    );
    for (id, node) in graph.nodes.iter().filter(|(_, node)| node.requests != Milli(0)) {
        let [self_p50, self_p95, ..] = milliseconds(&node.self_time);
        table.row(
            &id.operation,
            &[id.label()],
            [node.requests.to_string(), node.errors.to_string()]
                .into_iter()
                .chain(milliseconds(&node.latency))
                .chain([self_p50, self_p95]),
        );
    }
    table
}

fn operations(graph: &Graph) -> Table {
    let numbers = ["FLOWS", "ERRORS", "P50 ms", "P95 ms", "P99 ms", "MAX ms"];
    let mut table = Table::new(false, &["OPERATION"], &numbers);
    for (name, operation) in &graph.operations {
        let counts = [operation.flows.to_string(), operation.errors.to_string()];
        table.row("", &[name.to_string()], counts.into_iter().chain(milliseconds(&operation.latency)));
    }
    table
}

fn summary(graph: &Graph, out: &mut dyn Write) -> io::Result<()> {
    let counted =
        |count: u64, one: &str, many: &str| format!("{count} {}", if count == 1 { one } else { many });
    let mut parts = vec![
        counted(graph.read.spans, "span", "spans"),
        counted(graph.flows.unsigned_abs(), "flow", "flows"),
        counted(graph.duplicates, "duplicate", "duplicates"),
    ];
    let left_out =
        |(reason, count): (&&str, &u64)| format!("{count} left out ({})", reason.replace('_', " "));
    parts.extend(graph.read.rejected.iter().map(left_out));
    writeln!(out, "{}", parts.join(" · "))
}

/// 50th, 95th, 99th percentile and maximum; dots where nothing was measured.
fn milliseconds(latency: &Latency) -> [String; 4] {
    if latency.is_empty() {
        return [(); 4].map(|()| "·".to_owned());
    }
    let values =
        [latency.percentile_us(50), latency.percentile_us(95), latency.percentile_us(99), latency.max_us()];
    values.map(|us| format!("{:.2}", us as f64 / 1_000.0))
}

/// Rows of text cells, aligned left, and number cells, aligned right.
struct Table {
    rows: Vec<Vec<String>>,
    texts: usize,
    by_operation: bool,
}

impl Table {
    fn new(by_operation: bool, texts: &[&str], numbers: &[&str]) -> Self {
        let operation: &[&str] = if by_operation { &["OPERATION"] } else { &[] };
        let header: Vec<String> =
            [operation, texts, numbers].concat().into_iter().map(str::to_owned).collect();
        Self { rows: vec![header], texts: operation.len() + texts.len(), by_operation }
    }

    fn row(&mut self, operation: &str, texts: &[String], numbers: impl Iterator<Item = String>) {
        let operation = self.by_operation.then(|| printable(operation));
        let texts = texts.iter().map(|text| printable(text));
        self.rows.push(operation.into_iter().chain(texts).chain(numbers).collect());
    }

    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let widest =
            |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..self.rows[0].len()).map(widest).collect();
        for row in &self.rows {
            let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
                if column < self.texts { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
            });
            writeln!(out, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
        }
        Ok(())
    }
}

/// Names come from strangers: control characters must not reach the terminal.
fn printable(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect()
}
