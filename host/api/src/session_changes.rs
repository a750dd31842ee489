//! `/sessions/stream`: what changes about the caller's sessions (`docs/stream.md`).

use aod_resources::shape::Shape;
use aod_services::SessionsEvent;
use axum::extract::State;
use axum::response::Response;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Api;
use crate::auth::Caller;
use crate::error::ApiError;
use crate::query::Query;
use crate::stream::sse;

/// How many sessions a stream begins with where nothing is said.
const SNAPSHOT: u32 = 200;

/// The route of changes.
pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(changes))
}

aod_resources::input! {
    /// How a stream of changes begins, and whether it goes on.
    example ""
    struct ChangesQuery {
        /// How many sessions it begins with, the newest first; 200 where nothing is said.
        optional snapshot: Option<u32> = Shape::Integer { min: 0, max: 1000 },
        /// `false`: tell what there is now, and end there.
        optional follow: Option<bool> = Shape::Boolean,
    }
}

/// Streams what changes about the caller's sessions.
///
/// It begins with sessions as they stand and then says `ready`; what follows are sessions that were
/// made, changed or deleted. There are no ids to resume by: a stream that begins anew tells all
/// again.
#[utoipa::path(get, path = "/sessions/stream", tag = "sessions", params(ChangesQuery),
    responses(
        (status = 200, description = "Server-sent events. Each message has a `SessionsEvent` as its data.",
            content_type = "text/event-stream", body = SessionsEvent)))]
async fn changes(
    State(api): State<Api>,
    caller: Caller,
    Query(wanted): Query<ChangesQuery>,
) -> Result<Response, ApiError> {
    let snapshot = wanted.snapshot.unwrap_or(SNAPSHOT);
    let follow = wanted.follow.unwrap_or(true);
    Ok(sse(api.sessions.follow_all(caller.user, snapshot, follow)))
}
