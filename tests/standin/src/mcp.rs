//! A small MCP server over streamable HTTP, at `/mcp`: the counterpart of the fixture that speaks
//! over standard streams.
//!
//! It has the tool `echo`, keeps no sessions, and answers with plain JSON, as the protocol allows.
//! Its calls are recorded like all requests, headers included.

use axum::Json;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::record::Request;

/// Where it is served.
pub(crate) const PATH: &str = "/mcp";

/// Answers one request; there is no stream to listen to.
pub(crate) fn serve(method: &Method, request: &Request) -> Response {
    if *method != Method::POST {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    let message = &request.body;
    if message.get("id").is_none() {
        return StatusCode::ACCEPTED.into_response();
    }
    let asked = message["method"].as_str().unwrap_or_default();
    let mut reply = json!({"jsonrpc": "2.0", "id": message["id"]});
    match answer(asked, &message["params"]) {
        Some(result) => reply["result"] = result,
        None => {
            let message = format!("no such method: {asked}");
            reply["error"] = json!({"code": -32601, "message": message});
        }
    }
    Json(reply).into_response()
}

fn answer(method: &str, params: &Value) -> Option<Value> {
    Some(match method {
        "initialize" => json!({
            "protocolVersion": params.get("protocolVersion").unwrap_or(&json!("2025-06-18")),
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "standin-mcp", "version": "1.0.0"},
        }),
        "ping" => json!({}),
        "tools/list" => json!({"tools": [{
            "name": "echo",
            "description": "Gives the text back.",
            "inputSchema": {
                "type": "object",
                "properties": {"text": {"type": "string"}},
                "required": ["text"],
            },
        }]}),
        "tools/call" => {
            let text = params["arguments"]["text"].as_str().unwrap_or_default();
            let known = params["name"] == "echo";
            let said = match known {
                true => format!("echo: {text}"),
                false => format!("no such tool: {}", params["name"]),
            };
            json!({"content": [{"type": "text", "text": said}], "isError": !known})
        }
        _ => return None,
    })
}
