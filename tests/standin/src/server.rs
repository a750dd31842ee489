//! The routes: recording, checking the key, answering.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request as HttpRequest, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::dialect::Dialect;
use crate::dialect::anthropic::Messages;
use crate::dialect::chat::Chat;
use crate::dialect::gemini::Gemini;
use crate::dialect::responses::Responses;
use crate::mcp;
use crate::play;
use crate::record::{INPUT_TOKENS, Records, Request};
use crate::script::{self, End, Outcome};

/// The largest body that is read: conversations with pictures are large.
const MAX_BODY: usize = 64 << 20;
/// Where Gemini's models are.
const GEMINI_MODELS: &str = "/v1beta/models/";

/// What all requests share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) records: Records,
    /// Makes ids differ from those of another stand-in that the same conversation met.
    seed: u64,
    next: AtomicU64,
    /// As they stand in JSON: what is replaced by what.
    instead: Vec<(String, String)>,
}

impl Shared {
    pub(crate) fn new(seed: u64, instead: &[(String, String)]) -> Self {
        let in_json = |text: &str| {
            let quoted = Value::from(text).to_string();
            quoted[1..quoted.len() - 1].to_owned()
        };
        Self {
            records: Records::default(),
            seed,
            next: AtomicU64::new(1),
            instead: instead
                .iter()
                .map(|(text, other)| (in_json(text), in_json(other)))
                .collect(),
        }
    }

    /// A body as it is taken.
    fn reworded(&self, body: Bytes) -> Bytes {
        let Ok(text) = std::str::from_utf8(&body) else {
            return body;
        };
        let mut text = Cow::Borrowed(text);
        for (asked, other) in &self.instead {
            if text.contains(asked.as_str()) {
                text = text.replace(asked.as_str(), other).into();
            }
        }
        match text {
            Cow::Borrowed(_) => body,
            Cow::Owned(text) => text.into(),
        }
    }

    fn id(&self, prefix: &str) -> String {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        format!("{prefix}{:012x}{number:012x}", self.seed & 0xffff_ffff_ffff)
    }
}

/// All routes.
pub(crate) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/_requests", get(recorded).delete(clear))
        .route("/_usage", get(usage))
        .fallback(provider)
        .with_state(shared)
}

async fn recorded(State(shared): State<Arc<Shared>>) -> Json<Vec<Request>> {
    Json(shared.records.requests())
}

async fn clear(State(shared): State<Arc<Shared>>) -> StatusCode {
    shared.records.clear();
    StatusCode::NO_CONTENT
}

async fn usage(State(shared): State<Arc<Shared>>) -> Json<crate::Usage> {
    Json(shared.records.usage())
}

/// Everything that a provider would be asked: recorded, whatever becomes of it.
async fn provider(State(shared): State<Arc<Shared>>, request: HttpRequest) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MAX_BODY).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let body = shared.reworded(body);
    let request = Request::new(&parts, &body);
    let slot = shared.records.add(request.clone());
    let response = route(&shared, &parts.method, &request);
    shared.records.answered(slot, response.status().as_u16());
    response
}

fn route(shared: &Shared, method: &Method, request: &Request) -> Response {
    if request.path == mcp::PATH {
        return mcp::serve(method, request);
    }
    match *method {
        Method::GET | Method::HEAD => route_get(request),
        Method::POST => route_post(shared, request),
        _ => not_served(request),
    }
}

fn route_get(request: &Request) -> Response {
    match request.path.as_str() {
        "/" => StatusCode::OK.into_response(),
        // Clients that try a WebSocket first take this status for "use plain HTTP".
        "/v1/responses" if request.headers.contains_key("upgrade") => failure(
            Responses,
            StatusCode::UPGRADE_REQUIRED,
            "WebSockets are not served",
        ),
        "/v1/models" if request.headers.contains_key("anthropic-version") => {
            keyed(Messages, request, || json!({"data": [], "has_more": false}))
        }
        "/v1/models" => keyed(Responses, request, || json!({"object": "list", "data": []})),
        "/v1beta/models" => keyed(Gemini, request, || json!({"models": []})),
        _ => not_served(request),
    }
}

