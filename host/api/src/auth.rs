//! Who is calling: `Authorization: Bearer aod_…`.

use std::net::{IpAddr, SocketAddr};

use aod_resources::Actor;
use axum::extract::{ConnectInfo, FromRequestParts, MatchedPath};
use axum::http::Method;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use uuid::Uuid;

use crate::Api;
use crate::description::described;
use crate::error::ApiError;
use crate::query;

/// An authenticated caller, whose query holds nothing that the operation does not know.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// The user that the token stands for.
    pub(crate) user: Uuid,
    /// Whether they may reload runtimes and read metrics.
    pub(crate) admin: bool,
    /// The token's name.
    token: String,
}

impl Caller {
    /// What the user's trail of credentials says of who did something.
    pub(crate) fn actor(self) -> Actor {
        Actor::Token { name: self.token }
    }

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
        let Some(found) = api.users.authenticate(token).await? else {
            return Err(refusal(api, parts));
        };
        check_query(api, parts)?;
        Ok(Self {
            user: found.user.id,
            admin: found.user.admin,
            token: found.token,
        })
    }
}

/// Refuses parameters that the operation does not know: a caller who sent one believes in it. This
/// is done for whoever is let in, since each operation asks who that is, and does so first.
pub(crate) fn check_query(api: &Api, parts: &Parts) -> Result<(), ApiError> {
    let Some(path) = parts.extensions.get::<MatchedPath>() else {
        return Ok(());
    };
    let operation = (parts.method.clone(), described(path.as_str()));
    // `HEAD` is answered as `GET` is.
    let known = match api.queries.get(&operation) {
        None => api.queries.get(&(Method::GET, operation.1)),
        known => known,
    };
    let unknown = query::unknown(parts, known.map_or(&[], Vec::as_slice));
    match unknown.is_empty() {
        true => Ok(()),
        false => Err(ApiError::invalid(unknown)),
    }
}

/// Where a request comes from.
pub(crate) fn address(parts: &Parts) -> IpAddr {
    parts
        .extensions
        .get::<ConnectInfo<SocketAddr>>()
        .map_or(IpAddr::from([0, 0, 0, 0]), |ConnectInfo(address)| {
            address.ip()
        })
}

/// The reply to a token that is not good: 401, or 429 where its address has had too many of them.
fn refusal(api: &Api, parts: &Parts) -> ApiError {
    match api.failures.count(address(parts)) {
        Some(wait) => ApiError::slow_down(wait),
        None => ApiError::unauthorized(
            "this token is unknown, expired or revoked; `aod token create NAME` makes another",
        ),
    }
}
