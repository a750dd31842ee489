//! What commands write: results to stdout, and errors in one line.

use std::fmt::{self, Write as _};
use std::io::{self, Write as _};

/// Writes a line of a command's result. Unlike `println!` it does not panic where the reader has
/// gone (`aod openapi | head -1`).
macro_rules! outln {
    ($($text:tt)*) => {
        $crate::output::write(format_args!("{}\n", format_args!($($text)*)))
    };
}
pub(crate) use outln;

/// Writes a part of a command's result.
pub(crate) fn write(text: fmt::Arguments<'_>) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_fmt(text)?;
    stdout.flush()
}

/// Whether a command failed only because nobody reads its result any more.
pub(crate) fn is_closed(error: &anyhow::Error) -> bool {
    let closed = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
    error.downcast_ref::<io::Error>().is_some_and(closed)
}

/// An error with its causes, without those that the text before already ends with.
pub(crate) fn explain(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if !text.ends_with(&cause) {
            let colon = if text.is_empty() { "" } else { ": " };
            // Writing to a string cannot fail.
            let _ = write!(text, "{colon}{cause}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn a_cause_is_told_once() {
        let full = || io::Error::from_raw_os_error(30);
        let error = aod_services::OpenError::DataFolder {
            path: "/data".into(),
            source: full(),
        };
        let text = explain(&anyhow::Error::from(error).context("cannot start"));
        assert_eq!(text.matches("os error 30").count(), 1, "{text}");
        assert!(text.starts_with("cannot start: cannot use"), "{text}");
        let plain = Err::<(), _>(full()).context("reading").unwrap_err();
        assert_eq!(explain(&plain), format!("reading: {}", full()));
    }
}
