//! Login links of the console: a code that is good once, for two minutes and on the server's own
//! machine, is traded for a token. So no token ever stands in an address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use aod_resources::Timestamp;
use aod_resources::shape::Text;
use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::header::FORWARDED;
use axum::http::request::Parts;
use axum::http::{HeaderName, StatusCode};
use secrecy::ExposeSecret as _;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::Api;
use crate::auth::{self, Caller};
use crate::body::Body;
use crate::error::ApiError;

/// How long a code is good.
const GOOD_FOR: Duration = Duration::from_secs(120);
/// How long a token is good that was traded for a code.
const TOKEN_GOOD_FOR: Duration = Duration::from_secs(7 * 24 * 3600);
/// How many codes of a user may wait at once; the oldest makes room.
const CODES: usize = 16;
/// The name of tokens that are traded for codes.
const TOKEN_NAME: &str = "console";

/// Codes that wait to be traded. They are not kept: a server that starts again knows none.
#[derive(Default)]
pub(crate) struct Logins(Mutex<HashMap<String, Code>>);

struct Code {
    user: Uuid,
    until: Instant,
}

impl Logins {
    /// Makes a code for a user.
    fn issue(&self, user: Uuid, now: Instant) -> String {
        let code = Uuid::new_v4().simple().to_string();
        let mut codes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        codes.retain(|_, code| code.until > now);
        let theirs = codes.iter().filter(|(_, code)| code.user == user);
        if theirs.clone().count() >= CODES
            && let Some(oldest) = theirs.min_by_key(|(_, code)| code.until)
        {
            let oldest = oldest.0.clone();
            codes.remove(&oldest);
        }
        let until = now + GOOD_FOR;
        codes.insert(code.clone(), Code { user, until });
        code
    }

    /// Takes a code, which is gone then, and says whose it was.
    fn redeem(&self, code: &str, now: Instant) -> Option<Uuid> {
        let mut codes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let code = codes.remove(code)?;
        (code.until > now).then_some(code.user)
    }
}

/// The routes of login links.
pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(trade))
        .routes(routes!(issue))
}

aod_resources::input! {
    /// A code of a login link.
    example r#"{"code": "5f0c6d0f8b6a4f0d9a3c2b1a0f9e8d7c"}"#
    pub(crate) struct LoginCode {
        /// What stands behind `#login=` in the link.
        required code: String = Text::new(1, 200).shape(),
    }
}

/// A code that was just made.
#[derive(Serialize, ToSchema)]
struct IssuedCode {
    /// The code: it belongs behind `/#login=` in the console's address.
    code: String,
    /// From when on it is not good any more.
    expires_at: Timestamp,
}

/// The token that a code was traded for.
#[derive(Serialize, ToSchema)]
struct TradedToken {
    /// The token itself. It is not kept and cannot be shown again.
    token: String,
    /// From when on it is refused.
    expires_at: Timestamp,
}

fn from_now(duration: Duration) -> Timestamp {
    // Days have far fewer microseconds than fit.
    let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_micros(Timestamp::now().as_micros().saturating_add(micros))
}

/// A request from the server's own machine, whose query holds nothing: it has no parameters.
struct Local(IpAddr);

impl FromRequestParts<Api> for Local {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, ApiError> {
        auth::check_query(api, parts)?;
        let address = auth::address(parts);
        // What a proxy passes on comes from elsewhere, though the proxy may be here.
        let is_passed_on = [FORWARDED, HeaderName::from_static("x-forwarded-for")]
            .iter()
            .any(|name| parts.headers.contains_key(name));
        if address.to_canonical().is_loopback() && !is_passed_on {
            return Ok(Self(address));
        }
        Err(ApiError::unprocessable(
            "login links work on the server's own machine alone: log in with a token",
        ))
    }
}

/// Makes a code for a login link of the console.
///
/// It is good for one login as the caller, for two minutes, from the server's own machine.
#[utoipa::path(post, path = "/login/codes", tag = "tokens",
    responses((status = 201, body = IssuedCode)))]
async fn issue(State(api): State<Api>, caller: Caller) -> (StatusCode, Json<IssuedCode>) {
    let expires_at = from_now(GOOD_FOR);
    let code = api.logins.issue(caller.user, Instant::now());
    (StatusCode::CREATED, Json(IssuedCode { code, expires_at }))
}

/// Trades the code of a login link for a token. It needs no token itself.
#[utoipa::path(post, path = "/login", tag = "tokens", request_body = LoginCode,
    responses((status = 201, body = TradedToken), (status = 400), (status = 404),
        (status = 422), (status = 429), (status = 507)), security(()))]
async fn trade(
    State(api): State<Api>,
    Local(address): Local,
    Body { value, .. }: Body<LoginCode>,
) -> Result<(StatusCode, Json<TradedToken>), ApiError> {
    let Some(user) = api.logins.redeem(&value.code, Instant::now()) else {
        return Err(match api.failures.count(address) {
            Some(wait) => ApiError::slow_down(wait),
            None => ApiError::not_found(
                "this login link was used already or is older than two minutes: `aod login` prints another",
            ),
        });
    };
    let expires_at = from_now(TOKEN_GOOD_FOR);
    let name = TOKEN_NAME.to_owned();
    let (_, secret) = api.users.create_token(user, name, Some(expires_at)).await?;
    let token = secret.expose_secret().to_owned();
    Ok((StatusCode::CREATED, Json(TradedToken { token, expires_at })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_good_once_and_for_two_minutes() {
        let logins = Logins::default();
        let (user, now) = (Uuid::new_v4(), Instant::now());
        let code = logins.issue(user, now);
        assert_eq!(logins.redeem("other", now), None);
        assert_eq!(logins.redeem(&code, now), Some(user));
        assert_eq!(logins.redeem(&code, now), None);
        let late = logins.issue(user, now);
        assert_eq!(logins.redeem(&late, now + GOOD_FOR), None);
    }

    #[test]
    fn a_user_has_few_codes_and_takes_none_from_others() {
        let logins = Logins::default();
        let (user, other, now) = (Uuid::new_v4(), Uuid::new_v4(), Instant::now());
        let others = logins.issue(other, now);
        let first = logins.issue(user, now);
        let mut last = String::new();
        for n in 1..=CODES {
            let later = now + Duration::from_millis(n.try_into().unwrap());
            last = logins.issue(user, later);
        }
        assert_eq!(logins.redeem(&first, now), None);
        assert_eq!(logins.redeem(&last, now), Some(user));
        assert_eq!(logins.redeem(&others, now), Some(other));
    }
}
