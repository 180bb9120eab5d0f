//! The compact form in which a shard's state outlives it. Numbers are LEB128; a text, node or resource is written out
//! where it comes first and is a number from then on. Only a shard of the same version reads it: there is no evolution.

use crate::delta::{Name, Node, NodeKind};
use crate::names::{NameId, Names, NodeId, ShapeId, SourceId};
use crate::record::{Link, Record};
use crate::resolve::Role;
use crate::shape::{Fallback, Marks, Shape, Verdict};
use crate::span::{Kind, MessagingOperation, OperationSource};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hash::Hash;
use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;

/// A record of `flow_state` that this version can't read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable;

/// A value that can be written and read back.
pub(crate) trait Saved: Sized {
    fn write(&self, to: &mut Writer<'_>);
    fn read(from: &mut Reader<'_>) -> Result<Self, Unreadable>;
}

type Places<T> = HashMap<T, u64, FxBuildHasher>;

/// Appends values.
pub(crate) struct Writer<'a> {
    pub bytes: Vec<u8>,
    shared: &'a Names,
    names: Places<Name>,
    nodes: Places<Arc<Node>>,
    sources: Places<SourceId>,
    shapes: Places<ShapeId>,
}

/// Reads values in the order in which they were written. Texts, nodes and sources become shared ones again.
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    shared: &'a mut Names,
    names: Vec<Name>,
    nodes: Vec<Arc<Node>>,
    sources: Vec<SourceId>,
    shapes: Vec<ShapeId>,
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8], shared: &'a mut Names) -> Self {
        Self { bytes, shared, names: Vec::new(), nodes: Vec::new(), sources: Vec::new(), shapes: Vec::new() }
    }

    pub fn is_at_end(&self) -> bool {
        self.bytes.is_empty()
    }

    fn byte(&mut self) -> Result<u8, Unreadable> {
        let (first, rest) = self.bytes.split_first().ok_or(Unreadable)?;
        self.bytes = rest;
        Ok(*first)
    }

    fn text(&mut self) -> Result<&'a str, Unreadable> {
        let length = usize::try_from(u64::read(self)?).map_err(|_| Unreadable)?;
        let (text, rest) = self.bytes.split_at_checked(length).ok_or(Unreadable)?;
        self.bytes = rest;
        core::str::from_utf8(text).map_err(|_| Unreadable)
    }
}

impl<'a> Writer<'a> {
    pub fn new(shared: &'a Names) -> Self {
        let (names, nodes, sources, shapes) = Default::default();
        Self { bytes: Vec::new(), shared, names, nodes, sources, shapes }
    }

    fn text(&mut self, text: &str) {
        (text.len() as u64).write(self);
        self.bytes.extend_from_slice(text.as_bytes());
    }
}

/// The place of a value that was written before, else 0, and the value has to follow.
fn place_of<T: Clone + Eq + Hash>(
    value: &T,
    to: &mut Writer<'_>,
    places: for<'w, 'a> fn(&'w mut Writer<'a>) -> &'w mut Places<T>,
) -> bool {
    let known = places(to);
    let next = known.len() as u64 + 1;
    match known.get(value).copied() {
        Some(place) => {
            place.write(to);
            true
        }
        None => {
            known.insert(value.clone(), next);
            0_u64.write(to);
            false
        }
    }
}

/// The value at that place among those read before; `None` when it has to follow.
fn known_at<T: Clone>(place: u64, values: &[T]) -> Result<Option<T>, Unreadable> {
    let Some(before) = place.checked_sub(1) else { return Ok(None) };
    let at = usize::try_from(before).map_err(|_| Unreadable)?;
    values.get(at).cloned().map(Some).ok_or(Unreadable)
}

impl Saved for u64 {
    fn write(&self, to: &mut Writer<'_>) {
        let mut left = *self;
        while left >= 0x80 {
            to.bytes.push(left as u8 | 0x80);
            left >>= 7;
        }
        to.bytes.push(left as u8);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = from.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Unreadable)
    }
}

/// Ids and hashes are random: eight bytes are shorter than LEB128.
pub(crate) struct Random(pub u64);

