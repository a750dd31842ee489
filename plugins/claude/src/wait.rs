//! How long a turn waits for work in the background once its answer is there.

use aod_plugin_sdk::Out;

/// A clock that starts when the answer is there. An adapter has none: it asks to be called, and is
/// told what time it is then.
#[derive(Debug, Default)]
pub(crate) struct Wait {
    /// The longest time; none: as long as the CLI itself waits.
    longest_ms: Option<u64>,
    is_waiting: bool,
    /// When it is over, in milliseconds since the process's start.
    until_ms: Option<u64>,
}

impl Wait {
    pub(crate) fn new(longest_ms: Option<u64>) -> Self {
        Self {
            longest_ms,
            ..Self::default()
        }
    }

    pub(crate) fn is_waiting(&self) -> bool {
        self.is_waiting
    }

    /// The answer is there.
    pub(crate) fn begin(&mut self, out: &mut Out) {
        self.is_waiting = true;
        self.until_ms = None;
        self.arm(out);
    }

    /// The CLI does not wait any more.
    pub(crate) fn end(&mut self) {
        self.is_waiting = false;
    }

    /// Asks for the time: output has put off the wish to be called.
    pub(crate) fn arm(&self, out: &mut Out) {
        if self.is_waiting && self.longest_ms.is_some() {
            out.wake_after(0);
        }
    }

    /// Takes the time; returns whether it is over.
    pub(crate) fn tick(&mut self, now_ms: u64, out: &mut Out) -> bool {
        let (true, Some(longest)) = (self.is_waiting, self.longest_ms) else {
            return false;
        };
        let until = *self
            .until_ms
            .get_or_insert_with(|| now_ms.saturating_add(longest));
        match until.checked_sub(now_ms) {
            None | Some(0) => true,
            Some(left) => {
                out.wake_after(u32::try_from(left).unwrap_or(u32::MAX));
                false
            }
        }
    }
}
