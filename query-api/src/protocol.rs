//! What clients say on `/api/v1/live`. `docs/live-protocol.md` is the description for people.

use crate::access::Allowed;
use crate::error::ApiError;
use crate::filter::{Around, Filter};
use crate::hub::{FlowOutcome, ViewKey};
use crate::limits::Limits;
use crate::live::shards::Sequences;
use serde::Deserialize;
use serde::de::Error as _;
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};

/// Longest subscription id.
const ID_CHARS: usize = 64;
/// Windows that a live graph can have, so that equal wishes meet in one view.
const WINDOWS: [(&str, u32); 4] = [("10s", 10), ("1m", 60), ("5m", 300), ("15m", 900)];

/// A client's message.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ClientMessage {
    /// Begin, or begin anew with other filters under the same id.
    Subscribe(Subscribe),
    /// End.
    Unsubscribe {
        /// Which subscription.
        #[serde(default = "default_id")]
        id: String,
    },
    /// Answered with `pong`.
    Ping {
        /// Comes back in the answer.
        #[serde(default)]
        id: String,
    },
}

/// What to watch.
#[derive(Debug, Deserialize)]
pub struct Subscribe {
    /// Every frame of this subscription carries it.
    #[serde(default = "default_id")]
    pub id: String,
    /// Which flows.
    #[serde(default)]
    pub filters: Filters,
    /// Sequences of the last frame seen, to go on from there.
    #[serde(default, deserialize_with = "sequences")]
    pub resume: Option<Sequences>,
}

/// Which flows, and what about them.
#[derive(Debug, Default, Deserialize, IntoParams, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = LiveFilters)]
#[into_params(parameter_in = Query)]
pub struct Filters {
    /// Exactly this operation.
    operation: Option<String>,
    /// Exactly this environment.
    environment: Option<String>,
    /// `10s`, `1m`, `5m` or `15m`; a minute by default.
    window: Option<String>,
    /// Whether health checks count too.
    #[serde(default)]
    probes: bool,
    /// Whether single flows are told; they are by default.
    events: Option<bool>,
    /// Only what touches services of this name.
    service: Option<String>,
    /// Only what touches services of this namespace.
    namespace: Option<String>,
    /// Only what touches services of this cluster.
    cluster: Option<String>,
    /// Of single flows, only ends with this status.
    status: Option<FlowOutcome>,
}

/// Keys of JSON objects are text, and behind a tagged enum serde doesn't read numbers out of them.
fn sequences<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Sequences>, D::Error> {
    let Some(by_text) = Option::<BTreeMap<String, u64>>::deserialize(deserializer)? else { return Ok(None) };
    let numbered =
        by_text.into_iter().map(|(shard, seq)| Ok((shard.parse().map_err(D::Error::custom)?, seq)));
    numbered.collect::<Result<Sequences, D::Error>>().map(Some)
}

fn default_id() -> String {
    "live".to_owned()
}

impl ClientMessage {
    /// From the text of a frame.
    ///
    /// # Errors
    /// It isn't one of the messages above.
    pub fn read(text: &str) -> Result<Self, ApiError> {
        let message: Self = serde_json::from_str(text)
            .map_err(|error| ApiError::bad_request(format!("not understood: {error}")))?;
        let (Self::Subscribe(Subscribe { id, .. }) | Self::Unsubscribe { id } | Self::Ping { id }) = &message;
        if id.chars().count() > ID_CHARS {
            return Err(ApiError::bad_request(format!("id is longer than {ID_CHARS} characters")));
        }
        Ok(message)
    }
}

impl Subscribe {
    /// The view that answers it.
    ///
    /// # Errors
    /// A filter can't be.
    pub fn view(&self, allowed: &Allowed, limits: &Limits) -> Result<ViewKey, ApiError> {
        self.filters.view(allowed, limits)
    }
}

impl Filters {
    /// The view of these flows.
    ///
    /// # Errors
    /// A filter can't be.
    pub fn view(&self, allowed: &Allowed, limits: &Limits) -> Result<ViewKey, ApiError> {
        let window = self.window.as_deref().unwrap_or("1m");
        let known = WINDOWS.iter().find(|(name, _)| *name == window);
        let Some((_, window_s)) = known else {
            return Err(ApiError::bad_request("window must be 10s, 1m, 5m or 15m"));
        };
        let (service, namespace) = (self.service.clone(), self.namespace.clone());
        let around = Around::read(service, namespace, self.cluster.clone(), limits)?;
        let filter = Filter::new(self.operation.clone(), self.environment.clone(), self.probes, limits)?
            .around(around)
            .within(allowed);
        Ok(ViewKey { filter, window_s: *window_s, events: self.events.unwrap_or(true), status: self.status })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subscribe(text: &str) -> Result<(Subscribe, ViewKey), ApiError> {
        let ClientMessage::Subscribe(message) = ClientMessage::read(text)? else { panic!("{text}") };
        let view = message.view(&Allowed::default(), &Limits::default())?;
        Ok((message, view))
    }

    #[test]
    fn the_shortest_subscription_watches_everything_for_a_minute() {
        let (message, view) = subscribe(r#"{"type":"subscribe"}"#).unwrap();
        assert_eq!((message.id.as_str(), message.resume), ("live", None));
        assert_eq!(view, ViewKey { filter: Filter::default(), window_s: 60, events: true, status: None });
    }

    #[test]
    fn filters_and_resume_are_read() {
        let text = r#"{"type":"subscribe","id":"a","filters":{"operation":"login","environment":"production",
            "window":"5m","events":false,"cluster":"eu"},"resume":{"0":12,"1":9}}"#;
        let (message, view) = subscribe(text).unwrap();
        assert_eq!(message.resume, Some(Sequences::from([(0, 12), (1, 9)])));
        assert_eq!(
            (view.filter.operation.as_deref(), view.window_s, view.events),
            (Some("login"), 300, false)
        );
        assert_eq!(view.filter.around.cluster.as_deref(), Some("eu"));
    }

    #[test]
    fn equal_wishes_are_the_same_view_however_they_are_written() {
        let all = subscribe(r#"{"type":"subscribe","filters":{"operation":"","window":"1m"}}"#).unwrap().1;
        assert_eq!(all, subscribe(r#"{"type":"subscribe","id":"x"}"#).unwrap().1);
    }

    #[test]
    fn what_is_no_message_is_refused_with_a_reason() {
        for text in [
            "",
            "[]",
            r#"{"type":"shutdown"}"#,
            r#"{"type":"subscribe","filters":{"colour":"red"}}"#,
            r#"{"type":"subscribe","filters":{"window":"3m"}}"#,
            r#"{"type":"subscribe","resume":{"x":1}}"#,
        ] {
            assert!(subscribe(text).is_err(), "{text}");
        }
        assert!(ClientMessage::read(&format!(r#"{{"type":"ping","id":"{}"}}"#, "x".repeat(65))).is_err());
    }
}
