//! Putting credentials in the place of their placeholders.

use std::io;
use std::sync::Arc;

use aod_egress::{Credential, Gateway, Sent, Upstream};
use aod_launch::Flag;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::http::uri::{Authority, Scheme};
use hyper::{Request, Response, StatusCode};
use hyper_util::client::legacy::Error;
use percent_encoding::percent_decode_str;

use super::answers::Counter;
use super::calls::Calls;
use super::fill::{Filled, fill_query};
use super::guarded::Guarded;
use super::http::{Body, HttpClient, failure, lead_to, pass_on, reply, strip};
use super::rounds::{self, Rounds};
use super::tokens::Tokens;

/// What is said to whoever asks between turns.
pub(super) const AT_REST: &str = "no turn of this session is running: its credentials work again \
    when the next one begins";

/// A gateway to one upstream.
pub(super) struct GatewayServer {
    scheme: Scheme,
    authority: Authority,
    /// What every path begins with.
    path: String,
    credentials: Vec<Credential>,
    authorization: Option<HeaderValue>,
    client: HttpClient,
    /// Whether a turn runs: credentials are for turns.
    in_use: Arc<Flag>,
    /// Where an MCP server is behind it whose tools may not all be called.
    guarded: Option<Guarded>,
    /// Where tokens are counted.
    counter: Option<Counter>,
    /// Where a model is behind it: so many requests are passed on.
    rounds: Option<Rounds>,
}

/// Why a request is not passed on.
pub(super) struct Refused(
    pub(super) StatusCode,
    pub(super) &'static str,
    pub(super) String,
);

impl GatewayServer {
    pub(super) fn new(
        gateway: Gateway,
        client: HttpClient,
        in_use: Arc<Flag>,
        calls: Calls,
        tokens: &Tokens,
        rounds: &Rounds,
    ) -> io::Result<Self> {
        let Upstream {
            tls,
            host,
            port,
            path,
        } = gateway.upstream;
        let authority = format!("{host}:{port}");
        let authorization = gateway.authorization.map(|value| {
            let mut value = HeaderValue::from_bytes(value.expose()).map_err(io::Error::other)?;
            value.set_sensitive(true);
            Ok::<_, io::Error>(value)
        });
        Ok(Self {
            scheme: if tls { Scheme::HTTPS } else { Scheme::HTTP },
            authority: authority.parse().map_err(io::Error::other)?,
            path: path.trim_end_matches('/').to_owned(),
            credentials: gateway.credentials,
            authorization: authorization.transpose()?,
            client,
            in_use,
            rounds: gateway.usage.is_some().then(|| rounds.clone()),
            guarded: gateway.tools.map(|policy| Guarded::new(policy, calls)),
            counter: gateway
                .usage
                .map(|fields| Counter::new(fields, tokens.clone())),
        })
    }

    /// Answers one request.
    pub(super) async fn handle(self: Arc<Self>, request: Request<Incoming>) -> Response<Body> {
        let answer = match &self.guarded {
            Some(guarded) => guarded.handle(&self, request).await,
            None => self
                .send(request.map(BodyExt::boxed))
                .await
                .map(|answer| self.pass_on(answer)),
        };
        answer.unwrap_or_else(|Refused(status, kind, message)| {
            let error = serde_json::json!({
                "error": { "type": format!("aod_gateway_{kind}"), "message": message },
            });
            reply(status, "application/json", error.to_string())
        })
    }

    /// An answer of the upstream's, to be passed on.
    fn pass_on(&self, mut answer: Response<Incoming>) -> Response<Body> {
        match &self.counter {
            Some(counter) => {
                strip(answer.headers_mut());
                counter.count(answer)
            }
            None => pass_on(answer),
        }
    }

    /// Passes a request on.
    pub(super) async fn send(&self, request: Request<Body>) -> Result<Response<Incoming>, Refused> {
        let request = self.translate(request)?;
        let Some(rounds) = &self.rounds else {
            return self.client.request(request).await.map_err(not_reached);
        };
        let (request, stopped) = rounds.watch(request).await?;
        tokio::select! {
            biased;
            Ok(most) = stopped => Err(rounds::refused_after(most)),
            answer = self.client.request(request) => answer.map_err(not_reached),
        }
    }

    /// The request as the upstream gets it.
    fn translate(&self, mut request: Request<Body>) -> Result<Request<Body>, Refused> {
        if !self.in_use.is_set() {
            return Err(Refused(
                StatusCode::UNAUTHORIZED,
                "turn",
                AT_REST.to_owned(),
            ));
        }
        if request.headers().contains_key(header::UPGRADE) {
            // Clients that would rather have a WebSocket go on without (RFC 9110, section 15.5.22).
            let message = "this gateway takes plain requests".to_owned();
            return Err(Refused(StatusCode::UPGRADE_REQUIRED, "upgrade", message));
        }
        let query = request.uri().query().map(str::to_owned);
        let path = request.uri().path();
        if !is_below(path, &self.path) {
            let message = format!("this gateway has no path {path:?}");
            return Err(Refused(StatusCode::FORBIDDEN, "path", message));
        }
        strip(request.headers_mut());
        let (query, in_query) = self.fill_query(query.as_deref());
        let in_headers = self.fill_headers(request.headers_mut());
        if let Some(authorization) = &self.authorization {
            let headers = request.headers_mut();
            headers.insert(header::AUTHORIZATION, authorization.clone());
        }
        if self.counter.is_some() {
            // What is read has to be readable.
            let identity = HeaderValue::from_static("identity");
            request
                .headers_mut()
                .insert(header::ACCEPT_ENCODING, identity);
        }
        let is_required = !self.credentials.is_empty();
        if is_required && !in_query && !in_headers {
            let message = "the request has no credential of this sandbox".to_owned();
            return Err(Refused(StatusCode::UNAUTHORIZED, "credential", message));
        }
        let (scheme, authority) = (self.scheme.clone(), self.authority.clone());
        lead_to(&mut request, scheme, authority, query.as_deref()).ok_or_else(|| {
            Refused(
                StatusCode::BAD_REQUEST,
                "request",
                "the URL is invalid".to_owned(),
            )
        })?;
        Ok(request)
    }

