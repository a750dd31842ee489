//! The lines that the CLI writes, as far as the adapter reads them. One structure serves all
//! kinds of lines, so that each is read once.

use std::collections::BTreeMap;

use aod_plugin_sdk::json::{MaybeText, Text};
use serde::Deserialize;
use serde_json::value::RawValue;

/// A line of stdout.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Line<'a> {
    #[serde(rename = "type")]
    pub kind: Text<'a>,
    pub timestamp: Text<'a>,

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
    pub stats: Option<Stats<'a>>,

    // What the companion tells.
    pub method: Option<Text<'a>>,
    #[serde(borrow)]
    pub params: Option<&'a RawValue>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Error<'a> {
    #[serde(rename = "type")]
    pub kind: Text<'a>,
    pub message: Text<'a>,
}

/// Tokens and time of a turn.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Stats<'a> {
    #[serde(flatten)]
    pub tokens: Tokens,
    pub duration_ms: Option<u64>,
    pub models: BTreeMap<Text<'a>, Tokens>,
}

/// Tokens of a turn, or of one of its models.
#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(default)]
pub struct Tokens {
    /// All of them, those spent on thinking among them, which are counted nowhere else.
    pub total_tokens: u64,
    /// Tokens sent.
    pub input_tokens: u64,
    /// Tokens sent that were not cached.
    pub input: u64,
    pub cached: u64,
    pub output_tokens: u64,
}
