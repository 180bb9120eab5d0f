//! Trace files of any known format, told by content: OTLP protobuf and JSON, Jaeger JSON, Zipkin v2 JSON, packed
//! by gzip or not.

mod document;
mod jaeger;
mod zipkin;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use opentelemetry_proto::tonic::trace::v1::TracesData;

use crate::Undecodable;
use crate::decode::decode_otlp_repaired;
use crate::json::parse;

/// Largest single document, and largest line, in bytes: it is held in memory as a whole.
pub const MAX_DOCUMENT_BYTES: u64 = 1 << 30;

/// How many bad lines a report describes; all are counted.
pub const MAX_BAD_LINES: usize = 20;

/// What was read from a file.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct FileReport {
    /// Documents given on.
    pub documents: u64,
    /// Lines, or parts of documents, that could not be read.
    pub bad_lines: u64,
    /// The first of them.
    pub bad: Vec<BadLine>,
    /// Spans left out because the format's conversion has no place for them, by reason.
    pub rejected: BTreeMap<&'static str, u64>,
}

/// A line that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadLine {
    /// Its number, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub why: String,
}

/// A file that could not be read at all.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It can't be opened.
    #[error("can't open {name}: {source}")]
    Open {
        /// The file's name.
        name: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Reading stopped half-way; what came before it has been given on.
    #[error("can't read {name}: {source}")]
    Read {
        /// The file's name.
        name: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// None of the known formats.
    #[error(
        "{name} holds no traces that Weir can read (OTLP protobuf or JSON, Jaeger JSON, Zipkin v2 JSON): {why}"
    )]
    Unrecognised {
        /// The file's name.
        name: String,
        /// What the closest format's reader said.
        why: String,
    },
}

/// Reads the file at `path` (`-`: standard input) and gives its documents to `each` in their order.
///
/// # Errors
/// If the file can't be read, or nothing in it is a trace. An empty file is no error.
pub fn read_file(path: &Path, each: &mut dyn FnMut(TracesData)) -> Result<FileReport, FileError> {
    if path.as_os_str() == "-" {
        return read_from("standard input", io::stdin().lock(), each);
    }
    let name = path.display().to_string();
    let file = File::open(path).map_err(|source| FileError::Open { name: name.clone(), source })?;
    read_from(&name, file, each)
}

/// Reads traces from anywhere; `name` is for messages.
///
/// # Errors
/// As [`read_file`].
pub fn read_from(
    name: &str,
    input: impl Read,
    each: &mut dyn FnMut(TracesData),
) -> Result<FileReport, FileError> {
    let failed = |source| FileError::Read { name: name.to_owned(), source };
    let input = BufReader::new(input);
    let (head, input) = peek(input).map_err(failed)?;
    let mut reading = Reading { name, report: FileReport::default(), line: 0, each };
    if head == [0x1f, 0x8b] {
        reading.read(&mut BufReader::new(MultiGzDecoder::new(input)))?;
    } else {
        reading.read(&mut BufReader::new(input))?;
    }
    Ok(reading.report)
}

/// The first two bytes, and the input with them.
fn peek(mut input: impl BufRead) -> io::Result<(Vec<u8>, impl BufRead)> {
    let mut head = Vec::with_capacity(2);
    input.by_ref().take(2).read_to_end(&mut head)?;
    Ok((head.clone(), io::Cursor::new(head).chain(input)))
}

struct Reading<'r> {
    name: &'r str,
    report: FileReport,
    line: u64,
    each: &'r mut dyn FnMut(TracesData),
}

