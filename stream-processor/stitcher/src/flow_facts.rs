//! What single spans say about the whole flow: of several answers to one question the earliest span's counts.

use crate::delta::Name;
use crate::record::Place;
use crate::saved::{Reader, Saved, Unreadable, Writer, saved_struct};
use crate::span::{Kind, Span};
use alloc::string::String;
use alloc::sync::Arc;

/// What was said so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct FlowFacts {
    pub ui_event: Said,
    pub session_id: Said,
    pub user_hash: Said,
}

/// A text, and which span said it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Said(Option<(Place, Name)>);

saved_struct!(FlowFacts: ui_event, session_id, user_hash);

impl FlowFacts {
    /// Most spans say nothing of the kind.
    pub fn is_in(span: &Span<'_>, user_hash: &str) -> bool {
        let facts = &span.facts;
        !facts.ui_event.is_empty() || !facts.session_id.is_empty() || !user_hash.is_empty()
    }

    pub fn hear(&mut self, span: &Span<'_>, place: Place, user_hash: &str, longest: usize) {
        self.ui_event.hear(place, span.facts.ui_event, longest);
        self.session_id.hear(place, span.facts.session_id, longest);
        self.user_hash.hear(place, user_hash, longest);
    }

    /// What another copy of the trace heard.
    pub fn join(&mut self, other: &Self) {
        self.ui_event.join(&other.ui_event);
        self.session_id.join(&other.session_id);
        self.user_hash.join(&other.user_hash);
    }
}

impl Said {
    fn hear(&mut self, place: Place, text: &str, longest: usize) {
        let is_first = self.0.as_ref().is_none_or(|(known, _)| place < *known);
        if is_first && !text.is_empty() {
            self.0 = Some((place, Arc::from(&text[..text.floor_char_boundary(longest)])));
        }
    }

    fn join(&mut self, other: &Self) {
        if let Some((place, text)) = &other.0
            && self.0.as_ref().is_none_or(|(known, _)| place < known)
        {
            self.0 = Some((*place, text.clone()));
        }
    }

    /// Empty: nobody said anything.
    pub fn text(&self) -> Name {
        self.0.as_ref().map_or_else(|| Arc::from(""), |(_, text)| text.clone())
    }

    pub fn as_string(&self) -> String {
        self.0.as_ref().map_or_else(String::new, |(_, text)| String::from(&**text))
    }
}

impl Saved for Said {
    fn write(&self, to: &mut Writer<'_>) {
        let said = self.0.as_ref();
        said.map(|((start_us, span_id, kind), text)| ((*start_us, *span_id), (*kind, text.clone())))
            .write(to);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        type Parts = ((i64, u64), (Kind, Name));
        let said = Option::<Parts>::read(from)?;
        Ok(Self(said.map(|((start_us, span_id), (kind, text))| ((start_us, span_id, kind), text))))
    }
}