fn route_post(shared: &Shared, request: &Request) -> Response {
    let path = request.path.as_str();
    match path {
        "/v1/messages" => answer(shared, Messages, request),
        "/v1/messages/count_tokens" => {
            keyed(Messages, request, || json!({"input_tokens": INPUT_TOKENS}))
        }
        "/v1/responses" => answer(shared, Responses, request),
        "/v1/chat/completions" => answer(shared, Chat, request),
        _ => match path
            .strip_prefix(GEMINI_MODELS)
            .and_then(|rest| rest.rsplit_once(':'))
        {
            Some((_, "generateContent" | "streamGenerateContent")) => {
                answer(shared, Gemini, request)
            }
            Some((_, "countTokens")) => {
                keyed(Gemini, request, || json!({"totalTokens": INPUT_TOKENS}))
            }
            _ => not_served(request),
        },
    }
}

fn not_served(request: &Request) -> Response {
    let message = format!(
        "{} {} is not served by the stand-in",
        request.method, request.path
    );
    let status = StatusCode::NOT_FOUND;
    if request.path.starts_with("/v1beta/") {
        failure(Gemini, status, &message)
    } else if request.path.starts_with("/v1/messages") {
        failure(Messages, status, &message)
    } else {
        failure(Responses, status, &message)
    }
}

/// Answers a call for the model's next reply.
fn answer<D: Dialect>(shared: &Shared, dialect: D, request: &Request) -> Response {
    if let Err(refusal) = check_key(dialect, request) {
        return refusal;
    }
    let call = dialect.read(request);
    let reply = match script::answer(&call, |prompt, times| shared.records.spend(prompt, times)) {
        Outcome::Reply(reply) => reply,
        Outcome::Fail(code, retry_after) => {
            let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let message = format!("the prompt asked for status {code}");
            return failure_until(dialect, status, &message, retry_after);
        }
    };
    if reply.end == End::Whole {
        shared.records.count_reply();
    }
    let ids = |prefix: &str| shared.id(prefix);
    let (kind, body) = if call.stream {
        let events = dialect.events(&call, &reply, &ids);
        (
            "text/event-stream",
            play::events(&events, reply.pace, reply.end),
        )
    } else {
        let value = dialect.whole(&call, &reply, &ids);
        (
            "application/json",
            play::whole(&value, reply.pace, reply.end),
        )
    };
    with_type(kind, body)
}

fn with_type(kind: &'static str, body: Body) -> Response {
    (
        [
            (header::CONTENT_TYPE, kind),
            (header::CACHE_CONTROL, "no-cache"),
        ],
        body,
    )
        .into_response()
}

/// Answers with a value when the key is good.
fn keyed<D: Dialect>(dialect: D, request: &Request, value: impl FnOnce() -> Value) -> Response {
    match check_key(dialect, request) {
        Ok(()) => Json(value()).into_response(),
        Err(refusal) => refusal,
    }
}

#[expect(
    clippy::result_large_err,
    reason = "the error is the response that goes out at once"
)]
fn check_key<D: Dialect>(dialect: D, request: &Request) -> Result<(), Response> {
    let problem = match &request.credential {
        None => "no API key was given",
        Some(key) if key.contains("-bad-") => "the API key is not valid",
        Some(_) => return Ok(()),
    };
    Err(failure(dialect, StatusCode::UNAUTHORIZED, problem))
}

fn failure<D: Dialect>(dialect: D, status: StatusCode, message: &str) -> Response {
    failure_until(dialect, status, message, 0)
}

/// `retry_after`: the seconds that a 429 names.
fn failure_until<D: Dialect>(
    dialect: D,
    status: StatusCode,
    message: &str,
    retry_after: u32,
) -> Response {
    let error = dialect.error(status, message, retry_after);
    let mut response = (status, Json(error)).into_response();
    if status == StatusCode::TOO_MANY_REQUESTS {
        let seconds = HeaderValue::from(retry_after);
        response.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
    response
}
