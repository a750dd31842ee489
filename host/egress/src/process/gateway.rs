//! Putting credentials in the place of their placeholders.

use std::io;
use std::sync::Arc;

use aod_egress::{Credential, Gateway, Sent as SentAs, Upstream};
use aod_launch::Flag;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::http::uri::{Authority, Scheme};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::client::legacy::Error;
use percent_encoding::percent_decode_str;

use super::answers::Counter;
use super::bodies::{Bodies, KeptBody, KeptHead};
use super::calls::Calls;
use super::fill::fill_query;
use super::guarded::Guarded;
use super::http::{Body, HttpClient, failure, lead_to, pass_on, reply, strip};
use super::renewals::{Given, Renewable, Renewals, Sent};
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
    credentials: Vec<Held>,
    authorization: Option<HeaderValue>,
    client: HttpClient,
    shared: Shared,
    /// Where an MCP server is behind it whose tools may not all be called.
    guarded: Option<Guarded>,
    /// Where tokens are counted.
    counter: Option<Counter>,
    /// Where a model is behind it: so many requests are passed on.
    rounds: Option<Rounds>,
}

/// What all that fills in credentials has in common.
#[derive(Clone)]
pub(super) struct Shared {
    /// Whether a turn runs: credentials are for turns.
    pub(super) in_use: Arc<Flag>,
    pub(super) renewals: Renewals,
    pub(super) bodies: Bodies,
}