impl Reading<'_> {
    fn read(&mut self, input: &mut dyn BufRead) -> Result<(), FileError> {
        // The first line that isn't blank shows whether every line is a document.
        let mut head = Vec::new();
        loop {
            let start = head.len();
            if self.next_line(input, &mut head)? == 0 {
                return Ok(()); // nothing but blanks
            }
            if !head[start..].trim_ascii().is_empty() {
                break;
            }
        }
        match parse(head.trim_ascii()) {
            Ok(json) => {
                self.line = 1 + head.trim_ascii_end().iter().filter(|byte| **byte == b'\n').count() as u64;
                self.document(json);
                self.lines(input)?;
            }
            Err(_) => {
                self.bounded_read(input, &mut head)?;
                self.whole(&head)?;
            }
        }
        match self.report.bad.first() {
            Some(first) if self.report.documents == 0 => {
                Err(self.unrecognised(format!("line {}: {}", first.line, first.why)))
            }
            _ => Ok(()),
        }
    }

    /// Every line is a document.
    fn lines(&mut self, input: &mut dyn BufRead) -> Result<(), FileError> {
        let mut line = Vec::new();
        while self.next_line(input, &mut line)? > 0 {
            self.line += 1;
            self.one_line(&line);
            line.clear();
        }
        Ok(())
    }

    fn one_line(&mut self, line: &[u8]) {
        let line = line.trim_ascii();
        if line.is_empty() {
            return;
        }
        match parse(line) {
            Ok(json) => self.document(json),
            Err(error) => self.bad(error.to_string()),
        }
    }

    /// One document over many lines, lines of which the first is bad, or protobuf.
    fn whole(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        let text = bytes.trim_ascii();
        let mut why = Undecodable::Malformed;
        if matches!(text.first(), Some(b'{' | b'[')) {
            match parse(text) {
                Ok(json) => {
                    self.line = 1;
                    self.document(json);
                    return Ok(());
                }
                Err(error) => why = error,
            }
        }
        match decode_otlp_repaired(bytes) {
            Ok((data, _)) if !data.resource_spans.is_empty() => {
                self.give(data);
                return Ok(());
            }
            Ok(_) => {}
            Err(error) if why == Undecodable::Malformed => why = error,
            Err(_) => {}
        }
        let lines = || bytes.split(|byte| *byte == b'\n');
        if !lines().any(|line| parse(line.trim_ascii()).is_ok()) {
            return Err(self.unrecognised(why.to_string()));
        }
        for line in lines() {
            self.line += 1;
            self.one_line(line);
        }
        Ok(())
    }

    fn document(&mut self, json: serde_json::Value) {
        let mut bad = Vec::new();
        let mut documents = Vec::new();
        document::convert(json, &mut self.report.rejected, &mut |outcome| match outcome {
            Ok(data) => documents.push(data),
            Err(why) => bad.push(why),
        });
        for data in documents {
            self.give(data);
        }
        for why in bad {
            self.bad(why);
        }
    }

    fn give(&mut self, data: TracesData) {
        self.report.documents += 1;
        (self.each)(data);
    }

    fn bad(&mut self, why: String) {
        self.report.bad_lines += 1;
        if self.report.bad.len() < MAX_BAD_LINES {
            self.report.bad.push(BadLine { line: self.line, why });
        }
    }

    /// Appends the next line, line feed included. 0: the input is at its end.
    fn next_line(&self, input: &mut dyn BufRead, line: &mut Vec<u8>) -> Result<usize, FileError> {
        let limit = MAX_DOCUMENT_BYTES.saturating_sub(line.len() as u64);
        let read = input.take(limit).read_until(b'\n', line).map_err(|source| self.failed(source))?;
        self.check_length(line)?;
        Ok(read)
    }

    /// Appends all the rest.
    fn bounded_read(&self, input: &mut dyn BufRead, all: &mut Vec<u8>) -> Result<(), FileError> {
        let limit = MAX_DOCUMENT_BYTES.saturating_sub(all.len() as u64);
        input.take(limit).read_to_end(all).map_err(|source| self.failed(source))?;
        self.check_length(all)
    }

    fn check_length(&self, document: &[u8]) -> Result<(), FileError> {
        if (document.len() as u64) < MAX_DOCUMENT_BYTES {
            return Ok(());
        }
        Err(self.unrecognised("a document is larger than 1 GiB".to_owned()))
    }

    fn failed(&self, source: io::Error) -> FileError {
        FileError::Read { name: self.name.to_owned(), source }
    }

    fn unrecognised(&self, why: String) -> FileError {
        FileError::Unrecognised { name: self.name.to_owned(), why }
    }
}
