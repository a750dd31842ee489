//! The error envelope: `{"detail": …}` with every status, and nothing else.

use std::time::Duration;

use aod_services::files::{FilesError, Interrupted};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::problem::Problem;

/// An error reply. Its texts are for the client: they never hold a secret or a cause inside the
/// host that is not the client's to mend.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    body: Value,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl ApiError {
    fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            body: json!({ "detail": detail.into() }),
            headers: Vec::new(),
        }
    }

    /// 400: the request as a whole cannot be understood, or names what does not exist by design.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// 401, with the challenge that RFC 9110 §11.6.1 asks for.
    pub fn unauthorized(detail: impl Into<String>) -> Self {
        let mut error = Self::new(StatusCode::UNAUTHORIZED, detail);
        error
            .headers
            .push((header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")));
        error
    }

    /// 404: not there, or another user's.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// 408: nothing of the body came for so long. What is left of it is not waited for.
    pub fn too_slow(patience: Duration) -> Self {
        let detail = format!("nothing of the request's body came for {patience:?}");
        let mut error = Self::new(StatusCode::REQUEST_TIMEOUT, detail);
        error
            .headers
            .push((header::CONNECTION, HeaderValue::from_static("close")));
        error
    }

    /// 409: not in the state that the request needs.
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, detail)
    }

    /// 413: larger than the limit.
    pub fn too_large(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
    }

    /// 415: a body that would have to be decoded first.
    pub fn encoded_body() -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "Content-Encoding: bodies are taken as they are; send it without an encoding",
        )
    }

    /// 422 with one sentence.
    pub fn unprocessable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
    }

    /// 422 with every problem of a body.
    pub fn invalid(problems: Vec<Problem>) -> Self {
        Self {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            body: json!({ "detail": problems }),
            headers: Vec::new(),
        }
    }

    /// 429: the limit of concurrent sessions, with its numbers.
    pub fn active_limit(limit: u32, active: u32) -> Self {
        Self {
            status: StatusCode::TOO_MANY_REQUESTS,
            body: json!({
                "detail": format!(
                    "{active} of at most {limit} sessions are active: wait for one to end, or terminate one"
                ),
                "limit": limit,
                "active": active,
            }),
            headers: Vec::new(),
        }
    }

    /// 429: more than may be, with the number of how many may.
    fn too_many(detail: String, limit: Option<u32>) -> Self {
        let mut error = Self::new(StatusCode::TOO_MANY_REQUESTS, detail);
        if let (Some(limit), Some(body)) = (limit, error.body.as_object_mut()) {
            body.insert("limit".to_owned(), limit.into());
        }
        error
    }

    /// 429: too many failed authentications from one address.
    pub fn slow_down(seconds: u64) -> Self {
        let mut error = Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            format!("too many failed authentications from this address: try again in {seconds} s"),
        );
        error
            .headers
            .push((header::RETRY_AFTER, HeaderValue::from(seconds)));
        error
    }

    /// 503: something the host needs is broken.
    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
    }

    /// 500. The cause goes to the log, under the request's id; the client is told only that.
    pub fn internal(cause: &dyn std::fmt::Display) -> Self {
        tracing::error!(%cause, "internal error");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the server failed to do this; its log has the cause under this reply's x-request-id",
        )
    }

    /// The same with a header.
    pub(crate) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Any other status that the HTTP layer produced.
    pub fn other(status: StatusCode, detail: impl Into<String>) -> Self {
        Self::new(status, detail)
    }
}

