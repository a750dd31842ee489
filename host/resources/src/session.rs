//! Sessions and turns.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use uuid::Uuid;

use crate::event::TurnResult;
use crate::{Limits, Outcome, Status, Timestamp};

/// One agent in one sandbox, over one or more turns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Session {
    /// The session's id.
    pub id: Uuid,
    /// The agent it was made from.
    pub agent_id: Option<Uuid>,
    /// The environment it was made with.
    pub environment_id: Option<Uuid>,
    /// The runtime's name.
    pub runtime: String,
    /// Where it stands.
    pub status: Status,
    /// The last turn's native exit code.
    pub exit_code: Option<i32>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it last moved.
    pub updated_at: Timestamp,
    /// Repositories cloned into its workspace.
    pub resources: Vec<Resource>,
    /// Variables of its own that are no secrets.
    pub vars: IndexMap<String, String>,
    /// Values of the runtime's options, by their ids; they win over the agent's.
    pub settings: IndexMap<String, Value>,
    /// Upper bounds for each of its turns; they win over the agent's. Absent where there are none.
    #[serde(default, skip_serializing_if = "Limits::is_empty")]
    #[schema(required = false)]
    pub limits: Limits,
    /// A name for people; absent where it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub title: Option<String>,
    /// The user's own labels; absent where there are none.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    #[schema(required = false)]
    pub metadata: IndexMap<String, String>,
    /// How many turns it has had, the current one included.
    pub turn_count: u32,
    /// The turn that waits or runs, else the last one; null before the first prompt.
    pub current_turn: Option<u32>,
    /// The canonical model id.
    pub model: String,
    /// The sum over its turns.
    pub usage: Usage,
    /// Why it failed, and what to do.
    pub error: Option<String>,
    /// What its last turn came to, as that turn has it; absent where it has not ended or said
    /// nothing, and in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false, value_type = TurnResult)]
    pub result: Option<Value>,
    /// Whether it takes another prompt once no turn waits or runs.
    pub resumable: bool,
    /// The agent's version it was made from.
    pub agent_version: Option<i64>,
    /// The environment's version it was made with.
    pub environment_version: Option<i64>,
    /// Where its turn stands among those that wait for room, from 1; absent for one that does not
    /// wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub queue_position: Option<u32>,
    /// What it takes of the disk, as it was at its last turn's end; absent before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub sizes: Option<Sizes>,
    /// What it is a copy of; absent for one that is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub forked_from: Option<ForkedFrom>,
    /// The turn whose end it was taken back to, and from which its next turn goes on; absent
    /// otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub restored_to: Option<u32>,
    /// When its files will be removed unless it is used; absent where that is not near.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub expires_at: Option<Timestamp>,
    /// When its files were removed, since nobody had used it for long: it takes no further prompt;
    /// absent while they are there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub files_removed_at: Option<Timestamp>,
}

/// The turn of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ForkedFrom {
    /// The session, which may be gone.
    pub session_id: Uuid,
    /// The turn.
    pub turn: u32,
}

/// What a session was at a turn's end: its home and workspace, and its conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Checkpoint {
    /// The turn; 0 for a session that was provisioned before anything was asked.
    pub turn: u32,
    /// Whether it can be used.
    pub state: CheckpointState,
    /// What all of it takes of the disk, in bytes; much of it may be shared with others.
    pub bytes: u64,
    /// Of these, what it does not share with the one before it.
    pub new_bytes: u64,
    /// Why it was not made; null for one that was, or is being made.
    pub error: Option<String>,
    /// When the turn ended.
    pub created_at: Timestamp,
}

/// Whether a checkpoint can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum CheckpointState {
    /// It is being made.
    Pending,
    /// It can be used.
    Ready,
    /// It could not be made.
    Failed,
}

impl CheckpointState {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Pending, Self::Ready, Self::Failed];

    /// The word used on the wire and in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Ready => "ready",
            Self::Failed => "failed",
        }
    }
}

