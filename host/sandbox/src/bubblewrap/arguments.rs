//! Arguments that bubblewrap reads from a descriptor.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use aod_launch::DataFd;
use zeroize::Zeroizing;

use crate::SandboxError;

/// The descriptor of the arguments themselves.
pub(super) const ARGUMENTS_FD: i32 = 3;
/// bubblewrap's own bound on the number of arguments, less what stands on the command line.
const MOST: usize = 8_900;

/// A growing list of options, and the data they refer to.
pub(super) struct Arguments {
    text: Vec<u8>,
    count: usize,
    data: Vec<DataFd>,
    /// The next free descriptor.
    next: i32,
}

impl Arguments {
    /// An empty list.
    pub(super) fn new() -> Self {
        Self {
            text: Vec::new(),
            count: 0,
            data: Vec::new(),
            next: ARGUMENTS_FD + 1,
        }
    }

    /// Appends an option with its values.
    pub(super) fn option<const N: usize>(&mut self, values: [&OsStr; N]) {
        for value in values {
            self.text.extend_from_slice(value.as_bytes());
            self.text.push(0);
        }
        self.count += N;
    }

    /// Appends an option whose values are plain text.
    pub(super) fn words<const N: usize>(&mut self, values: [&str; N]) {
        self.option(values.map(OsStr::new));
    }

    /// Gives `content` to bubblewrap; answers the descriptor's number, for use as an option's value.
    pub(super) fn data(&mut self, content: Zeroizing<Vec<u8>>) -> String {
        let fd = self.descriptor();
        self.data.push(DataFd {
            fd,
            content: content.into(),
        });
        fd.to_string()
    }

    /// The number of a descriptor that somebody else provides.
    pub(super) fn descriptor(&mut self) -> i32 {
        self.next = self.next.saturating_add(1);
        self.next - 1
    }

    /// All data, the list itself included.
    pub(super) fn finish(self) -> Result<Vec<DataFd>, SandboxError> {
        if self.count > MOST {
            return Err(SandboxError::invalid(format!(
                "files and mounts together need {} arguments, and bubblewrap takes at \
                 most {MOST}",
                self.count
            )));
        }
        let mut data = self.data;
        data.push(DataFd {
            fd: ARGUMENTS_FD,
            content: self.text.into(),
        });
        Ok(data)
    }
}
