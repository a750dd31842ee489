//! Makes records of what a CLI writes: whole lines, redacted, valid UTF-8.

use std::fs::File;

use aod_log::{Batch, Flags, Kind, Meta};
use aod_supervisor::{LinePosition, Redactor};

/// A longer line is recorded in pieces.
const LONGEST_LINE: usize = 16 << 20;
/// A buffer of this size is kept between lines.
const KEPT: usize = 64 << 10;

/// The size of a pipe while its writer is busy, and otherwise. All pipes of a user share a quota,
/// so a silent turn's pipe is small.
pub const LARGE_PIPE: usize = 1 << 20;
const SMALL_PIPE: usize = 64 << 10;

/// What lines are written to, and with.
pub struct Sink<'t> {
    /// Receives the records.
    pub batch: &'t mut Batch,
    /// Replaces the turn's secrets.
    pub redactor: &'t Redactor,
    /// The turn's number.
    pub turn: u32,
    /// Now, in microseconds since the Unix epoch.
    pub time: i64,
    /// Whether the turn has had output before.
    pub begun: &'t mut bool,
}

/// One stream of a CLI: its pipe, until that is closed, and what comes out of it.
pub struct Output {
    /// The supervisor's end of it.
    pub pipe: Option<File>,
    /// What was read.
    pub lines: Lines,
    is_large: bool,
}

impl Output {
    /// For [`Kind::Stdout`] or [`Kind::Stderr`].
    pub fn new(pipe: Option<File>, kind: Kind) -> Self {
        Self {
            pipe,
            lines: Lines::new(kind),
            is_large: false,
        }
    }

    /// Makes the pipe large, for fewer and larger reads.
    pub fn grow(&mut self) {
        self.resize(true);
    }

    /// Gives back what [`Output::grow`] took.
    pub fn shrink(&mut self) {
        self.resize(false);
    }

    fn resize(&mut self, large: bool) {
        if let Some(pipe) = &self.pipe
            && self.is_large != large
        {
            let bytes = if large { LARGE_PIPE } else { SMALL_PIPE };
            // Where the kernel refuses, the pipe stays as it is and works all the same.
            let _ = rustix::pipe::fcntl_setpipe_size(pipe, bytes);
            self.is_large = large;
        }
    }
}

/// What came in from one stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// So many bytes.
    pub bytes: u64,
    /// So many of them were not UTF-8.
    pub replaced: u64,
}

/// One stream of a CLI, cut into lines.
pub struct Lines {
    kind: Kind,
    /// The beginning of a line whose end has not come.
    partial: Vec<u8>,
    /// Where in its line that stands.
    position: LinePosition,
    bytes: u64,
    replaced: u64,
}

impl Lines {
    /// For [`Kind::Stdout`] or [`Kind::Stderr`].
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            partial: Vec::new(),
            position: LinePosition::default(),
            bytes: 0,
            replaced: 0,
        }
    }

    /// What came in since the last call.
    pub fn take_counts(&mut self) -> Counts {
        Counts {
            bytes: std::mem::take(&mut self.bytes),
            replaced: std::mem::take(&mut self.replaced),
        }
    }

    /// Adds what was read.
    pub fn take(&mut self, mut block: &[u8], sink: &mut Sink<'_>) {
        self.bytes += block.len() as u64;
        if !self.partial.is_empty() {
            let Some(end) = memchr::memchr(b'\n', block) else {
                self.hold(block, sink);
                return;
            };
            let (rest_of_line, rest) = block.split_at(end + 1);
            let mut line = std::mem::take(&mut self.partial);
            line.extend_from_slice(rest_of_line);
            self.whole(&line, sink);
            if line.capacity() <= KEPT {
                line.clear();
                self.partial = line;
            }
            block = rest;
        }
        if let Some(end) = memchr::memrchr(b'\n', block) {
            let (lines, rest) = block.split_at(end + 1);
            self.whole(lines, sink);
            block = rest;
        }
        self.hold(block, sink);
    }

    /// Ends the stream: what remains is a last line without a newline.
    pub fn finish(&mut self, sink: &mut Sink<'_>) {
        let line = std::mem::take(&mut self.partial);
        if !line.is_empty() {
            self.whole(&line, sink);
        }
    }

    fn hold(&mut self, piece: &[u8], sink: &mut Sink<'_>) {
        if piece.is_empty() {
            return;
        }
        self.partial.extend_from_slice(piece);
        if self.partial.len() > LONGEST_LINE {
            let mut clean = Vec::with_capacity(self.partial.len());
            let done = sink
                .redactor
                .redact_partial(&mut self.position, &self.partial, &mut clean);
            self.partial.drain(..done);
            self.emit(&clean, false, Flags::CONTINUED, sink);
        }
    }

    /// Records complete lines, of the first of which pieces may have been recorded. No secret's form
    /// holds a newline, so they are scanned at once.
    fn whole(&mut self, lines: &[u8], sink: &mut Sink<'_>) {
        let position = std::mem::take(&mut self.position);
        let clean = sink.redactor.redact_rest(position, lines);
        let valid = std::str::from_utf8(&clean).is_ok();
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', &clean) {
            self.emit(&clean[start..=end], valid, Flags::NONE, sink);
            start = end + 1;
        }
        if start < clean.len() {
            self.emit(&clean[start..], valid, Flags::NONE, sink);
        }
    }

    /// Records text that is one line, or with `flags` a piece of one.
    fn emit(&mut self, mut text: &[u8], valid: bool, flags: Flags, sink: &mut Sink<'_>) {
        while text.len() > LONGEST_LINE {
            // Back to where a character begins; bytes that are no UTF-8 are cut anywhere.
            let cut = (LONGEST_LINE - 3..=LONGEST_LINE)
                .rev()
                .find(|at| text[*at] & 0xc0 != 0x80)
                .unwrap_or(LONGEST_LINE);
            let (piece, rest) = text.split_at(cut);
            self.record(piece, valid, Flags::CONTINUED, sink);
            text = rest;
        }
        self.record(text, valid, flags, sink);
    }

    fn record(&mut self, text: &[u8], valid: bool, mut flags: Flags, sink: &mut Sink<'_>) {
        if !*sink.begun {
            *sink.begun = true;
            flags |= Flags::FIRST;
        }
        let replaced: u64 = if valid {
            0
        } else {
            text.utf8_chunks()
                .map(|chunk| chunk.invalid().len() as u64)
                .sum()
        };
        if replaced > 0 {
            flags |= Flags::REPLACED;
            self.replaced += replaced;
        }
        let meta = Meta {
            kind: self.kind,
            flags,
            turn: sink.turn,
            time: sink.time,
        };
        let pushed = sink.batch.push_with(meta, |buffer| {
            if replaced == 0 {
                buffer.extend_from_slice(text);
                return;
            }
            for chunk in text.utf8_chunks() {
                buffer.extend_from_slice(chunk.valid().as_bytes());
                if !chunk.invalid().is_empty() {
                    buffer.extend_from_slice("\u{fffd}".as_bytes());
                }
            }
        });
        // At most three times the longest line, far below what a record takes.
        debug_assert!(pushed.is_ok());
    }
}