/// A credential, and where requests carry it.
struct Held {
    placeholder: String,
    value: Renewable,
    /// Headers, each with what stands in front of the credential.
    headers: Vec<(HeaderName, String)>,
    parameters: Vec<String>,
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
        shared: Shared,
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
        let credentials = gateway.credentials.into_iter();
        Ok(Self {
            scheme: if tls { Scheme::HTTPS } else { Scheme::HTTP },
            authority: authority.parse().map_err(io::Error::other)?,
            path: path.trim_end_matches('/').to_owned(),
            credentials: credentials
                .map(|credential| Held::new(credential, &shared.renewals))
                .collect(),
            authorization: authorization.transpose()?,
            client,
            shared,
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

    /// Passes a request on, and once more where the upstream refuses a credential of which there is
    /// another value by then.
    pub(super) async fn send(&self, request: Request<Body>) -> Result<Response<Incoming>, Refused> {
        let is_renewed = self.credentials.iter().any(|it| it.value.is_renewed());
        let head = is_renewed.then(|| KeptHead::of(&request));
        let (request, sent) = self.translate(request)?;
        let is_kept = head.is_some() && !sent.is_empty();
        let (request, body) = self.shared.gather(request, is_kept).await?;
        let answer = self.ask_within_allowance(request).await?;
        if answer.status() != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        if !self.shared.renewals.is_renewed(sent, &body).await {
            return Ok(answer);
        }
        match head.and_then(|head| head.with(&body)) {
            // The turn may be over by now.
            Some(request) => match self.translate(request) {
                Ok((request, _)) => self.ask(request).await,
                Err(_) => Ok(answer),
            },
            None => Ok(answer),
        }
    }

    /// The same, as one of the requests to a model that the turn may make. One that is sent once more
    /// is no other.
    async fn ask_within_allowance(
        &self,
        request: Request<Body>,
    ) -> Result<Response<Incoming>, Refused> {
        let Some(rounds) = &self.rounds else {
            return self.ask(request).await;
        };
        let (request, stopped) = rounds.watch(request).await?;
        tokio::select! {
            biased;
            Ok(most) = stopped => Err(rounds::refused_after(most)),
            answer = self.ask(request) => answer,
        }
    }

    async fn ask(&self, request: Request<Body>) -> Result<Response<Incoming>, Refused> {
        self.client.request(request).await.map_err(not_reached)
    }

    /// The request as the upstream gets it, and what in it may be refused for another value.
    fn translate(&self, mut request: Request<Body>) -> Result<(Request<Body>, Vec<Sent>), Refused> {
        if !self.shared.in_use.is_set() {
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
        if matches!(*request.method(), Method::TRACE | Method::CONNECT) {
            // The answer to the one would have the credential (RFC 9110, section 9.3.8), and the
            // other is no request of this upstream's.
            let message = format!("this gateway takes no {}", request.method());
            return Err(Refused(StatusCode::METHOD_NOT_ALLOWED, "method", message));
        }
        strip(request.headers_mut());
        let values: Vec<Given> = self.credentials.iter().map(|it| it.value.given()).collect();
        let mut used = vec![false; values.len()];
        let query = query.map(|query| self.fill_query(&query, &values, &mut used));
        self.fill_headers(request.headers_mut(), &values, &mut used);
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
        if !used.is_empty() && !used.contains(&true) {
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
        let sent = values.iter().zip(used).filter(|(_, is_used)| *is_used);
        Ok((
            request,
            sent.filter_map(|(value, _)| value.sent()).collect(),
        ))
    }

    /// Puts credentials in the place of their placeholders, and notes which.
    fn fill_headers(&self, headers: &mut HeaderMap, values: &[Given], used: &mut [bool]) {
        for ((held, value), used) in self.credentials.iter().zip(values).zip(used) {
            for (name, prefix) in &held.headers {
                let filled = headers
                    .get(name)
                    .and_then(|given| given.to_str().ok())
                    .and_then(|given| replaced(given, prefix, &held.placeholder, &value.value));
                if let Some(filled) = filled {
                    headers.insert(name, filled);
                    *used = true;
                }
            }
        }
    }

    /// The query with credentials in it, and notes which.
    fn fill_query(&self, query: &str, values: &[Given], used: &mut [bool]) -> String {
        let (query, _) = fill_query(query, |name, value| {
            let held = self.credentials.iter().position(|held| {
                held.placeholder == value && held.parameters.iter().any(|it| it == name)
            })?;
            used[held] = true;
            Some(values[held].value.as_str())
        });
        query
    }
}

impl Held {
    fn new(credential: Credential, renewals: &Renewals) -> Self {
        let Credential {
            placeholder,
            value,
            sent,
            renewed_as,
        } = credential;
        let (mut headers, mut parameters) = (Vec::new(), Vec::new());
        for sent in sent {
            match sent {
                // One that is no name of a header is in no request.
                SentAs::Header { name, prefix } => {
                    headers.extend(name.parse().ok().map(|name| (name, prefix)));
                }
                SentAs::Query(name) => parameters.push(name),
            }
        }
        Self {
            placeholder,
            value: renewals.credential(value, renewed_as),
            headers,
            parameters,
        }
    }
}

impl Shared {
    /// A request that goes out in as few pieces as can be, and its body, where that is to be kept.
    async fn gather(
        &self,
        request: Request<Body>,
        is_kept: bool,
    ) -> Result<(Request<Body>, KeptBody), Refused> {
        let gathered = self.bodies.gather(request, is_kept).await;
        gathered.map_err(|error| {
            let message = format!("the request's body: {error}");
            Refused(StatusCode::BAD_REQUEST, "request", message)
        })
    }
}

fn not_reached(error: Error) -> Refused {
    let (status, reason) = failure(&error);
    Refused(status, "upstream", reason)
}

/// A header's value with the credential instead of its placeholder, if it is that.
fn replaced(given: &str, prefix: &str, placeholder: &str, value: &str) -> Option<HeaderValue> {
    let (front, rest) = given.split_at_checked(prefix.len())?;
    // Schemes of authentication are written in any case (RFC 9110, section 11.1).
    if !front.eq_ignore_ascii_case(prefix) || rest.trim() != placeholder {
        return None;
    }
    let filled = zeroize::Zeroizing::new(format!("{prefix}{value}"));
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
        let filled = |given, prefix| {
            let value = replaced(given, prefix, "aod-brokered-1", "true-key")?;
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
