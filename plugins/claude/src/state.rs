//! What a new instance needs to go on with a process between turns.

use serde::{Deserialize, Serialize};

use crate::conversation::ClaudeConversation;
use crate::dialogue::resting;
use crate::settings::Settings;
use crate::todos::Todos;

/// As much as a host keeps.
const LONGEST: usize = 64 * 1024;

/// All that matters between turns.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct State {
    session: String,
    cost_usd: f64,
    model: Option<String>,
    started: bool,
    remembered: bool,
    turn: u32,
    is_idle: Option<bool>,
    settings: Settings,
    requests: u64,
    questions: u32,
    servers: Vec<(String, String)>,
    todos: Vec<(String, String, String)>,
}

impl State {
    /// The state of a process at rest; none, if it is not, or if it has become too long.
    pub(crate) fn of(conversation: &ClaudeConversation) -> Option<Vec<u8>> {
        if !conversation.results.is_told() || !conversation.stays {
            return None;
        }
        let state = Self {
            session: conversation.resume.session.clone(),
            cost_usd: conversation.resume.cost_usd,
            model: conversation.model.clone(),
            started: conversation.started,
            remembered: conversation.remembered,
            turn: conversation.turn.number,
            is_idle: conversation.turn.is_idle,
            settings: conversation.settings.clone(),
            requests: conversation.control.made,
            questions: conversation.permission.asked,
            servers: conversation.server_states.keep(),
            todos: conversation.tools.todos.keep(),
        };
        let state = serde_json::to_vec(&state).ok()?;
        (state.len() <= LONGEST).then_some(state)
    }

    pub(crate) fn read(state: &[u8]) -> Option<Self> {
        serde_json::from_slice(state).ok()
    }

    pub(crate) fn restore(self, conversation: &mut ClaudeConversation) {
        conversation.results = resting();
        conversation.resume.session = self.session;
        conversation.resume.cost_usd = self.cost_usd;
        conversation.model = self.model;
        conversation.started = self.started;
        conversation.remembered = self.remembered;
        conversation.turn.number = self.turn;
        conversation.turn.is_idle = self.is_idle;
        conversation.settings = self.settings;
        conversation.control.made = self.requests;
        conversation.permission.asked = self.questions;
        conversation.server_states.restore(self.servers);
        conversation.tools.todos = Todos::restore(self.todos);
    }
}
