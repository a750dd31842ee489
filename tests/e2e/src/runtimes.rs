//! `runtimes.toml` for a test.

use std::fmt::Write as _;
use std::path::Path;

use crate::program::{cli, plugin};

/// What a server under test is told of runtimes.
#[derive(Clone, Debug, Default)]
pub struct Runtimes(String);

impl Runtimes {
    /// The demo runtime alone, which needs nothing but a shell.
    #[must_use]
    pub fn demo() -> Self {
        Self::default().with_demo()
    }

    /// A vendor's runtime with the CLI that the tests have installed.
    #[must_use]
    pub fn vendor(name: &str) -> Self {
        Self::default().with_vendor(name)
    }

    /// Adds the demo runtime.
    #[must_use]
    pub fn with_demo(self) -> Self {
        self.with("demo", &plugin("demo"), "")
    }

    /// Adds the runtime `raw`, whose CLI does what the prompt says, as a script, and writes
    /// nothing of its own before that.
    #[must_use]
    pub fn with_raw(self) -> Self {
        let agent = Path::new(env!("CARGO_MANIFEST_DIR")).join("raw-agent.sh");
        self.with("raw", &plugin("demo"), &format!("command = {agent:?}\n"))
    }

    /// Adds a vendor's runtime.
    #[must_use]
    pub fn with_vendor(self, name: &str) -> Self {
        self.with(name, &plugin(name), &format!("command = {:?}\n", cli(name)))
    }

    /// Adds a runtime; `more` are further lines of its table.
    #[must_use]
    pub fn with(mut self, name: &str, component: &Path, more: &str) -> Self {
        // Writing to a string cannot fail.
        let _ = write!(
            self.0,
            "[runtime.{name}]\ncomponent = {component:?}\n{more}\n"
        );
        self
    }

    /// The file's text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }
}
