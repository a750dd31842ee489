//! With the real demo adapter: build it first, with `cargo xtask plugins`.

use std::fs;
use std::sync::OnceLock;

use aod_log::{Batch, Flags, Meta, Options, Writer};
use aod_runtime::types::{Block, Origin, Paths, WorkspaceConfig};
use aod_runtime::{Engine, Limits, Settings};
use aod_supervisor::Reason;
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::turn::context::Continuity;

mod dialogue;

#[test]
fn the_tail_keeps_whole_characters() {
    let mut tail = String::new();
    for _ in 0..3000 {
        keep_tail(&mut tail, "äb");
    }
    assert!(tail.len() <= STDERR_TAIL && tail.len() > STDERR_TAIL - 4);
    assert!(tail.ends_with("äb"));
}

/// Four mebibytes are enough for the demo adapter, and not for lines as long as that.
const MEMORY: usize = 4 << 20;

fn adapter() -> Arc<Adapter> {
    static ADAPTER: OnceLock<Arc<Adapter>> = OnceLock::new();
    let adapter = ADAPTER.get_or_init(|| {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../plugins/demo.wasm");
        let settings = Settings {
            limits: Limits {
                memory: MEMORY,
                // The machine may be busy.
                call_deadline: aod_runtime::MAX_CALL_DEADLINE,
                ..Limits::default()
            },
            ..Settings::default()
        };
        let adapter = Adapter::from_file(&Engine::new().unwrap(), "demo", path.as_ref(), settings);
        Arc::new(adapter.unwrap_or_else(|error| panic!("cargo xtask plugins first: {error}")))
    });
    adapter.clone()
}

const SESSION: &str = "00000000-0000-4000-8000-000000000000";

fn input(adapter: Arc<Adapter>) -> FoldInput {
    FoldInput {
        adapter,
        context: Context {
            session_id: SESSION.to_owned(),
            system: None,
            model: "demo/echo".to_owned(),
            mcp_servers: Vec::new(),
            skills: Vec::new(),
            origin: Origin::New,
            secrets: Vec::new(),
            endpoints: Vec::new(),
            paths: Paths {
                home: "/h".to_owned(),
                workspace: "/w".to_owned(),
                private: "/p".to_owned(),
            },
            cli_version: None,
            options: "{}".to_owned(),
            live: false,
            workspace_config: WorkspaceConfig::Instructions,
            tool_policies: Vec::new(),
        },
        prompts: vec![Prompt {
            turn: 1,
            turn_id: SESSION.to_owned(),
            blocks: vec![Block::Text("p".to_owned())],
            settings: Vec::new(),
            limits: Vec::new(),
            output_schema: None,
        }],
        start: Start::default(),
        rests: false,
        attachments: Attachments::none(),
    }
}

fn demo() -> Fold {
    Fold::new(input(adapter()))
}

fn exited() -> Exited {
    Exited {
        code: Some(0),
        signal: None,
        reason: Reason::Exit,
        killed: false,
        replaced_bytes: 0,
        output_bytes: 0,
        error: None,
    }
}

