//! The list of things to do, which the CLI's tools replace or change entry by entry.

use aod_plugin_sdk::json::{MaybeText, Text};
use aod_plugin_sdk::{Out, TodoItem, TodoStatus};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::calls::Input;

/// The list that is changed entry by entry.
#[derive(Debug, Default, Clone)]
pub(crate) struct Todos(Vec<Entry>);

#[derive(Debug, Clone)]
struct Entry {
    id: String,
    item: TodoItem,
}

/// What a call does to the list.
#[derive(Debug)]
pub(crate) enum Change {
    /// The list is replaced.
    Replace(Vec<TodoItem>),
    /// An entry is added.
    Add(String),
    /// An entry changes.
    Update {
        id: String,
        subject: Option<String>,
        status: Option<String>,
    },
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Todo<'a> {
    content: Text<'a>,
    status: Text<'a>,
}

/// What a tool says of an entry that it has added.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Added<'a> {
    id: MaybeText<'a>,
}

impl Todos {
    /// What a call is going to do to the list, if anything.
    pub(crate) fn change(tool: &str, input: &Input<'_>) -> Option<Change> {
        let text = |text: &MaybeText<'_>| text.0.as_deref().map(str::to_owned);
        match tool {
            "TodoWrite" => {
                let todos: Vec<Todo<'_>> = serde_json::from_str(input.todos?.get()).ok()?;
                let items = todos.iter().map(|todo| TodoItem {
                    text: todo.content.to_string(),
                    status: status_of(&todo.status),
                });
                Some(Change::Replace(items.collect()))
            }
            "TaskCreate" => Some(Change::Add(text(&input.subject)?)),
            "TaskUpdate" => Some(Change::Update {
                id: text(&input.task_id)?,
                subject: text(&input.subject),
                status: text(&input.status),
            }),
            _ => None,
        }
    }

    /// Changes the list, now that the call has succeeded, and tells it.
    pub(crate) fn apply(&mut self, change: Change, added: Option<&RawValue>, out: &mut Out) {
        match change {
            Change::Replace(items) => return out.todo(items),
            Change::Add(text) => {
                let added: Added<'_> = added
                    .and_then(|added| serde_json::from_str(added.get()).ok())
                    .unwrap_or_default();
                let id = added.id.0.map(String::from);
                self.0.push(Entry {
                    id: id.unwrap_or_else(|| (self.0.len() + 1).to_string()),
                    item: TodoItem {
                        text,
                        status: TodoStatus::Pending,
                    },
                });
            }
            Change::Update {
                id,
                subject,
                status,
            } => self.update(id, subject, status.as_deref()),
        }
        out.todo(self.0.iter().map(|entry| entry.item.clone()).collect());
    }

    /// The list as ids, texts and statuses, for a new instance.
    pub(crate) fn keep(&self) -> Vec<(String, String, String)> {
        let each = self.0.iter().map(|entry| {
            let status = match entry.item.status {
                TodoStatus::Pending => "pending",
                TodoStatus::InProgress => "in_progress",
                TodoStatus::Completed => "completed",
            };
            let text = entry.item.text.clone();
            (entry.id.clone(), text, status.to_owned())
        });
        each.collect()
    }

    /// What `keep` gave.
    pub(crate) fn restore(kept: Vec<(String, String, String)>) -> Self {
        let each = kept.into_iter().map(|(id, text, status)| {
            let status = status_of(&status);
            let item = TodoItem { text, status };
            Entry { id, item }
        });
        Self(each.collect())
    }

    /// An entry of an earlier process is known by its number only.
    fn update(&mut self, id: String, subject: Option<String>, status: Option<&str>) {
        if status == Some("deleted") {
            self.0.retain(|entry| entry.id != id);
            return;
        }
        let index = self.0.iter().position(|entry| entry.id == id);
        let index = index.unwrap_or_else(|| {
            self.0.push(Entry {
                item: TodoItem {
                    text: format!("Task {id}"),
                    status: TodoStatus::Pending,
                },
                id,
            });
            self.0.len() - 1
        });
        let item = &mut self.0[index].item;
        if let Some(subject) = subject {
            item.text = subject;
        }
        if let Some(status) = status {
            item.status = status_of(status);
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
