//! For tests of adapters: a turn's facts to start from, replays of recorded output, and the laws
//! that hold for every adapter. With the feature `testing`.

mod laws;
mod recording;
mod replay;

pub use laws::laws;
pub use recording::{Recording, recordings};
pub use replay::{Replay, replay};

use crate::{Exit, ExitCause, Paths, TurnContext};

/// The facts of a first turn with nothing special about it.
#[must_use]
pub fn context(model: &str, prompt: &str) -> TurnContext {
    let id = "5e551011-0000-4000-8000-000000000000";
    TurnContext {
        session_id: id.to_owned(),
        turn: 1,
        turn_id: id.to_owned(),
        prompt: prompt.to_owned(),
        system: None,
        model: model.to_owned(),
        mcp_servers: Vec::new(),
        skills: Vec::new(),
        resume: None,
        secrets: Vec::new(),
        endpoints: Vec::new(),
        paths: Paths {
            home: "/home/agent".to_owned(),
            workspace: "/workspace".to_owned(),
            private: "/run/private".to_owned(),
        },
        cli_version: None,
        options: "{}".to_owned(),
    }
}

/// An end of the process by itself, with this code.
#[must_use]
pub fn exit(code: i32) -> Exit {
    Exit {
        code: Some(code),
        signal: None,
        cause: ExitCause::Own,
        stderr_tail: String::new(),
    }
}
