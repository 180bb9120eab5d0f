//! Documents of any size into requests of a good size, in their order.

use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, TracesData};
use prost::Message;

/// Spans of a request: few enough that a busy endpoint can take one, enough that the exchange does not dominate.
const MAX_SPANS: usize = 1000;
/// Bytes of a request; collectors take 20 MiB, some proxies before them 1 MB.
const MAX_BYTES: usize = 900_000;

/// A request.
#[derive(Debug)]
pub struct Batch {
    /// How many spans it holds.
    pub spans: u64,
    /// `ExportTraceServiceRequest`, which is `TracesData` on the wire.
    pub body: Vec<u8>,
}

/// Collects spans until they fill a request.
#[derive(Debug)]
pub struct Batches {
    max_spans: usize,
    open: TracesData,
    spans: usize,
    bytes: usize,
}

impl Batches {
    /// Requests for a rate in spans a second: several a second, so that a low rate is steady too.
    pub fn new(spans_a_second: Option<u32>) -> Self {
        const REQUESTS_A_SECOND: u32 = 4;
        let share = spans_a_second.map_or(MAX_SPANS, |rate| (rate / REQUESTS_A_SECOND) as usize);
        Self { max_spans: share.clamp(1, MAX_SPANS), open: TracesData::default(), spans: 0, bytes: 0 }
    }

    /// Takes a document; gives the requests that are full.
    pub fn add(&mut self, document: TracesData) -> Vec<Batch> {
        let mut full = Vec::new();
        for resource in document.resource_spans {
            for part in parts(resource, self.max_spans) {
                let (spans, bytes) = (count(&part), part.encoded_len());
                if self.spans > 0 && (self.spans + spans > self.max_spans || self.bytes + bytes > MAX_BYTES) {
                    full.extend(self.rest());
                }
                self.open.resource_spans.push(part);
                self.spans += spans;
                self.bytes += bytes;
            }
        }
        full
    }

    /// The last request, if anything is left.
    pub fn rest(&mut self) -> Vec<Batch> {
        let (open, spans) = (std::mem::take(&mut self.open), std::mem::take(&mut self.spans));
        self.bytes = 0;
        if spans == 0 {
            return Vec::new();
        }
        vec![Batch { spans: spans as u64, body: open.encode_to_vec() }]
    }
}

fn count(resource: &ResourceSpans) -> usize {
    resource.scope_spans.iter().map(|scope| scope.spans.len()).sum()
}

/// The resource's spans in pieces that each fit a request, unless a single span is larger than that.
fn parts(resource: ResourceSpans, max_spans: usize) -> Vec<ResourceSpans> {
    if count(&resource) <= max_spans && resource.encoded_len() <= MAX_BYTES {
        return vec![resource];
    }
    let ResourceSpans { resource: process, scope_spans, schema_url } = resource;
    let part = |scope: &ScopeSpans, spans| ResourceSpans {
        resource: process.clone(),
        scope_spans: vec![ScopeSpans {
            spans,
            scope: scope.scope.clone(),
            schema_url: scope.schema_url.clone(),
        }],
        schema_url: schema_url.clone(),
    };
    let mut parts = Vec::new();
    for mut scope in scope_spans {
        let spans = std::mem::take(&mut scope.spans);
        parts.extend(pieces(spans, max_spans).into_iter().map(|piece| part(&scope, piece)));
    }
    parts
}

fn pieces(spans: Vec<Span>, max_spans: usize) -> Vec<Vec<Span>> {
    // Half a request, so that two pieces share one with their resources.
    let mut pieces: Vec<Vec<Span>> = Vec::new();
    let mut bytes = MAX_BYTES;
    for span in spans {
        let length = span.encoded_len();
        match pieces.last_mut() {
            Some(piece) if piece.len() < max_spans.div_ceil(2) && bytes + length <= MAX_BYTES / 2 => {
                piece.push(span);
                bytes += length;
            }
            _ => {
                pieces.push(vec![span]);
                bytes = length;
            }
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(spans: u64, name_length: usize) -> TracesData {
        let span = |id: u64| Span {
            span_id: id.to_be_bytes().to_vec(),
            name: "x".repeat(name_length),
            ..Span::default()
        };
        let scope = ScopeSpans { spans: (1..=spans).map(span).collect(), ..ScopeSpans::default() };
        TracesData {
            resource_spans: vec![ResourceSpans { scope_spans: vec![scope], ..ResourceSpans::default() }],
        }
    }

    fn ids(batch: &Batch) -> Vec<Vec<u8>> {
        let data = TracesData::decode(batch.body.as_slice()).unwrap();
        let scopes = data.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
        scopes.flat_map(|scope| scope.spans).map(|span| span.span_id).collect()
    }

    #[test]
    fn small_documents_share_a_request() {
        let mut batches = Batches::new(None);
        for _ in 0..100 {
            assert!(batches.add(document(3, 10)).is_empty());
        }
        let rest = batches.rest();
        assert_eq!((rest.len(), rest[0].spans), (1, 300));
        assert!(batches.rest().is_empty());
    }

    #[test]
    fn a_low_rate_makes_small_requests() {
        let mut batches = Batches::new(Some(20));
        let sizes: Vec<u64> = batches.add(document(30, 10)).iter().map(|batch| batch.spans).collect();
        let rest: u64 = batches.rest().iter().map(|batch| batch.spans).sum();
        assert!(sizes.iter().all(|size| *size <= 5), "{sizes:?}");
        assert_eq!(sizes.iter().sum::<u64>() + rest, 30);
    }

    #[test]
    fn a_large_document_is_cut_and_keeps_its_order() {
        for (spans, name_length) in [(5_000, 10), (40, 100_000)] {
            let mut batches = Batches::new(None);
            let mut all = batches.add(document(spans, name_length));
            all.extend(batches.rest());
            assert!(all.len() > 1);
            assert!(
                all.iter()
                    .all(|batch| batch.spans <= MAX_SPANS as u64 && batch.body.len() <= MAX_BYTES + 1000)
            );
            let sent: Vec<Vec<u8>> = all.iter().flat_map(ids).collect();
            let expected: Vec<Vec<u8>> = (1..=spans).map(|id| id.to_be_bytes().to_vec()).collect();
            assert_eq!(sent, expected);
        }
    }
}
