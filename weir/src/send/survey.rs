//! A first look at all files: how many spans there are, and when the newest one ended.

use anyhow::Context;
use opentelemetry_proto::tonic::trace::v1::{Span, TracesData};
use std::collections::BTreeMap;
use std::path::PathBuf;
use tempfile::NamedTempFile;

/// A file that can be read again and again.
pub enum Input {
    /// A file of the user's.
    File(PathBuf),
    /// Standard input, kept for the second reading.
    Kept(NamedTempFile),
}

/// What the files hold.
#[derive(Debug, Default)]
pub struct Survey {
    /// Their spans.
    pub spans: u64,
    /// End of the newest span.
    pub newest_end_ns: Option<u64>,
    /// Spans that have no place in OTLP, by reason.
    pub left_out: BTreeMap<&'static str, u64>,
    /// The first lines that could not be read, with their file.
    pub bad_lines: Vec<String>,
}

impl Input {
    fn open(path: PathBuf) -> anyhow::Result<Self> {
        if path.as_os_str() != "-" {
            return Ok(Self::File(path));
        }
        let mut kept = NamedTempFile::new().context("can't keep standard input in a temporary file")?;
        std::io::copy(&mut std::io::stdin().lock(), &mut kept).context("can't read standard input")?;
        Ok(Self::Kept(kept))
    }

    /// Gives every document to `each`, in the file's order.
    pub fn read(&self, each: &mut dyn FnMut(TracesData)) -> anyhow::Result<reader::FileReport> {
        Ok(match self {
            Self::File(path) => reader::read_file(path, each)?,
            Self::Kept(file) => reader::read_from("standard input", file.reopen()?, each)?,
        })
    }

    fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Kept(_) => "standard input".to_owned(),
        }
    }
}

/// Reads every file once.
///
/// # Errors
/// One of them can't be read.
pub fn look(paths: Vec<PathBuf>) -> anyhow::Result<(Vec<Input>, Survey)> {
    let mut survey = Survey::default();
    let mut inputs = Vec::new();
    for path in paths {
        let input = Input::open(path)?;
        let report = input.read(&mut |document| survey.add(&document))?;
        survey.note(&input.name(), &report);
        inputs.push(input);
    }
    Ok((inputs, survey))
}

impl Survey {
    fn add(&mut self, document: &TracesData) {
        for span in spans(document) {
            self.spans += 1;
            self.newest_end_ns = self.newest_end_ns.max(Some(span.end_time_unix_nano));
        }
    }

    fn note(&mut self, name: &str, report: &reader::FileReport) {
        for (reason, count) in &report.rejected {
            *self.left_out.entry(reason).or_default() += count;
        }
        let shown = report.bad.iter().map(|bad| format!("{name} line {}: {}", bad.line, bad.why));
        self.bad_lines.extend(shown);
        let more = report.bad_lines.saturating_sub(report.bad.len() as u64);
        if more > 0 {
            self.bad_lines.push(format!("{name}: {more} more lines"));
        }
    }
}

fn spans(document: &TracesData) -> impl Iterator<Item = &Span> {
    let resources = document.resource_spans.iter();
    resources.flat_map(|resource| &resource.scope_spans).flat_map(|scope| &scope.spans)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &str = concat!(
        r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"0102030405060708090a0b0c0d0e0f10","spanId":"0102030405060708","#,
        r#""name":"a","startTimeUnixNano":"1000","endTimeUnixNano":"3000"}]}]}]}"#,
        "\nnot json\n",
        r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"0102030405060708090a0b0c0d0e0f10","spanId":"0102030405060709","#,
        r#""name":"b","startTimeUnixNano":"1000","endTimeUnixNano":"2000"}]}]}]}"#,
        "\n",
    );

    #[test]
    fn spans_are_counted_and_bad_lines_named() {
        let file = NamedTempFile::new().unwrap();
        std::fs::write(file.path(), LINES).unwrap();
        let (inputs, survey) = look(vec![file.path().to_owned()]).unwrap();
        assert_eq!((inputs.len(), survey.spans, survey.newest_end_ns), (1, 2, Some(3000)));
        assert_eq!(survey.bad_lines.len(), 1, "{:?}", survey.bad_lines);
        assert!(survey.bad_lines[0].contains("line 2"), "{:?}", survey.bad_lines);
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = look(vec!["/nowhere/traces.json".into()]).err().unwrap().to_string();
        assert!(error.contains("/nowhere/traces.json"), "{error}");
    }
}
