//! The live protocol as server-sent events, for proxies that let no WebSocket through.

use super::Problems;
use crate::App;
use crate::access::Access;
use crate::ask::Ask;
use crate::error::ApiError;
use crate::live::shards::Sequences;
use crate::protocol::Filters;
use crate::socket::place;
use crate::stream::{Frame, frames};
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::{Stream, StreamExt};
use serde::Deserialize;
use std::convert::Infallible;
use std::fmt::Write as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(events))
}

/// What changes in the graph, and flows that begin and end, as server-sent events
///
/// `event` is the frame's type in the WebSocket's protocol (`snapshot`, `graph_delta`, `flow_start`, `flow_update`,
/// `flow_complete`, `flows_omitted`) and `data` its data. Who comes back with the last `id` goes on from there.
#[utoipa::path(get, path = "/api/v1/events", tag = "live", params(Filters,
        ("Last-Event-ID" = Option<String>, Header, description = "`id` of the last event seen")),
    responses((status = 200, description = "until one side leaves", content_type = "text/event-stream", body = String), Problems))]
async fn events(
    State(app): State<App>,
    access: Access,
    headers: HeaderMap,
    Ask(filters): Ask<Filters>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    let view = filters.view(&access.allowed, &app.limits)?;
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()).and_then(sequences);
    let place = place(&app)?;
    let frames = frames(app, view, last.as_ref(), place)?;
    // A comment now and then tells proxies that the connection is in use; frames come every two seconds anyway.
    Ok(Sse::new(frames.map(|frame| Ok(event(&frame)))).keep_alive(KeepAlive::default()))
}

fn event(frame: &Frame) -> Event {
    #[derive(Deserialize)]
    struct Headline {
        sequences: Sequences,
    }
    let event = Event::default().event(&frame.kind).data(frame.data.get());
    match serde_json::from_str::<Headline>(frame.data.get()) {
        Ok(Headline { sequences }) => event.id(text(&sequences)),
        // Frames of single flows are no point to go on from.
        Err(_) => event,
    }
}

/// As `0:812,1:790`: an id must be of one line.
fn text(sequences: &Sequences) -> String {
    let mut text = String::new();
    for (shard, seq) in sequences {
        let _ = write!(text, "{}{shard}:{seq}", if text.is_empty() { "" } else { "," });
    }
    text
}

fn sequences(text: &str) -> Option<Sequences> {
    let one = |part: &str| {
        let (shard, seq) = part.split_once(':')?;
        Some((shard.parse().ok()?, seq.parse().ok()?))
    };
    text.split(',').map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_point_to_go_on_from() {
        let reached = Sequences::from([(0, 812), (1, 790)]);
        assert_eq!(text(&reached), "0:812,1:790");
        assert_eq!(sequences("0:812,1:790"), Some(reached));
        for bad in ["", "0", "0:x", "0:1,", "-1:2"] {
            assert_eq!(sequences(bad), None, "{bad}");
        }
    }
}
