//! Everything that should never arrive, sent to a running Weir while normal traffic goes on beside it: what is
//! bad must be refused or counted by name, and what is good must still be counted exactly.

mod bodies;
mod counters;

use crate::demo::{self, Targets};
use crate::verify::{self, Report};
use anyhow::Context;
use bodies::{Maker, request, resource_spans};
use clap::Args;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio_util::sync::CancellationToken;

/// Spans a request of the large cases holds: some 150 kB.
const SPANS_A_REQUEST: usize = 2_000;
/// Nanoseconds since the epoch of the first second of 2100.
const YEAR_2100_NS: u64 = 4_102_444_800_000_000_000;

/// What to send beside the bad input, and where to read counters.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct Options {
    /// The normal traffic.
    #[command(flatten)]
    pub traffic: demo::Options,
    /// Pages of counters to read before and after.
    #[arg(
        long,
        value_name = "URL",
        value_delimiter = ',',
        default_value = "http://127.0.0.1:13133/metrics,http://127.0.0.1:13134/metrics,http://127.0.0.1:13135/metrics"
    )]
    pub metrics: Vec<String>,
}

/// What was answered to one case, and whether that is a proper answer.
#[derive(Debug)]
pub struct Outcome {
    /// What was sent.
    pub case: &'static str,
    /// What came back.
    pub answer: String,
    /// The answer is one that the OTLP specification allows for this case.
    pub proper: bool,
}

/// What a case should be answered with.
#[derive(Clone, Copy)]
enum Expected {
    /// 400 or 413: nothing of it can be read.
    Refused,
    /// 200, perhaps with a partial success: bad spans are counted, the rest goes on.
    Taken,
}

/// Sends everything once; normal traffic of `options.traffic` runs meanwhile. Answers with the outcomes, the
/// counters that changed, and the comparison of the normal traffic with its truth.
///
/// # Errors
/// When Weir can't be reached.
pub async fn run(
    options: Options,
    targets: Targets,
    stop: CancellationToken,
) -> anyhow::Result<(Vec<Outcome>, Vec<String>, Report)> {
    demo::reachable(&targets).await?;
    let before = counters::read(&options.metrics).await;
    let mut traffic = options.traffic.clone();
    traffic.run_for.get_or_insert(Duration::from_secs(45));
    let normal = tokio::spawn(demo::run_demo(traffic, targets.clone(), stop));
    let outcomes = Attack::new(&targets)?.run().await?;
    let truth = normal.await.context("the normal traffic died")??;
    let report = verify::verify(&truth, &targets).await?;
    let changed = counters::changes(&before, &counters::read(&options.metrics).await);
    Ok((outcomes, changed, report))
}

struct Attack {
    client: reqwest::Client,
    url: String,
    maker: Maker,
    outcomes: Vec<Outcome>,
}

