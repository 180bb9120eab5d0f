//! Who emitted spans. Few resources emit all of them, so what one says is read once and found again by its bytes.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use otlp::{KeyValue, Malformed, ResourceField};
use rustc_hash::FxBuildHasher;
use schemas::semconv::{Marker, ResourceFact};
use stitcher::span::Resource;

use crate::content;
use crate::said::bounded;
use crate::semconv::Semconv;
use crate::undecodable::reason_of;
use crate::value::Value;

/// Resources that are remembered: pods of a large cluster. Beyond it all are forgotten.
const MAX_RESOURCES: usize = 4_096;
/// Bytes of them: many resources are large, or few are huge.
const MAX_BYTES: usize = 16 << 20;

/// No two resources of a process have one number, whoever read them.
static NEXT_NUMBER: AtomicU64 = AtomicU64::new(1);

/// Resources that were read, by their bytes.
#[derive(Default)]
pub(crate) struct Resources {
    numbers_them: bool,
    /// Position in `known` by hash of the bytes.
    by_hash: HashMap<u64, usize, FxBuildHasher>,
    known: Vec<Known>,
    bytes: usize,
}

struct Known {
    bytes: Box<[u8]>,
    emitter: Result<Arc<Emitter>, &'static str>,
}

/// What a resource says.
pub(crate) struct Emitter {
    /// Facts one after the other, in the order of [`ResourceFact`].
    text: Box<str>,
    /// Where each fact ends.
    ends: [usize; ResourceFact::ALL.len()],
    is_client: bool,
    pub(crate) content: u64,
    pub(crate) repaired: bool,
    /// Equal for equal resources alone; 0: not known.
    pub(crate) number: u64,
}

impl Resources {
    /// Those of one message, which are nobody's to recognise.
    pub(crate) fn of_one_message() -> Self {
        Self::default()
    }

    /// Those of a stream of messages.
    pub(crate) fn of_many_messages() -> Self {
        Self { numbers_them: true, ..Self::default() }
    }

    /// What the resource of these bytes says, or the reason why it can't be read.
    pub(crate) fn find(&mut self, semconv: &Semconv, bytes: &[u8]) -> Result<&Arc<Emitter>, &'static str> {
        let hash = content::hash(bytes);
        let at = match self.by_hash.get(&hash) {
            Some(at) if *self.known[*at].bytes == *bytes => *at,
            _ => self.learn(semconv, bytes, hash),
        };
        self.known[at].emitter.as_ref().map_err(|reason| *reason)
    }

    #[cold]
    fn learn(&mut self, semconv: &Semconv, bytes: &[u8], hash: u64) -> usize {
        if self.known.len() == MAX_RESOURCES || self.bytes + bytes.len() > MAX_BYTES {
            *self = Self { numbers_them: self.numbers_them, ..Self::default() };
        }
        let mut emitter = Emitter::read(semconv, bytes);
        if self.numbers_them
            && let Ok(emitter) = &mut emitter
        {
            emitter.number = NEXT_NUMBER.fetch_add(1, Ordering::Relaxed);
        }
        self.bytes += bytes.len();
        self.known.push(Known { bytes: bytes.into(), emitter: emitter.map(Arc::new) });
        self.by_hash.insert(hash, self.known.len() - 1);
        self.known.len() - 1
    }
}

impl Emitter {
    /// Reads a resource, whose number stays unknown. Gives the reason if it can't be read.
    fn read(semconv: &Semconv, bytes: &[u8]) -> Result<Self, &'static str> {
        let said = Said::read(semconv, bytes).map_err(|malformed| reason_of(malformed.why()))?;
        let mut text = String::new();
        let ends = said.texts.map(|fact| {
            text.push_str(fact);
            text.len()
        });
        Ok(Self {
            text: text.into(),
            ends,
            is_client: said.is_client,
            content: content::hash(bytes),
            repaired: said.repaired,
            number: 0,
        })
    }

    /// As the stitcher wants it.
    pub(crate) fn resource(&self) -> Resource<'_> {
        let text = |fact: ResourceFact| {
            let end = self.ends[fact as usize];
            let start = (fact as usize).checked_sub(1).map_or(0, |before| self.ends[before]);
            &self.text[start..end]
        };
        Resource {
            cluster: text(ResourceFact::Cluster),
            namespace: text(ResourceFact::Namespace),
            service: text(ResourceFact::Service),
            version: text(ResourceFact::Version),
            pod: text(ResourceFact::Pod),
            environment: text(ResourceFact::Environment),
            is_client: self.is_client,
        }
    }
}

/// What the attributes of a resource say, the best-ranked name of each fact winning.
struct Said<'a> {
    texts: [&'a str; ResourceFact::ALL.len()],
    ranks: [u8; ResourceFact::ALL.len()],
    is_client: bool,
    repaired: bool,
}

impl<'a> Said<'a> {
    fn read(semconv: &Semconv, bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut said = Self {
            texts: [""; ResourceFact::ALL.len()],
            ranks: [u8::MAX; ResourceFact::ALL.len()],
            is_client: false,
            repaired: false,
        };
        for field in otlp::Resource::of(bytes) {
            match field? {
                ResourceField::Attribute(pair) => said.attribute(semconv, pair)?,
                ResourceField::EntityRef(entity) => entity.check()?,
                ResourceField::DroppedAttributesCount(_) => {}
            }
        }
        Ok(said)
    }

    fn attribute(&mut self, semconv: &Semconv, pair: KeyValue<'a>) -> Result<(), Malformed> {
        let (key, value) = pair.read()?;
        let Some(rule) = semconv.of_resource(key.bytes()) else { return Ok(()) };
        let value = Value::of(value, &mut self.repaired);
        if rule.marks.iter().any(|(marker, when)| *marker == Marker::ClientResource && when.holds(&value)) {
            self.is_client = true;
        }
        if let (Some((fact, rank)), Some(text)) = (rule.takes, value.text())
            && !text.is_empty()
            && rank < self.ranks[fact as usize]
        {
            self.ranks[fact as usize] = rank;
            self.texts[fact as usize] = bounded(text);
        }
        Ok(())
    }
}
