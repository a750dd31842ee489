//! A client of a server, for the commands that ask one.

mod error;
mod named;
mod replies;
mod requests;
mod stream;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Method, RequestBuilder, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use uuid::Uuid;

pub(crate) use self::error::ClientError;
use self::error::Refusal;
pub(crate) use self::named::{AGENT, ENVIRONMENT, Named, SESSION};
pub(crate) use self::replies::{
    EventPage, Listing, PromptAck, RuntimeSummary, SessionAck, StopAck,
};
pub(crate) use self::requests::{
    Answer, Block, Fork, Prompt, PromptRequest, Repository, Restore, SessionRequest,
};
pub(crate) use self::stream::{Message, StreamKind};

/// How long is waited before a lost answer is asked for again, the first time.
const SUBMITTED_AGAIN: Duration = Duration::from_millis(200);
/// And the last.
const LAST_PAUSE: Duration = Duration::from_secs(7);
/// How long a connection may take to stand.
const CONNECTED_IN: Duration = Duration::from_secs(20);

/// A connection's settings.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    url: Arc<str>,
    token: Arc<str>,
}

impl Client {
    /// From `AOD_API_URL` and `AOD_API_TOKEN`.
    pub(crate) fn from_env() -> Result<Self> {
        let url = std::env::var("AOD_API_URL").unwrap_or_else(|_| "http://127.0.0.1:8777".into());
        let token = std::env::var("AOD_API_TOKEN").map_err(|_| ClientError::NoToken)?;
        match reqwest::Url::parse(&url) {
            Ok(parsed) if ["http", "https"].contains(&parsed.scheme()) => {}
            _ => bail!("AOD_API_URL is {url:?}, and should be a URL such as http://127.0.0.1:8777"),
        }
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECTED_IN)
            .build()?;
        Ok(Self {
            http,
            url: url.trim_end_matches('/').into(),
            token: token.trim().into(),
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
        Ok(self.try_accept(request).await?)
    }

    async fn try_accept(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        let unreachable = |source| ClientError::Unreachable {
            url: self.url.to_string(),
            source,
        };
        let response = request.send().await.map_err(unreachable)?;
        match response.status().is_success() {
            true => Ok(response),
            false => Err(ClientError::Refused(Refusal::read(response).await)),
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

    /// Reads something, as the type that it is of.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let response = self.accept(self.request(Method::GET, path)).await?;
        read(path, response).await
    }

    /// Sends a body, and reads what comes back as the type that it is of.
    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &(impl Serialize + Sync),
    ) -> Result<T> {
        let request = self.request(Method::POST, path).json(body);
        read(path, self.accept(request).await?).await
    }

    /// Sends a body that is to be taken once, and reads what comes back. Where the answer is lost,
    /// it is asked for again: the server knows the request by its key.
    pub(crate) async fn submit<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &(impl Serialize + Sync),
    ) -> Result<T> {
        let key = Uuid::new_v4().to_string();
        let mut pause = SUBMITTED_AGAIN;
        loop {
            let request = self.request(Method::POST, path).json(body);
            match self.accept(request.header("idempotency-key", &key)).await {
                Ok(response) => return read(path, response).await,
                // Nothing was sent where nothing could be reached.
                Err(error) if !ClientError::is_lost(&error) && pause == SUBMITTED_AGAIN => {
                    return Err(error);
                }
                Err(error) if !ClientError::is_passing(&error) || pause > LAST_PAUSE => {
                    return Err(error);
                }
                Err(_) => tokio::time::sleep(pause).await,
            }
            pause *= 2;
        }
    }
}

async fn read<T: DeserializeOwned>(path: &str, response: Response) -> Result<T> {
    let bytes = response.bytes().await?;
    serde_json::from_slice(&bytes).with_context(|| {
        format!(
            "what the server says at {path} cannot be understood: it may be of another version \
             than this command"
        )
    })
}

/// What need not be encoded in a segment of a path, apart from letters and digits.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b':');

/// A text as one segment of a path, or as a value in a query.
pub(crate) fn segment(text: &str) -> String {
    utf8_percent_encode(text, PLAIN).to_string()
}

/// Runs what asks a server.
pub(crate) fn blocking<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(work)
}
