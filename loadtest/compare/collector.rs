//! The OpenTelemetry Collector on the same topic.

use crate::measured::{Process, Sample, Usage, free_address, metrics, samples, sum};
use crate::topics::Topics;
use crate::truth::{Counts, Series, Truth, compare};
use schemas::topics::OTLP_SPANS;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

/// Between two of its answers; Weir's come every 200 ms.
const FLUSH_EVERY: Duration = Duration::from_secs(15);

/// A new series is nought in the first answer and counts in the second; with 5,000 services a page takes seconds.
const PATIENCE: Duration = Duration::from_secs(FLUSH_EVERY.as_secs() * 5);

const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What becomes of the spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pipeline {
    /// Nothing.
    Nop,
    /// A graph of services.
    ServiceGraph,
    /// The same, and metrics by service and span name.
    SpanMetrics,
}

/// Starts it. Returns where it tells of itself, and where it gives its answers.
///
/// # Errors
/// The program is missing.
pub fn start(
    program: &Path,
    kafka: &str,
    topics: &Topics,
    pipeline: Pipeline,
) -> anyhow::Result<(Process, [SocketAddr; 2])> {
    let (telemetry, answers) = (free_address()?, free_address()?);
    // A group that has never read.
    let group = topics.name(&format!("collector-{}", telemetry.port()));
    let config = config(kafka, &topics.name(OTLP_SPANS), &group, [telemetry, answers], pipeline);
    let mut command = Command::new(program);
    Ok((Process::start(command.args(["--config", &format!("yaml:{config}")]))?, [telemetry, answers]))
}

/// Lets it read so many spans, and compares its answers with the truth. What it had used when it had taken the last of
/// them counts: the flush that makes the last answers comes after.
///
/// # Errors
/// It fails, takes too long, or says something wrong.
pub fn run(
    program: &Path,
    kafka: &str,
    topics: &Topics,
    pipeline: Pipeline,
    truth: &Truth,
) -> anyhow::Result<Usage> {
    let (mut collector, [telemetry, answers]) = start(program, kafka, topics, pipeline)?;
    let accepted =
        || metrics(telemetry).map(|page| sum(&page, "otelcol_receiver_accepted_spans_total") as u64);
    collector
        .wait_until("all spans are accepted", || accepted().is_ok_and(|spans| spans >= truth.spans()))?;
    let usage = collector.usage()?;
    if pipeline == Pipeline::Nop {
        return Ok(usage);
    }
    loop {
        let said = metrics(answers).and_then(|page| check(&page, truth, pipeline));
        if said.is_ok() || collector.usage()?.wall > usage.wall + PATIENCE {
            return said.map(|()| usage);
        }
        thread::sleep(LOOK_AGAIN);
    }
}

