//! The page: families in the names that Tempo gave them and Grafana asks for.

use super::exemplars::Shown;
use super::labels::{EdgeLabels, EndpointLabels, Labels};
use super::sums::{BOUNDS_US, Latency, Net};
use super::text::{Format, Text, Type, decimal, labels};

/// Decimals of counts, which are thousandths.
const COUNT: usize = 3;
/// Decimals of seconds: sums are thousandths of µs.
const SECONDS: usize = 9;

/// Writes series with their labels.
pub fn page(
    edges: &[(EdgeLabels, Net)],
    endpoints: &[(EndpointLabels, Net)],
    exemplars: &Shown,
    format: Format,
) -> String {
    let mut text = Text::new(format);
    let edges: Vec<Row<'_, EdgeLabels>> = edges.iter().map(Row::from).collect();
    let endpoints: Vec<Row<'_, EndpointLabels>> = endpoints.iter().map(Row::from).collect();
    calls(&mut text, &edges);
    latencies(
        &mut text,
        ("traces_service_graph_request_server_seconds", "How long the callee took"),
        edges.iter().map(|row| (row, &row.net.server)),
        |row, bucket| {
            let found = exemplars.of(row.of, bucket)?;
            Some((&found.trace_id, found.duration_us, found.at_us))
        },
    );
    latencies(
        &mut text,
        ("traces_service_graph_request_client_seconds", "How long the caller waited"),
        // Users and topics wait for nothing that is measured.
        edges.iter().filter(|row| row.net.client != Latency::default()).map(|row| (row, &row.net.client)),
        |_, _| None,
    );
    requests(&mut text, &endpoints);
    latencies(
        &mut text,
        ("traces_spanmetrics_latency", "How long requests of an entry point took, in seconds"),
        endpoints.iter().map(|row| (row, &row.net.server)),
        |_, _| None,
    );
    text.finish()
}

/// A series whose labels are written already.
struct Row<'a, L> {
    of: &'a L,
    labels: String,
    net: &'a Net,
}

impl<'a, L: Labels> From<&'a (L, Net)> for Row<'a, L> {
    fn from((of, net): &'a (L, Net)) -> Self {
        Self { of, labels: labels(&of.pairs()), net }
    }
}

fn calls(text: &mut Text, edges: &[Row<'_, EdgeLabels>]) {
    text.family("traces_service_graph_request", Type::Counter, "Calls from client to server");
    for row in edges {
        text.sample("traces_service_graph_request_total", &row.labels, (row.net.total, COUNT));
    }
    text.family("traces_service_graph_request_failed", Type::Counter, "Failed calls from client to server");
    for row in edges {
        text.sample("traces_service_graph_request_failed_total", &row.labels, (row.net.failed, COUNT));
    }
}

fn requests(text: &mut Text, endpoints: &[Row<'_, EndpointLabels>]) {
    text.family("traces_spanmetrics_calls", Type::Counter, "Requests of an entry point of a service");
    for row in endpoints {
        for (status, value) in [("STATUS_CODE_UNSET", row.net.total), ("STATUS_CODE_ERROR", row.net.failed)] {
            let labels = format!("{},status_code=\"{status}\"", row.labels);
            text.sample("traces_spanmetrics_calls_total", &labels, (value, COUNT));
        }
    }
}

fn latencies<'a, L: 'a>(
    text: &mut Text,
    (name, help): (&str, &str),
    rows: impl Iterator<Item = (&'a Row<'a, L>, &'a Latency<i64>)>,
    exemplar: impl Fn(&Row<'a, L>, usize) -> Option<(&'a str, i64, i64)>,
) {
    text.family(name, Type::Histogram, help);
    let bounds: Vec<String> =
        BOUNDS_US.iter().map(|bound| decimal(*bound as i64, 6)).chain(["+Inf".to_owned()]).collect();
    let bucket_name = format!("{name}_bucket");
    for (row, latency) in rows {
        let mut below: i64 = 0;
        for (at, (bound, count)) in bounds.iter().zip(latency.buckets).enumerate() {
            below = below.saturating_add(count);
            let labels = format!("{},le=\"{bound}\"", row.labels);
            match exemplar(row, at).filter(|_| count > 0) {
                Some(exemplar) => text.sample_with_exemplar(&bucket_name, &labels, whole(below), exemplar),
                None => text.sample(&bucket_name, &labels, (whole(below), 0)),
            }
        }
        text.sample(&format!("{name}_count"), &row.labels, (whole(below), 0));
        text.sample(&format!("{name}_sum"), &row.labels, (latency.sum, SECONDS));
    }
}

/// Buckets hold whole numbers. Rounded after they were added up, they still don't fall.
fn whole(thousandths: i64) -> i64 {
    thousandths.saturating_add(500) / 1_000
}
