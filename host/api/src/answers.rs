//! `/sessions/{id}/answers`: what a running turn's questions are answered by.

use aod_services::AnswerRefused;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::Api;
use crate::auth::Caller;
use crate::body::{Body, Field, Object, Problems};
use crate::error::ApiError;
use crate::path::ResourceId;

/// The longest id of a question, and the longest answer, in characters.
const MAX_REQUEST_ID: usize = 1000;
const MAX_ANSWER: usize = 64 << 10;

/// The route of answers.
pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(answer))
}

/// An answer to a `permission.request` event.
#[derive(Debug, ToSchema)]
struct NewAnswer {
    /// The event's `request_id`.
    request_id: String,
    /// The id of one of its choices, or text where it has none.
    answer: String,
}

/// The reply to an answer.
#[derive(Debug, Serialize, ToSchema)]
struct AnswerAck {
    /// The session's id.
    id: Uuid,
    /// The question's.
    request_id: String,
}

/// Answers a question of the running turn: a `permission.request` event. The first answer counts.
#[utoipa::path(post, path = "/sessions/{id}/answers", tag = "sessions", params(ResourceId),
    request_body = NewAnswer,
    responses((status = 202, body = AnswerAck), (status = 400), (status = 401), (status = 404), (status = 409), (status = 422)))]
async fn answer(
    State(api): State<Api>,
    caller: Caller,
    id: ResourceId,
    body: Body,
) -> Result<(StatusCode, Json<AnswerAck>), ApiError> {
    let id = id.session()?;
    let problems = Problems::default();
    let new = body
        .object(&problems)
        .and_then(|object| new_answer(&object));
    let NewAnswer { request_id, answer } = problems.finish(new)?;
    let answered = api
        .sessions
        .answer(caller.user, id, request_id.clone(), answer);
    match answered.await {
        Ok(()) => Ok((StatusCode::ACCEPTED, Json(AnswerAck { id, request_id }))),
        Err(AnswerRefused::NoChoice(choices)) => Err(no_choice(&body, &choices)),
        Err(refused) => Err(refused.into()),
    }
}

fn new_answer(object: &Object<'_>) -> Option<NewAnswer> {
    let text = |field: Field<'_>, max| field.string(1, max).map(str::to_owned);
    let request_id = object.required("request_id", |field| text(field, MAX_REQUEST_ID));
    let answer = object.required("answer", |field| text(field, MAX_ANSWER));
    Some(NewAnswer {
        request_id: request_id?,
        answer: answer?,
    })
}

/// 422 at the answer, with what would be valid.
fn no_choice(body: &Body, choices: &[String]) -> ApiError {
    let problems = Problems::default();
    let quoted: Vec<String> = choices.iter().map(|choice| format!("'{choice}'")).collect();
    let refused = body.object(&problems).and_then(|object| {
        object.required("answer", |field| {
            let msg = format!("Input should be one of {}", quoted.join(", "));
            field.problem("literal_error", msg);
            None::<()>
        })
    });
    match problems.finish(refused) {
        Err(error) => error,
        // The body has been read once, so it has the field.
        Ok(()) => ApiError::unprocessable("answer is none of the question's choices"),
    }
}
