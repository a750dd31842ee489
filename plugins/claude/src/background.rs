//! Work in the background: shell commands and subagents that the CLI does not wait for in the round
//! that starts them.

use std::collections::BTreeMap;

use aod_plugin_sdk::{Level, Out, Task, TaskKind, TaskState, title};

use crate::control::Control;
use crate::wire::Line;

/// Work that was started and has not ended, in the order of its ids.
#[derive(Debug, Default)]
pub(crate) struct Background {
    open: BTreeMap<String, Work>,
    /// Whether there was any in this turn, be it of an earlier process.
    was_any: bool,
    /// Whether some has ended by itself, of which the CLI is going to tell the model.
    has_news: bool,
}

#[derive(Debug)]
struct Work {
    kind: TaskKind,
    call: Option<String>,
    title: Option<String>,
    /// What it was last said to be at, if that is an end.
    end: Option<TaskState>,
    /// Whether nothing waits for it. What is waited for is told by the call that started it.
    is_behind: bool,
    /// Whether the CLI was asked to stop it.
    is_stopping: bool,
}

impl Background {
    /// A turn begins.
    pub(crate) fn begin(&mut self) {
        self.was_any = false;
        self.has_news = false;
    }

    /// Whether the CLI is going to go on by itself: something has ended that the model does not
    /// know of.
    pub(crate) fn has_news(&self) -> bool {
        self.has_news
    }

    /// The CLI has told the model what there was to tell.
    pub(crate) fn is_heard(&mut self) {
        self.has_news = false;
    }

    /// Whether the CLI may go on by itself after a result: it waits for such work, and tells the
    /// model when it ends.
    pub(crate) fn was_any(&self) -> bool {
        self.was_any
    }

    /// Whether something is at work.
    pub(crate) fn is_at_work(&self) -> bool {
        self.open.values().any(|work| work.is_behind)
    }

    /// Takes a `system/task_*` line.
    pub(crate) fn task(&mut self, line: &Line<'_>, out: &mut Out) {
        let Some(id) = line.rest.task_id.0.as_deref() else {
            return;
        };
        // Housekeeping of the CLI's own is nobody's business.
        if line.rest.ambient == Some(true) {
            out.absorb();
            return;
        }
        match line.subtype.as_deref().unwrap_or_default() {
            "task_started" => self.started(id, line, out),
            "task_progress" => self.progressed(id, line, out),
            "task_updated" => self.updated(id, line, out),
            "task_notification" => self.ended(id, line, out),
            _ => {}
        }
    }

    fn started(&mut self, id: &str, line: &Line<'_>, out: &mut Out) {
        let work = Work {
            kind: match line.rest.task_type.0.as_deref() {
                Some("local_bash") => TaskKind::Command,
                Some("local_agent") => TaskKind::Subagent,
                _ => TaskKind::Other,
            },
            call: line.rest.tool_use_id.0.as_deref().map(str::to_owned),
            title: line.rest.description.0.as_deref().and_then(title),
            end: None,
            is_behind: line.rest.is_backgrounded.unwrap_or(true),
            is_stopping: false,
        };
        if work.is_behind {
            self.was_any = true;
            tell(id, &work, TaskState::Opened, None, out);
        } else {
            out.absorb();
        }
        self.open.insert(id.to_owned(), work);
    }

    fn progressed(&mut self, id: &str, line: &Line<'_>, out: &mut Out) {
        match self.open.get(id) {
            Some(work) if work.is_behind => {
                let what = line.rest.description.0.as_deref().and_then(title);
                tell(id, work, TaskState::Progressed, what, out);
            }
            _ => out.absorb(),
        }
    }

    fn updated(&mut self, id: &str, line: &Line<'_>, out: &mut Out) {
        out.absorb();
        let (Some(work), Some(patch)) = (self.open.get_mut(id), &line.rest.patch) else {
            return;
        };
        if patch.is_backgrounded == Some(true) && !work.is_behind {
            work.is_behind = true;
            self.was_any = true;
            tell(id, work, TaskState::Opened, None, out);
        }
        // The end is told by the notification that follows, with what came of it.
        work.end = patch.status.0.as_deref().and_then(end);
    }

    /// What an earlier process has left behind ends here, too.
    fn ended(&mut self, id: &str, line: &Line<'_>, out: &mut Out) {
        let known = self.open.remove(id);
        if known.as_ref().is_some_and(|work| !work.is_behind) {
            out.absorb();
            return;
        }
        self.was_any = true;
        let work = known.unwrap_or_else(|| Work {
            kind: TaskKind::Other,
            call: line.rest.tool_use_id.0.as_deref().map(str::to_owned),
            title: None,
            end: None,
            is_behind: true,
            is_stopping: false,
        });
        let state = line.rest.status.0.as_deref().and_then(end);
        let state = state.unwrap_or(TaskState::Completed);
        // Of what was stopped the model hears with the next prompt.
        self.has_news |= state != TaskState::Stopped;
        let what = line.rest.summary.0.as_deref().and_then(title);
        tell(id, &work, state, what, out);
    }

    /// Takes the list of what is at work: the rest has ended, whether that was said or not.
    pub(crate) fn changed(&mut self, line: &Line<'_>, out: &mut Out) {
        out.absorb();
        let listed = |id: &str| {
            line.rest
                .tasks
                .iter()
                .any(|task| task.task_id.0.as_deref() == Some(id))
        };
        self.open.retain(|id, work| {
            let stays = !work.is_behind || work.end.is_none() || listed(id);
            if !stays {
                tell(id, work, work.end.unwrap_or(TaskState::Stopped), None, out);
            }
            stays
        });
    }

    /// Has the CLI stop what is at work, which tells of each end. Returns whether there is anything.
    pub(crate) fn stop(&mut self, control: &mut Control, out: &mut Out) -> bool {
        let mut names = Vec::new();
        let running = |work: &Work| work.is_behind && work.end.is_none() && !work.is_stopping;
        for (id, work) in self.open.iter_mut().filter(|(_, work)| running(work)) {
            work.is_stopping = true;
            control.stop_task(id, out);
            names.push(work.title.clone().unwrap_or_else(|| id.clone()));
        }
        tell_stopped(&names, out);
        self.is_at_work()
    }

    /// Says that what is at work goes no further: its process ends.
    pub(crate) fn end(&mut self, out: &mut Out) {
        let mut names = Vec::new();
        for (id, work) in std::mem::take(&mut self.open) {
            if work.is_behind {
                tell(&id, &work, TaskState::Stopped, None, out);
                if !work.is_stopping {
                    names.push(work.title.unwrap_or(id));
                }
            }
        }
        tell_stopped(&names, out);
    }
}

fn tell_stopped(names: &[String], out: &mut Out) {
    if !names.is_empty() {
        let text = format!("stopped in the background: {}", names.join(", "));
        out.coded_notice(Level::Warning, "background.stopped", text);
    }
}

fn end(word: &str) -> Option<TaskState> {
    match word {
        "completed" => Some(TaskState::Completed),
        "failed" => Some(TaskState::Failed),
        "killed" | "stopped" => Some(TaskState::Stopped),
        _ => None,
    }
}

fn tell(id: &str, work: &Work, state: TaskState, what: Option<String>, out: &mut Out) {
    out.task(Task {
        task_id: id.to_owned(),
        state,
        kind: work.kind,
        call_id: work.call.clone(),
        title: what.or_else(|| work.title.clone()),
    });
}
