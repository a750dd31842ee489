//! Adapters that misbehave: each becomes a typed error, and its neighbours do not notice.

use std::time::{Duration, Instant};

use aod_runtime::types::OutputSource;
use aod_runtime::{
    Adapter, AdapterError, ComponentError, Engine, Limits, MAX_FEED_BYTES, Settings,
};

use crate::{context, engine};
use aod_guests::{BOMB, DEEP, Guest, LOOP};

fn load(guest: &Guest) -> Result<Adapter, ComponentError> {
    load_in(engine(), guest)
}

fn load_in(engine: &Engine, guest: &Guest) -> Result<Adapter, ComponentError> {
    let folder = tempfile::tempdir().unwrap();
    let path = guest.write(folder.path(), "guest");
    Adapter::from_file(engine, "guest", &path, Settings::default())
}

fn describe_error(guest: &Guest) -> AdapterError {
    match load(guest) {
        Err(ComponentError::Describe(error)) => error,
        other => panic!("{other:?}"),
    }
}

/// Feeds a guest once, and says what came of it.
fn feed_error(guest: &Guest) -> AdapterError {
    let adapter = load(guest).unwrap();
    let mut conversation = adapter.converse(&context("a/b"), None).unwrap();
    let error = conversation.feed(OutputSource::Stdout, "{}\n").unwrap_err();
    assert!(!conversation.is_usable());
    assert!(matches!(
        conversation.feed(OutputSource::Stdout, "{}\n"),
        Err(AdapterError::Gone)
    ));
    // The adapter is not worse for it: another conversation begins.
    assert!(adapter.converse(&context("a/b"), None).unwrap().is_usable());
    error
}

#[test]
fn a_harmless_guest_works() {
    let adapter = load(&Guest::default()).unwrap();
    assert_eq!(adapter.description().name, "guest");
    assert_eq!(adapter.cli().command, "cat");
    let mut conversation = adapter.converse(&context("a/b"), None).unwrap();
    assert!(
        conversation
            .feed(OutputSource::Stdout, "{}\n")
            .unwrap()
            .actions
            .is_empty()
    );
    assert!(conversation.tick(5).unwrap().actions.is_empty());
}

