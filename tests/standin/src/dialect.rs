//! The providers' APIs: each turns its own words into a [`Call`] and a [`Reply`] into its own.

pub(crate) mod anthropic;
pub(crate) mod chat;
pub(crate) mod gemini;
mod openai;
pub(crate) mod responses;

use axum::http::StatusCode;
use serde_json::Value;

use crate::conversation::Call;
use crate::play::Event;
use crate::record::Request;
use crate::script::Reply;

/// Gives out ids that no other reply has.
pub(crate) type Ids<'a> = dyn Fn(&str) -> String + 'a;

/// One provider's API.
pub(crate) trait Dialect: Copy + Send + Sync + 'static {
    /// Reads a request.
    fn read(self, request: &Request) -> Call;
    /// A reply as a stream, without its closing events when it is not to end.
    fn events(self, call: &Call, reply: &Reply, ids: &Ids<'_>) -> Vec<Event>;
    /// A reply as one value.
    fn whole(self, call: &Call, reply: &Reply, ids: &Ids<'_>) -> Value;
    /// An error's body. `retry_after`: the seconds that a 429 names.
    fn error(self, status: StatusCode, message: &str, retry_after: u32) -> Value;
}

/// The text of content that is either a string or a list of parts with `text`.
pub(crate) fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            let texts: Vec<&str> = parts
                .iter()
                .filter_map(|part| part["text"].as_str())
                .collect();
            texts.join("\n")
        }
        _ => String::new(),
    }
}

/// Cuts a text into the pieces that a model would stream: words with the blank behind them.
pub(crate) fn pieces(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive(' ')
}