impl Attack {
    fn new(targets: &Targets) -> anyhow::Result<Self> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let now_ns = u64::try_from(now.as_nanos())?;
        Ok(Self {
            client: reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(60)).build()?,
            url: format!("{}/v1/traces", targets.otlp_http.trim_end_matches('/')),
            maker: Maker::new(now_ns, now_ns),
            outcomes: Vec::new(),
        })
    }

    async fn run(mut self) -> anyhow::Result<Vec<Outcome>> {
        self.unreadable().await;
        self.bad_spans().await;
        self.large().await;
        Ok(self.outcomes)
    }

    /// Bodies of which nothing can be used.
    async fn unreadable(&mut self) {
        let garbage: Vec<u8> = (0..4_096_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        self.bytes("garbage bytes", garbage, Expected::Refused).await;
        let whole = request("bad-service", vec![self.maker.span()]).encode_to_vec();
        self.bytes("truncated protobuf", whole[..whole.len() - 7].to_vec(), Expected::Refused).await;
        let span = self.maker.span();
        self.bytes("10,000-deep nesting, protobuf", bodies::nested(&span, 10_000), Expected::Refused).await;
        self.json("10,000-deep nesting, JSON", bodies::nested_json(10_000), Expected::Refused).await;
        self.json("half a JSON document", r#"{"resourceSpans":[{"#.into(), Expected::Refused).await;
        self.bytes("a body of 100 MiB", vec![0; 100 << 20], Expected::Refused).await;
    }

    /// Requests that can be read and hold spans that can't be right.
    async fn bad_spans(&mut self) {
        let zero_trace = Span { trace_id: vec![0; 16], ..self.maker.span() };
        self.spans("a zero trace id", vec![zero_trace]).await;
        let zero_span = Span { span_id: vec![0; 8], ..self.maker.span() };
        self.spans("a zero span id", vec![zero_span]).await;
        let span = self.maker.span();
        let own_parent = Span { parent_span_id: span.span_id.clone(), ..span };
        self.spans("a span that is its own parent", vec![own_parent]).await;
        let cycle = self.maker.cycle();
        self.spans("two spans that are each other's parent", cycle).await;
        let future = Span {
            end_time_unix_nano: YEAR_2100_NS,
            start_time_unix_nano: YEAR_2100_NS,
            ..self.maker.span()
        };
        self.spans("a span of the year 2100", vec![future]).await;
        let span = self.maker.span();
        let backwards = Span {
            start_time_unix_nano: span.end_time_unix_nano,
            end_time_unix_nano: span.start_time_unix_nano,
            ..span
        };
        self.spans("a span that ends before it starts", vec![backwards]).await;
        let span = self.maker.span();
        self.bytes("text that is no UTF-8", bodies::invalid_utf8(&span), Expected::Taken).await;
    }

    /// More of something than anybody should have.
    async fn large(&mut self) {
        let trace = self.maker.huge_trace(200_000);
        self.in_parts(
            "a trace of 200,000 spans",
            trace.chunks(SPANS_A_REQUEST).map(|spans| request("bad-service", spans.to_vec())),
        )
        .await;
        let services: Vec<Span> = (0..100_000).map(|_| self.maker.span()).collect();
        let requests = services.chunks(SPANS_A_REQUEST).enumerate().map(|(chunk, spans)| {
            let each = spans.iter().enumerate().map(|(i, span)| {
                resource_spans(&format!("service-{}", chunk * SPANS_A_REQUEST + i), vec![span.clone()])
            });
            ExportTraceServiceRequest { resource_spans: each.collect() }
        });
        self.in_parts("100,000 distinct service names", requests).await;
    }

    async fn spans(&mut self, case: &'static str, spans: Vec<Span>) {
        self.bytes(case, request("bad-service", spans).encode_to_vec(), Expected::Taken).await;
    }

    async fn bytes(&mut self, case: &'static str, body: Vec<u8>, expected: Expected) {
        let outcome = self.post(case, "application/x-protobuf", body, expected).await;
        self.outcomes.push(outcome);
    }

    async fn json(&mut self, case: &'static str, body: String, expected: Expected) {
        let outcome = self.post(case, "application/json", body.into_bytes(), expected).await;
        self.outcomes.push(outcome);
    }

    /// Several requests of one case; a busy server is asked again.
    async fn in_parts(
        &mut self,
        case: &'static str,
        requests: impl Iterator<Item = ExportTraceServiceRequest>,
    ) {
        let mut worst: Option<Outcome> = None;
        for request in requests {
            let body = request.encode_to_vec();
            let mut outcome = self.post(case, "application/x-protobuf", body.clone(), Expected::Taken).await;
            for _ in 0..100 {
                if !outcome.answer.starts_with("429") && !outcome.answer.starts_with("503") {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
                outcome = self.post(case, "application/x-protobuf", body.clone(), Expected::Taken).await;
            }
            if worst.as_ref().is_none_or(|worst| worst.proper) {
                worst = Some(outcome);
            }
        }
        self.outcomes.extend(worst);
    }

    async fn post(&self, case: &'static str, kind: &str, body: Vec<u8>, expected: Expected) -> Outcome {
        let sent = self.client.post(&self.url).header("content-type", kind).body(body).send().await;
        let (status, text) = match sent {
            // A server may close the connection in the middle of a body that it has already refused.
            Err(problem) => (0, format!("connection closed ({problem})")),
            Ok(response) => {
                let status = response.status().as_u16();
                let body = response.bytes().await.unwrap_or_default();
                (status, readable(&body))
            }
        };
        let proper = match expected {
            Expected::Refused => matches!(status, 400 | 413) || (status == 0 && case.contains("MiB")),
            Expected::Taken => matches!(status, 200 | 400),
        };
        Outcome { case, answer: format!("{status} {text}").trim().to_owned(), proper }
    }
}

/// The sentence in an answer: JSON as it is, of a protobuf message its longest text.
fn readable(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let longest = text.split(char::is_control).max_by_key(|piece| piece.len()).unwrap_or_default();
    let mut characters = longest.chars();
    // A text that is shorter than 127 bytes has its length before it, which may look like a character.
    let has_length = characters.next().is_some_and(|first| first as usize == characters.as_str().len());
    let sentence = if has_length { characters.as_str() } else { longest };
    sentence.chars().take(120).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_shown_as_sentences() {
        assert_eq!(
            readable(b"\x08\x03\x12\x2cthe message ends in the middle of a field..."),
            "the message ends in the middle of a field..."
        );
        assert_eq!(readable(br#"{"message":"no"}"#), r#"{"message":"no"}"#);
        assert_eq!(readable(b""), "");
    }
}
