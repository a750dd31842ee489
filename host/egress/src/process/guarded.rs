//! An MCP server whose tools may not all be called: what is asked of it is looked at on its way.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use aod_egress::{Permission, ToolPolicy};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Body as HttpBody, Frame, Incoming};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::http::request;
use hyper::{Method, Request, Response, StatusCode};
use serde_json::value::RawValue;
use tokio::sync::mpsc;

use super::calls::{Calls, MAX_INPUT};
use super::gateway::{GatewayServer, Refused};
use super::guard::{self, Call, Message};
use super::http::{Body, full, no_body, pass_on, reply};
use super::listing::{Events, MAX_LIST, filtered};

/// The longest message, in bytes.
const MAX_MESSAGE: usize = 4 << 20;
/// How often a client that waits for a person hears that it is not forgotten.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream";

/// What is looked at.
pub(super) struct Guarded {
    policy: Arc<ToolPolicy>,
    calls: Calls,
}

impl Guarded {
    pub(super) fn new(policy: ToolPolicy, calls: Calls) -> Self {
        Self {
            policy: Arc::new(policy),
            calls,
        }
    }

    /// Answers one request.
    pub(super) async fn handle(
        &self,
        gateway: &Arc<GatewayServer>,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Refused> {
        let (mut head, body) = request.into_parts();
        // What is compressed could not be looked at.
        head.headers.remove(header::ACCEPT_ENCODING);
        match head.method {
            Method::POST => {}
            Method::GET | Method::DELETE => {
                remove_length(&mut head.headers);
                let request = Request::from_parts(head, no_body());
                return Ok(self.list(gateway.send(request).await?));
            }
            _ => {
                return Err(unreadable(
                    StatusCode::METHOD_NOT_ALLOWED,
                    "POST, GET or DELETE",
                ));
            }
        }
        if head.headers.contains_key(header::CONTENT_ENCODING) {
            return Err(unreadable(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "plain messages",
            ));
        }
        let body = Limited::new(body, MAX_MESSAGE).collect().await;
        let body = body.map_err(|_| {
            let wanted = "messages of at most 4 MiB, whole";
            unreadable(StatusCode::PAYLOAD_TOO_LARGE, wanted)
        })?;
        let message = Message::read(&body.to_bytes()).and_then(|message| {
            check_headers(&head.headers, &message)?;
            Ok(message)
        });
        let message = match message {
            Ok(message) => message,
            Err(problem) => {
                let text = guard::error(None, &problem);
                return Ok(reply(StatusCode::BAD_REQUEST, JSON, text));
            }
        };
        remove_length(&mut head.headers);
        let lists = message.method.as_deref() == Some("tools/list");
        let Some(call) = &message.call else {
            let answer = gateway
                .send(Request::from_parts(head, full(message.text)))
                .await?;
            return match lists {
                true => self.listed(answer).await,
                false => Ok(pass_on(answer)),
            };
        };
        let Some(id) = &message.id else {
            let text = guard::error(None, "tools/call should have an id");
            return Ok(reply(StatusCode::BAD_REQUEST, JSON, text));
        };
        match self.policy.of(&call.tool) {
            Permission::Allow => {
                let request = Request::from_parts(head, full(message.text));
                Ok(pass_on(gateway.send(request).await?))
            }
            Permission::Deny => {
                let text = format!("the tool {:?} may not be called here", call.tool);
                Ok(reply(StatusCode::OK, JSON, guard::refusal(id, &text)))
            }
            Permission::Ask if call.input.get().len() > MAX_INPUT => {
                let text = format!("the input is longer than {MAX_INPUT} bytes");
                Ok(reply(StatusCode::OK, JSON, guard::refusal(id, &text)))
            }
            Permission::Ask => Ok(self.asked(gateway, head, message)),
        }
    }

    /// Answers at once, with events: a person may take longer than a client waits for an answer to
    /// begin.
    fn asked(
        &self,
        gateway: &Arc<GatewayServer>,
        head: request::Parts,
        message: Message,
    ) -> Response<Body> {
        let (sender, receiver) = mpsc::channel(4);
        let asking = Asking {
            gateway: gateway.clone(),
            policy: self.policy.clone(),
            calls: self.calls.clone(),
            sender,
        };
        tokio::spawn(asking.run(head, message));
        let mut answer = Response::new(Pieces(receiver).boxed());
        let headers = answer.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(EVENTS));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        answer
    }

    /// An answer that may hold a list of tools, among others, in a stream.
    fn list(&self, answer: Response<Incoming>) -> Response<Body> {
        if !has_type(answer.headers(), EVENTS) {
            return pass_on(answer);
        }
        let (sender, receiver) = mpsc::channel(4);
        let policy = self.policy.clone();
        let mut answer = pass_on(answer);
        answer.headers_mut().remove(header::CONTENT_LENGTH);
        let (head, mut body) = answer.into_parts();
        tokio::spawn(async move {
            let mut events = Events::default();
            while let Some(Ok(frame)) = body.frame().await {
                let Some(data) = frame.data_ref() else {
                    continue;
                };
                // What is too long to be looked at ends the stream.
                let Ok(out) = events.take(data, &policy) else {
                    return;
                };
                if !out.is_empty() && sender.send(out.into()).await.is_err() {
                    return;
                }
            }
        });
        Response::from_parts(head, Pieces(receiver).boxed())
    }

