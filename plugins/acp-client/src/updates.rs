//! What the agent tells while it works.

use aod_plugin_sdk::{Out, StopKind, TodoItem, TodoStatus, TurnCause, stopped};
use serde_json::value::RawValue;

use crate::conversation::AcpConversation;
use crate::dialect::Dialect;
use crate::open::Step;
use crate::texts::Texts;
use crate::usage;
use crate::wire::{self, Asked, Entry, Update, UpdateMeta};

/// How long an agent that works by itself may be silent before that counts as its end, in
/// milliseconds: most do not say when they are done.
pub(crate) const UNASKED_QUIET_MS: u32 = 10_000;

impl<D: Dialect> AcpConversation<D> {
    /// An update. `raw` is all of it.
    pub(crate) fn update(&mut self, update: &Update<'_>, raw: &RawValue, out: &mut Out) {
        let meta: UpdateMeta<'_> = wire::read(update.meta);
        if &*update.session_update == "usage_update" {
            out.absorb();
            self.turn.money.said(&wire::read(update.cost));
        }
        match self.opening.step {
            Step::Prompt => {}
            Step::Idle => {
                if !self.unasked(update, &meta, out) {
                    return;
                }
            }
            _ => {
                // History of a session that is gone on with, told again; or what it can do.
                out.absorb();
                self.still_settling(out);
                return;
            }
        }
        if self.dialect.tells_all() {
            out.absorb();
            return;
        }
        let inside = meta
            .claude
            .as_ref()
            .and_then(|claude| claude.parent_tool_use_id.as_deref());
        match &*update.session_update {
            "agent_message_chunk" => {
                self.turn.texts.message_chunk(update, inside, out);
                self.remember(out);
            }
            "agent_thought_chunk" => {
                self.turn.texts.thought_chunk(update, inside, out);
                self.remember(out);
            }
            "tool_call" | "tool_call_update" => {
                self.turn.texts.end(out);
                out.absorb();
                let number = self.turn.number;
                let dialect = &mut self.dialect;
                if self.turn.tools.update(number, update, &meta, dialect, out) {
                    self.permission.withdraw(Some(&update.tool_call_id), out);
                }
                self.remember(out);
            }
            "plan" => {
                self.turn.texts.end(out);
                out.todo(update.entries.iter().map(todo).collect());
            }
            "session_info_update" => {
                out.absorb();
                let status = meta.codex.and_then(|codex| codex.thread_status);
                self.is_broken |= status.is_some_and(|status| &*status.kind == "systemError");
            }
            // What was said by the user, and what the agent is set to.
            "user_message_chunk"
            | "available_commands_update"
            | "current_mode_update"
            | "current_model_update"
            | "config_option_update"
            | "usage_update" => out.absorb(),
            _ => out.other("acp.update", raw.get()),
        }
    }

    /// Something is told between turns. Returns whether it is to be told further: news of an older
    /// call is, and an agent that works by itself begins a turn.
    fn unasked(&mut self, update: &Update<'_>, meta: &UpdateMeta<'_>, out: &mut Out) -> bool {
        match &*update.session_update {
            "tool_call_update" if !self.is_unasked => {
                let is_late = self.turn.tools.turn_of(&update.tool_call_id).is_some();
                if !is_late {
                    out.absorb();
                }
                is_late
            }
            "agent_message_chunk" | "agent_thought_chunk" | "tool_call" | "tool_call_update" => {
                if !self.is_unasked {
                    self.is_unasked = true;
                    self.turn.number += 1;
                    self.turn.texts = Texts::default();
                    self.turn.money.begin();
                    self.turn.ending.begin();
                    out.open_turn(TurnCause::Background);
                }
                true
            }
            "usage_update" if self.is_unasked => {
                if meta.origin.is_some() {
                    self.end_unasked(out);
                }
                false
            }
            "plan" => true,
            _ => {
                out.absorb();
                false
            }
        }
    }

    /// What the agent began by itself is over.
    pub(crate) fn end_unasked(&mut self, out: &mut Out) {
        if !std::mem::take(&mut self.is_unasked) {
            return;
        }
        self.turn.texts.end(out);
        self.turn.tools.finish(&mut self.dialect, out);
        usage::tell_money(&mut self.turn.money, out);
        let text = self.turn.texts.take_last();
        let mut result = stopped(StopKind::Unasked, "");
        result.native_reason = None;
        result.text = text;
        self.turn.ending.tell(out, result);
    }

    /// The agent has said something of its own: where a prompt is with it, that is a sign of work.
    pub(crate) fn answered(&mut self, out: &mut Out) {
        if self.opening.step == Step::Prompt && self.turn.works {
            self.remember(out);
        }
    }

    /// The agent works on the prompt, so that it will know the session again.
    pub(crate) fn remember(&mut self, out: &mut Out) {
        if !self.remembered
            && let (true, Some(session)) = (self.opening.agent.can_resume(), self.turn.session())
        {
            self.remembered = true;
            out.remember(session);
        }
    }

    pub(crate) fn ask(&mut self, id: &RawValue, asked: &Asked<'_>, out: &mut Out) {
        self.turn.texts.end(out);
        let tool: Update<'_> = wire::read(asked.tool_call);
        if !self.dialect.tells_all() {
            let number = self.turn.number;
            self.turn
                .tools
                .announce(number, &tool, &mut self.dialect, out);
        }
        let is_let = self
            .permission
            .ask(&self.profile, self.turn.number, id, asked, &tool, out);
        if !is_let {
            self.turn.tools.refuse(&tool.tool_call_id);
        }
    }
}

fn todo(entry: &Entry<'_>) -> TodoItem {
    TodoItem {
        text: entry.content.to_string(),
        status: match &*entry.status {
            "in_progress" => TodoStatus::InProgress,
            "completed" => TodoStatus::Completed,
            _ => TodoStatus::Pending,
        },
    }
}