#[test]
fn an_endless_loop_is_stopped_at_its_deadline() {
    let error = describe_error(&Guest {
        describe: LOOP,
        ..Guest::default()
    });
    assert!(
        matches!(
            error,
            AdapterError::Deadline {
                call: "describe",
                ..
            }
        ),
        "{error}"
    );
    let begun = Instant::now();
    let error = feed_error(&Guest {
        feed: LOOP,
        ..Guest::default()
    });
    assert!(
        matches!(
            error,
            AdapterError::Deadline {
                call: "conversation.feed",
                ..
            }
        ),
        "{error}"
    );
    assert!(error.to_string().contains("250 ms"), "{error}");
    assert!(
        begun.elapsed() >= Limits::default().call_deadline,
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn a_call_long_after_the_last_one_has_a_deadline_too() {
    // The clock's thread has gone to sleep by then; an engine of its own so that other tests do
    // not keep it awake.
    let engine = Engine::on_demand().unwrap();
    let adapter = load_in(
        &engine,
        &Guest {
            feed: LOOP,
            ..Guest::default()
        },
    )
    .unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    let mut conversation = adapter.converse(&context("a/b"), None).unwrap();
    let error = conversation.feed(OutputSource::Stdout, "x\n").unwrap_err();
    assert!(matches!(error, AdapterError::Deadline { .. }), "{error}");
}

#[test]
fn a_loop_while_a_conversation_is_made_is_stopped() {
    let adapter = load(&Guest {
        constructor: LOOP,
        ..Guest::default()
    })
    .unwrap();
    let error = adapter.converse(&context("a/b"), None).unwrap_err();
    assert!(
        matches!(
            error,
            AdapterError::Deadline {
                call: "conversation.constructor",
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn a_memory_bomb_runs_out_of_memory() {
    let error = feed_error(&Guest {
        feed: BOMB,
        ..Guest::default()
    });
    assert!(
        matches!(
            error,
            AdapterError::Memory {
                limit: 0x400_0000,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn a_guest_cannot_begin_with_more_memory_than_it_may_have() {
    let error = describe_error(&Guest {
        pages: 1025,
        ..Guest::default()
    });
    assert!(
        matches!(
            error,
            AdapterError::Memory {
                call: "describe",
                ..
            }
        ),
        "{error}"
    );
    assert!(
        load(&Guest {
            pages: 1024,
            ..Guest::default()
        })
        .is_ok()
    );
}

#[test]
fn endless_recursion_overflows_the_guests_stack_only() {
    let error = feed_error(&Guest {
        feed: DEEP,
        ..Guest::default()
    });
    let AdapterError::Trap { message, .. } = &error else {
        panic!("{error}")
    };
    assert!(message.contains("stack"), "{message}");
}

#[test]
fn a_trap_is_told_as_one() {
    let error = feed_error(&Guest {
        feed: "unreachable",
        ..Guest::default()
    });
    let AdapterError::Trap {
        call: "conversation.feed",
        message,
    } = &error
    else {
        panic!("{error}")
    };
    assert!(message.contains("unreachable"), "{message}");
}

#[test]
fn a_giant_reply_is_not_copied() {
    // An error of 32 MiB.
    const TEXT: &str = r"
        (i32.store (i32.const 4096) (i32.const 1))
        (i32.store (i32.const 4100) (i32.const 65536))
        (i32.store (i32.const 4104) (i32.const 33554432))
        i32.const 4096";
    let error = describe_error(&Guest {
        describe: TEXT,
        pages: 1000,
        ..Guest::default()
    });
    assert!(
        matches!(error, AdapterError::ReplyTooLarge { call: "describe" }),
        "{error}"
    );
    // A reaction that absorbs eight million lines.
    const LIST: &str = r"
        (i32.store (i32.const 4104) (i32.const 1048576))
        (i32.store (i32.const 4108) (i32.const 8000000))
        i32.const 4096";
    let error = feed_error(&Guest {
        feed: LIST,
        pages: 1000,
        ..Guest::default()
    });
    assert!(
        matches!(
            error,
            AdapterError::ReplyTooLarge {
                call: "conversation.feed"
            }
        ),
        "{error}"
    );
}

#[test]
fn a_small_reply_that_unfolds_into_a_giant_one_is_not_copied() {
    // cli.version-args: ten thousand strings, each of them the same mebibyte.
    const FOLDED: &str = r"
        (local $i i32)
        (loop $more
            (i32.store offset=1048576 (local.get $i) (i32.const 2097152))
            (i32.store offset=1048580 (local.get $i) (i32.const 1048576))
            (local.set $i (i32.add (local.get $i) (i32.const 8)))
            (br_if $more (i32.lt_u (local.get $i) (i32.const 80000))))
        (i32.store (i32.const 1052) (i32.const 1048576))
        (i32.store (i32.const 1056) (i32.const 10000))
        i32.const 1024";
    let begun = Instant::now();
    let error = describe_error(&Guest {
        describe: FOLDED,
        pages: 64,
        ..Guest::default()
    });
    assert!(
        matches!(error, AdapterError::ReplyTooLarge { call: "describe" }),
        "{error}"
    );
    assert!(
        begun.elapsed() < Duration::from_secs(20),
        "ten gigabytes were not copied"
    );
}

#[test]
fn a_reaction_to_a_line_that_was_not_fed_is_invalid() {
    // Absorbs line 7 of a batch of one.
    const ELSEWHERE: &str = r"
        (i32.store (i32.const 4104) (i32.const 4200))
        (i32.store (i32.const 4108) (i32.const 1))
        (i32.store (i32.const 4200) (i32.const 7))
        i32.const 4096";
    let error = feed_error(&Guest {
        feed: ELSEWHERE,
        ..Guest::default()
    });
    assert!(
        matches!(
            error,
            AdapterError::Invalid {
                call: "conversation.feed",
                ..
            }
        ),
        "{error}"
    );
    assert!(
        error.to_string().contains("line 7 of a batch of 1"),
        "{error}"
    );
}

#[test]
fn a_reply_outside_of_memory_is_a_trap() {
    let error = feed_error(&Guest {
        feed: "i32.const -16",
        ..Guest::default()
    });
    assert!(matches!(error, AdapterError::Trap { .. }), "{error}");
}

#[test]
fn text_that_is_not_utf8_is_a_trap() {
    const RUBBISH: &str = r"
        (i32.store (i32.const 1540) (i32.const -1))
        (i32.store (i32.const 1536) (i32.const -1))
        i32.const 1024";
    let error = describe_error(&Guest {
        describe: RUBBISH,
        ..Guest::default()
    });
    let AdapterError::Trap { message, .. } = &error else {
        panic!("{error}")
    };
    assert!(message.contains("utf-8"), "{message}");
}

#[test]
fn a_description_that_makes_no_sense_is_invalid() {
    let error = describe_error(&Guest {
        describe: "i32.const 8192",
        ..Guest::default()
    });
    let AdapterError::Invalid {
        call: "describe",
        source,
    } = &error
    else {
        panic!("{error}")
    };
    assert_eq!(source.field, "description.name");
}

#[test]
fn a_function_of_another_type_is_found_when_it_is_loaded() {
    let instead = (
        "tick: func(elapsed-ms: u64) -> reaction",
        "tick: func(elapsed-ms: u64) -> exit",
    );
    let error = describe_error(&Guest {
        instead,
        ..Guest::default()
    });
    assert!(
        matches!(
            error,
            AdapterError::Invalid {
                call: "describe",
                ..
            }
        ),
        "{error}"
    );
    assert!(error.to_string().contains("type"), "{error}");
}

#[test]
fn another_version_is_refused_with_both_named() {
    let error = load(&Guest {
        version: "7.3.1",
        ..Guest::default()
    })
    .unwrap_err();
    assert!(matches!(error, ComponentError::Version { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("7.3.1") && text.contains("1.0.0"), "{text}");
}

#[test]
fn a_forbidden_import_is_named() {
    let extra = r#"(import "test:evil/files@0.1.0" "open" (func (param i32) (result i32)))"#;
    let error = load(&Guest {
        extra,
        ..Guest::default()
    })
    .unwrap_err();
    assert!(
        matches!(&error, ComponentError::Import(name) if name == "test:evil/files@0.1.0"),
        "{error}"
    );
}

#[test]
fn what_is_no_component_is_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let try_bytes = |bytes: &[u8]| {
        let path = folder.path().join("x.wasm");
        std::fs::write(&path, bytes).unwrap();
        Adapter::from_file(engine(), "x", &path, Settings::default()).unwrap_err()
    };
    assert!(matches!(
        try_bytes(&Guest::default().module()),
        ComponentError::CoreModule
    ));
    assert!(matches!(try_bytes(b"hello"), ComponentError::NotWasm));
    assert!(matches!(try_bytes(b""), ComponentError::NotWasm));
    let mut cut = Guest::default().component();
    cut.truncate(cut.len() / 2);
    assert!(matches!(try_bytes(&cut), ComponentError::Compile(_)));
    let empty = wat::parse_str("(component)").unwrap();
    assert!(matches!(
        try_bytes(&empty),
        ComponentError::NotAnAdapter { .. }
    ));
    let shape = wat::parse_str(
        r#"(component (instance $i) (export "aod:runtime/conversations@1.0.0" (instance $i)))"#,
    );
    assert!(matches!(
        try_bytes(&shape.unwrap()),
        ComponentError::Shape { .. }
    ));
}

#[test]
fn a_component_that_is_too_large_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.wasm");
    let file = std::fs::File::create(&path).unwrap();
    file.set_len(aod_runtime::MAX_COMPONENT_BYTES + 1).unwrap();
    let error = Adapter::from_file(engine(), "x", &path, Settings::default()).unwrap_err();
    assert!(matches!(error, ComponentError::TooLarge { .. }), "{error}");
}

#[test]
fn a_batch_that_is_too_large_leaves_the_conversation_alone() {
    let adapter = load(&Guest::default()).unwrap();
    let mut conversation = adapter.converse(&context("a/b"), None).unwrap();
    let error = conversation
        .feed(OutputSource::Stdout, &"x".repeat(MAX_FEED_BYTES + 1))
        .unwrap_err();
    assert!(
        matches!(error, AdapterError::BatchTooLarge { .. }),
        "{error}"
    );
    assert!(
        conversation
            .feed(OutputSource::Stdout, &"x".repeat(MAX_FEED_BYTES))
            .is_ok()
    );
}

#[test]
fn conversations_do_not_share_an_instance() {
    // A tick traps once its instance was fed.
    let guest = Guest {
        feed: "(global.set $calls (i32.const 1)) i32.const 2048",
        tick: "(if (global.get $calls) (then unreachable)) i32.const 2048",
        ..Guest::default()
    };
    let adapter = load(&guest).unwrap();
    let mut one = adapter.converse(&context("a/b"), None).unwrap();
    let mut other = adapter.converse(&context("a/b"), None).unwrap();
    one.feed(OutputSource::Stdout, "x\n").unwrap();
    assert!(other.tick(1).is_ok());
    assert!(one.tick(1).is_err());
    drop((one, other));
    // A slot of the pool that was used before is clean again.
    assert!(
        adapter
            .converse(&context("a/b"), None)
            .unwrap()
            .tick(1)
            .is_ok()
    );
}
