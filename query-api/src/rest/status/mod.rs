//! How current and how complete Weir's answers are, and what was left out of them.

mod counts;
mod roles;

use super::Problems;
use crate::App;
use crate::access::Access;
use crate::error::ApiError;
use crate::live::ends::{RAW_SPANS, SpansStaleness};
use crate::live::feed::{locked, now_us};
use crate::live::shards::Staleness;
use crate::progress;
use axum::Json;
use axum::extract::State;
use clickhouse::error::Error;
use counts::StatusCount;
use roles::RoleStatus;
pub use roles::Roles;
use schemas::topics::{FLOW_DELTAS, OTLP_SPANS};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(get))
}

/// How Weir is.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StatusAnswer {
    /// Of the server that answers.
    version: &'static str,
    /// When it was asked, µs since the epoch.
    as_of: i64,
    /// Whether nothing is missing or late, and every role that is known of answers.
    fresh: bool,
    /// The worst that is to be said, for people; "" if nothing is.
    message: String,
    /// Graphs, by shard: of live state, and in `stored` of the tables. null there: ClickHouse doesn't answer.
    graphs: Staleness,
    /// Raw spans in ClickHouse, by shard. null: ClickHouse doesn't answer.
    spans: Option<SpansStaleness>,
    /// The roles whose metrics pages this server was told of (`--role`), itself first.
    roles: Vec<RoleStatus>,
    /// What these roles have dropped, rejected or corrected since they started, and what that means.
    counts: Vec<StatusCount>,
}

/// Freshness by shard, what was dropped, rejected and corrected, and why
#[utoipa::path(get, path = "/api/v1/status", tag = "status", responses((status = 200, body = StatusAnswer), Problems))]
async fn get(State(app): State<App>, _: Access) -> Result<Json<StatusAnswer>, ApiError> {
    Ok(Json(status(&app).await))
}

/// How Weir is. Whatever doesn't answer is told rather than waited for.
pub async fn status(app: &App) -> StatusAnswer {
    let (stored, pages) = tokio::join!(stored(app), app.roles.ask(&app.registry));
    let now_us = now_us();
    let graphs = locked(&app.live).staleness(now_us);
    let (graphs, spans) = match &stored {
        Ok((deltas, spans)) => {
            (graphs.with_stored(deltas, now_us), Some(app.ends.staleness_of_all(spans, 0, RAW_SPANS, now_us)))
        }
        Err(_) => (graphs, None),
    };
    let silent = pages.iter().find_map(|page| page.status.trouble());
    let message = [
        stored
            .is_err()
            .then(|| "ClickHouse doesn't answer: only the last 15 minutes can be asked for".to_owned()),
        (!graphs.fresh).then(|| graphs.message.clone()),
        spans.as_ref().filter(|spans| !spans.fresh).map(|spans| spans.message.clone()),
        silent,
    ];
    let message = message.into_iter().flatten().next();
    StatusAnswer {
        version: env!("CARGO_PKG_VERSION"),
        as_of: now_us,
        fresh: message.is_none(),
        message: message.unwrap_or_default(),
        graphs,
        spans,
        counts: pages.iter().flat_map(|page| counts::of(&page.status.role, &page.text)).collect(),
        roles: pages.into_iter().map(|page| page.status).collect(),
    }
}

type Progress = Vec<progress::Progress>;

async fn stored(app: &App) -> Result<(Progress, Progress), Error> {
    let _turn = app.stored.turn().await;
    tokio::try_join!(
        progress::of_topic(&app.stored, FLOW_DELTAS),
        progress::of_topic(&app.stored, OTLP_SPANS)
    )
}
