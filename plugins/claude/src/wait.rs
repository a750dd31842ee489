//! What a turn waits for once its answer is there, and for how long.

use aod_plugin_sdk::Out;

/// A clock that starts when the answer is there. An adapter has none: it asks to be called, and is
/// told what time it is then.
#[derive(Debug, Default)]
pub(crate) struct Wait {
    /// The longest time for work in the background.
    background_ms: u64,
    /// What is waited for, and until when, in milliseconds since the process's start.
    now: Option<(WaitReason, Option<u64>)>,
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WaitReason {
    /// The end of work in the background.
    Background,
    /// The end of work that the CLI was asked to stop.
    Stop,
    /// That the CLI goes on by itself, which it may do.
    Quiet,
}

/// How long the CLI itself waits, where it is not spoken to.
pub(crate) const BACKGROUND_MS: u64 = 600_000;
const STOP_MS: u64 = 5_000;
const QUIET_MS: u64 = 2_000;

impl Wait {
    pub(crate) fn new(background_ms: u64) -> Self {
        Self {
            background_ms,
            now: None,
        }
    }

    /// Whether it is the end of work in the background that is waited for.
    pub(crate) fn is_for_background(&self) -> bool {
        matches!(
            self.now,
            Some((WaitReason::Background | WaitReason::Stop, _))
        )
    }

    /// Waits for this from now on, unless it does so already.
    pub(crate) fn begin(&mut self, reason: WaitReason, out: &mut Out) {
        if self.now.is_none_or(|(before, _)| before != reason) {
            self.now = Some((reason, None));
        }
        self.arm(out);
    }

    /// Whether it is the end of what the CLI was asked to stop.
    pub(crate) fn is_stopping(&self) -> bool {
        matches!(self.now, Some((WaitReason::Stop, _)))
    }

    /// The CLI goes on by itself.
    pub(crate) fn end_quiet(&mut self) {
        if matches!(self.now, Some((WaitReason::Quiet, _))) {
            self.now = None;
        }
    }

    /// Nothing is waited for any more.
    pub(crate) fn end(&mut self) {
        self.now = None;
    }

    /// Asks for the time: output has put off the wish to be called.
    pub(crate) fn arm(&self, out: &mut Out) {
        if self.now.is_some() {
            out.wake_after(0);
        }
    }

    /// Takes the time; returns what was waited for in vain.
    pub(crate) fn tick(&mut self, now_ms: u64, out: &mut Out) -> Option<WaitReason> {
        let (reason, until) = self.now.as_mut()?;
        let longest = match reason {
            WaitReason::Background => self.background_ms,
            WaitReason::Stop => STOP_MS,
            WaitReason::Quiet => QUIET_MS,
        };
        let until = *until.get_or_insert_with(|| now_ms.saturating_add(longest));
        match until.checked_sub(now_ms) {
            None | Some(0) => {
                let reason = *reason;
                self.now = None;
                Some(reason)
            }
            Some(left) => {
                out.wake_after(u32::try_from(left).unwrap_or(u32::MAX));
                None
            }
        }
    }
}
