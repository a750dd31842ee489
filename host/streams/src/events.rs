//! Normalized events (`docs/stream.md`): stored once, when they are first derived from the log, and
//! read from there ever after.
//!
//! Each turn has a file of its own, `events/<turn>.jsonl`, one event a line in the order of their
//! ids, or a run of events that differ in a text alone. A line is whole or not there: one
//! that a crash has torn is cut by the next writer and never given to a reader. What was read is
//! what will be read, so a place among events is found by bisection, without an index beside the
//! file.

mod back;
mod bell;
mod cut;
mod follow;
mod page;
mod purge;
mod read;
mod run;
mod tail;
mod whole;
mod write;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use aod_resources::event::EventId;

pub use bell::{Bell, Listener};
pub use follow::EventFollower;
pub use page::{EventPage, PageRequest, PageStart, read_event, read_turn};
pub use purge::purge_events;
pub(crate) use read::EventReader;
pub use tail::Written;
pub use write::EventWriter;

/// The longest beginning of a line in which its id ends.
const ID_PREFIX: usize = "{\"id\":\"18446744073709551615.4294967295\"".len();

fn file_of(dir: &Path, turn: u32) -> PathBuf {
    dir.join(format!("{turn}.jsonl"))
}

/// The turns that have a file in `dir`, in order.
///
/// # Errors
/// Where the folder cannot be read.
pub fn stored_turns(dir: &Path) -> io::Result<Vec<u32>> {
    turns_in(dir)
}

/// The turns that have a file, in order.
fn turns_in(dir: &Path) -> io::Result<Vec<u32>> {
    turns_with(dir, ".jsonl")
}

/// The turns that have a file with this ending in `dir`, in order.
///
/// # Errors
/// Where the folder cannot be read.
pub fn turns_with(dir: &Path, ending: &str) -> io::Result<Vec<u32>> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut turns = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        let turn = name.to_str().and_then(|name| name.strip_suffix(ending));
        turns.extend(turn.and_then(|turn| turn.parse::<u32>().ok()));
    }
    turns.sort_unstable();
    Ok(turns)
}

/// The id that a stored line begins with.
fn id_of(line: &[u8]) -> Option<EventId> {
    let line = line.strip_prefix(b"{\"id\":\"")?;
    let end = memchr::memchr(b'"', line)?;
    std::str::from_utf8(&line[..end]).ok()?.parse().ok()
}
