//! Any text as `runtimes.toml`: the law is one of `aod-runtime`'s tests.

#![no_main]

#[allow(dead_code, reason = "another target has the other half")]
#[path = "../../host/runtime/tests/all/laws.rs"]
mod laws;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| laws::manifest(text));
