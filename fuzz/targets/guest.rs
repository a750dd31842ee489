//! A component whose memory holds anything: what the host lifts out of it is an answer or an
//! error, and nothing else happens.

#![no_main]

use std::sync::LazyLock;

use aod_guests::Guest;
use aod_runtime::types::{Exit, ExitCause, OutputStream, Paths, TurnContext};
use aod_runtime::{Adapter, Engine, Settings};
use libfuzzer_sys::fuzz_target;

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

/// `feed` gets the turn, the stream and the lines; `finish` the turn, two optional numbers, the
/// cause and the end of stderr.
const GUEST: Guest = Guest {
    describe: "i32.const 1024",
    plan: "i32.const 3072",
    constructor: "i32.const 1 call $new",
    feed: image!("2", "3"),
    answer: "i32.const 2048",
    tick: "i32.const 2048",
    interrupt: "i32.const 2048",
    finish: image!("6", "7"),
    instead: ("package", "package"),
    pages: 2,
    extra: "",
    version: "1.0.0",
};

static ADAPTER: LazyLock<Adapter> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = GUEST.write(folder.path(), "guest");
    let engine = Engine::on_demand().expect("an engine");
    Adapter::from_file(&engine, "guest", &path, Settings::default()).expect("the guest is sound")
});

fuzz_target!(|image: &[u8]| {
    let letters: String = image
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|nibble| char::from(b'a' + nibble))
        .collect();
    let mut turn = ADAPTER.begin_turn(&context()).expect("a turn begins");
    let fed = turn.feed(OutputStream::Stdout, &letters);
    assert_eq!(fed.is_ok(), turn.is_usable());
    let turn = ADAPTER.begin_turn(&context()).expect("a turn begins");
    // An answer or an error: both are ends.
    let _ = turn.finish(&Exit {
        code: Some(0),
        signal: None,
        cause: ExitCause::Own,
        stderr_tail: letters,
    });
});

fn context() -> TurnContext {
    TurnContext {
        session_id: String::new(),
        turn: 1,
        turn_id: String::new(),
        prompt: String::new(),
        system: None,
        model: "guest/x".into(),
        mcp_servers: Vec::new(),
        skills: Vec::new(),
        resume: None,
        secrets: Vec::new(),
        endpoints: Vec::new(),
        paths: Paths {
            home: "/home/agent".into(),
            workspace: "/workspace".into(),
            private: "/run/aod".into(),
        },
        cli_version: None,
        options: "{}".into(),
    }
}
