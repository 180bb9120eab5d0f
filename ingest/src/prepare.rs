//! From the bytes of a request to fragments ready for Kafka: everything that costs CPU and awaits nothing.

use crate::answer::Format;
use crate::encoding::Encoding;
use crate::json;
use crate::mend;
use crate::pressure::Charge;
use crate::refusal::Refusal;
use crate::rejected::Rejected;
use crate::slice::{self, Fragment, Plan};
use crate::wire::Malformed;
use bytes::Bytes;

/// A plan points at every span and copies the heads, at most twice the request; mending copies it once more.
const PLAN_FACTOR: usize = 3;

/// A request as it came.
#[derive(Debug)]
pub struct Intake {
    /// The body, still compressed.
    pub wire: Bytes,
    /// How it is compressed.
    pub encoding: Encoding,
    /// How it is written.
    pub format: Format,
    /// The memory it holds.
    pub charge: Charge,
}

/// What may be made of a request.
#[derive(Debug, Clone, Copy)]
pub struct PrepareLimits {
    /// Bytes once decompressed.
    pub body_bytes: usize,
    /// Bytes of a fragment.
    pub fragment_bytes: usize,
    /// Partitions of the topic.
    pub partitions: u32,
}

/// A request whose spans are ready to go.
#[derive(Debug)]
pub struct Prepared {
    /// Its spans by partition.
    pub fragments: Vec<Fragment>,
    /// Spans that stay behind.
    pub rejected: Rejected,
    /// Texts that were not UTF-8.
    pub texts_mended: u64,
    /// The memory the fragments hold.
    pub charge: Charge,
}

impl Intake {
    /// Decompresses, decodes, checks and cuts.
    ///
    /// # Errors
    /// The request is undecodable or too large, or finds no memory.
    pub fn prepare(self, limits: PrepareLimits) -> Result<Prepared, Refusal> {
        let Self { wire, encoding, format, mut charge } = self;
        let limit = limits.body_bytes;
        let overloaded = |overload| Refusal::overload(overload, limit);
        let body = encoding.decompress(wire, limit, &mut charge)?;
        let request = match format {
            Format::Protobuf => body,
            Format::Json => from_json(&body, limit, &mut charge)?,
        };
        charge.cover(request.len() * (1 + PLAN_FACTOR)).map_err(overloaded)?;
        let mended;
        let (plan, texts_mended) = match limits.plan(&request) {
            Err(Malformed::Text) => {
                mended = mend::texts(&request).map_err(undecodable)?;
                (limits.plan(&mended.request).map_err(undecodable)?, mended.texts)
            }
            planned => (planned.map_err(undecodable)?, 0),
        };
        let held = plan.fragments_bytes();
        charge.cover(request.len() * (1 + PLAN_FACTOR) + held).map_err(overloaded)?;
        let fragments = plan.fragments();
        let prepared = Prepared { fragments, rejected: plan.rejected, texts_mended, charge };
        Ok(prepared.holding(held))
    }
}

impl PrepareLimits {
    fn plan(self, request: &[u8]) -> Result<Plan<'_>, Malformed> {
        slice::plan(request, self.partitions, self.fragment_bytes)
    }
}

fn undecodable(malformed: Malformed) -> Refusal {
    Refusal::Undecodable(malformed.to_string())
}

impl Prepared {
    /// The request itself is gone from here on, only its fragments stay.
    fn holding(mut self, bytes: usize) -> Self {
        // Shrinking a charge always succeeds.
        let _ = self.charge.cover(bytes);
        self
    }

    /// Spans that go out.
    pub fn accepted(&self) -> u64 {
        self.fragments.iter().map(|fragment| fragment.spans).sum()
    }
}

/// OTLP/JSON as OTLP protobuf, which is never longer than its JSON; a text with escapes is unescaped beside it.
fn from_json(body: &Bytes, limit: usize, charge: &mut Charge) -> Result<Bytes, Refusal> {
    charge.cover(3 * body.len()).map_err(|overload| Refusal::overload(overload, limit))?;
    let protobuf = json::to_protobuf(body).map_err(|error| Refusal::Undecodable(error.to_string()))?;
    Ok(protobuf.into())
}
