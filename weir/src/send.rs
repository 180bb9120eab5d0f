//! `weir send`: trace files to an OTLP/HTTP endpoint.

mod batches;
mod pace;
mod post;
mod shift;
mod survey;

use anyhow::{Context, bail};
use batches::Batches;
use indicatif::{ProgressBar, ProgressStyle};
use opentelemetry_proto::tonic::trace::v1::TracesData;
use pace::Pace;
use post::{Endpoint, Receipt};
use shift::Shift;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use survey::{Input, Survey};
use tokio::sync::mpsc;

/// Flags of `weir send`.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Options {
    /// Trace files, gzipped or not; `-` is standard input.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// OTLP/HTTP endpoint; /v1/traces is added to an address without a path.
    #[arg(long, env = "WEIR_TO", value_name = "URL", default_value = "http://127.0.0.1:4318")]
    pub to: String,
    /// Moves all times by the same amount, so that the newest span of all files ends now.
    #[arg(long, env = "WEIR_SHIFT_TO_NOW")]
    pub shift_to_now: bool,
    /// Spans a second; as fast as they are taken unless given.
    #[arg(long, env = "WEIR_RATE", value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub rate: Option<u32>,
}

const EXAMPLES: &str = "\
Examples:
  weir send traces.json.gz                              to the ingest of this machine
  weir send --shift-to-now --rate 2000 a.json b.json    as if it were happening now
  zcat dump.gz | weir send - --to https://collector.example/v1/traces

Formats, told by content: OTLP protobuf and JSON, Jaeger JSON, Zipkin v2 JSON.
An endpoint that is busy (429, 502, 503, 504) is asked again after the time it names.
The live page shows the last 15 minutes, so older traces want --shift-to-now. Weir counts
a span once: what was sent before is not counted again for 15 minutes.";

/// Documents between the reading thread and the sender.
const READ_AHEAD: usize = 64;

/// Runs the command.
pub async fn run(options: Options) -> anyhow::Result<()> {
    let endpoint = Endpoint::new(&options.to)?;
    let (inputs, survey) = {
        let files = options.files.clone();
        tokio::task::spawn_blocking(move || survey::look(files)).await??
    };
    let shift = shift(&options, &survey);
    let bar = progress_bar(survey.spans);
    let receipt = send_all(inputs, shift, options.rate, &endpoint, &bar).await;
    bar.finish_and_clear();
    report(&receipt?, &survey, &endpoint)?;
    if let Some(age) = survey.newest_end_ns.and_then(|newest| out_of_sight(newest, now_ns()))
        && !options.shift_to_now
    {
        eprintln!(
            "the newest span ended {age} ago; the live page shows 15 minutes: --shift-to-now moves spans there"
        );
    }
    Ok(())
}

/// The age of spans that are too old for the live page.
fn out_of_sight(newest_end_ns: u64, now_ns: u64) -> Option<String> {
    const LIVE_MINUTES: u64 = 15;
    match now_ns.saturating_sub(newest_end_ns) / 60_000_000_000 {
        0..LIVE_MINUTES => None,
        minutes @ LIVE_MINUTES..120 => Some(format!("{minutes} minutes")),
        minutes @ 120..2880 => Some(format!("{} hours", minutes / 60)),
        minutes => Some(format!("{} days", minutes / 1440)),
    }
}

fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

fn shift(options: &Options, survey: &Survey) -> Shift {
    match survey.newest_end_ns {
        Some(newest) if options.shift_to_now => Shift::between(newest, now_ns()),
        _ => Shift::default(),
    }
}

async fn send_all(
    inputs: Vec<Input>,
    shift: Shift,
    rate: Option<u32>,
    endpoint: &Endpoint,
    bar: &ProgressBar,
) -> anyhow::Result<Receipt> {
    let (documents, mut read) = mpsc::channel::<TracesData>(READ_AHEAD);
    let reading = tokio::task::spawn_blocking(move || {
        for input in &inputs {
            // The receiver is gone when sending failed; the rest is read for nothing then, and its error is told.
            input.read(&mut |mut document| {
                shift.apply(&mut document);
                let _ = documents.blocking_send(document);
            })?;
        }
        anyhow::Ok(())
    });
    let mut pace = Pace::new(rate);
    let mut batches = Batches::new(rate);
    let mut receipt = Receipt::default();
    loop {
        let document = read.recv().await;
        let ended = document.is_none();
        let ready = match document {
            Some(document) => batches.add(document),
            None => batches.rest(),
        };
        for batch in ready {
            pace.wait(batch.spans).await;
            receipt += endpoint.post(&batch).await?;
            bar.inc(batch.spans);
        }
        if ended {
            break;
        }
    }
    reading.await??;
    Ok(receipt)
}

fn report(receipt: &Receipt, survey: &Survey, endpoint: &Endpoint) -> anyhow::Result<()> {
    println!("{} spans accepted by {}", receipt.accepted, endpoint.url());
    for (reason, spans) in &receipt.rejected {
        println!("{spans} spans rejected: {reason}");
    }
    for (reason, spans) in &survey.left_out {
        println!("{spans} spans could not be converted: {reason}");
    }
    for line in &survey.bad_lines {
        println!("not readable: {line}");
    }
    if receipt.retries > 0 {
        println!("{} requests were sent again because the endpoint was busy", receipt.retries);
    }
    if receipt.refused > 0 {
        bail!("{} spans were in requests that the endpoint refused", receipt.refused);
    }
    Ok(())
}

fn progress_bar(spans: u64) -> ProgressBar {
    let template = "{bar:30} {human_pos} of {human_len} spans, {per_sec}, {eta} left";
    let style = ProgressStyle::with_template(template).unwrap_or(ProgressStyle::default_bar());
    let bar = ProgressBar::new(spans).with_style(style);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// The URL with `/v1/traces` if it has no path.
fn traces_url(to: &str) -> anyhow::Result<reqwest::Url> {
    let mut url: reqwest::Url = to.parse().with_context(|| format!("--to {to} is no URL"))?;
    if !matches!(url.scheme(), "http" | "https") {
        bail!("--to {to} must begin with http:// or https://");
    }
    if url.path() == "/" {
        url.set_path("/v1/traces");
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_older_than_the_live_page_tell_their_age() {
        const NOW_NS: u64 = 1_700_000_000_000_000_000;
        const MINUTE_NS: u64 = 60_000_000_000;
        assert_eq!(out_of_sight(NOW_NS + MINUTE_NS, NOW_NS), None);
        for (minutes, age) in
            [(14, None), (15, Some("15 minutes")), (150, Some("2 hours")), (4320, Some("3 days"))]
        {
            assert_eq!(out_of_sight(NOW_NS - minutes * MINUTE_NS, NOW_NS).as_deref(), age);
        }
    }

    #[test]
    fn the_path_of_otlp_is_added_where_there_is_none() {
        for (to, url) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("http://127.0.0.1:4318/", "http://127.0.0.1:4318/v1/traces"),
            ("https://collector.example/otlp/v1/traces", "https://collector.example/otlp/v1/traces"),
        ] {
            assert_eq!(traces_url(to).unwrap().as_str(), url);
        }
        assert!(traces_url("127.0.0.1:4318").is_err());
        assert!(traces_url("grpc://127.0.0.1:4317").unwrap_err().to_string().contains("http://"));
    }
}
