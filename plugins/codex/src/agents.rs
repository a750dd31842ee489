//! Subagents, which work beside the agent that started them.

use std::collections::BTreeMap;

use aod_plugin_sdk::{Level, Out, Task, TaskKind, TaskState, title};

use crate::wire::{AgentState, Item};

/// Those that were started, by their threads.
#[derive(Debug, Default)]
pub(crate) struct Agents(BTreeMap<String, Agent>);

#[derive(Debug)]
struct Agent {
    call: String,
    title: Option<String>,
    has_ended: bool,
}

impl Agents {
    /// Tells what a call has said of where subagents stand. `call` is its id.
    pub(crate) fn called(&mut self, call: &str, item: &Item<'_>, out: &mut Out) {
        let states: BTreeMap<String, AgentState<'_>> = item
            .agents_states
            .and_then(|states| serde_json::from_str(states.get()).ok())
            .unwrap_or_default();
        let prompt: Option<String> = item
            .prompt
            .and_then(|prompt| serde_json::from_str(prompt.get()).ok());
        for (thread, state) in states {
            let is_new = !self.0.contains_key(&thread);
            let agent = self.0.entry(thread.clone()).or_insert_with(|| Agent {
                call: call.to_owned(),
                title: prompt.as_deref().and_then(title),
                has_ended: false,
            });
            let stands = match &*state.status {
                "completed" => TaskState::Completed,
                "errored" | "failed" => TaskState::Failed,
                "shutdown" | "interrupted" | "not_found" | "notFound" => TaskState::Stopped,
                _ if is_new => TaskState::Opened,
                _ => TaskState::Progressed,
            };
            let ends = !matches!(stands, TaskState::Opened | TaskState::Progressed);
            if ends && std::mem::replace(&mut agent.has_ended, true) {
                continue;
            }
            let said = state.message.0.as_deref().and_then(title);
            tell(&thread, agent, stands, said, out);
        }
    }

    /// Says that those at work go no further: they end with the CLI.
    pub(crate) fn stop(&mut self, out: &mut Out) {
        let mut stopped = Vec::new();
        for (thread, agent) in std::mem::take(&mut self.0) {
            if !agent.has_ended {
                tell(&thread, &agent, TaskState::Stopped, None, out);
                stopped.push(agent.title.unwrap_or(thread));
            }
        }
        if !stopped.is_empty() {
            let text = format!("stopped in the background: {}", stopped.join(", "));
            out.coded_notice(Level::Warning, "background.stopped", text);
        }
    }
}

fn tell(thread: &str, agent: &Agent, state: TaskState, said: Option<String>, out: &mut Out) {
    out.task(Task {
        task_id: thread.to_owned(),
        state,
        kind: TaskKind::Subagent,
        call_id: Some(agent.call.clone()),
        title: said.or_else(|| agent.title.clone()),
    });
}