/// A turn's log and the events that are derived from it.
struct Bench {
    folder: tempfile::TempDir,
    writer: Writer,
    time: i64,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let writer = Writer::open(&folder.path().join("log"), Options::default()).unwrap();
        let mut bench = Self {
            folder,
            writer,
            time: 0,
        };
        bench.append(Kind::Stage, Flags::NONE, "{}");
        bench.append(Kind::Begin, Flags::NONE, "{}");
        bench
    }

    fn append(&mut self, kind: Kind, flags: Flags, text: &str) {
        let mut batch = Batch::new();
        self.time += 1_000_000;
        let mut meta = Meta::new(kind, 1, self.time);
        meta.flags = flags;
        batch.push(meta, text.as_bytes()).unwrap();
        self.writer.append(&mut batch).unwrap();
    }

    /// A record of output: as supervisors write them, a line or a piece of one.
    fn output(&mut self, stream: OutputSource, text: &str) {
        let kind = match stream {
            OutputSource::Stdout => Kind::Stdout,
            _ => Kind::Stderr,
        };
        let flags = match text.ends_with('\n') {
            true => Flags::NONE,
            false => Flags::CONTINUED,
        };
        self.append(kind, flags, text);
    }

    fn end(&mut self) {
        let exited = serde_json::to_string(&exited()).unwrap();
        self.append(Kind::Exited, Flags::NONE, &exited);
    }

    fn reader(&self) -> Reader {
        Reader::open(&self.folder.path().join("log")).unwrap()
    }

    fn events(&self, dir: &str) -> EventWriter {
        EventWriter::open(&self.folder.path().join(dir), 1, u64::MAX, |_| {}).unwrap()
    }

    fn stored(&self, dir: &str) -> String {
        fs::read_to_string(self.folder.path().join(dir).join("1.jsonl")).unwrap()
    }

    /// Derives everything at once.
    fn derive(&self, dir: &str) -> Vec<Value> {
        let mut events = self.events(dir);
        let mut fold = demo();
        fold.advance(&mut self.reader(), &mut events, usize::MAX)
            .unwrap();
        if let Some(exited) = fold.exited.clone() {
            fold.finish(&exited, &mut events).unwrap();
        }
        parsed(&self.stored(dir))
    }
}

