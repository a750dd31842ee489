//! A client of a server, as `aod run` needs it.

use anyhow::{Context as _, Result, bail};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::Value;

/// A connection's settings.
#[derive(Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    url: String,
    token: String,
}

impl Client {
    /// From `AOD_API_URL` and `AOD_API_TOKEN`.
    pub(crate) fn from_env() -> Result<Self> {
        let url = std::env::var("AOD_API_URL").unwrap_or_else(|_| "http://127.0.0.1:8777".into());
        let token = std::env::var("AOD_API_TOKEN").context(
            "AOD_API_TOKEN is not set: make a token with `aod token create NAME` and export it",
        )?;
        match reqwest::Url::parse(&url) {
            Ok(parsed) if ["http", "https"].contains(&parsed.scheme()) => {}
            _ => bail!("AOD_API_URL is {url:?}, and should be a URL such as http://127.0.0.1:8777"),
        }
        let http = reqwest::Client::builder().build()?;
        Ok(Self {
            http,
            url: url.trim_end_matches('/').to_owned(),
            token,
        })
    }

    /// The server's URL, without a slash at its end.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Sends a request and fails with the server's own words where it is refused.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Response> {
        let mut request = self.request(method, path);
        if let Some(body) = body {
            request = request.json(body);
        }
        self.accept(request).await
    }

    /// A request that is not sent yet.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http
            .request(method, format!("{}{path}", self.url))
            .bearer_auth(&self.token)
    }

    /// The same for a request that is made already.
    pub(crate) async fn accept(&self, request: RequestBuilder) -> Result<Response> {
        let response = request.send().await.with_context(|| {
            format!(
                "cannot reach the server at {}: is it running? (`aod serve`)",
                self.url
            )
        })?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body: Value = response.json().await.unwrap_or_default();
        match &body["detail"] {
            Value::String(detail) => bail!("{detail} ({status})"),
            Value::Null => bail!("the server answered {status}"),
            Value::Array(problems) => {
                let problems: Vec<_> = problems.iter().map(sentence).collect();
                bail!("{} ({status})", problems.join("; "))
            }
            problems => bail!("{problems} ({status})"),
        }
    }

    /// Sends a request and reads the JSON that comes back.
    pub(crate) async fn json(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value> {
        Ok(self.send(method, path, body).await?.json().await?)
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

/// What need not be encoded in a segment of a path, apart from letters and digits.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b':');

/// A text as one segment of a path.
pub(crate) fn segment(text: &str) -> String {
    utf8_percent_encode(text, PLAIN).to_string()
}
