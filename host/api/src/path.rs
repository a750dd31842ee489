//! Ids in paths.

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use crate::error::ApiError;

/// `{id}`. What is no id names nothing: 404, as for any id that is not there.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct ResourceId {
    /// A lower-case UUID.
    #[param(value_type = Uuid)]
    id: String,
}

impl ResourceId {
    /// An agent's id.
    pub(crate) fn agent(&self) -> Result<Uuid, ApiError> {
        self.parse("Agent")
    }

    /// An environment's id.
    pub(crate) fn environment(&self) -> Result<Uuid, ApiError> {
        self.parse("Environment")
    }

    /// A session's id.
    pub(crate) fn session(&self) -> Result<Uuid, ApiError> {
        self.parse("Session")
    }

    /// A token's id.
    pub(crate) fn token(&self) -> Result<Uuid, ApiError> {
        self.parse("Token")
    }

    fn parse(&self, what: &str) -> Result<Uuid, ApiError> {
        Uuid::try_parse(&self.id).map_err(|_| ApiError::not_found(format!("{what} not found")))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for ResourceId {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        Path::<Self>::from_request_parts(parts, state)
            .await
            .map(|Path(id)| id)
            .map_err(|_| ApiError::not_found("Not Found"))
    }
}
