//! What is said while a turn runs, and what becomes of it.
//!
//! The CLI takes more at any time: within a round of tools it reaches the model with their results,
//! in an answer it waits and has a round of its own. What is to wait for the turn's end waits here:
//! the CLI would join all that waits there into one.

use std::collections::VecDeque;

use aod_plugin_sdk::{Block, InjectMode, Injection, InjectionState, Out};

use crate::control::Control;
use crate::requests;

/// What was said, in its order.
#[derive(Debug, Default)]
pub(crate) struct Injections {
    /// How many the CLI was given in this turn.
    given: u64,
    /// Those that the CLI has.
    open: Vec<SentInjection>,
    /// Those that wait for a word of the turn's prompt.
    early: Vec<Injection>,
    /// Those that wait for the turn's end.
    queue: VecDeque<QueuedInjection>,
}

#[derive(Debug)]
struct SentInjection {
    id: String,
    /// What the CLI knows it by.
    uuid: String,
    breaks_off: bool,
    state: SentState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SentState {
    /// The CLI has not said a word of it.
    Written,
    Queued,
    Started,
}

#[derive(Debug)]
struct QueuedInjection {
    id: String,
    blocks: Vec<Block>,
}

impl Injections {
    /// A turn begins; what was said in the last one is over.
    pub(crate) fn begin(&mut self) {
        self.given = 0;
    }

    /// Gives the CLI more. `turn`: the id of the turn that runs.
    pub(crate) fn give(&mut self, turn: &str, injection: Injection, out: &mut Out) {
        let breaks_off = injection.mode == InjectMode::Now;
        let uuid = self.write(turn, &injection.blocks, breaks_off, out);
        self.open.push(SentInjection {
            id: injection.id,
            uuid,
            breaks_off,
            state: SentState::Written,
        });
    }

    /// Keeps more until the CLI has said a word of the turn's prompt: it is still starting.
    pub(crate) fn await_prompt(&mut self, injection: Injection, out: &mut Out) {
        out.injected(&*injection.id, InjectionState::Queued, None);
        self.early.push(injection);
    }

    /// Gives the CLI what has waited for the turn's prompt.
    pub(crate) fn prompt_is_taken(&mut self, turn: &str, out: &mut Out) {
        for injection in std::mem::take(&mut self.early) {
            let breaks_off = injection.mode == InjectMode::Now;
            let uuid = self.write(turn, &injection.blocks, breaks_off, out);
            self.open.push(SentInjection {
                id: injection.id,
                uuid,
                breaks_off,
                // That it waits was told.
                state: SentState::Queued,
            });
        }
    }

    /// Nobody will take what has waited for the turn's prompt.
    pub(crate) fn refuse_early(&mut self, why: &str, out: &mut Out) {
        for injection in self.early.drain(..) {
            out.injected(injection.id, InjectionState::Refused, Some(why));
        }
    }

    fn write(&mut self, turn: &str, blocks: &[Block], breaks_off: bool, out: &mut Out) -> String {
        self.given += 1;
        let uuid = uuid(turn, self.given);
        out.write_stdin(requests::user(&uuid, blocks, breaks_off));
        uuid
    }

    /// Keeps more until the turn's end.
    pub(crate) fn queue(&mut self, injection: Injection, out: &mut Out) {
        out.injected(&*injection.id, InjectionState::Queued, None);
        self.queue.push_back(QueuedInjection {
            id: injection.id,
            blocks: injection.blocks,
        });
    }

    /// Gives the CLI what comes next, once the turn is over. Returns whether there was anything.
    pub(crate) fn give_next(&mut self, turn: &str, out: &mut Out) -> bool {
        let Some(next) = self.queue.pop_front() else {
            return false;
        };
        let uuid = self.write(turn, &next.blocks, false, out);
        self.open.push(SentInjection {
            id: next.id,
            uuid,
            breaks_off: false,
            // That it waits was told.
            state: SentState::Queued,
        });
        true
    }

    pub(crate) fn has_queued(&self) -> bool {
        !self.queue.is_empty()
    }

    /// It is no longer wanted.
    pub(crate) fn cancel(&mut self, id: &str, control: &mut Control, out: &mut Out) {
        if let Some(at) = self.queue.iter().position(|queued| queued.id == id) {
            self.queue.remove(at);
            out.injected(id, InjectionState::Cancelled, None);
        }
        if let Some(at) = self.early.iter().position(|early| early.id == id) {
            self.early.remove(at);
            out.injected(id, InjectionState::Cancelled, None);
        }
        let waits = |given: &&SentInjection| given.id == id && given.state != SentState::Started;
        if let Some(given) = self.open.iter().find(waits) {
            control.take_back(&given.uuid, out);
        }
    }

    /// The user stops the turn: what waits would go on with it.
    pub(crate) fn take_back(&mut self, control: &mut Control, out: &mut Out) {
        for injection in self.early.drain(..) {
            out.injected(injection.id, InjectionState::Cancelled, None);
        }
        for given in self.open.iter().filter(|it| it.state != SentState::Started) {
            control.take_back(&given.uuid, out);
        }
    }

    /// Takes the CLI's word for what becomes of something. Returns whether it is known.
    pub(crate) fn told(&mut self, uuid: &str, state: &str, out: &mut Out) -> bool {
        let Some(at) = self.open.iter().position(|given| given.uuid == uuid) else {
            return false;
        };
        let given = &mut self.open[at];
        match state {
            "queued" if given.state == SentState::Written => {
                given.state = SentState::Queued;
                out.injected(&*given.id, InjectionState::Queued, None);
            }
            "started" => {
                given.state = SentState::Started;
                out.injected(&*given.id, InjectionState::Delivered, None);
            }
            "completed" | "cancelled" => {
                let given = self.open.remove(at);
                match (given.state, state) {
                    // Broken off, or done.
                    (SentState::Started, _) => {}
                    (_, "completed") => out.injected(given.id, InjectionState::Delivered, None),
                    _ => out.injected(given.id, InjectionState::Cancelled, None),
                }
            }
            _ => {}
        }
        true
    }

    /// Whether something that the CLI has is not done.
    pub(crate) fn is_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// Whether something breaks the turn off.
    pub(crate) fn breaks_off(&self) -> bool {
        self.open.iter().any(|given| given.breaks_off)
    }

    /// The process ends, or has nothing more to do.
    pub(crate) fn end(&mut self, why: &str, out: &mut Out) {
        self.refuse_early(why, out);
        for given in self.open.drain(..) {
            if given.state != SentState::Started {
                out.injected(given.id, InjectionState::Refused, Some(why));
            }
        }
        for queued in self.queue.drain(..) {
            out.injected(queued.id, InjectionState::Refused, Some(why));
        }
    }
}

/// A UUID of its own for something that is said in a turn: that turn's, with a number at its end.
fn uuid(turn: &str, number: u64) -> String {
    const TAIL: usize = 12;
    let cut = turn.len().saturating_sub(TAIL);
    let head = turn.get(..cut).unwrap_or_default();
    format!("{head}{number:012x}")
}

#[cfg(test)]
mod tests {
    use super::uuid;

    #[test]
    fn each_has_an_id_of_its_own() {
        let turn = "5e551011-0000-4000-8000-000000000000";
        assert_eq!(uuid(turn, 1), "5e551011-0000-4000-8000-000000000001");
        assert_eq!(uuid(turn, 255), "5e551011-0000-4000-8000-0000000000ff");
        assert_eq!(uuid("é", 1), "000000000001");
    }
}