impl std::str::FromStr for CheckpointState {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == word)
            .ok_or_else(|| format!("{word:?} is no state of a checkpoint"))
    }
}

const fn is_zero(bytes: &u64) -> bool {
    *bytes == 0
}

/// What a session takes of the server's disk, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Sizes {
    /// The sandbox's home.
    pub home: u64,
    /// Its workspace.
    pub workspace: u64,
    /// The session's log.
    pub log: u64,
    /// The checkpoints of its turns; absent where there are none.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schema(required = false)]
    pub checkpoints: u64,
    /// Whether there was more than is looked at, so that these are the least that it takes.
    pub partial: bool,
}

/// A repository cloned into a session's workspace. Its token goes in, never out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Resource {
    /// What it is.
    #[serde(rename = "type")]
    pub kind: ResourceKind,
    /// An https git URL.
    pub url: String,
    /// Where under the workspace.
    pub mount_path: Option<String>,
    /// The branch, tag or commit that was asked for; absent for the repository's own choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub checkout: Option<String>,
    /// How many commits of history were asked for; absent where the server's setting holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub depth: Option<u32>,
    /// Whether its submodules are cloned; absent where nothing was said, and they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub submodules: Option<bool>,
    /// The commit that was cloned; absent until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub commit: Option<String>,
}

impl Resource {
    /// Where it is, relative to the workspace; empty for the workspace itself.
    pub fn place(&self) -> String {
        place(&self.url, self.mount_path.as_deref())
    }
}

/// What a session has changed in a repository since it was cloned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RepositoryDiff {
    /// Where the repository is, relative to the workspace; empty for the workspace itself.
    pub repository: String,
    /// The URL that it was cloned from.
    pub url: String,
    /// The commit that was cloned; all zeros where there was none.
    pub base: Option<String>,
    /// The commit that it stands at.
    pub head: Option<String>,
    /// A unified diff from `base` to what is in the workspace: commits, changes that are not
    /// committed, and new files that are not ignored.
    pub diff: String,
    /// Whether the diff was cut, since it is too long.
    pub truncated: bool,
    /// Why there is no diff.
    pub error: Option<String>,
}

/// Whose name is on the commits that an agent makes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GitIdentity {
    /// The name.
    pub name: String,
    /// The address.
    pub email: String,
}

/// What is put into a workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ResourceKind {
    /// A git repository. The word is the public API's; any https git URL will do.
    GithubRepository,
    /// The same, under a name that fits all of them.
    GitRepository,
}

/// Where a resource is mounted, relative to the workspace: at its path, else under its own name.
pub(crate) fn place(url: &str, mount_path: Option<&str>) -> String {
    let path = match mount_path {
        Some(path) => path.strip_prefix("/workspace/").unwrap_or(path),
        None => {
            let name = url.trim_end_matches('/').rsplit('/').next();
            name.unwrap_or_default().trim_end_matches(".git")
        }
    };
    let parts: Vec<&str> = path
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .collect();
    parts.join("/")
}

/// One prompt and all that the CLI did about it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Turn {
    /// 1 for the first.
    pub turn_number: u32,
    /// What was asked, as text; where it had images or files, those are named.
    pub prompt: String,
    /// What was asked, where it is more than a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub blocks: Option<Vec<PromptBlock>>,
    /// `pending`, `running`, `completed` or `failed`: an interrupted turn reads `completed`, a
    /// terminated one `failed`; `outcome` has the finer word.
    pub status: Status,
    /// The CLI's own exit code.
    pub exit_code: Option<i32>,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When its CLI was started.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// What it used.
    pub usage: Usage,
    /// What the model's providers themselves said it used, as it was counted where their answers
    /// pass; absent where nothing was counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub provider_usage: Option<ProviderUsage>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// Why it failed.
    pub error: Option<String>,
    /// Seconds it may take, 10 to 3600.
    pub timeout: u32,
    /// The settings that came with its prompt; they win over the session's and the agent's. Absent
    /// where there are none.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    #[schema(required = false)]
    pub settings: IndexMap<String, Value>,
    /// The limits that came with its prompt; they win over the session's and the agent's. Absent
    /// where there are none.
    #[serde(default, skip_serializing_if = "Limits::is_empty")]
    #[schema(required = false)]
    pub limits: Limits,
    /// The id that it had while it waited in the queue; absent where it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub queued_id: Option<Uuid>,
    /// The JSON Schema that its answer must fit; absent where it may have any form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub output_schema: Option<Value>,
    /// The turn that it goes on from, where that is not the one before it: the session was taken
    /// back to that one's end; absent otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub continues: Option<u32>,
    /// Whether the session was taken back to a turn before it, so that nothing of what it did is in
    /// the session's files and conversation; absent otherwise.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub undone: bool,
    /// What it came to, as its last `turn.result` event says; null where there was none.
    #[schema(value_type = Option<TurnResult>)]
    pub result: Option<Value>,
}