fn parsed(stored: &str) -> Vec<Value> {
    stored
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn kinds(events: &[Value]) -> Vec<&str> {
    events
        .iter()
        .map(|it| it["type"].as_str().unwrap())
        .collect()
}

#[test]
fn a_turn_is_told_with_the_entries_that_it_came_from() {
    let mut bench = Bench::new();
    bench.output(
        OutputSource::Stdout,
        "{\"demo\":\"started\",\"session\":\"s\"}\n",
    );
    bench.output(OutputSource::Stdout, "{\"demo\":\"message\",");
    bench.output(OutputSource::Stderr, "careful\n");
    bench.output(OutputSource::Stdout, "\"text\":\"m\"}\n");
    bench.output(OutputSource::Stdout, "no json\n");
    bench.output(
        OutputSource::Stdout,
        "{\"demo\":\"result\",\"text\":\"r\"}\n",
    );
    bench.output(OutputSource::Stderr, "rest");
    bench.end();
    let events = bench.derive("events");
    let ids: Vec<&str> = events.iter().map(|it| it["id"].as_str().unwrap()).collect();
    assert_eq!(
        kinds(&events),
        [
            "turn.started",
            "session.started",
            "notice",
            "message",
            "unparsed",
            "notice",
            // Nothing follows it.
            "turn.result"
        ]
    );
    assert_eq!(ids, ["1.0", "2.0", "4.0", "5.0", "6.0", "8.0", "8.1"]);
    assert_eq!(events[1]["at"], "1970-01-01T00:00:03.000000+00:00");
    assert_eq!(events[4]["data"], "no json");
    assert_eq!(events[6]["duration_ms"], 6000);
    assert_eq!(events[6]["is_error"], false);
}

#[test]
fn a_line_that_the_adapter_dies_of_costs_no_other_and_the_third_costs_the_adapter() {
    let deadly = format!(
        "{{\"demo\":\"delta\",\"text\":\"{}\"}}\n",
        "x".repeat(MEMORY)
    );
    let good = "{\"demo\":\"delta\",\"text\":\"good\"}\n";
    let mut bench = Bench::new();
    for _ in 0..3 {
        bench.output(OutputSource::Stdout, good);
        bench.output(OutputSource::Stdout, good);
        bench.output(OutputSource::Stdout, &deadly);
    }
    bench.output(OutputSource::Stdout, good);
    bench.end();
    let events = bench.derive("events");
    let once = ["message.delta", "message.delta", "notice", "unparsed"];
    assert_eq!(
        kinds(&events),
        [&["turn.started"], &once[..], &once, &once, &["unparsed"]].concat()
    );
    assert_eq!(events[4]["data"], deadly.trim_end());
    assert_eq!(events[13]["data"], good.trim_end());
    let last = events[11]["text"].as_str().unwrap();
    assert!(
        last.ends_with("what follows is passed on as it stands"),
        "{last}"
    );
}

#[test]
fn a_line_longer_than_an_adapter_takes_is_passed_on_whole() {
    let mut bench = Bench::new();
    let piece = "x".repeat(aod_runtime::MAX_FEED_BYTES - 10);
    bench.output(OutputSource::Stdout, &piece);
    bench.output(OutputSource::Stdout, &piece);
    bench.output(OutputSource::Stdout, "end\n");
    bench.output(
        OutputSource::Stdout,
        "{\"demo\":\"delta\",\"text\":\"d\"}\n",
    );
    bench.end();
    let events = bench.derive("events");
    assert_eq!(
        kinds(&events)[1..4],
        ["unparsed", "unparsed", "message.delta"]
    );
    let data = |at: usize| events[at]["data"].as_str().unwrap();
    assert_eq!(data(1).len() + data(2).len(), 2 * piece.len() + 3);
}

/// More of them than an adapter's reply may have actions.
#[test]
fn many_short_lines_cost_little_and_no_adapter() {
    let mut bench = Bench::new();
    let lines = 100_000;
    bench.output(
        OutputSource::Stdout,
        "{\"demo\":\"delta\",\"text\":\"a\"}\n",
    );
    let mut events = bench.events("events");
    let (mut fold, mut reader) = (demo(), bench.reader());
    fold.advance(&mut reader, &mut events, usize::MAX).unwrap();
    let mut batch = Batch::new();
    for _ in 0..lines {
        let meta = Meta::new(Kind::Stdout, 1, bench.time);
        batch.push(meta, b"y\n").unwrap();
    }
    bench.writer.append(&mut batch).unwrap();
    bench.output(
        OutputSource::Stdout,
        "{\"demo\":\"message\",\"text\":\"a\"}\n",
    );
    bench.end();
    let started = std::time::Instant::now();
    fold.advance(&mut reader, &mut events, usize::MAX).unwrap();
    let took = started.elapsed();
    let stored = bench.stored("events");
    let bytes = stored.len();
    println!("{lines} lines of one character: {bytes} bytes of events in {took:?}");
    assert!(bytes < 5 * lines, "{bytes}");
    // An adapter that was begun anew would not know of the message's beginning.
    let told = parsed(&stored);
    assert_eq!(told[1]["type"], "message.delta");
    let message = told.last().unwrap();
    assert_eq!(message["type"], "message");
    assert_eq!(message["ordinal"], told[1]["message"]);
}

fn line() -> impl Strategy<Value = (OutputSource, String)> {
    let stdout = prop_oneof![
        Just("{\"demo\":\"delta\",\"text\":\"d\"}".to_owned()),
        Just("{\"demo\":\"tool\",\"id\":\"1\",\"name\":\"n\",\"input\":{ }}".to_owned()),
        Just("{\"demo\":\"usage\",\"read\":1,\"written\":2}".to_owned()),
        Just("{\"demo\":\"result\",\"text\":\"r\"}".to_owned()),
        Just("{\"demo\":\"unknown\"}".to_owned()),
        "[ -~\u{2028}]{0,8}",
    ];
    prop_oneof![
        4 => stdout.prop_map(|text| (OutputSource::Stdout, text)),
        1 => "[ -~]{0,8}".prop_map(|text| (OutputSource::Stderr, text)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// However the log grew, whenever it was looked at, and wherever a host died in between, the
    /// same events are stored, each line has one or was blank, and their ids rise.
    #[test]
    fn the_same_log_gives_the_same_events(
        lines in prop::collection::vec((line(), any::<u8>(), any::<prop::sample::Index>()), 1..24),
        open_end in any::<bool>(),
    ) {
        let mut bench = Bench::new();
        let mut fold = demo();
        let mut reader = bench.reader();
        let mut events = bench.events("steps");
        let mut wanted = Vec::new();
        let mut entry = 1;
        let count = lines.len();
        for (number, ((stream, text), choice, cut)) in lines.into_iter().enumerate() {
            let text = match open_end && number + 1 == count {
                true => text,
                false => text + "\n",
            };
            let cut = cut.index(text.chars().count() + 1);
            let cut = text.char_indices().nth(cut).map_or(text.len(), |(at, _)| at);
            // In one piece or in two.
            let (first, second) = text.split_at(if choice & 1 == 1 { cut } else { 0 });
            for piece in [first, second].into_iter().filter(|piece| !piece.is_empty()) {
                bench.output(stream, piece);
                entry += 1;
            }
            if !text.trim().is_empty() {
                wanted.push(entry);
            }
            if choice & 2 == 2 {
                fold.advance(&mut reader, &mut events, usize::MAX).unwrap();
            }
            if choice & 12 == 12 {
                // The host dies, and another goes on.
                fold = demo();
                reader = bench.reader();
                events = bench.events("steps");
            }
        }
        bench.end();
        fold.advance(&mut reader, &mut events, usize::MAX).unwrap();
        fold.finish(&exited(), &mut events).unwrap();

        let at_once = bench.derive("at-once");
        prop_assert_eq!(bench.stored("steps"), bench.stored("at-once"));
        prop_assert_eq!(bench.derive("steps"), at_once.clone());
        let ids: Vec<aod_resources::event::EventId> =
            at_once.iter().map(|it| it["id"].as_str().unwrap().parse().unwrap()).collect();
        prop_assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
        let ordinals: std::collections::HashSet<u64> =
            at_once.iter().map(|it| it["ordinal"].as_u64().unwrap()).collect();
        prop_assert_eq!(ordinals.len(), at_once.len(), "an ordinal was given twice");
        for entry in wanted {
            // A second result is understood, and told by the first.
            let told = ids.iter().any(|id| id.entry == entry);
            let results = at_once.iter().filter(|it| it["type"] == "turn.result").count();
            prop_assert!(told || results == 1, "nothing tells entry {entry}: {at_once:#?}");
        }
    }
}

#[test]
fn a_message_is_named_before_it_is_whole() {
    let mut bench = Bench::new();
    for line in [
        "{\"demo\":\"delta\",\"text\":\"a\"}\n",
        "{\"demo\":\"delta\",\"text\":\"b\"}\n",
        "{\"demo\":\"message\",\"text\":\"ab\"}\n",
        "{\"demo\":\"delta\",\"text\":\"c\"}\n",
        "{\"demo\":\"message\",\"text\":\"c\"}\n",
    ] {
        bench.output(OutputSource::Stdout, line);
    }
    bench.end();
    let events = bench.derive("events");
    let told = |at: usize| {
        (
            events[at]["ordinal"].as_u64(),
            events[at]["message"].as_u64(),
        )
    };
    assert_eq!(told(0), (Some(1), None));
    assert_eq!([told(1), told(2)], [(Some(3), Some(2)), (Some(4), Some(2))]);
    assert_eq!(told(3), (Some(2), None));
    assert_eq!([told(4), told(5)], [(Some(6), Some(5)), (Some(5), None)]);
}

#[test]
fn a_turn_says_what_its_user_should_know_of_how_it_begins() {
    let mut bench = Bench::new();
    bench.end();
    let mut input = input(adapter());
    input.start.continuity = Continuity::Fresh;
    let mut fold = Fold::new(input);
    let mut events = bench.events("events");
    fold.advance(&mut bench.reader(), &mut events, usize::MAX)
        .unwrap();
    let events = parsed(&bench.stored("events"));
    assert_eq!(events[0]["continuity"], "fresh");
    assert_eq!(events[1]["code"], "conversation.fresh");
}

#[test]
fn what_a_turn_without_an_end_said_last_is_not_lost() {
    let mut bench = Bench::new();
    bench.output(OutputSource::Stdout, "half a line");
    let mut events = bench.events("events");
    let mut fold = demo();
    fold.advance(&mut bench.reader(), &mut events, usize::MAX)
        .unwrap();
    assert_eq!(kinds(&parsed(&bench.stored("events"))), ["turn.started"]);
    fold.break_off(&mut events).unwrap();
    let events = parsed(&bench.stored("events"));
    assert_eq!(kinds(&events), ["turn.started", "unparsed"]);
    assert_eq!(events[1]["data"], "half a line");
}