    /// The answer to a request for the list of tools.
    async fn listed(&self, answer: Response<Incoming>) -> Result<Response<Body>, Refused> {
        if answer.headers().contains_key(header::CONTENT_ENCODING) {
            let message = "the MCP server compresses its answers, unasked".to_owned();
            return Err(Refused(StatusCode::BAD_GATEWAY, "upstream", message));
        }
        if !has_type(answer.headers(), JSON) {
            return Ok(self.list(answer));
        }
        let (mut head, body) = pass_on(answer).into_parts();
        let body = whole(body).await?;
        head.headers.remove(header::CONTENT_LENGTH);
        let body = match filtered(&body, &self.policy) {
            Some(text) => full(text),
            None => full(body),
        };
        Ok(Response::from_parts(head, body))
    }
}

/// A call that waits for somebody's permission.
struct Asking {
    gateway: Arc<GatewayServer>,
    policy: Arc<ToolPolicy>,
    calls: Calls,
    sender: mpsc::Sender<Bytes>,
}

impl Asking {
    async fn run(self, head: request::Parts, message: Message) {
        let (Some(id), Some(call)) = (&message.id, &message.call) else {
            return;
        };
        let permitted = tokio::select! {
            permitted = self.permit(call) => permitted,
            () = self.keep_alive() => return,
        };
        match permitted {
            Ok(()) => {
                let request = Request::from_parts(head, full(message.text.clone()));
                self.pass_on(id, request).await;
            }
            Err(text) => self.tell(&guard::refusal(id, &text)).await,
        }
    }

    async fn permit(&self, call: &Call) -> Result<(), String> {
        let Call { tool, input } = call;
        let policy = &self.policy;
        self.calls
            .permit(Some(&policy.server), tool, input, policy.timeout_ms)
            .await
    }

    /// Ends when the client has gone away.
    async fn keep_alive(&self) {
        loop {
            tokio::select! {
                () = self.sender.closed() => return,
                () = tokio::time::sleep(KEEP_ALIVE) => {}
            }
            if self
                .sender
                .send(Bytes::from_static(b":\n\n"))
                .await
                .is_err()
            {
                return;
            }
        }
    }

    /// Passes the call and its answer on.
    async fn pass_on(&self, id: &RawValue, request: Request<Body>) {
        let failed = |text: &str| guard::error(Some(id), text);
        let answer = match self.gateway.send(request).await {
            Ok(answer) => pass_on(answer),
            Err(Refused(_, _, reason)) => return self.tell(&failed(&reason)).await,
        };
        if has_type(answer.headers(), EVENTS) {
            let mut body = answer.into_body();
            while let Some(Ok(frame)) = body.frame().await {
                let data = frame.into_data().unwrap_or_default();
                if self.sender.send(data).await.is_err() {
                    return;
                }
            }
            return;
        }
        let status = answer.status();
        let text = match whole(answer.into_body()).await {
            Ok(body)
                if status.is_success() || serde_json::from_slice::<&RawValue>(&body).is_ok() =>
            {
                String::from_utf8_lossy(&body).into_owned()
            }
            Ok(_) => failed(&format!("the MCP server answered {status}")),
            Err(Refused(_, _, reason)) => failed(&reason),
        };
        self.tell(&text).await;
    }

    /// Tells the client a message.
    async fn tell(&self, text: &str) {
        let mut event = String::new();
        for line in text.lines() {
            event += "data: ";
            event += line;
            event.push('\n');
        }
        event.push('\n');
        // It may have gone away.
        let _ = self.sender.send(event.into()).await;
    }
}

/// A body whose pieces come from a task.
struct Pieces(mpsc::Receiver<Bytes>);

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let piece = self.0.poll_recv(context);
        piece.map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}

/// Where a newer protocol repeats in headers what a message says, both have to say the same.
fn check_headers(headers: &HeaderMap, message: &Message) -> Result<(), String> {
    let tool = message.call.as_ref().map(|call| call.tool.as_str());
    for (name, said) in [
        ("mcp-method", message.method.as_deref()),
        ("mcp-name", tool),
    ] {
        let name = HeaderName::from_static(name);
        let is_other = |value: &HeaderValue| said.map(str::as_bytes) != Some(value.as_bytes());
        // Only of a call is the name a tool's.
        let counts = name != "mcp-name" || tool.is_some();
        if counts && headers.get_all(&name).iter().any(is_other) {
            return Err(format!(
                "the header {name} says another thing than the message"
            ));
        }
    }
    Ok(())
}

fn has_type(headers: &HeaderMap, wanted: &str) -> bool {
    let value = headers.get(header::CONTENT_TYPE);
    let value = value
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case(wanted)
}

/// The body is another one.
fn remove_length(headers: &mut HeaderMap) {
    headers.remove(header::CONTENT_LENGTH);
    headers.remove(header::TRANSFER_ENCODING);
}

async fn whole(body: Body) -> Result<Bytes, Refused> {
    let body = Limited::new(body, MAX_LIST).collect().await;
    let body = body.map_err(|error| {
        let message = format!("the MCP server's answer: {error}");
        Refused(StatusCode::BAD_GATEWAY, "upstream", message)
    })?;
    Ok(body.to_bytes())
}

fn unreadable(status: StatusCode, wanted: &str) -> Refused {
    let message = format!("tools of this server are restricted, so that it takes {wanted}");
    Refused(status, "tools", message)
}
