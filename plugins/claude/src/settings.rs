//! What users may set for a turn, and what of it the process has.

use aod_plugin_sdk::{Out, Prompt, Setting};
use serde::{Deserialize, Serialize};

use crate::control::Control;
use crate::requests::Value;
use crate::{EFFORT, PERMISSION_MODE};

/// The mode in which nothing is asked: the sandbox is the boundary.
pub(crate) const ASK_NOTHING: &str = "bypassPermissions";

/// The settings that hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Settings {
    /// None: the CLI's own.
    pub(crate) effort: Option<String>,
    pub(crate) permission_mode: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            effort: None,
            permission_mode: ASK_NOTHING.to_owned(),
        }
    }
}

impl Settings {
    /// Those that a prompt asks for.
    pub(crate) fn of(prompt: &Prompt) -> Self {
        Self::default().with(&prompt.settings)
    }

    /// These, and others in place of some.
    pub(crate) fn with(&self, settings: &[Setting]) -> Self {
        let mut wanted = self.clone();
        for setting in settings {
            let value = serde_json::from_str::<Option<String>>(&setting.value);
            match (setting.id.as_str(), value) {
                (EFFORT, Ok(effort)) => wanted.effort = effort,
                (PERMISSION_MODE, Ok(mode)) => {
                    wanted.permission_mode = mode.unwrap_or_else(|| ASK_NOTHING.to_owned());
                }
                _ => {}
            }
        }
        wanted
    }

    /// Whether nobody is to be asked anything.
    pub(crate) fn asks_nothing(&self) -> bool {
        self.permission_mode == ASK_NOTHING
    }

    /// Has a living process change what it is to have otherwise.
    pub(crate) fn change_to(&mut self, wanted: Self, control: &mut Control, out: &mut Out) {
        if wanted.effort != self.effort {
            // Without a level, the CLI's own holds again.
            let level = serde_json::json!({ "effortLevel": wanted.effort }).to_string();
            let more = ("settings", Value::Json(&level));
            control.set("apply_flag_settings", more, out);
        }
        if wanted.permission_mode != self.permission_mode {
            let more = ("mode", Value::Text(&wanted.permission_mode));
            control.set("set_permission_mode", more, out);
        }
        *self = wanted;
    }
}
