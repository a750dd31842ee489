//! Conversations that are played: inputs and output of a CLI, and what is expected in between.
//!
//! A scenario is a file of JSON lines, `<name>.scenario.jsonl`. Each line is a step: something that
//! the conversation is told, or something that must have come of what it was told. It is how an
//! adapter shows what no recording of one turn can: several turns in one process, steering,
//! questions, images, copies of a conversation.

mod play;
mod step;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::Report;
use crate::adapter::Adapter;
use step::Step;

const CHECK: &str = "scenario";

/// A conversation to be played.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Its name, for messages.
    name: String,
    steps: Vec<Step>,
}

/// A file is no scenario.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// It cannot be read.
    #[error("{path}: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line is no step.
    #[error("{path}:{line}: {source}", path = path.display())]
    Step {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

impl Scenario {
    /// Reads a scenario.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or a line is no step; the error names it.
    pub fn read(path: &Path) -> Result<Self, ScenarioError> {
        let text = fs::read_to_string(path).map_err(|source| ScenarioError::Read {
            path: path.to_owned(),
            source,
        })?;
        let lines = text.lines().enumerate();
        let steps = lines.filter(|(_, line)| !line.trim().is_empty());
        Ok(Self {
            name: path.display().to_string(),
            steps: steps
                .map(|(at, line)| {
                    serde_json::from_str(line).map_err(|source| ScenarioError::Step {
                        path: path.to_owned(),
                        line: at + 1,
                        source,
                    })
                })
                .collect::<Result<_, _>>()?,
        })
    }
}

/// Plays each scenario, once as it stands and once with a new instance at the end of each turn,
/// which must make no difference.
pub(super) fn check(adapter: &Adapter, scenarios: &[Scenario], report: &mut Report) {
    for scenario in scenarios {
        let name = &scenario.name;
        let played = [play::Restarts::None, play::Restarts::BetweenTurns]
            .map(|restarts| play::play(adapter, &scenario.steps, restarts));
        match played {
            [Ok(plain), Ok(restarted)] if plain == restarted => {
                let turns = scenario.steps.iter().filter(|step| step.is_prompt());
                let (steps, turns) = (scenario.steps.len(), turns.count());
                report.ok(
                    CHECK,
                    format!("{name}: {steps} steps, {turns} prompts, as expected"),
                );
            }
            [Ok(_), Ok(_)] => report.failed(
                CHECK,
                format!("{name}: what is told differs when a new instance goes on between turns"),
            ),
            [Err(problem), _] => report.failed(CHECK, format!("{name}: {problem}")),
            [_, Err(problem)] => report.failed(
                CHECK,
                format!("{name}: with a new instance between turns: {problem}"),
            ),
        }
    }
}
