//! Subagents. Each has a thread of its own in the same process, and works on when the turn that
//! started it goes on.

use std::collections::{BTreeMap, BTreeSet};

use aod_plugin_sdk::{Out, Task, TaskKind, TaskState, title};
use serde::{Deserialize, Serialize};

use crate::resume::Used;
use crate::wire::{AgentState, Item};

/// Subagents.
#[derive(Debug, Default)]
pub(super) struct Children {
    /// By their threads.
    known: BTreeMap<String, Child>,
    /// Threads that were done before it was known whose they are.
    done: BTreeSet<String>,
}

/// How many threads are waited for to be known.
const UNKNOWN: usize = 50;

/// A subagent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Child {
    /// The call that started it, and the turn of that.
    pub(super) call: String,
    pub(super) turn: u32,
    title: Option<String>,
    /// The tokens that it has used.
    pub(super) used: Used,
    /// What it works at: a turn of its own, once its id is known.
    work: Option<Work>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Work {
    turn: Option<String>,
}

impl Children {
    /// Learns of subagents from a call that has ended.
    pub(super) fn called(&mut self, call: &str, turn: u32, item: &Item<'_>, out: &mut Out) {
        let states: BTreeMap<String, AgentState<'_>> = super::wire::read(item.agents_states);
        let prompt: Option<String> = super::wire::read(item.prompt);
        for (thread, state) in states {
            let works = matches!(&*state.status, "pendingInit" | "running");
            if !self.known.contains_key(&thread) && works {
                let child = Child {
                    call: call.to_owned(),
                    turn,
                    title: prompt.as_deref().and_then(title),
                    used: Used::default(),
                    work: Some(Work { turn: None }),
                };
                out.task(child.task(&thread, TaskState::Opened, None));
                self.known.insert(thread.clone(), child);
                if self.done.remove(&thread) {
                    self.rests(&thread, TaskState::Completed, None, out);
                }
            } else if !works {
                let said = state.message.0.as_deref().and_then(title);
                let stands = match &*state.status {
                    "completed" => TaskState::Completed,
                    "errored" => TaskState::Failed,
                    _ => TaskState::Stopped,
                };
                self.rests(&thread, stands, said, out);
            }
        }
    }

    /// Something is said in a thread: whose it is.
    pub(super) fn get(&mut self, thread: &str) -> Option<&mut Child> {
        self.known.get_mut(thread)
    }

    /// A subagent begins a turn of its own.
    pub(super) fn works(&mut self, thread: &str, turn: &str, out: &mut Out) {
        if let Some(child) = self.known.get_mut(thread) {
            let turn = Some(turn.to_owned());
            if child.work.replace(Work { turn }).is_none() {
                out.task(child.task(thread, TaskState::Opened, None));
            }
        }
    }

    /// A thread is done, and it is not known yet whether it is a subagent's.
    pub(super) fn unknown_rests(&mut self, thread: &str) {
        if self.done.len() < UNKNOWN {
            self.done.insert(thread.to_owned());
        }
    }

    /// A subagent has nothing more to do.
    pub(super) fn rests(
        &mut self,
        thread: &str,
        state: TaskState,
        said: Option<String>,
        out: &mut Out,
    ) {
        if let Some(child) = self.known.get_mut(thread)
            && child.work.take().is_some()
        {
            out.task(child.task(thread, state, said));
        }
    }

    /// Whether any of them works.
    pub(super) fn are_at_work(&self) -> bool {
        self.known.values().any(|child| child.work.is_some())
    }

    /// Threads and turns of those that work.
    pub(super) fn at_work(&self) -> impl Iterator<Item = (&str, &str)> {
        self.known.iter().filter_map(|(thread, child)| {
            let turn = child.work.as_ref()?.turn.as_deref()?;
            Some((thread.as_str(), turn))
        })
    }

    /// Those of which it is not known what they do are no longer waited for.
    pub(super) fn give_up(&mut self, out: &mut Out) {
        for (thread, child) in &mut self.known {
            if child.work.take_if(|work| work.turn.is_none()).is_some() {
                out.task(child.task(thread, TaskState::Stopped, None));
            }
        }
    }

    /// The process has ended, and with it all of them; returns those that were at work.
    pub(super) fn stop(&mut self, out: &mut Out) -> Vec<String> {
        let mut stopped = Vec::new();
        for (thread, child) in std::mem::take(&mut self.known) {
            if child.work.is_some() {
                out.task(child.task(&thread, TaskState::Stopped, None));
                stopped.push(child.title.unwrap_or(thread));
            }
        }
        stopped
    }

    pub(super) fn state(&self) -> BTreeMap<String, Child> {
        self.known.clone()
    }

    pub(super) fn restore(&mut self, state: BTreeMap<String, Child>) {
        self.known = state;
    }
}

impl Child {
    fn task(&self, thread: &str, state: TaskState, said: Option<String>) -> Task {
        Task {
            task_id: thread.to_owned(),
            state,
            kind: TaskKind::Subagent,
            call_id: Some(self.call.clone()),
            title: said.or_else(|| self.title.clone()),
        }
    }
}
