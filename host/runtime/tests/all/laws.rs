//! What must hold whatever the input is. The fuzz targets `manifest` and `guest` include this file;
//! the tests at its end run it on inputs that need no fuzzer.

#![allow(clippy::unwrap_used, reason = "what fails here breaks the law")]

use std::path::Path;
use std::sync::LazyLock;

use aod_guests::Guest;
use aod_runtime::manifest::Manifest;
use aod_runtime::types::{Context, Exit, ExitCause, Origin, OutputSource, Paths, WorkspaceConfig};
use aod_runtime::{Adapter, Engine, Settings};

/// Any text as `runtimes.toml`: each mistake is told with a place in the text.
pub fn manifest(text: &str) {
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
}

/// A component whose memory holds anything: what the host lifts out of it is an answer or an
/// error, and nothing else happens.
pub fn guest(image: &[u8]) {
    let letters: String = image
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|nibble| char::from(b'a' + nibble))
        .collect();
    let mut conversation = ADAPTER.converse(&context(), None).unwrap();
    let fed = conversation.feed(OutputSource::Stdout, &letters);
    assert_eq!(fed.is_ok(), conversation.is_usable());
    let conversation = ADAPTER.converse(&context(), None).unwrap();
    // An answer or an error: both are ends.
    let _ = conversation.finish(&Exit {
        code: Some(0),
        signal: None,
        cause: ExitCause::Own,
        stderr_tail: letters,
    });
}

/// Returns address 8192, where the letters that it is given stand as bytes: two letters, `a` to
/// `p`, are one byte. The text's address and length are the locals that are named.
macro_rules! image {
    ($text:literal, $length:literal) => {
        concat!(
            "(local $i i32)
            (block $done (loop $next
                (br_if $done (i32.ge_u (local.get $i) (local.get ",
            $length,
            ")))
                (i32.store8
                    (i32.add (i32.const 8192) (i32.shr_u (local.get $i) (i32.const 1)))
                    (i32.or
                        (i32.shl (i32.sub (i32.load8_u (i32.add (local.get ",
            $text,
            ") (local.get $i))) (i32.const 97)) (i32.const 4))
                        (i32.sub (i32.load8_u (i32.add (local.get ",
            $text,
            ") (i32.add (local.get $i) (i32.const 1)))) (i32.const 97))))
                (local.set $i (i32.add (local.get $i) (i32.const 2)))
                (br $next)))
            i32.const 8192"
        )
    };
}

/// `feed` gets the conversation, the source and the lines; `finish` the conversation, two optional numbers, the
/// cause and the end of stderr.
const GUEST: Guest = Guest {
    describe: "i32.const 1024",
    prepare: "i32.const 3072",
    constructor: "i32.const 1 call $new",
    receive: "i32.const 2048",
    feed: image!("2", "3"),
    tick: "i32.const 2048",
    state: "i32.const 2048",
    finish: image!("6", "7"),
    instead: ("package", "package"),
    pages: 2,
    extra: "",
    version: "1.0.0",
};

static ADAPTER: LazyLock<Adapter> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let path = GUEST.write(folder.path(), "guest");
    let engine = Engine::on_demand().unwrap();
    Adapter::from_file(&engine, "guest", &path, Settings::default()).unwrap()
});

pub(crate) fn context() -> Context {
    Context {
        session_id: String::new(),
        system: None,
        model: "guest/x".into(),
        mcp_servers: Vec::new(),
        skills: Vec::new(),
        origin: Origin::New,
        secrets: Vec::new(),
        endpoints: Vec::new(),
        paths: Paths {
            home: "/home/agent".into(),
            workspace: "/workspace".into(),
            private: "/run/aod".into(),
        },
        cli_version: None,
        options: "{}".into(),
        live: false,
        workspace_config: WorkspaceConfig::Instructions,
        tool_policies: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn every_mistake_in_a_manifest_has_a_place(
            text in "(\\[+runtime\\.[a-z\"]{0,3}\\]*|[a-z]{1,9} ?= ?[\"{\\[]?.{0,9}|.{0,5}|\n){0,12}",
        ) {
            super::manifest(&text);
        }

        #[test]
        fn whatever_a_guest_answers_ends_well(
            // Small numbers lead to addresses within the guest's memory.
            words in proptest::collection::vec(prop_oneof![0..4_u32, 8192..8300_u32, any::<u32>()], 0..64),
        ) {
            let image: Vec<u8> = words.into_iter().flat_map(u32::to_le_bytes).collect();
            super::guest(&image);
        }
    }
}