impl Saved for Random {
    fn write(&self, to: &mut Writer<'_>) {
        to.bytes.extend_from_slice(&self.0.to_le_bytes());
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        let (bytes, rest) = from.bytes.split_first_chunk().ok_or(Unreadable)?;
        from.bytes = rest;
        Ok(Self(u64::from_le_bytes(*bytes)))
    }
}

impl Saved for u32 {
    fn write(&self, to: &mut Writer<'_>) {
        u64::from(*self).write(to);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        u64::read(from)?.try_into().map_err(|_| Unreadable)
    }
}

impl Saved for i64 {
    fn write(&self, to: &mut Writer<'_>) {
        ((self << 1) ^ (self >> 63)).cast_unsigned().write(to);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        let zigzag = u64::read(from)?;
        Ok((zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed())
    }
}

impl Saved for bool {
    fn write(&self, to: &mut Writer<'_>) {
        to.bytes.push(u8::from(*self));
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        match from.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Unreadable),
        }
    }
}

impl Saved for String {
    fn write(&self, to: &mut Writer<'_>) {
        to.text(self);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        from.text().map(Self::from)
    }
}

impl Saved for Name {
    fn write(&self, to: &mut Writer<'_>) {
        if !place_of(self, to, |to| &mut to.names) {
            to.text(self);
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        let place = u64::read(from)?;
        if let Some(known) = known_at(place, &from.names)? {
            return Ok(known);
        }
        let text = from.text()?;
        let id = from.shared.text(text);
        let name = from.shared.name(id);
        from.names.push(name.clone());
        Ok(name)
    }
}

impl Saved for Arc<Node> {
    fn write(&self, to: &mut Writer<'_>) {
        if !place_of(self, to, |to| &mut to.nodes) {
            self.cluster.write(to);
            self.namespace.write(to);
            self.name.write(to);
            self.kind.write(to);
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        let place = u64::read(from)?;
        if let Some(known) = known_at(place, &from.nodes)? {
            return Ok(known);
        }
        let (cluster, namespace, name) = (Name::read(from)?, Name::read(from)?, Name::read(from)?);
        let kind = NodeKind::read(from)?;
        let id = from.shared.node_id(&cluster, &namespace, &name, kind);
        let node = from.shared.node(id).clone();
        from.nodes.push(node.clone());
        Ok(node)
    }
}

impl Saved for NameId {
    fn write(&self, to: &mut Writer<'_>) {
        to.shared.name(*self).write(to);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        let name = Name::read(from)?;
        Ok(from.shared.text(&name))
    }
}

impl Saved for NodeId {
    fn write(&self, to: &mut Writer<'_>) {
        to.shared.node(*self).clone().write(to);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        let node = Arc::<Node>::read(from)?;
        Ok(from.shared.number_of(&node))
    }
}

impl Saved for SourceId {
    fn write(&self, to: &mut Writer<'_>) {
        if !place_of(self, to, |to| &mut to.sources) {
            let source = to.shared.source(*self);
            source.node.write(to);
            source.version.write(to);
            source.environment.write(to);
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        let place = u64::read(from)?;
        if let Some(known) = known_at(place, &from.sources)? {
            return Ok(known);
        }
        let (node, version, environment) = (Saved::read(from)?, Saved::read(from)?, Saved::read(from)?);
        let source = from.shared.source_id(node, version, environment);
        from.sources.push(source);
        Ok(source)
    }
}

impl Saved for ShapeId {
    fn write(&self, to: &mut Writer<'_>) {
        if !place_of(self, to, |to| &mut to.shapes) {
            to.shared.shape(*self).write(to);
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        let place = u64::read(from)?;
        if let Some(known) = known_at(place, &from.shapes)? {
            return Ok(known);
        }
        let shape = Shape::read(from)?;
        let id = from.shared.shape_id(shape);
        from.shapes.push(id);
        Ok(id)
    }
}

/// A span, without what only messaging spans say.
impl Saved for Record {
    fn write(&self, to: &mut Writer<'_>) {
        (Random(self.span_id), Random(self.parent_id)).write(to);
        (self.start_us, self.duration_us).write(to);
        (self.content, self.attempt).write(to);
        (self.window_s, (self.kind(), self.shape())).write(to);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        let (Random(span_id), Random(parent_id)) = Saved::read(from)?;
        let (start_us, duration_us) = Saved::read(from)?;
        let (content, attempt) = Saved::read(from)?;
        let (window_s, (kind, shape)) = Saved::read(from)?;
        let mut record = Self::default().shaped(shape, kind);
        (record.span_id, record.parent_id) = (span_id, parent_id);
        (record.start_us, record.duration_us) = (start_us, duration_us);
        (record.content, record.attempt, record.window_s) = (content, attempt, window_s);
        Ok(record)
    }
}

impl<T: Saved> Saved for Option<T> {
    fn write(&self, to: &mut Writer<'_>) {
        self.is_some().write(to);
        self.iter().for_each(|value| value.write(to));
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        Ok(if bool::read(from)? { Some(T::read(from)?) } else { None })
    }
}

impl<T: Saved> Saved for Box<T> {
    fn write(&self, to: &mut Writer<'_>) {
        T::write(self, to);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        T::read(from).map(Self::new)
    }
}

impl<A: Saved, B: Saved> Saved for (A, B) {
    fn write(&self, to: &mut Writer<'_>) {
        self.0.write(to);
        self.1.write(to);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        Ok((A::read(from)?, B::read(from)?))
    }
}

impl<T: Saved> Saved for Vec<T> {
    fn write(&self, to: &mut Writer<'_>) {
        (self.len() as u64).write(to);
        self.iter().for_each(|value| value.write(to));
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        let many = u64::read(from)?;
        (0..many).map(|_| T::read(from)).collect()
    }
}

/// All variants, in the order of their numbers.
macro_rules! saved_enum {
    ($type:ident: $($variant:ident)+) => {
        impl Saved for $type {
            fn write(&self, to: &mut Writer<'_>) {
                let all = [$(Self::$variant),+];
                let place = all.iter().position(|value| value == self).unwrap_or_default();
                to.bytes.push(place as u8);
            }

            fn read(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
                [$(Self::$variant),+].get(usize::from(from.byte()?)).copied().ok_or(Unreadable)
            }
        }
    };
}

/// All fields: one that is left out does not compile. `as Wrapper` writes a number in another form.
macro_rules! saved_struct {
    ($type:ident: $($field:ident $(as $form:ident)?),+) => {
        impl $crate::saved::Saved for $type {
            fn write(&self, to: &mut $crate::saved::Writer<'_>) {
                $($crate::saved::saved_struct!(@write self.$field, to $(, $form)?);)+
            }

            fn read(
                from: &mut $crate::saved::Reader<'_>,
            ) -> Result<Self, $crate::saved::Unreadable> {
                $(let $field = $crate::saved::saved_struct!(@read from $(, $form)?);)+
                Ok(Self { $($field),+ })
            }
        }
    };
    (@write $value:expr, $to:ident) => { $crate::saved::Saved::write(&$value, $to) };
    (@write $value:expr, $to:ident, $form:ident) => { $crate::saved::Saved::write(&$form($value), $to) };
    (@read $from:ident) => { $crate::saved::Saved::read($from)? };
    (@read $from:ident, $form:ident) => { <$form as $crate::saved::Saved>::read($from)?.0 };
}
pub(crate) use saved_struct;

saved_enum!(Kind: Unspecified Internal Server Client Producer Consumer);
saved_enum!(NodeKind: Unknown Service User Client Database Topic External);
saved_enum!(MessagingOperation: Create Send Receive Process Settle);
saved_enum!(OperationSource: Attribute Baggage Header Vendor Widget);
saved_enum!(Fallback: Route Entry RootName);
saved_enum!(Role: Callee Caller Served Virtual Endpoint Flow);

saved_struct!(Verdict: error, client_error, timeout, rejected, retryable, redirected);
saved_struct!(Marks: proxy, stream, probe, timer, resend, names_peer);
saved_struct!(Link: at, messages, span_id as Random);
saved_struct!(Shape:
    source, verdict, marks, weight_milli, peer, topic, messaging, address, operation, fallback, entry, calling_client,
    root_name, breaker);
