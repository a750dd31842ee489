//! `/sessions/{id}/answers`: what a running turn's questions are answered by.

use aod_resources::Session;
use aod_resources::shape::{Shape, Text};
use aod_services::{AnswerRefused, UserAnswer};
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
    /// An answer to a `permission.request` event (`answer`), or to a `tool.request` event
    /// (`content`).
    example r#"{"request_id": "toolu_01", "answer": "allow"}"#
    pub(crate) struct NewAnswer {
        /// The event's `request_id`.
        required request_id: String = Text::new(1, 1000).shape(),
        /// The id of one of its choices, or text where it has none.
        optional answer: Option<String> = Text::new(1, 64 << 10).shape(),
        /// What the tool came to, for the model: a text of at most 256 KiB.
        optional content: Option<String> = Text::new(0, 256 << 10).in_bytes().shape(),
        /// With `content`: whether it tells of a failure.
        optional is_error: Option<bool> = Shape::Boolean,
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

/// Answers what the running turn asks: a `permission.request` event by `answer`, a `tool.request` event
/// by `content`. The first answer counts.
#[utoipa::path(post, path = "/sessions/{id}/answers", tag = "sessions", params(Id<Session>),
    request_body = NewAnswer,
    responses((status = 202, body = AnswerAck), (status = 400), (status = 404), (status = 409)))]
async fn answer(
    State(api): State<Api>,
    caller: Caller,
    Id { id, .. }: Id<Session>,
    Body { value, .. }: Body<NewAnswer>,
) -> Result<(StatusCode, Json<AnswerAck>), ApiError> {
    let request_id = value.request_id.clone();
    let given = given(value)?;
    let answered = api
        .sessions
        .answer(caller.user, id, request_id.clone(), given.clone());
    match (answered.await, given) {
        (Ok(()), _) => Ok((StatusCode::ACCEPTED, Json(AnswerAck { id, request_id }))),
        (Err(AnswerRefused::NoChoice(choices)), UserAnswer::Choice(answer)) => {
            Err(no_choice(&choices, answer))
        }
        (Err(AnswerRefused::OtherForm(field)), _) => Err(missing(field)),
        (Err(refused), _) => Err(refused.into()),
    }
}

/// An answer in one of its two forms.
fn given(body: NewAnswer) -> Result<UserAnswer, ApiError> {
    let NewAnswer {
        answer,
        content,
        is_error,
        ..
    } = body;
    match (answer, content) {
        (Some(answer), None) if is_error.is_none() => Ok(UserAnswer::Choice(answer)),
        (None, Some(content)) => Ok(UserAnswer::Result {
            content,
            is_error: is_error.unwrap_or_default(),
        }),
        (None, None) if is_error.is_none() => Err(missing("answer")),
        (None, None) => Err(missing("content")),
        (Some(_), content) => {
            let field = if content.is_some() {
                "content"
            } else {
                "is_error"
            };
            let msg = "Input should not come along with 'answer'".to_owned();
            let root = Loc::Root("body");
            let problem = Problem::new("value_error", &Loc::Key(&root, field), msg, None);
            Err(ApiError::invalid(vec![problem]))
        }
    }
}

/// 422 where a field is missing by which this is answered.
fn missing(field: &'static str) -> ApiError {
    let root = Loc::Root("body");
    let msg = "Field required".to_owned();
    let problem = Problem::new("missing", &Loc::Key(&root, field), msg, None);
    ApiError::invalid(vec![problem])
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
