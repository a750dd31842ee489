//! What commands send.

use std::collections::BTreeMap;

use aod_resources::Limits;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

/// A new session.
#[derive(Debug, Default, Serialize)]
pub(crate) struct SessionRequest {
    pub(crate) agent_id: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) environment_id: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) title: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) metadata: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) secret_env_vars: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) vars: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) resources: Vec<Repository>,
    #[serde(flatten)]
    pub(crate) first: PromptRequest,
}

/// A repository of a new session.
#[derive(Debug, Serialize)]
pub(crate) struct Repository {
    pub(crate) r#type: &'static str,
    pub(crate) url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) checkout: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) authorization_token: Option<String>,
}

/// A prompt, with what holds for its turn.
#[derive(Debug, Default, Serialize)]
pub(crate) struct PromptRequest {
    pub(crate) prompt: Prompt,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) timeout: Option<u32>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) settings: BTreeMap<String, Value>,
    #[serde(skip_serializing_if = "Limits::is_empty")]
    pub(crate) limits: Limits,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) output_schema: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) when_busy: Option<&'static str>,
}

/// What is asked: a text, or more than that.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Prompt {
    /// A text alone.
    Text(String),
    /// Texts, images and files.
    Blocks(Vec<Block>),
}

/// So long is what a session is called by its prompt, in characters.
const TITLE: usize = 80;

impl Prompt {
    /// A name for a session that was given none: the prompt's first words.
    pub(crate) fn title(&self) -> Option<String> {
        let text = match self {
            Self::Text(text) => text,
            Self::Blocks(blocks) => blocks.iter().find_map(|block| match block {
                Block::Text { text } => Some(text),
                _ => None,
            })?,
        };
        let line = text.lines().map(str::trim).find(|line| !line.is_empty())?;
        let shown = line.chars().filter(|c| !c.is_control());
        Some(shown.take(TITLE).collect::<String>().trim_end().to_owned())
    }
}

impl Default for Prompt {
    fn default() -> Self {
        Self::Text(String::new())
    }
}

/// A piece of what is asked.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(crate) enum Block {
    /// Text.
    Text {
        /// The text.
        text: String,
    },
    /// An image.
    Image {
        /// Its media type.
        media_type: &'static str,
        /// It, in base64.
        data: String,
    },
    /// A file.
    File {
        /// Its name.
        name: String,
        /// It, in base64.
        data: String,
    },
}

/// A session that begins where a turn of another ended.
#[derive(Debug, Serialize)]
pub(crate) struct Fork {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) turn: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) prompt: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) title: Option<String>,
}

/// A session that is put back to where a turn of it ended.
#[derive(Debug, Serialize)]
pub(crate) struct Restore {
    pub(crate) turn: u32,
}

/// An answer to a question of the running turn, or to a call of one of its agent's own tools.
#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    pub(crate) request_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) answer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) content: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) is_error: bool,
}
