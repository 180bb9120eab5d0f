//! One request of OTLP/HTTP, with what the specification says about its answers.

use super::batches::Batch;
use super::traces_url;
use anyhow::{Context, bail};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode, Url};
use std::collections::BTreeMap;
use std::ops::AddAssign;
use std::time::Duration;

const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// A busy endpoint is asked again this often before sending is given up.
const MAX_TRIES: u32 = 30;
/// Longest pause between two tries where the endpoint names none, and the longest that is granted where it does.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
const LONGEST_GRANTED: Duration = Duration::from_secs(120);

/// Where spans go.
#[derive(Debug)]
pub struct Endpoint {
    url: Url,
    client: Client,
}

/// What became of the spans.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    /// Taken.
    pub accepted: u64,
    /// Left out of a request that was taken, by the endpoint's reason.
    pub rejected: BTreeMap<String, u64>,
    /// In requests that were refused as a whole; their reasons are among `rejected`.
    pub refused: u64,
    /// Requests that were sent again.
    pub retries: u64,
}

impl AddAssign for Receipt {
    fn add_assign(&mut self, other: Self) {
        self.accepted += other.accepted;
        self.refused += other.refused;
        self.retries += other.retries;
        for (reason, spans) in other.rejected {
            *self.rejected.entry(reason).or_default() += spans;
        }
    }
}

impl Endpoint {
    /// The endpoint of an address as users write it.
    pub fn new(to: &str) -> anyhow::Result<Self> {
        let client = Client::builder().timeout(ANSWER_WITHIN).build().context("can't prepare HTTP")?;
        Ok(Self { url: traces_url(to)?, client })
    }

    /// Its full URL.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Sends a request, again if the endpoint is busy.
    ///
    /// # Errors
    /// The endpoint can't be reached or stays busy.
    pub async fn post(&self, batch: &Batch) -> anyhow::Result<Receipt> {
        let mut pause = Duration::from_millis(250);
        for retries in 0..MAX_TRIES {
            let response = self.once(batch).await?;
            if !is_busy(response.status()) {
                let receipt = read_answer(response, batch.spans).await?;
                return Ok(Receipt { retries: retries.into(), ..receipt });
            }
            tokio::time::sleep(named_pause(&response).unwrap_or(pause)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        bail!("{} stayed busy for {MAX_TRIES} tries", self.url)
    }

    async fn once(&self, batch: &Batch) -> anyhow::Result<Response> {
        let request = self.client.post(self.url.clone()).header(CONTENT_TYPE, "application/x-protobuf");
        request.body(batch.body.clone()).send().await.with_context(|| format!("can't reach {}", self.url))
    }
}

/// The statuses that OTLP calls retryable.
fn is_busy(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 502 | 503 | 504)
}

fn named_pause(response: &Response) -> Option<Duration> {
    let seconds: u64 = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_GRANTED))
}

async fn read_answer(response: Response, spans: u64) -> anyhow::Result<Receipt> {
    let status = response.status();
    let body = response.bytes().await.context("the answer broke off")?;
    if !status.is_success() {
        let reason = format!("{status} {}", printable(&body));
        return Ok(Receipt { refused: spans, rejected: [(reason, spans)].into(), ..Receipt::default() });
    }
    let answer = ExportTraceServiceResponse::decode(body).unwrap_or_default();
    let partial = answer.partial_success.unwrap_or_default();
    let rejected = u64::try_from(partial.rejected_spans).unwrap_or(0).min(spans);
    let mut receipt = Receipt { accepted: spans - rejected, ..Receipt::default() };
    if rejected > 0 {
        receipt.rejected.insert(partial.error_message, rejected);
    }
    Ok(receipt)
}

/// The text inside a refusal: a `Status` message in protobuf, or whatever a proxy writes.
fn printable(body: &[u8]) -> String {
    const SHOWN: usize = 200;
    let text = String::from_utf8_lossy(body);
    let text: String =
        text.chars().filter(|character| !character.is_control() && *character != '\u{fffd}').collect();
    text.trim().chars().take(SHOWN).collect()
}

#[cfg(test)]
mod tests;
