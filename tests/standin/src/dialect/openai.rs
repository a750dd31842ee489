//! What OpenAI's two APIs share.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::conversation::Tool;

/// A function on offer, under the names that both APIs give its fields.
pub(super) fn function(function: &Value, namespace: Option<&str>) -> Tool {
    Tool {
        namespace: namespace.map(str::to_owned),
        name: function["name"].as_str().unwrap_or_default().to_owned(),
        schema: function["parameters"].clone(),
    }
}

/// An error's body.
pub(super) fn error(status: StatusCode, message: &str) -> Value {
    let (kind, code) = match status.as_u16() {
        401 => ("invalid_request_error", Some("invalid_api_key")),
        404 => ("invalid_request_error", Some("not_found")),
        429 => ("requests", Some("rate_limit_exceeded")),
        400..500 => ("invalid_request_error", None),
        _ => ("server_error", Some("server_error")),
    };
    json!({"error": {"message": message, "type": kind, "param": null, "code": code}})
}
