//! Ids in paths.

use std::marker::PhantomData;

use aod_resources::{Agent, Environment, QueuedPrompt, Session, Webhook, WebhookDelivery};
use aod_services::users::{TokenInfo, UserInfo};
use axum::extract::{FromRequestParts, Path, RawPathParams};
use axum::http::request::Parts;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::{KnownFormat, ObjectBuilder, Required, SchemaFormat, Type as SchemaType};
use uuid::Uuid;

use crate::check;
use crate::error::ApiError;

/// What has an id.
pub(crate) trait Named {
    /// What to call it where there is none with an id.
    const NAME: &str;
}

impl Named for Agent {
    const NAME: &str = "Agent";
}

impl Named for Environment {
    const NAME: &str = "Environment";
}

impl Named for Session {
    const NAME: &str = "Session";
}

impl Named for QueuedPrompt {
    const NAME: &str = "Queued prompt";
}

impl Named for TokenInfo {
    const NAME: &str = "Token";
}

impl Named for UserInfo {
    const NAME: &str = "User";
}

impl Named for Webhook {
    const NAME: &str = "Webhook";
}

impl Named for WebhookDelivery {
    const NAME: &str = "Delivery";
}

/// `{id}` of an agent, an environment, a session, a token, a user or a webhook. What is no id names nothing:
/// 404, as for any id that is not there.
#[derive(Debug)]
pub(crate) struct Id<T> {
    /// The id.
    pub(crate) id: Uuid,
    of: PhantomData<fn() -> T>,
}

#[derive(Deserialize)]
struct Raw {
    id: String,
}

impl<T: Named, S: Send + Sync> FromRequestParts<S> for Id<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let raw = Path::<Raw>::from_request_parts(parts, state).await;
        raw.ok()
            .and_then(|Path(Raw { id })| check::id(&id))
            .map(|id| Self {
                id,
                of: PhantomData,
            })
            .ok_or_else(|| ApiError::not_found(format!("{} not found", T::NAME)))
    }
}

impl<T: Named> IntoParams for Id<T> {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![parameter::<T>("id")]
    }
}

/// What belongs to something whose id is the path's `{id}`.
pub(crate) trait Inner: Named {
    /// What its own id is called in paths.
    const PARAMETER: &str;
}

impl Inner for QueuedPrompt {
    const PARAMETER: &str = "queued_id";
}

impl Inner for WebhookDelivery {
    const PARAMETER: &str = "delivery_id";
}

/// The id of what belongs to something, as [`Id`] is that of the thing itself.
#[derive(Debug)]
pub(crate) struct InnerId<T> {
    /// The id.
    pub(crate) id: Uuid,
    of: PhantomData<fn() -> T>,
}

impl<T: Inner, S: Send + Sync> FromRequestParts<S> for InnerId<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let all = RawPathParams::from_request_parts(parts, state).await.ok();
        all.as_ref()
            .and_then(|all| all.iter().find(|(name, _)| *name == T::PARAMETER))
            .and_then(|(_, id)| check::id(id))
            .map(|id| Self {
                id,
                of: PhantomData,
            })
            .ok_or_else(|| ApiError::not_found(format!("{} not found", T::NAME)))
    }
}

impl<T: Inner> IntoParams for InnerId<T> {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![parameter::<T>(T::PARAMETER)]
    }
}

fn parameter<T: Named>(name: &str) -> Parameter {
    let id = ObjectBuilder::new()
        .schema_type(SchemaType::String)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Uuid)))
        .pattern(Some(aod_resources::schema::ID));
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some(format!(
            "The {}'s id: a UUID in lower case, with hyphens.",
            T::NAME.to_lowercase()
        )))
        .schema(Some(id))
        .build()
}
