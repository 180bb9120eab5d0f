//! Reference files, and the small part of their shapes that these tests share.

use analysis::Interval;
use flate2::read::GzDecoder;
use serde_json::Value;
use std::collections::HashMap;
use std::io::Read;
use std::path::PathBuf;

/// The text of a reference file (unpacked if `.gz`), or `None` with a message when it isn't there.
pub fn text(path: &str) -> Option<String> {
    let file = folder().join(path);
    let Ok(bytes) = std::fs::read(&file) else {
        eprintln!("skipped: {} is missing (set WEIR_TEST_DATA)", file.display());
        return None;
    };
    let mut text = String::new();
    if path.ends_with(".gz") {
        GzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap();
    } else {
        text = String::from_utf8(bytes).unwrap();
    }
    Some(text)
}

pub fn json(path: &str) -> Option<Value> {
    text(path).map(|text| serde_json::from_str(&text).unwrap())
}

/// One document a line.
pub fn json_lines(path: &str) -> Option<Vec<Value>> {
    text(path).map(|text| text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

fn folder() -> PathBuf {
    match std::env::var_os("WEIR_TEST_DATA") {
        Some(folder) => folder.into(),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
    }
}

/// A span with its id as text, before parents are looked up.
pub struct Named {
    pub id: String,
    pub parent: String,
    pub start: i64,
    pub end: i64,
    pub awaited: bool,
}

/// A trace whose parents are indices, and its ids by index.
pub struct Trace {
    pub spans: Vec<Interval>,
    pub ids: Vec<String>,
}

impl Trace {
    pub fn of(named: Vec<Named>) -> Self {
        let index: HashMap<&str, u32> =
            named.iter().enumerate().map(|(index, span)| (span.id.as_str(), index as u32)).collect();
        let spans = named
            .iter()
            .map(|span| Interval {
                start_us: span.start,
                end_us: span.end,
                parent: index.get(span.parent.as_str()).copied(),
                awaited: span.awaited,
            })
            .collect();
        let ids = named.iter().map(|span| span.id.clone()).collect();
        Trace { spans, ids }
    }

    /// The only span without a parent.
    pub fn root(&self) -> u32 {
        let mut roots = (0..self.spans.len()).filter(|&index| self.spans[index].parent.is_none());
        let root = roots.next().unwrap();
        assert_eq!(roots.next(), None, "one root");
        root as u32
    }
}

/// A span of a Jaeger JSON document.
pub fn jaeger_span(span: &Value) -> Named {
    let start = span["startTime"].as_i64().unwrap();
    Named {
        id: span["spanID"].as_str().unwrap().into(),
        parent: span["references"][0]["spanID"].as_str().unwrap_or_default().into(),
        start,
        end: start + span["duration"].as_i64().unwrap(),
        awaited: true,
    }
}
