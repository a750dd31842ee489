//! Who is calling: `Authorization: Bearer aod_…`.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use uuid::Uuid;

use crate::Api;
use crate::error::ApiError;

/// An authenticated caller.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// The user that the token stands for.
    pub(crate) user: Uuid,
    /// Whether they may reload runtimes and read metrics.
    pub(crate) admin: bool,
    /// The token's name: what the user's trail of credentials says of who did something.
    pub(crate) token: String,
}

impl Caller {
    /// Refuses callers that are no administrators.
    pub(crate) fn administrator(&self) -> Result<(), ApiError> {
        if self.admin {
            return Ok(());
        }
        Err(ApiError::unauthorized(
            "this needs an administrator's token: make one with `aod token create NAME --user ADMIN`",
        ))
    }
}

impl FromRequestParts<Api> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, ApiError> {
        let token = parts
            .headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| {
                let (scheme, token) = value.split_once(' ')?;
                scheme
                    .eq_ignore_ascii_case("bearer")
                    .then_some(token.trim())
            });
        let Some(token) = token else {
            return Err(ApiError::unauthorized(
                "send a token as `Authorization: Bearer aod_…`; `aod token create NAME` makes one",
            ));
        };
        match api.users.authenticate(token).await? {
            Some(found) => Ok(Self {
                user: found.user.id,
                admin: found.user.admin,
                token: found.token,
            }),
            None => Err(refusal(api, parts)),
        }
    }
}

/// The reply to a token that is not good: 401, or 429 where its address has had too many of them.
fn refusal(api: &Api, parts: &Parts) -> ApiError {
    let address = parts
        .extensions
        .get::<ConnectInfo<SocketAddr>>()
        .map_or(IpAddr::from([0, 0, 0, 0]), |ConnectInfo(address)| {
            address.ip()
        });
    match api.failures.count(address) {
        Some(wait) => ApiError::slow_down(wait),
        None => ApiError::unauthorized(
            "this token is unknown, expired or revoked; `aod token create NAME` makes another",
        ),
    }
}
