//! What is told last of a turn: the files that it was seen to change, and what it came to.

use std::io;

use aod_resources::event::{EventBody, Level, TurnResult};

use super::{Fold, Step, notice};
use crate::turn::seen::{Seen, ToldPaths, Watch};

/// What is kept until a turn is over.
#[derive(Default)]
pub(super) struct Last {
    watch: Option<Watch>,
    told: ToldPaths,
    /// What the turn came to, which nothing is to follow, and the call inside of which that was told.
    result: Option<(Option<String>, TurnResult)>,
    /// When the turn began, in microseconds since 1970.
    began: i64,
    is_over: bool,
    workspace: Option<(u64, bool)>,
}

impl Last {
    /// For the next turn of the same process, which may be watched already.
    pub(super) fn next_turn(&mut self) -> Self {
        Self {
            watch: self.watch.take(),
            ..Self::default()
        }
    }

    pub(super) fn begin(&mut self, at: i64) {
        self.began = at;
    }
}

impl Fold {
    /// Has the turn's workspace looked at when it is over.
    pub(crate) fn watch(&mut self, watch: Watch) {
        self.last.watch = Some(watch);
    }

    /// What the workspace takes of the disk, and whether that is all, where it was looked at.
    pub(crate) const fn workspace(&self) -> Option<(u64, bool)> {
        self.last.workspace
    }

    /// Notes what the CLI tells of files.
    pub(super) fn note_files(&mut self, body: &EventBody) {
        if let EventBody::FileChange(change) = body {
            let workspace = &self.context.paths.workspace;
            self.last.told.take(change, workspace);
        }
    }

    /// Keeps what the turn came to until it is over: readers take it for the end.
    pub(super) fn tell_end(
        &mut self,
        inside: Option<String>,
        result: TurnResult,
        step: &mut Step<'_>,
    ) -> io::Result<()> {
        if self.last.is_over {
            return self.push_result((inside, result), step);
        }
        match self.last.result.replace((inside, result)) {
            Some(earlier) => self.push_result(earlier, step),
            None => Ok(()),
        }
    }

    /// Tells what is told last.
    pub(super) fn tell_last(&mut self, step: &mut Step<'_>) -> io::Result<()> {
        self.tell_held(step)?;
        self.tell_limit(step)?;
        self.take_counted(step)?;
        if std::mem::replace(&mut self.last.is_over, true) {
            return Ok(());
        }
        let turn = self.prompt.turn;
        let is_told = self.is_told();
        // It may be that of a later turn of the same process.
        let watch = self.last.watch.take_if(|watch| watch.turn == turn);
        let watch = watch.filter(|_| is_told);
        let seen = match watch {
            Some(watch) => watch.seen(self.last.began, &self.last.told),
            None => Seen::default(),
        };
        self.last.workspace = seen.workspace;
        for change in seen.files {
            self.tell(EventBody::FileChange(change), step)?;
        }
        if seen.is_cut {
            let text = format!(
                "more files may have been changed than are told here; the changes of turn {turn} \
                 have all of them, up to a bound of their own"
            );
            self.tell(notice(Level::Info, "files.cut", text), step)?;
        }
        match self.last.result.take() {
            Some(result) => self.push_result(result, step),
            None => Ok(()),
        }
    }

    fn push_result(
        &mut self,
        (inside, result): (Option<String>, TurnResult),
        step: &mut Step<'_>,
    ) -> io::Result<()> {
        let mut event = self.ids.event(EventBody::TurnResult(result));
        event.inside = inside;
        self.push(&event, step)
    }
}
