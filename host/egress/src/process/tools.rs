//! The agent's own tools, as an MCP server.

use std::sync::Arc;

use aod_egress::{Permission, TOOLS_PATH, Tool, ToolServer, json_schema};
use aod_launch::HeldKind;
use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, Implementation,
    ListToolsResult, PaginatedRequestParams, ServerCapabilities, ServerConfig,
};
use rmcp::service::{RequestContext, RoleServer};
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ErrorData, ServerHandler};
use serde_json::Value;

use super::calls::{Calls, MAX_INPUT, Question, WITHDRAWN, raw};

/// How much of what is wrong with an input is told.
const MAX_PROBLEM: usize = 1000;
/// Who may speak to it: what runs in the sandbox, and no web page that is opened there.
const ORIGINS: [&str; 2] = ["http://localhost:*", "http://127.0.0.1:*"];

/// An endpoint that offers tools. It keeps no sessions, so that the program may end between calls.
pub(super) struct ToolService(StreamableHttpService<Offer, NeverSessionManager>);

impl ToolService {
    pub(super) fn new(server: ToolServer, calls: Calls) -> Self {
        let offer = Offer {
            server: Arc::new(server),
            calls,
        };
        let config = StreamableHttpServerConfig::default()
            .with_legacy_session_mode(false)
            .with_sse_retry(None)
            .with_max_request_body_bytes(2 * MAX_INPUT)
            .with_allowed_origins(ORIGINS)
            .enforce_origin_validation();
        let sessions = Arc::new(NeverSessionManager::default());
        let service = StreamableHttpService::new(move || Ok(offer.clone()), sessions, config);
        Self(service)
    }

    /// Answers one request.
    pub(super) async fn handle(
        &self,
        request: Request<Incoming>,
    ) -> Response<BoxBody<Bytes, std::convert::Infallible>> {
        if request.uri().path() != TOOLS_PATH {
            let body = Full::new(Bytes::from_static(b"tools are offered at /mcp\n"));
            let mut reply = Response::new(body.boxed());
            *reply.status_mut() = StatusCode::NOT_FOUND;
            return reply;
        }
        self.0.handle(request).await
    }
}

/// What is offered to one request.
#[derive(Clone)]
struct Offer {
    server: Arc<ToolServer>,
    calls: Calls,
}

impl ServerHandler for Offer {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder().enable_tools().build();
        let mut config = ServerConfig::new(capabilities);
        config.server_info = Implementation::new("aod", env!("CARGO_PKG_VERSION"));
        config
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let offered = self.server.tools.iter();
        let offered = offered.filter(|tool| tool.permission != Permission::Deny);
        let each = offered.map(|tool| {
            let Tool {
                name, description, ..
            } = tool.clone();
            rmcp::model::Tool::new(name, description, Arc::new(tool.input_schema.clone()))
        });
        Ok(ListToolsResult::with_all_items(each.collect()))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let tools = &self.server.tools;
        let Some(tool) = tools.iter().find(|tool| tool.name == request.name) else {
            let message = format!("there is no tool {:?}", request.name);
            return Err(ErrorData::invalid_params(message, None));
        };
        let input = Value::Object(request.arguments.unwrap_or_default());
        let result = tokio::select! {
            result = self.call(tool, &input) => result,
            // Whoever called has gone away.
            () = context.ct.cancelled() => Err(WITHDRAWN.to_owned()),
        };
        let result = match result {
            Ok(text) => CallToolResult::success(vec![ContentBlock::text(text)]),
            Err(text) => CallToolResult::error(vec![ContentBlock::text(text)]),
        };
        Ok(result.into())
    }
}

impl Offer {
    /// The answer to a call; `Err` tells the model of a failure.
    async fn call(&self, tool: &Tool, input: &Value) -> Result<String, String> {
        if tool.permission == Permission::Deny {
            return Err(format!("the tool {:?} may not be called here", tool.name));
        }
        check(tool, input)?;
        let input = raw(input);
        if input.get().len() > MAX_INPUT {
            return Err(format!("the input is longer than {MAX_INPUT} bytes"));
        }
        if tool.permission == Permission::Ask {
            let asked = self.calls.permit(None, &tool.name, &input, tool.timeout_ms);
            asked.await?;
        }
        let question = Question {
            kind: HeldKind::Result,
            server: None,
            tool: &tool.name,
            input: &input,
            timeout_ms: tool.timeout_ms,
            default: tool.default.clone(),
        };
        match self.calls.ask(question).await {
            Some(answer) if !answer.is_error => Ok(answer.content),
            Some(answer) => Err(answer.content),
            None => Err(WITHDRAWN.to_owned()),
        }
    }
}

/// Holds an input against its tool's schema.
fn check(tool: &Tool, input: &Value) -> Result<(), String> {
    let schema = Value::Object(tool.input_schema.clone());
    let form = json_schema(&schema).map_err(|problem| format!("the tool's schema: {problem}"))?;
    form.validate(input).map_err(|error| {
        let place = error.instance_path().to_string();
        let place = if place.is_empty() { "/" } else { &place };
        let problem: String = error.to_string().chars().take(MAX_PROBLEM).collect();
        format!("the input does not fit the tool's input_schema, at {place}: {problem}")
    })
}
