//! Everything that an adapter can do to its host, as far as anyone has thought of it.

use crate::Guest;

/// Runs forever.
pub const LOOP: &str = "(loop $again (br $again)) unreachable";

/// Takes all the memory that it gets.
pub const BOMB: &str =
    "(loop $again (br_if $again (i32.ne (i32.const -1) (memory.grow (i32.const 16))))) unreachable";

/// Calls itself without end.
pub const DEEP: &str = "i32.const 0 call $deeper";

/// A description whose refusal is 32 MiB long; it needs 1000 pages.
const GIANT: &str = r"
    (i32.store (i32.const 4096) (i32.const 1))
    (i32.store (i32.const 4100) (i32.const 65536))
    (i32.store (i32.const 4104) (i32.const 33554432))
    i32.const 4096";

/// A description whose name is no text.
const NO_TEXT: &str = r"
    (i32.store (i32.const 1540) (i32.const -1))
    (i32.store (i32.const 1536) (i32.const -1))
    i32.const 1024";

/// A reaction that absorbs line 7 000 000.
const ELSEWHERE: &str = r"
    (i32.store (i32.const 4104) (i32.const 4200))
    (i32.store (i32.const 4108) (i32.const 1))
    (i32.store (i32.const 4200) (i32.const 7000000))
    i32.const 4096";

/// A launch that names no program.
const NO_PROGRAM: &str = "i32.const 2048";

/// A good adapter with a function besides, over which a compiler takes some seconds: everywhere in
/// it, control may go on in hundreds of places, in each of which any of its variables may have
/// another value. Nobody ever calls it.
#[must_use]
pub fn slow() -> Guest {
    const PLACES: usize = 280;
    const JUMPS: usize = 280;
    const VARIABLES: usize = 12;
    let mut text = format!(
        "(func $slow (param i32) (local{})",
        " i32".repeat(VARIABLES)
    );
    text.push_str(&"(block ".repeat(PLACES));
    let targets: String = (0..PLACES).map(|place| format!("{place} ")).collect();
    for jump in 0..JUMPS {
        for variable in 1..=VARIABLES {
            let add = format!(
                "(local.set {variable} (i32.add (local.get {variable}) (i32.const {jump})))"
            );
            text.push_str(&add);
        }
        let test = format!("(if (i32.eq (local.get 0) (i32.const {jump})) (then ");
        text.push_str(&format!("{test}(br_table {targets}(local.get 1))))"));
    }
    for place in 0..PLACES {
        let variable = 1 + place % VARIABLES;
        text.push_str(&format!(
            ") (local.set {variable} (i32.mul (local.get {variable}) (local.get 0)))"
        ));
    }
    for variable in 1..=VARIABLES {
        let store = format!("(i32.store (local.get {variable}) (local.get 0))");
        text.push_str(&store);
    }
    text.push(')');
    Guest {
        // The few tests that make one end soon.
        extra: text.leak(),
        ..Guest::default()
    }
}

/// A component that does harm.
#[derive(Clone, Debug)]
pub struct Hostile {
    /// What it does, as a name for a file.
    pub name: String,
    /// The component.
    pub guest: Guest,
    /// Words that a message about it must have.
    pub cause: String,
}

/// All of them.
#[must_use]
pub fn hostile() -> Vec<Hostile> {
    let good = Guest::default;
    let mut all = Vec::new();
    let mut add = |name: &str, cause: &str, guest: Guest| {
        all.push(Hostile {
            name: name.to_owned(),
            guest,
            cause: cause.to_owned(),
        });
    };
    for (kind, body, says) in [
        ("loop", LOOP, "was stopped in CALL after 250 ms"),
        ("trap", "unreachable", "crashed in CALL"),
        ("bomb", BOMB, "ran out of memory in CALL"),
        ("deep", DEEP, "crashed in CALL: "),
    ] {
        type Set = fn(&mut Guest, &'static str);
        let functions: [(&str, Set); 8] = [
            ("describe", |guest, body| guest.describe = body),
            ("prepare", |guest, body| guest.prepare = body),
            ("conversation.constructor", |guest, body| {
                guest.constructor = body
            }),
            ("conversation.receive", |guest, body| guest.receive = body),
            ("conversation.feed", |guest, body| guest.feed = body),
            ("conversation.tick", |guest, body| guest.tick = body),
            ("conversation.state", |guest, body| guest.state = body),
            ("conversation.finish", |guest, body| guest.finish = body),
        ];
        for (call, set) in functions {
            let mut guest = good();
            set(&mut guest, body);
            let name = format!("{kind}-{}", call.replace('.', "-"));
            add(&name, &says.replace("CALL", call), guest);
        }
    }
    add(
        "giant-reply",
        "reply to describe is larger than 16 MiB",
        Guest {
            describe: GIANT,
            pages: 1000,
            ..good()
        },
    );
    add(
        "giant-memory",
        "ran out of memory in describe",
        Guest {
            pages: 1025,
            ..good()
        },
    );
    add(
        "no-text",
        "utf-8",
        Guest {
            describe: NO_TEXT,
            ..good()
        },
    );
    add(
        "no-sense",
        "reply to describe is not valid: description.name",
        Guest {
            describe: "i32.const 8192",
            ..good()
        },
    );
    add(
        "no-program",
        "reply to prepare is not valid: launch.argv: names no program",
        Guest {
            prepare: NO_PROGRAM,
            ..good()
        },
    );
    add(
        "outside-of-memory",
        "crashed in conversation.feed",
        Guest {
            feed: "i32.const -16",
            ..good()
        },
    );
    add(
        "other-lines",
        "line 7000000 of a batch",
        Guest {
            feed: ELSEWHERE,
            ..good()
        },
    );
    add(
        "version",
        "speaks aod:runtime@7.3.1; this host knows 1.0.0",
        Guest {
            version: "7.3.1",
            ..good()
        },
    );
    add(
        "other-shape",
        "reply to describe is not valid: aod:runtime",
        Guest {
            instead: (
                "tick: func(elapsed-ms: u64) -> reaction",
                "tick: func(elapsed-ms: u64) -> exit",
            ),
            ..good()
        },
    );
    add(
        "import",
        "imports \"test:evil/files@0.1.0\"",
        Guest {
            extra: r#"(import "test:evil/files@0.1.0" "open" (func (param i32) (result i32)))"#,
            ..good()
        },
    );
    all
}
