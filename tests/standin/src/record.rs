//! What the stand-in was asked, and the tokens it counted.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Tokens that every reply is said to have read.
pub const INPUT_TOKENS: u64 = 11;
/// Tokens that every reply is said to have written.
pub const OUTPUT_TOKENS: u64 = 7;

/// A request as it came in.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Request {
    /// Milliseconds since 1970 at which it arrived.
    pub at_ms: u64,
    /// The HTTP method.
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// The query, without `?`; empty for none.
    pub query: String,
    /// All headers by lower-case name; of a repeated one the last.
    pub headers: BTreeMap<String, String>,
    /// The credential, whichever way it came, without `Bearer`.
    pub credential: Option<String>,
    /// The model that was asked for, where the request names one.
    pub model: Option<String>,
    /// The body as JSON; null for none, a string for what is no JSON.
    pub body: Value,
    /// The status it was answered with; `None` until then.
    pub status: Option<u16>,
}

/// Tokens of all whole replies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Replies that were given.
    pub replies: u64,
    /// Tokens read: 11 a reply.
    pub input_tokens: u64,
    /// Tokens written: 7 a reply.
    pub output_tokens: u64,
}

/// Requests and tokens so far.
#[derive(Debug, Default)]
pub(crate) struct Records {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    requests: Vec<Request>,
    /// How often the requests were cleared: a late answer must not land on another's request.
    era: u64,
    usage: Usage,
    /// Failures already given, by the prompt that asked for them.
    spent: BTreeMap<String, u32>,
}

/// Where a request was recorded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slot {
    era: u64,
    index: usize,
}

impl Records {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Every change is a single step, so a panic elsewhere leaves nothing half done.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, request: Request) -> Slot {
        let mut inner = self.lock();
        inner.requests.push(request);
        Slot {
            era: inner.era,
            index: inner.requests.len() - 1,
        }
    }

    pub(crate) fn answered(&self, slot: Slot, status: u16) {
        let mut inner = self.lock();
        if inner.era == slot.era
            && let Some(request) = inner.requests.get_mut(slot.index)
        {
            request.status = Some(status);
        }
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.lock().requests.clone()
    }

    pub(crate) fn usage(&self) -> Usage {
        self.lock().usage
    }

    pub(crate) fn clear(&self) {
        let mut inner = self.lock();
        let era = inner.era + 1;
        *inner = Inner {
            era,
            ..Inner::default()
        };
    }

    pub(crate) fn count_reply(&self) {
        let usage = &mut self.lock().usage;
        usage.replies += 1;
        usage.input_tokens += INPUT_TOKENS;
        usage.output_tokens += OUTPUT_TOKENS;
    }

    /// Whether a failure that `prompt` wants `times` times is still due; counts it.
    pub(crate) fn spend(&self, prompt: &str, times: u32) -> bool {
        let mut inner = self.lock();
        let spent = inner.spent.entry(prompt.to_owned()).or_default();
        let due = *spent < times;
        *spent += u32::from(due);
        due
    }
}

impl Request {
    pub(crate) fn new(parts: &axum::http::request::Parts, body: &[u8]) -> Self {
        let body = match body {
            [] => Value::Null,
            _ => serde_json::from_slice(body)
                .unwrap_or_else(|_| String::from_utf8_lossy(body).into_owned().into()),
        };
        let path = parts.uri.path().to_owned();
        let query = parts.uri.query().unwrap_or_default().to_owned();
        let named = body["model"].as_str().map(str::to_owned);
        Self {
            at_ms: now_ms(),
            method: parts.method.to_string(),
            model: named.or_else(|| model_in_path(&path)),
            credential: credential(&parts.headers, &query),
            headers: parts
                .headers
                .iter()
                .map(|(name, value)| {
                    (
                        name.to_string(),
                        String::from_utf8_lossy(value.as_bytes()).into_owned(),
                    )
                })
                .collect(),
            path,
            query,
            body,
            status: None,
        }
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The model of `/v1beta/models/MODEL:METHOD`.
fn model_in_path(path: &str) -> Option<String> {
    let (_, last) = path.rsplit_once("/models/")?;
    Some(last.split(':').next().unwrap_or(last).to_owned())
}

fn credential(headers: &HeaderMap, query: &str) -> Option<String> {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let found = header("x-api-key")
        .or_else(|| header("x-goog-api-key"))
        .or_else(|| {
            header("authorization").map(|value| value.strip_prefix("Bearer ").unwrap_or(value))
        })
        .or_else(|| query.split('&').find_map(|pair| pair.strip_prefix("key=")))?;
    let found = found.trim();
    (!found.is_empty()).then(|| found.to_owned())
}