    /// Whether a header had a placeholder.
    fn fill_headers(&self, headers: &mut HeaderMap) -> bool {
        let mut has_filled = false;
        for credential in &self.credentials {
            for sent in &credential.sent {
                let Sent::Header { name, prefix } = sent else {
                    continue;
                };
                let Ok(name) = name.parse::<HeaderName>() else {
                    continue;
                };
                let Some(filled) = headers
                    .get(&name)
                    .and_then(|value| value.to_str().ok())
                    .and_then(|value| replaced(value, prefix, credential))
                else {
                    continue;
                };
                headers.insert(name, filled);
                has_filled = true;
            }
        }
        has_filled
    }

    /// The query, and whether it had a placeholder.
    fn fill_query(&self, query: Option<&str>) -> (Option<String>, bool) {
        let Some(query) = query else {
            return (None, false);
        };
        let (query, filled) = fill_query(query, |name, value| {
            let credential = self.credentials.iter().find(|credential| {
                credential.placeholder == value
                    && credential.sent.contains(&Sent::Query(name.to_owned()))
            });
            credential.map(|credential| credential.value.as_str())
        });
        (Some(query), filled == Filled::Done)
    }
}

fn not_reached(error: Error) -> Refused {
    let (status, reason) = failure(&error);
    Refused(status, "upstream", reason)
}

/// A header's value with the credential instead of its placeholder, if it is that.
fn replaced(value: &str, prefix: &str, credential: &Credential) -> Option<HeaderValue> {
    let (front, rest) = value.split_at_checked(prefix.len())?;
    // Schemes of authentication are written in any case (RFC 9110, section 11.1).
    if !front.eq_ignore_ascii_case(prefix) || rest.trim() != credential.placeholder {
        return None;
    }
    let filled = zeroize::Zeroizing::new(format!("{prefix}{}", *credential.value));
    let mut filled = HeaderValue::from_str(&filled).ok()?;
    filled.set_sensitive(true);
    Some(filled)
}

/// Whether a path lies below a prefix, however a server may read it.
fn is_below(path: &str, prefix: &str) -> bool {
    let has_dots = path.split(['/', '\\']).any(|segment| {
        let segment = percent_decode_str(segment).decode_utf8_lossy();
        // An encoded slash may hide further segments.
        segment
            .split(['/', '\\'])
            .any(|part| matches!(part, "." | ".."))
    });
    let is_beneath = path
        .strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    !has_dots && is_beneath
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_below_their_prefix() {
        for (path, prefix) in [
            ("/v1/messages", ""),
            ("/", ""),
            ("/team/v1/messages", "/team"),
            ("/team", "/team"),
            ("/team/v1beta/models/x:generate", "/team"),
            ("/team/a..b/.c", "/team"),
        ] {
            assert!(is_below(path, prefix), "{path} {prefix}");
        }
        for (path, prefix) in [
            ("/other", "/team"),
            ("/teams", "/team"),
            ("/team/../other", "/team"),
            ("/team/%2e%2e/other", "/team"),
            ("/team/.%2E/other", "/team"),
            ("/team/..%2fother", "/team"),
            ("/team/x%2f..%2f..%2fother", "/team"),
            ("/team/..\\other", "/team"),
            ("/..", ""),
            ("*", "/team"),
        ] {
            assert!(!is_below(path, prefix), "{path} {prefix}");
        }
    }

    #[test]
    fn a_placeholder_is_replaced_where_the_credential_is_sent() {
        let credential = Credential {
            placeholder: "aod-brokered-1".to_owned(),
            value: "true-key".to_owned().into(),
            sent: Vec::new(),
        };
        let filled = |value, prefix| {
            let value = replaced(value, prefix, &credential)?;
            assert!(value.is_sensitive());
            Some(value.to_str().unwrap().to_owned())
        };
        let key = |text: &str| Some(text.to_owned());
        assert_eq!(filled("aod-brokered-1", ""), key("true-key"));
        assert_eq!(
            filled("Bearer aod-brokered-1", "Bearer "),
            key("Bearer true-key")
        );
        assert_eq!(
            filled("bearer  aod-brokered-1", "Bearer "),
            key("Bearer true-key")
        );
        for other in [
            "",
            "Bearer",
            "aod-brokered-1",
            "Bearer aod-brokered-12",
            "Basic aod-brokered-1",
        ] {
            assert_eq!(filled(other, "Bearer "), None, "{other}");
        }
    }
}
