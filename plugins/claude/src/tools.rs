//! What the CLI's own tools tell beyond their calls: changed files and things to do.

use std::collections::HashMap;

use aod_plugin_sdk::json::Text;
use aod_plugin_sdk::{ChangeKind, Out, TodoItem, TodoStatus};
use serde::Deserialize;

use crate::wire::ToolUseResult;

/// Calls that wait for their results, and the list of things to do.
#[derive(Debug, Default)]
pub(crate) struct Tools {
    calls: HashMap<String, Call>,
    tasks: Vec<Task>,
}

/// A call whose success means something.
#[derive(Debug)]
enum Call {
    /// A file is written, and may be new.
    Write(String),
    /// A file is edited.
    Edit(String),
    /// The list is replaced.
    Todos(Vec<TodoItem>),
    /// A task is added to the list.
    NewTask(String),
    /// A task of the list changes.
    TaskUpdate(TaskUpdate),
}

#[derive(Debug)]
struct Task {
    id: String,
    item: TodoItem,
}

#[derive(Debug, Default)]
struct TaskUpdate {
    id: String,
    subject: Option<String>,
    status: Option<String>,
}

/// The parts of tools' inputs that are read.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Input<'a> {
    file_path: Option<Text<'a>>,
    notebook_path: Option<Text<'a>>,
    todos: Vec<Todo<'a>>,
    subject: Option<Text<'a>>,
    #[serde(rename = "taskId")]
    task_id: Option<Text<'a>>,
    status: Option<Text<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Todo<'a> {
    content: Text<'a>,
    status: Text<'a>,
}

impl Tools {
    /// Takes note of a call.
    pub(crate) fn call(&mut self, id: &str, name: &str, input: &str) {
        if !matches!(
            name,
            "Write"
                | "Edit"
                | "MultiEdit"
                | "NotebookEdit"
                | "TodoWrite"
                | "TaskCreate"
                | "TaskUpdate"
        ) {
            return;
        }
        let Ok(input) = serde_json::from_str::<Input<'_>>(input) else {
            return;
        };
        let path = input.file_path.or(input.notebook_path).map(String::from);
        let call = match name {
            "Write" => path.map(Call::Write),
            "TodoWrite" => Some(Call::Todos(input.todos.iter().map(Todo::item).collect())),
            "TaskCreate" => input.subject.map(|subject| Call::NewTask(subject.into())),
            "TaskUpdate" => input.task_id.map(|id| {
                Call::TaskUpdate(TaskUpdate {
                    id: id.into(),
                    subject: input.subject.map(Into::into),
                    status: input.status.map(Into::into),
                })
            }),
            _ => path.map(Call::Edit),
        };
        if let Some(call) = call {
            self.calls.insert(id.to_owned(), call);
        }
    }

    /// Tells what a call has changed, now that its result is in.
    pub(crate) fn result(
        &mut self,
        id: &str,
        is_error: bool,
        result: &ToolUseResult<'_>,
        out: &mut Out,
    ) {
        let Some(call) = self.calls.remove(id) else {
            return;
        };
        if is_error {
            return;
        }
        match call {
            Call::Write(path) => out.file_change(
                path,
                match result.kind.as_deref() {
                    Some("create") => ChangeKind::Created,
                    _ => ChangeKind::Modified,
                },
            ),
            Call::Edit(path) => out.file_change(path, ChangeKind::Modified),
            Call::Todos(items) => out.todo(items),
            Call::NewTask(text) => {
                let id = result
                    .task
                    .as_deref()
                    .map_or_else(|| (self.tasks.len() + 1).to_string(), str::to_owned);
                self.tasks.push(Task {
                    id,
                    item: TodoItem {
                        text,
                        status: TodoStatus::Pending,
                    },
                });
                self.tell_tasks(out);
            }
            Call::TaskUpdate(update) => {
                self.update(update);
                self.tell_tasks(out);
            }
        }
    }

    /// A task of an earlier turn is known by its number only.
    fn update(&mut self, update: TaskUpdate) {
        if update.status.as_deref() == Some("deleted") {
            self.tasks.retain(|task| task.id != update.id);
            return;
        }
        let index = self.tasks.iter().position(|task| task.id == update.id);
        let index = index.unwrap_or_else(|| {
            self.tasks.push(Task {
                id: update.id.clone(),
                item: TodoItem {
                    text: format!("Task {}", update.id),
                    status: TodoStatus::Pending,
                },
            });
            self.tasks.len() - 1
        });
        let item = &mut self.tasks[index].item;
        if let Some(subject) = update.subject {
            item.text = subject;
        }
        if let Some(status) = update.status {
            item.status = status_of(&status);
        }
    }

    fn tell_tasks(&self, out: &mut Out) {
        out.todo(self.tasks.iter().map(|task| task.item.clone()).collect());
    }
}

impl Todo<'_> {
    fn item(&self) -> TodoItem {
        TodoItem {
            text: self.content.to_string(),
            status: status_of(&self.status),
        }
    }
}

fn status_of(word: &str) -> TodoStatus {
    match word {
        "in_progress" => TodoStatus::InProgress,
        "completed" => TodoStatus::Completed,
        _ => TodoStatus::Pending,
    }
}
