//! What a turn leaves to the next.

use aod_plugin_sdk::{Usage, usage};
use serde::{Deserialize, Serialize};

/// The thread, and the tokens that it had used so far: the CLI goes on counting, and a turn's are
/// the difference.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Resume {
    pub(crate) thread: String,
    pub(crate) used: Used,
}

/// Tokens of a thread, as the CLI counts them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Used {
    /// Tokens sent, cached ones included.
    pub(crate) input: u64,
    /// Those of them that were read from the cache.
    pub(crate) cached: u64,
    /// Those of them that were written to it.
    pub(crate) written: u64,
    /// Tokens received.
    pub(crate) output: u64,
    /// Those of them that were thoughts.
    pub(crate) reasoning: u64,
}

/// What a token begins with that names a copy, made for the conversation that is given it.
const COPY: &str = "copy ";

impl Resume {
    /// Whether a token names a copy that is there already, and not the thread to be copied.
    pub(crate) fn is_copy(token: &str) -> bool {
        token.starts_with(COPY)
    }

    /// What stands for a copy that has been made.
    pub(crate) fn write_copy(&self) -> String {
        format!("{COPY}{}", self.write())
    }

    /// Reads what `write` or `write_copy` wrote.
    pub(crate) fn read(token: &str) -> Self {
        let mut words = token.strip_prefix(COPY).unwrap_or(token).split(' ');
        let thread = words.next().unwrap_or_default().to_owned();
        let mut number = || words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
        Self {
            thread,
            used: Used {
                input: number(),
                cached: number(),
                output: number(),
                written: number(),
                reasoning: number(),
            },
        }
    }

    /// The thread's id and five numbers.
    pub(crate) fn write(&self) -> String {
        let Used {
            input,
            cached,
            written,
            output,
            reasoning,
        } = self.used;
        format!(
            "{} {input} {cached} {output} {written} {reasoning}",
            self.thread
        )
    }
}

impl Used {
    /// The same as the interface has it, where cached tokens are counted apart.
    pub(crate) fn told(self) -> Usage {
        Usage {
            cache_read_tokens: self.cached,
            cache_write_tokens: self.written,
            reasoning_tokens: self.reasoning,
            ..usage(self.input.saturating_sub(self.cached), self.output)
        }
    }

    /// What was used since `before`; all of it where less is counted now, since the count then
    /// began anew.
    pub(crate) fn since(self, before: Self) -> Self {
        if self.input < before.input || self.output < before.output {
            return self;
        }
        Self {
            input: self.input - before.input,
            cached: self.cached.saturating_sub(before.cached),
            written: self.written.saturating_sub(before.written),
            output: self.output - before.output,
            reasoning: self.reasoning.saturating_sub(before.reasoning),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let used = Used {
            input: 33,
            cached: 4,
            written: 5,
            output: 21,
            reasoning: 6,
        };
        let resume = Resume {
            thread: "01a20df4-c1ba-7620-a229-08b855435232".to_owned(),
            used,
        };
        assert_eq!(Resume::read(&resume.write()), resume);
        let copy = resume.write_copy();
        assert!(Resume::is_copy(&copy) && !Resume::is_copy(&resume.write()));
        assert_eq!(Resume::read(&copy), resume);
        assert_eq!(Resume::read("id").used, Used::default());
    }

    #[test]
    fn a_count_that_began_anew_is_taken_whole() {
        let small = Used {
            input: 1,
            output: 1,
            ..Used::default()
        };
        let large = Used {
            input: 10,
            cached: 5,
            output: 10,
            ..Used::default()
        };
        assert_eq!(small.since(large), small);
        assert_eq!(large.since(small).input, 9);
    }
}
