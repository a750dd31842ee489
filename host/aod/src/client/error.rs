//! Why a request was not answered as hoped, and what to do about it.

use std::fmt;

use reqwest::{Response, StatusCode};
use serde_json::Value;
use thiserror::Error;

/// A request has failed.
#[derive(Debug, Error)]
pub(crate) enum ClientError {
    /// Nothing says who asks.
    #[error(
        "AOD_API_TOKEN is not set: make a token on the server's machine with `aod token create \
         NAME`, and export it"
    )]
    NoToken,
    /// There is no answer.
    #[error(
        "cannot reach the server at {url}: is it running (`aod serve`), and is AOD_API_URL right?"
    )]
    Unreachable {
        /// Where it should be.
        url: String,
        /// Why.
        source: reqwest::Error,
    },
    /// The server says no.
    #[error("{0}")]
    Refused(Refusal),
}

impl ClientError {
    /// The status of a refusal.
    pub(crate) fn status(error: &anyhow::Error) -> Option<StatusCode> {
        match error.downcast_ref() {
            Some(Self::Refused(refusal)) => Some(refusal.status),
            _ => None,
        }
    }

    /// Whether the server may have taken the request although its answer did not come.
    pub(crate) fn is_lost(error: &anyhow::Error) -> bool {
        match error.downcast_ref() {
            Some(Self::Unreachable { source, .. }) => !source.is_connect(),
            _ => false,
        }
    }

    /// Whether a request that failed so may be answered when it is sent once more.
    pub(crate) fn is_passing(error: &anyhow::Error) -> bool {
        match error.downcast_ref() {
            Some(Self::Refused(refusal)) => refusal.status.is_server_error(),
            Some(Self::Unreachable { .. }) => true,
            Some(Self::NoToken) => false,
            None => error.downcast_ref::<reqwest::Error>().is_some(),
        }
    }
}

/// What a server says no with.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// The status.
    pub(crate) status: StatusCode,
    /// Its own words.
    detail: String,
    /// What the server's log has it under.
    request_id: Option<String>,
}

impl Refusal {
    pub(super) async fn read(response: Response) -> Self {
        let status = response.status();
        let header = response.headers().get("x-request-id");
        let request_id = header.and_then(|id| id.to_str().ok()).map(str::to_owned);
        let body: Value = response.json().await.unwrap_or_default();
        let detail = match &body["detail"] {
            Value::String(detail) => detail.clone(),
            Value::Null => "the server gave no reason".to_owned(),
            Value::Array(problems) => {
                let problems: Vec<_> = problems.iter().map(sentence).collect();
                problems.join("; ")
            }
            other => other.to_string(),
        };
        Self {
            status,
            detail,
            request_id,
        }
    }

    /// What a server would say of something that is not there.
    pub(super) const fn not_found(detail: String) -> Self {
        Self {
            status: StatusCode::NOT_FOUND,
            detail,
            request_id: None,
        }
    }

    /// What to do about it, where the server's words do not say.
    const fn advice(&self) -> &'static str {
        match self.status {
            StatusCode::UNAUTHORIZED => {
                ": look at AOD_API_TOKEN; the token may be revoked or of another server, and \
                 `aod token create NAME` makes another on the server's machine"
            }
            _ => "",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}){}", self.detail, self.status, self.advice())?;
        match &self.request_id {
            Some(id) if self.status.is_server_error() => {
                write!(f, "; the server's log has the cause under the request {id}")
            }
            _ => Ok(()),
        }
    }
}

/// One problem of a request that was refused: where it is, and what it is.
fn sentence(problem: &Value) -> String {
    let place = problem["loc"].as_array().into_iter().flatten();
    let place: Vec<_> = place
        .map(|part| {
            part.as_str()
                .map_or_else(|| part.to_string(), str::to_owned)
        })
        .collect();
    let message = problem["msg"].as_str().unwrap_or("is not valid");
    match place.is_empty() {
        true => message.to_owned(),
        false => format!("{}: {message}", place.join(".")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_to_do() {
        let refusal = Refusal {
            status: StatusCode::UNAUTHORIZED,
            detail: "Invalid token".to_owned(),
            request_id: Some("r".to_owned()),
        };
        let text = refusal.to_string();
        assert!(text.contains("Invalid token (401"), "{text}");
        assert!(text.contains("AOD_API_TOKEN"), "{text}");
        assert!(!text.contains("the request r"), "{text}");
        let refusal = Refusal {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            ..refusal
        };
        assert!(refusal.to_string().ends_with("under the request r"));
    }
}
