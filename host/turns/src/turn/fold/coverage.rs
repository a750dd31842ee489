//! An event for every line, also for those that an adapter has forgotten.

use aod_resources::event::{EventBody, Unparsed};
use aod_runtime::types::{Action, Reaction};

use super::lines::{Lines, Origin};

/// A line that nobody has understood.
pub(super) fn unparsed(line: &str) -> EventBody {
    EventBody::Unparsed(Unparsed {
        data: line.strip_suffix('\n').unwrap_or(line).to_owned(),
    })
}

/// Which lines of a batch a reaction covers.
pub(super) struct LineCoverage<'a> {
    lines: &'a Lines,
    covered: Vec<bool>,
    /// Lines before this one are accounted for.
    next: usize,
}

impl<'a> LineCoverage<'a> {
    pub(super) fn new(lines: &'a Lines, reaction: &Reaction) -> Self {
        let mut covered = vec![false; lines.len()];
        let emitted = reaction.actions.iter().filter_map(|action| match action {
            Action::Emit(emitted) => Some(emitted.line),
            _ => None,
        });
        for line in emitted.chain(reaction.absorbed.iter().copied()) {
            if let Some(covered) = covered.get_mut(line as usize) {
                *covered = true;
            }
        }
        Self {
            lines,
            covered,
            next: 0,
        }
    }

    /// The forgotten lines in front of `line`, and where that came from.
    pub(super) fn before(&mut self, line: u32) -> (Vec<usize>, Option<Origin>) {
        let line = (line as usize).min(self.lines.len().saturating_sub(1));
        let forgotten = self.up_to(line);
        (
            forgotten,
            self.lines.lines.get(line).map(|line| line.origin),
        )
    }

    /// The forgotten lines that are left.
    pub(super) fn rest(&mut self) -> Vec<usize> {
        self.up_to(self.lines.len())
    }

    fn up_to(&mut self, line: usize) -> Vec<usize> {
        let range = self.next..line.max(self.next);
        self.next = range.end;
        range.filter(|line| !self.covered[*line]).collect()
    }
}
