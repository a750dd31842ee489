//! Any text as `runtimes.toml`: each mistake is told with a place in the text.

#![no_main]

use std::path::Path;

use aod_runtime::manifest::Manifest;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let path = Path::new("/etc/aod/runtimes.toml");
    let manifest = Manifest::parse(path, text);
    let lines = text.split('\n').count();
    for problem in manifest.problems() {
        assert_eq!(problem.at.file, path);
        assert!(!problem.problem.is_empty());
        let line = problem.at.position.line;
        assert!((1..=lines).contains(&line), "{problem} of {lines} lines");
    }
    if !manifest.complete {
        assert_ne!(manifest.problems().count(), 0);
    }
});
