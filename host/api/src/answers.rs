//! `/sessions/{id}/answers`: what a running turn's questions are answered by.

use aod_resources::Session;
use aod_resources::shape::Text;
use aod_services::AnswerRefused;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::Api;
use crate::auth::Caller;
use crate::body::Body;
use crate::error::ApiError;
use crate::path::Id;
use crate::problem::{Loc, Problem};

/// The route of answers.
pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(answer))
}

aod_resources::input! {
    /// An answer to a `permission.request` event.
    example r#"{"request_id": "toolu_01", "answer": "allow"}"#
    pub(crate) struct NewAnswer {
        /// The event's `request_id`.
        required request_id: String = Text::new(1, 1000).shape(),
        /// The id of one of its choices, or text where it has none.
        required answer: String = Text::new(1, 64 << 10).shape(),
    }
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
#[utoipa::path(post, path = "/sessions/{id}/answers", tag = "sessions", params(Id<Session>),
    request_body = NewAnswer,
    responses((status = 202, body = AnswerAck), (status = 400), (status = 404), (status = 409)))]
async fn answer(
    State(api): State<Api>,
    caller: Caller,
    Id { id, .. }: Id<Session>,
    Body { value, .. }: Body<NewAnswer>,
) -> Result<(StatusCode, Json<AnswerAck>), ApiError> {
    let NewAnswer { request_id, answer } = value;
    let answered = api
        .sessions
        .answer(caller.user, id, request_id.clone(), answer.clone());
    match answered.await {
        Ok(()) => Ok((StatusCode::ACCEPTED, Json(AnswerAck { id, request_id }))),
        Err(AnswerRefused::NoChoice(choices)) => Err(no_choice(&choices, answer)),
        Err(refused) => Err(refused.into()),
    }
}

/// 422 at the answer, with what would be valid.
fn no_choice(choices: &[String], answer: String) -> ApiError {
    let quoted: Vec<String> = choices.iter().map(|choice| format!("'{choice}'")).collect();
    let msg = format!("Input should be one of {}", quoted.join(", "));
    let root = Loc::Root("body");
    let given = Value::String(answer);
    let problem = Problem::new(
        "literal_error",
        &Loc::Key(&root, "answer"),
        msg,
        Some(&given),
    );
    ApiError::invalid(vec![problem])
}