impl ApiError {
    /// What files are refused with.
    fn files(error: &FilesError) -> Self {
        let text = error.to_string();
        match error {
            FilesError::Path { .. } | FilesError::Interrupted(Interrupted::BrokenOff) => {
                Self::bad_request(text)
            }
            FilesError::Interrupted(Interrupted::Slow(patience)) => Self::too_slow(*patience),
            FilesError::Nothing { .. } => Self::not_found(text),
            FilesError::Changed { .. } => Self::new(StatusCode::PRECONDITION_FAILED, text),
            FilesError::TooLarge(_) => Self::too_large(text),
            FilesError::Archive { .. }
            | FilesError::Glob(_)
            | FilesError::After
            | FilesError::TooMuch { .. } => Self::unprocessable(text),
            FilesError::TooMany(_) => Self::new(StatusCode::TOO_MANY_REQUESTS, text),
            _ => Self::conflict(text),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, axum::Json(self.body)).into_response();
        for (name, value) in self.headers {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

/// An error.
#[derive(utoipa::ToSchema)]
#[allow(dead_code, reason = "the schema of what an `ApiError` becomes")]
pub(crate) struct Error {
    /// What is wrong and what to do about it, for people.
    detail: String,
}

/// A request that is not as described.
#[derive(utoipa::ToSchema)]
#[allow(dead_code, reason = "the schema of what an `ApiError` becomes")]
pub(crate) struct Invalid {
    /// Every problem of the body or the query; a sentence where they are as described, and what
    /// they ask for is not to be had.
    detail: InvalidDetail,
}

/// Problems, or a sentence.
#[derive(serde::Serialize, utoipa::ToSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "the schema of what an `ApiError` becomes")]
pub(crate) enum InvalidDetail {
    /// Every problem.
    Problems(Vec<Problem>),
    /// A sentence.
    Sentence(String),
}

/// Too much at once.
#[derive(utoipa::ToSchema)]
#[allow(dead_code, reason = "the schema of what an `ApiError` becomes")]
pub(crate) struct Limited {
    /// What there is too much of, and what to do about it, for people.
    detail: String,
    /// The most sessions that may be active, or prompts that may wait; absent where it is neither.
    #[schema(required = false, nullable = false)]
    limit: Option<u32>,
    /// The sessions that are active; absent where it is not about those.
    #[schema(required = false, nullable = false)]
    active: Option<u32>,
}

/// `{"detail": …}` in a success reply.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(crate) struct Detail {
    detail: &'static str,
}

impl Detail {
    pub(crate) fn new(detail: &'static str) -> Self {
        Self { detail }
    }
}

impl From<aod_services::Error> for ApiError {
    fn from(error: aod_services::Error) -> Self {
        use aod_services::Error;
        let text = error.to_string();
        match error {
            Error::NotFound(_) | Error::NoSuchTurn { .. } | Error::NoSuchRepository { .. } => {
                Self::not_found(text)
            }
            Error::RuntimeUnknown { .. } => Self::bad_request(text),
            Error::RuntimeUnusable { runtime } => {
                Self::bad_request(format!("{text}: see GET /runtimes/{runtime}"))
            }
            Error::Model(_)
            | Error::Setting { .. }
            | Error::OutputSchema { .. }
            | Error::PromptBlock { .. }
            | Error::PlainHttp { .. }
            | Error::SteerWithMore
            | Error::TooManyLabels { .. }
            | Error::SchemaWithoutPrompt
            | Error::Manifest(_)
            | Error::MaskWithoutValue { .. }
            | Error::Tool { .. }
            | Error::CredentialUnknown { .. }
            | Error::CredentialReserved { .. }
            | Error::CredentialHost { .. }
            | Error::CredentialWithoutHosts { .. }
            | Error::CredentialNoHeader
            | Error::UserName
            | Error::WebhookUrl { .. }
            | Error::IdempotencyMismatch => Self::unprocessable(text),
            Error::Archived(_)
            | Error::ArchivedForSessions(_)
            | Error::InUse(_)
            | Error::AlreadyExists { .. }
            | Error::VersionMismatch { .. }
            | Error::NotInThisState(_)
            | Error::NothingToSteer
            | Error::PromptsQueued
            | Error::CannotSteer { .. }
            | Error::WebhookDisabled
            | Error::TooManyWebhooks { .. }
            | Error::NoCheckpoint { .. }
            | Error::TurnNotEnded(_)
            | Error::RestoreWhileActive(_)
            | Error::NothingToCopy(_)
            | Error::FilesRemoved { .. }
            | Error::SessionActive(_) => Self::conflict(text),
            Error::ActiveLimit { limit, active } => Self::active_limit(limit, active),
            Error::QueueFull { limit } => Self::too_many(text, Some(limit)),
            Error::DayLimit(_) => Self::too_many(text, None),
            Error::StillCompiling { .. }
            | Error::StillReloading { .. }
            | Error::StillTerminating
            | Error::SteerSilent
            | Error::Sealed { .. } => Self::unavailable(text),
            Error::Files(error) => Self::files(&error),
            Error::FullDisk(cause) => {
                tracing::error!(%cause, "the disk is full");
                Self::other(StatusCode::INSUFFICIENT_STORAGE, text)
            }
            Error::Internal(cause) => Self::internal(&chain(&cause)),
            other => Self::internal(&chain(&other)),
        }
    }
}

/// An error with all its causes.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let texts: Vec<String> = causes.map(ToString::to_string).collect();
    texts.join(": ")
}

impl From<aod_services::AnswerRefused> for ApiError {
    fn from(refused: aod_services::AnswerRefused) -> Self {
        use aod_services::AnswerRefused;
        let text = refused.to_string();
        match refused {
            AnswerRefused::NoChoice(_) | AnswerRefused::OtherForm(_) => Self::unprocessable(text),
            AnswerRefused::Silent => Self::unavailable(text),
            AnswerRefused::Other(error) => error.into(),
            _ => Self::conflict(text),
        }
    }
}
