//! `weir graph`: the flow graph of trace files, without any server. The stitcher is the one that runs on Kafka;
//! here the files are the log, in the order of the arguments, and time stands still until their end.

mod dot;
mod fold;
mod json;
mod latency;
mod mermaid;
mod table;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use reader::{FileReport, Semconv};
use stitcher::{Settings, Shard};

use fold::Graph as FlowGraph;

/// Flags of `weir graph`.
#[derive(clap::Args, Clone, Debug)]
pub struct Graph {
    /// How to print it
    #[arg(long, value_enum, default_value_t = Format::Table, env = "WEIR_GRAPH_FORMAT")]
    pub format: Format,
    /// Gives every operation a graph of its own
    #[arg(long, value_enum, value_name = "WHAT", env = "WEIR_GRAPH_BY")]
    pub by: Option<By>,
    /// Trace files of any kind: OTLP protobuf or JSON, Jaeger JSON, Zipkin v2 JSON, packed by gzip or not.
    /// `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

/// How a graph is printed.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people
    Table,
    /// For programs: one document, a stable contract
    Json,
    /// For Graphviz
    Dot,
    /// For Markdown
    Mermaid,
}

/// What a graph can be split by.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The UI operation
    Operation,
}

/// Runs the command.
///
/// # Errors
/// If a file can't be read or holds no traces.
pub fn run(options: Graph) -> anyhow::Result<()> {
    let graph = graph_of(&options.files, options.by.is_some())?;
    match print(&graph, options.format) {
        // `weir graph … | head` has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        printed => printed.context("can't write to standard output"),
    }
}

fn graph_of(files: &[PathBuf], by_operation: bool) -> anyhow::Result<FlowGraph> {
    let semconv = Semconv::embedded();
    let mut shard = Shard::new(settings());
    let mut read = reader::Read::default();
    let mut offset = 0;
    for path in files {
        let report = reader::read_file(path, &mut |document| {
            shard.begin_record(offset, 0);
            offset += 1;
            read.add(&reader::spans_of(&semconv, &document, &mut |span| shard.apply(span)));
        })?;
        warn(path, &report);
        for (reason, count) in report.rejected {
            *read.rejected.entry(reason).or_default() += count;
        }
        if report.bad_lines > 0 {
            *read.rejected.entry("bad_line").or_default() += report.bad_lines;
        }
    }
    shard.settle_all();
    Ok(FlowGraph::new(by_operation, &shard.commit(), read))
}

/// Nothing is published here, and a file's traces are held until its end.
fn settings() -> Settings {
    let mut settings =
        Settings { slow_us: i64::MAX, graph_sample_milli: 0, events_per_second: 0, ..Settings::default() };
    settings.limits.open_spans = 4_000_000;
    settings
}

fn warn(path: &Path, report: &FileReport) {
    for bad in &report.bad {
        eprintln!("{}: line {}: {}", path.display(), bad.line, bad.why);
    }
    let more = report.bad_lines - report.bad.len() as u64;
    if more > 0 {
        eprintln!("{}: {more} more lines can't be read", path.display());
    }
}

fn print(graph: &FlowGraph, format: Format) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    match format {
        Format::Table => table::print(graph, &mut out)?,
        Format::Json => json::print(graph, &mut out)?,
        Format::Dot => dot::print(graph, &mut out)?,
        Format::Mermaid => mermaid::print(graph, &mut out)?,
    }
    out.flush()
}
