//! The lines that the CLI writes, as far as the adapter reads them. One structure serves all
//! kinds of lines, so that each is read once.

use aod_plugin_sdk::json::{MaybeText, Text};
use serde::Deserialize;
use serde_json::value::RawValue;

/// A line of stdout.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Line<'a> {
    #[serde(rename = "type")]
    pub kind: Text<'a>,

    // `init`
    pub session_id: Option<Text<'a>>,

    // `message`
    pub role: Text<'a>,
    pub content: Text<'a>,
    pub delta: bool,

    // `tool_use`, `tool_result`
    pub tool_name: Text<'a>,
    pub tool_id: Text<'a>,
    #[serde(borrow)]
    pub parameters: Option<&'a RawValue>,
    pub status: Text<'a>,
    pub output: MaybeText<'a>,
    pub error: Option<Error<'a>>,

    // `error`
    pub severity: Option<Text<'a>>,
    pub message: Option<Text<'a>>,

    // `result`
    pub stats: Option<Stats>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Error<'a> {
    pub message: Text<'a>,
}

/// Tokens and time of a turn.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Stats {
    /// Tokens sent that were not cached.
    pub input: u64,
    pub cached: u64,
    pub output_tokens: u64,
    pub duration_ms: Option<u64>,
}
