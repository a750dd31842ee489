//! Calls that have not ended: commands may outlive their turn.

use std::collections::{BTreeMap, BTreeSet};

use aod_plugin_sdk::{Out, Task, TaskKind, TaskState, tool_result, tool_update};
use serde::{Deserialize, Serialize};

use crate::calls::{call, result};
use crate::wire::Item;

/// How much of a call's output is told while it runs, in bytes. All of it comes with its result.
const LIVE_OUTPUT: usize = 64 * 1024;

/// Calls that run, by the server's ids.
#[derive(Debug, Default)]
pub(super) struct Calls(BTreeMap<String, Call>);

/// A call that runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Call {
    /// Its id in the session: the server's are those of the model's provider.
    id: String,
    turn: u32,
    thread: String,
    title: Option<String>,
    /// The number of a command's process, once it runs.
    process: Option<String>,
    /// Whether it was told as work in the background.
    is_task: bool,
    /// How much of its output was told.
    told: usize,
}

impl Calls {
    /// A call begins, or is told better.
    pub(super) fn started(&mut self, turn: u32, thread: &str, item: &Item<'_>, out: &mut Out) {
        out.absorb();
        let process = item.process_id.0.as_deref().map(str::to_owned);
        if let Some(known) = self.0.get_mut(&*item.id) {
            known.process = process.or(known.process.take());
            return;
        }
        let id = format!("{turn}-{}", &*item.id);
        let call = call(&id, item);
        let new = Call {
            id,
            turn,
            thread: thread.to_owned(),
            title: call.title.clone(),
            process,
            is_task: false,
            told: 0,
        };
        self.0.insert(item.id.to_string(), new);
        out.tool_call(call);
    }

    /// A call has ended; returns its id in the session.
    pub(super) fn ended(
        &mut self,
        turn: u32,
        thread: &str,
        item: Item<'_>,
        out: &mut Out,
    ) -> String {
        self.started(turn, thread, &item, out);
        let Some(call) = self.0.remove(&*item.id) else {
            return String::new();
        };
        let state = match item.is_unfinished() {
            true => TaskState::Failed,
            false => TaskState::Completed,
        };
        result(&call.id, item, out);
        if call.is_task {
            out.task(call.task(state));
        }
        call.id
    }

    /// A piece of a call's output.
    pub(super) fn output(&mut self, item: &str, output: &str, out: &mut Out) {
        out.absorb();
        let Some(call) = self.0.get_mut(item) else {
            return;
        };
        if call.told + output.len() <= LIVE_OUTPUT {
            call.told += output.len();
            let mut update = tool_update(&*call.id);
            update.output = Some(output.to_owned());
            out.tool_update(update);
        } else {
            call.told = LIVE_OUTPUT;
        }
    }

    /// A call that runs.
    pub(super) fn get(&self, item: &str) -> Option<&Call> {
        self.0.get(item)
    }

    /// The turn of a call that runs.
    pub(super) fn turn(&self, item: &str) -> Option<u32> {
        self.0.get(item).map(|call| call.turn)
    }

    /// Whether a thread has commands that run.
    pub(super) fn has_commands(&self, thread: &str) -> bool {
        let mut all = self.0.values();
        all.any(|call| call.process.is_some() && call.thread == thread)
    }

    /// Threads that have commands that run.
    pub(super) fn threads(&self) -> BTreeSet<String> {
        let running = self.0.values().filter(|call| call.process.is_some());
        running.map(|call| call.thread.clone()).collect()
    }

    /// The turn is over: commands that run on are work in the background, and of other calls
    /// nothing more is heard.
    pub(super) fn leave(&mut self, out: &mut Out) {
        self.0.retain(|_, call| {
            let runs = call.process.is_some();
            if !runs {
                out.tool_result(tool_result(&*call.id, "ended with its turn", true));
            } else if !std::mem::replace(&mut call.is_task, true) {
                out.task(call.task(TaskState::Opened));
            }
            runs
        });
    }

    /// The process has ended, and with it everything that it ran in the background; returns what.
    pub(super) fn stop(&mut self, out: &mut Out) -> Vec<String> {
        let mut stopped = Vec::new();
        for call in std::mem::take(&mut self.0).into_values() {
            if call.is_task {
                out.task(call.task(TaskState::Stopped));
                stopped.push(call.title.unwrap_or(call.id));
            }
        }
        stopped
    }

    /// The thread and the process of a task, by its id.
    pub(super) fn process(&self, task: &str) -> Option<(&str, &str)> {
        let mut all = self.0.values();
        let call = all.find(|call| call.is_task && call.id == task)?;
        Some((&call.thread, call.process.as_deref()?))
    }

    pub(super) fn state(&self) -> BTreeMap<String, Call> {
        self.0.clone()
    }

    pub(super) fn restore(&mut self, state: BTreeMap<String, Call>) {
        self.0 = state;
    }
}

impl Call {
    /// Its id in the session.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// What it is about.
    pub(super) fn title(&self) -> Option<&str> {
        self.title.as_deref()
    }

    fn task(&self, state: TaskState) -> Task {
        Task {
            task_id: self.id.clone(),
            state,
            kind: TaskKind::Command,
            call_id: Some(self.id.clone()),
            title: self.title.clone(),
        }
    }
}
