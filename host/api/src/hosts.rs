//! Which `Host` the server answers for.
//!
//! A page whose name is made to point at this machine (DNS rebinding) has the same origin as a
//! server here, so that the browser lets it speak to it. Its `Host` is the page's name and gives it
//! away.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::HOST;
use axum::http::uri::Authority;
use axum::middleware::Next;
use axum::response::Response;

use crate::error::ApiError;

/// The names that the server answers for.
#[derive(Clone, Debug)]
pub enum Hosts {
    /// Any: others can reach it anyway.
    Any,
    /// Those of this machine, any address, and these.
    Local(Vec<String>),
}

impl Hosts {
    /// Whether the server answers for a `Host`, with or without a port.
    fn answer_for(&self, host: &str) -> bool {
        let Self::Local(more) = self else {
            return true;
        };
        let Ok(authority) = host.parse::<Authority>() else {
            return false;
        };
        let name = authority.host().trim_end_matches('.').to_ascii_lowercase();
        // An address cannot be made to point elsewhere.
        let literal = name.trim_start_matches('[').trim_end_matches(']');
        name == "localhost"
            || name.ends_with(".localhost")
            || literal.parse::<IpAddr>().is_ok()
            || more.iter().any(|known| known.eq_ignore_ascii_case(&name))
    }
}

/// Refuses requests for other hosts with 421. One without a `Host` is no browser's.
pub(crate) async fn check(
    State(hosts): State<Arc<Hosts>>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let host = request.headers().get(HOST).map(|host| host.to_str());
    let fits = match host {
        None => true,
        Some(Ok(host)) => hosts.answer_for(host),
        Some(Err(_)) => false,
    };
    if fits {
        return Ok(next.run(request).await);
    }
    Err(ApiError::other(
        StatusCode::MISDIRECTED_REQUEST,
        "the server does not answer for this Host: name it in `http.allowed_hosts` where a proxy \
         passes it on",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_others_are_refused() {
        let hosts = Hosts::Local(vec!["aod.example.com".to_owned()]);
        for good in [
            "localhost",
            "LOCALHOST:8777",
            "localhost.",
            "a.localhost:1",
            "127.0.0.1:8777",
            "10.1.2.3",
            "[::1]:8777",
            "aod.example.com:443",
            "AOD.example.com",
        ] {
            assert!(hosts.answer_for(good), "{good}");
            assert!(Hosts::Any.answer_for(good), "{good}");
        }
        for bad in [
            "",
            "evil.example.com",
            "evil.example.com:8777",
            "localhost.evil.com",
            "127.0.0.1.evil.com",
            "notlocalhost",
            "a b",
        ] {
            assert!(!hosts.answer_for(bad), "{bad}");
        }
    }
}