/// A prompt that waits for the end of its session's turn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct QueuedPrompt {
    /// Its id.
    pub id: Uuid,
    /// Where it stands among those that wait, from 1.
    pub position: u32,
    /// What is asked, as text; where it has images or files, those are named.
    pub prompt: String,
    /// What is asked, where it is more than a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub blocks: Option<Vec<PromptBlock>>,
    /// Seconds its turn may take; null: the session's.
    pub timeout: Option<u32>,
    /// The settings of its turn; absent where there are none.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    #[schema(required = false)]
    pub settings: IndexMap<String, Value>,
    /// The limits of its turn; absent where there are none.
    #[serde(default, skip_serializing_if = "Limits::is_empty")]
    #[schema(required = false)]
    pub limits: Limits,
    /// The JSON Schema that its answer must fit; absent where it may have any form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub output_schema: Option<Value>,
    /// When it was accepted.
    pub created_at: Timestamp,
}

/// A piece of a prompt that is more than a text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum PromptBlock {
    /// Text.
    Text {
        /// The text.
        text: String,
    },
    /// An image.
    Image {
        /// The image.
        attachment: Attachment,
    },
    /// A file that came with the prompt.
    File {
        /// The file.
        attachment: Attachment,
    },
    /// A file of the workspace.
    #[serde(rename = "workspace_file")]
    WorkspaceFile {
        /// Where it is, relative to the workspace.
        path: String,
    },
}

/// A file that came with a prompt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Attachment {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// Its media type.
    pub media_type: String,
    /// Its size in bytes.
    pub size: u64,
}

/// What a model was asked for and answered, in tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Usage {
    /// Tokens sent that were not read from the provider's cache.
    pub input_tokens: u64,
    /// Tokens received.
    pub output_tokens: u64,
    /// Tokens sent that the provider had cached.
    pub cached_tokens: u64,
    /// US dollars, where the CLI says.
    pub cost_usd: Option<f64>,
}

/// What model providers said that a turn used, in tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProviderUsage {
    /// Answers that said what they used.
    pub requests: u64,
    /// Tokens sent that were not read from the provider's cache.
    pub input_tokens: u64,
    /// Tokens received.
    pub output_tokens: u64,
    /// Tokens sent that the provider had cached.
    pub cached_tokens: u64,
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, more: Self) {
        self.input_tokens = self.input_tokens.saturating_add(more.input_tokens);
        self.output_tokens = self.output_tokens.saturating_add(more.output_tokens);
        self.cached_tokens = self.cached_tokens.saturating_add(more.cached_tokens);
        self.cost_usd = match (self.cost_usd, more.cost_usd) {
            (None, cost) | (cost, None) => cost,
            (Some(a), Some(b)) => Some(a + b),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_is_the_path_or_the_repository() {
        for (url, path, expected) in [
            ("https://github.com/o/r.git", None, "r"),
            ("https://github.com/o/r/", None, "r"),
            ("https://x/o/r", Some("/workspace/a//b/"), "a/b"),
            ("https://x/o/r", Some("a/./b"), "a/b"),
        ] {
            assert_eq!(place(url, path), expected, "{url} {path:?}");
        }
    }
}
