//! `/sessions/{id}/diff` and `/changes`: what a session has changed in its repositories, and what a
//! turn has changed in its workspace.

use aod_resources::shape::{Shape, Text};
use aod_resources::{RepositoryDiff, Session, TurnChanges};
use axum::Json;
use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Api;
use crate::auth::Caller;
use crate::error::ApiError;
use crate::page::Listing;
use crate::path::Id;
use crate::query::Query;

/// The routes of diffs.
pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(diff))
        .routes(routes!(turn_changes))
}

aod_resources::input! {
    /// Which repositories to compare.
    example ""
    struct DiffQuery {
        /// The one at this path in the workspace; all of them where nothing is said.
        optional repository: Option<String> = Text::new(0, 1024).shape(),
    }
}

/// What a session has changed in its repositories since they were cloned: commits, changes that are
/// not committed, and new files.
///
/// At most 8 MiB of diffs are given in all; what is cut says so. While a turn runs, it is what there
/// is at the moment.
#[utoipa::path(get, path = "/sessions/{id}/diff", tag = "sessions",
    params(Id<Session>, DiffQuery),
    responses((status = 200, body = Listing<RepositoryDiff>), (status = 404)))]
async fn diff(
    State(api): State<Api>,
    caller: Caller,
    Id { id, .. }: Id<Session>,
    Query(query): Query<DiffQuery>,
) -> Result<Json<Listing<RepositoryDiff>>, ApiError> {
    let diffs = api.sessions.diff(caller.user, id, query.repository).await?;
    Ok(Json(Listing::whole(diffs)))
}

aod_resources::input! {
    /// Which turn's changes to give.
    example ""
    struct ChangesQuery {
        /// The turn; the last one that has ended where nothing is said.
        optional turn: Option<u32> = Shape::Integer { min: 1, max: u32::MAX as i64 },
    }
}

/// What a turn has changed in its session's workspace, whether its CLI told so or not: files that
/// are new, changed or gone, with unified diffs of texts.
///
/// Two checkpoints are compared, so that both have to be there still. What is in folders named
/// `.git` is left out.
#[utoipa::path(get, path = "/sessions/{id}/changes", tag = "sessions",
    params(Id<Session>, ChangesQuery),
    responses((status = 200, body = TurnChanges), (status = 404), (status = 409)))]
async fn turn_changes(
    State(api): State<Api>,
    caller: Caller,
    Id { id, .. }: Id<Session>,
    Query(query): Query<ChangesQuery>,
) -> Result<Json<TurnChanges>, ApiError> {
    let changes = api.sessions.changes(caller.user, id, query.turn).await?;
    Ok(Json(changes))
}
