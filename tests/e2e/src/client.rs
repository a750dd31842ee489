//! A plain client: requests with a token, replies whole.

use std::time::Duration;

use anyhow::{Context as _, Result};
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::Value;

use crate::contract;
use crate::stream::Stream;

/// How long a single reply may take.
const REPLY: Duration = Duration::from_secs(60);

/// Speaks to a server as one of its users.
#[derive(Clone, Debug)]
pub struct Client {
    base: String,
    token: Option<String>,
    http: reqwest::Client,
}

/// A reply that was read to its end.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The method and path that it answers.
    pub request: String,
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as text.
    pub text: String,
}

impl Reply {
    /// The body as JSON; null for none.
    ///
    /// # Panics
    /// When there is one that is no JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        if self.text.is_empty() {
            return Value::Null;
        }
        match serde_json::from_str(&self.text) {
            Ok(value) => value,
            Err(error) => panic!("{}: {error}: {}", self.request, self.text),
        }
    }

    /// The body as JSON, if the status is the expected one.
    ///
    /// # Panics
    /// When it is another.
    #[track_caller]
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(
            self.status.as_u16(),
            status,
            "{}: {}",
            self.request,
            self.text
        );
        self.json()
    }

    /// The `detail` of an error, if it is the expected one and in the documented envelope.
    ///
    /// # Panics
    /// When the status is another, or the reply is not what an error's should be.
    #[track_caller]
    pub fn refused(&self, status: u16) -> Value {
        let body = self.expect(status);
        self.check_envelope();
        body["detail"].clone()
    }

    /// The `detail` of an error as a sentence.
    ///
    /// # Panics
    /// As [`Reply::refused`], or when `detail` is a list.
    #[track_caller]
    pub fn refusal(&self, status: u16) -> String {
        match self.refused(status) {
            Value::String(text) => text,
            other => panic!("{}: `detail` should be a sentence: {other}", self.request),
        }
    }

    /// Checks that an error is in the documented envelope and has a request id.
    ///
    /// # Panics
    /// When it is not.
    #[track_caller]
    pub fn check_envelope(&self) {
        let about = format!("{} → {}: {}", self.request, self.status, self.text);
        let body = self.json();
        match &body["detail"] {
            Value::String(text) => assert!(!text.is_empty(), "{about}"),
            Value::Array(problems) => {
                assert_eq!(self.status, 422, "{about}");
                assert!(!problems.is_empty(), "{about}");
                for problem in problems {
                    assert!(problem["type"].is_string(), "{about}");
                    assert!(problem["loc"].is_array(), "{about}");
                    assert!(problem["msg"].is_string(), "{about}");
                    assert!(problem.get("input").is_some(), "{about}");
                }
            }
            _ => panic!("no envelope: {about}"),
        }
        assert!(
            self.headers.contains_key("x-request-id"),
            "no x-request-id: {about}"
        );
    }
}

impl Client {
    /// A client of the server at `base`.
    ///
    /// # Panics
    /// When no HTTP client can be made.
    #[must_use]
    pub fn new(base: &str, token: Option<&str>) -> Self {
        match reqwest::Client::builder().no_proxy().build() {
            Ok(http) => Self {
                base: base.to_owned(),
                token: token.map(str::to_owned),
                http,
            },
            Err(error) => panic!("no HTTP client: {error}"),
        }
    }

    /// The server's base URL.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Reads the server's description, so that replies are held against it.
    ///
    /// # Panics
    /// When it cannot be read.
    pub(crate) async fn learn_contract(&self) {
        contract::learn(&self.http, &self.base).await;
    }

    /// The token that is sent along.
    #[must_use]
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// A request that was not sent yet.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        match &self.token {
            Some(token) => request.header(AUTHORIZATION, format!("Bearer {token}")),
            None => request,
        }
    }

    /// Sends a request and reads the reply, which is held against the server's description.
    ///
    /// # Errors
    /// When the server cannot be reached, or breaks the connection off.
    ///
    /// # Panics
    /// When the reply is not as the server describes it.
    pub async fn try_send(&self, request: RequestBuilder) -> Result<Reply> {
        let request = request.timeout(REPLY).build()?;
        let about = format!("{} {}", request.method(), request.url().path());
        let reply = self
            .http
            .execute(request)
            .await
            .with_context(|| about.clone())?;
        let reply = Reply {
            status: reply.status(),
            headers: reply.headers().clone(),
            text: reply.text().await.with_context(|| about.clone())?,
            request: about,
        };
        contract::check(&reply);
        Ok(reply)
    }

    /// Sends a request and reads the reply.
    ///
    /// # Panics
    /// When the server cannot be reached.
    pub async fn send(&self, request: RequestBuilder) -> Reply {
        match self.try_send(request).await {
            Ok(reply) => reply,
            Err(error) => panic!("no reply: {error:#}"),
        }
    }

    /// `GET`.
    pub async fn get(&self, path: &str) -> Reply {
        self.send(self.request(Method::GET, path)).await
    }

    /// `POST` without a body.
    pub async fn post_empty(&self, path: &str) -> Reply {
        self.send(self.request(Method::POST, path)).await
    }

    /// `POST` with JSON.
    pub async fn post(&self, path: &str, body: &Value) -> Reply {
        self.send(self.request(Method::POST, path).json(body)).await
    }

    /// `PUT` with JSON.
    pub async fn put(&self, path: &str, body: &Value) -> Reply {
        self.send(self.request(Method::PUT, path).json(body)).await
    }

    /// `PATCH` with JSON.
    pub async fn patch(&self, path: &str, body: &Value) -> Reply {
        self.send(self.request(Method::PATCH, path).json(body))
            .await
    }

    /// `DELETE`.
    pub async fn delete(&self, path: &str) -> Reply {
        self.send(self.request(Method::DELETE, path)).await
    }

    /// Opens a session's stream.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn stream(&self, session: &str, since: Option<u64>) -> Stream {
        let mut path = format!("/sessions/{session}/stream");
        if let Some(since) = since {
            path.push_str(&format!("?since={since}"));
        }
        self.open(self.request(Method::GET, &path)).await
    }

    /// Opens any stream.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn stream_at(&self, path: &str) -> Stream {
        self.open(self.request(Method::GET, path)).await
    }

    /// Opens a session's stream after the event with that id, said as browsers do.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn stream_after(&self, session: &str, last: u64) -> Stream {
        let path = format!("/sessions/{session}/stream");
        self.open(
            self.request(Method::GET, &path)
                .header("Last-Event-ID", last),
        )
        .await
    }

    /// Opens the output of a session's provisioning as a stream, from a byte on.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn provisioning(&self, session: &str, offset: u64) -> Stream {
        let path = format!("/sessions/{session}/provisioning?offset={offset}");
        let request = self.request(Method::GET, &path);
        self.open(request.header(ACCEPT, "text/event-stream")).await
    }

    async fn open(&self, request: RequestBuilder) -> Stream {
        match request.send().await {
            Ok(reply) => {
                assert_eq!(reply.status(), 200, "{}", reply.url());
                Stream::new(reply)
            }
            Err(error) => panic!("no stream: {error:#}"),
        }
    }
}