fn config(kafka: &str, topic: &str, group: &str, at: [SocketAddr; 2], pipeline: Pipeline) -> String {
    let [telemetry, answers] = at;
    let (host, port) = (telemetry.ip(), telemetry.port());
    let flush = format!("{}s", FLUSH_EVERY.as_secs());
    let exporters = match pipeline {
        Pipeline::Nop => "nop",
        Pipeline::ServiceGraph => "servicegraph",
        Pipeline::SpanMetrics => "servicegraph, spanmetrics",
    };
    let metrics = match pipeline {
        Pipeline::Nop => String::new(),
        _ => format!("metrics: {{receivers: [{exporters}], exporters: [prometheus]}}"),
    };
    // By default the store holds 1,000 spans that wait for their other side and the cache 1,000 resources: with that, it
    // drops calls, and counts anew.
    format!(
        "
receivers:
  kafka:
    brokers: [\"{kafka}\"]
    group_id: {group}
    initial_offset: earliest
    traces: {{topics: [{topic}], encoding: otlp_proto}}
connectors:
  servicegraph:
    metrics_flush_interval: {flush}
    store: {{max_items: 1000000, ttl: 10s}}
  spanmetrics:
    metrics_flush_interval: {flush}
    resource_metrics_cache_size: 100000
exporters:
  nop:
  prometheus: {{endpoint: \"{answers}\"}}
service:
  telemetry:
    logs: {{level: error}}
    metrics: {{readers: [{{pull: {{exporter: {{prometheus: {{host: \"{host}\", port: {port}}}}}}}}}]}}
  pipelines:
    traces: {{receivers: [kafka], exporters: [{exporters}]}}
    {metrics}
"
    )
}

/// Compares a page of its answers with the truth: calls and errors edge by edge, and spans by service and name.
fn check(page: &str, truth: &Truth, pipeline: Pipeline) -> anyhow::Result<()> {
    let mut edges: BTreeMap<(String, String), Counts> = BTreeMap::new();
    for (metric, which) in ["traces_service_graph_request_total", "traces_service_graph_request_failed_total"]
        .into_iter()
        .zip([0, 1])
    {
        // A request from outside has no other side here; what becomes of it is a matter of taste.
        for sample in samples(page, metric).filter(|sample| sample.label("client") != "user") {
            let edge = (sample.label("client").to_owned(), sample.label("server").to_owned());
            edges.entry(edge).or_default()[which] += sample.value as i64;
        }
    }
    compare("servicegraph, calls", &truth.callers(), &edges)?;
    if pipeline == Pipeline::SpanMetrics {
        let mut series = Series::new();
        for sample in samples(page, "traces_span_metrics_calls_total") {
            *series.entry(key(&sample)).or_default() += sample.value as i64;
        }
        compare("spanmetrics, spans", truth.series(), &series)?;
    }
    Ok(())
}

fn key(sample: &Sample<'_>) -> (String, String, i32, bool) {
    let kind = match sample.label("span_kind") {
        "SPAN_KIND_INTERNAL" => 1,
        "SPAN_KIND_SERVER" => 2,
        "SPAN_KIND_CLIENT" => 3,
        _ => 0,
    };
    let failed = sample.label("status_code") == "STATUS_CODE_ERROR";
    (sample.label("service_name").to_owned(), sample.label("span_name").to_owned(), kind, failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_count_on_its_page_is_noticed() {
        let mut truth = Truth::default();
        truth.call("buy", "shop", "stock", "GET /stock", true);
        truth.request("buy", "shop");
        let edge = "client=\"shop\",connection_type=\"\",server=\"stock\"";
        let series = |name: &str, kind: &str, status: &str, span: &str| {
            format!(
                "traces_span_metrics_calls_total{{service_name=\"{name}\",span_kind=\"SPAN_KIND_{kind}\",\
                 span_name=\"{span}\",status_code=\"STATUS_CODE_{status}\"}} 1\n"
            )
        };
        let page = format!(
            "traces_service_graph_request_total{{{edge}}} 1\n\
             traces_service_graph_request_total{{client=\"user\",server=\"shop\"}} 1\n\
             traces_service_graph_request_failed_total{{{edge}}} 1\n{}{}{}",
            series("shop", "CLIENT", "ERROR", "GET /stock"),
            series("stock", "SERVER", "ERROR", "GET /stock"),
            series("shop", "SERVER", "UNSET", "buy"),
        );
        check(&page, &truth, Pipeline::SpanMetrics).unwrap();
        for (line, _) in page.lines().enumerate().filter(|(_, line)| !line.contains("user")) {
            let change = |(at, text): (usize, &str)| {
                if at == line { format!("{}2\n", &text[..text.len() - 1]) } else { format!("{text}\n") }
            };
            let wrong: String = page.lines().enumerate().map(change).collect();
            assert!(check(&wrong, &truth, Pipeline::SpanMetrics).is_err(), "line {line} of\n{wrong}");
        }
        assert!(check("", &truth, Pipeline::ServiceGraph).is_err());
    }
}
