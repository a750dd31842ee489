//! What an adapter costs: `cargo bench -p aod-runtime`.
//!
//! Needs the built adapters (`cargo xtask plugins`). Parsing is compared with the same crate
//! compiled natively, in the same run.

#![allow(clippy::unwrap_used, reason = "what fails here is told by its panic")]

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use aod_plugin_claude::Claude;
use aod_plugin_sdk as sdk;
use aod_runtime::types::{
    Block, Context, Input, Origin, OutputSource, Paths, Prompt, WorkspaceConfig,
};
use aod_runtime::{Adapter, Conversation, Engine, Registry, Settings};
use criterion::{Criterion, criterion_group, criterion_main};
use rustix::time::{ClockId, clock_gettime};

const TOTAL: usize = 64 << 20;
const SLICES: usize = 64;
const BATCHES: [usize; 3] = [16 << 10, 64 << 10, 256 << 10];

fn plugins() -> PathBuf {
    std::env::var_os("AOD_TEST_PLUGINS").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../plugins"),
        PathBuf::from,
    )
}

const SESSION: &str = "0b5f6b9e-5a55-4d1c-9a3e-9d6f0b6f3b1a";
const MODEL: &str = "anthropic/claude-sonnet-4-6";
const PROMPT: &str = "Say hello.";
const KEY: &str = "ANTHROPIC_API_KEY";

fn context() -> Context {
    Context {
        session_id: SESSION.into(),
        system: None,
        model: MODEL.into(),
        mcp_servers: Vec::new(),
        skills: Vec::new(),
        origin: Origin::New,
        secrets: vec![KEY.into()],
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

fn prompt() -> Prompt {
    Prompt {
        turn: 1,
        turn_id: SESSION.into(),
        blocks: vec![Block::Text(PROMPT.into())],
        settings: Vec::new(),
        limits: Vec::new(),
        output_schema: None,
    }
}

fn native_context() -> sdk::Context {
    let mut context = sdk::testing::context(MODEL);
    context.secrets = vec![KEY.into()];
    context
}

fn native_prompt() -> sdk::Prompt {
    sdk::testing::prompt(PROMPT)
}

/// A conversation that has its prompt.
fn converse(adapter: &Adapter) -> Conversation {
    let mut conversation = adapter.converse(&context(), None).unwrap();
    conversation.receive(&Input::Prompt(prompt())).unwrap();
    conversation
}

/// Lines of recorded transcripts without those that end a turn, up to a size.
fn batch(size: usize) -> String {
    let recorded = concat!(
        include_str!("../tests/transcripts/first.jsonl"),
        include_str!("../tests/transcripts/partial.jsonl")
    );
    let lines: Vec<&str> = recorded
        .split_inclusive('\n')
        .filter(|line| !line.contains("\"type\":\"result\""))
        .collect();
    let mut batch = String::with_capacity(size);
    for line in lines.iter().cycle() {
        if batch.len() + line.len() > size {
            return batch;
        }
        batch.push_str(line);
    }
    batch
}

/// What a slice of the work takes of this thread's processor time: on a machine that others use,
/// the time on the wall says little.
fn takes(mut feed: impl FnMut(&str), batch: &str) -> f64 {
    let begun = clock_gettime(ClockId::ThreadCPUTime);
    let mut fed = 0;
    while fed < TOTAL / SLICES {
        feed(batch);
        fed += batch.len();
    }
    let took = clock_gettime(ClockId::ThreadCPUTime) - begun;
    (took.tv_sec as f64 + took.tv_nsec as f64 / 1e9) / fed as f64
}

/// 64 MiB of recorded lines through WASM, epochs on, against the same crate natively: in turns, a
/// slice each, so that both meet the same machine. The ratio is the median of the slices'.
fn parsing(adapter: &Adapter) {
    for size in BATCHES {
        let batch = batch(size);
        let mut turn = converse(adapter);
        let mut driver = sdk::Driver::<Claude>::new(native_context(), None);
        driver.receive(sdk::Input::Prompt(native_prompt()));
        let mut slices = Vec::new();
        for _ in 0..SLICES {
            let wasm = takes(
                |lines| drop(black_box(turn.feed(OutputSource::Stdout, lines).unwrap())),
                &batch,
            );
            let native = takes(
                |lines| drop(black_box(driver.feed(sdk::OutputSource::Stdout, lines))),
                &batch,
            );
            slices.push((native / wasm, wasm, native));
        }
        slices.sort_by(|one, other| one.0.total_cmp(&other.0));
        let (ratio, wasm, native) = slices[SLICES / 2];
        let rate = |seconds: f64| 1.0 / seconds / f64::from(1 << 20);
        println!(
            "| parsing 64 MiB of recorded lines in WASM, epochs on, batches of {} KiB \
             | {:.0} MiB/s | the same crate natively, {:.0} MiB/s | {ratio:.2} | ≥ 0.55 |",
            size >> 10,
            rate(wasm),
            rate(native),
        );
    }
}

/// The median of many tries.
fn typical(work: impl Fn()) -> Duration {
    const TRIES: usize = 301;
    let mut times: Vec<_> = (0..TRIES)
        .map(|_| {
            let begun = Instant::now();
            work();
            begun.elapsed()
        })
        .collect();
    times.sort();
    times[TRIES / 2]
}

/// What a turn that has begun and read a little keeps in memory.
fn memory(adapter: &Adapter) {
    const TURNS: usize = 500;
    let resident = || -> usize {
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
        statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4
    };
    let line = batch(2 << 10);
    let before = resident();
    let turns: Vec<_> = (0..TURNS)
        .map(|_| {
            let mut turn = converse(adapter);
            turn.feed(OutputSource::Stdout, &line).unwrap();
            turn
        })
        .collect();
    println!(
        "| an adapter's turn that has read a little | {} KiB | – | | – |",
        (resident() - before) / TURNS
    );
    drop(turns);
}

fn registry(engine: &Engine, folder: &Path) -> Registry {
    let registry = Registry::load(
        engine.clone(),
        &folder.join("runtimes.toml"),
        &folder.join("cwasm"),
        &folder.join("adapters"),
    );
    assert!(registry.get("claude").is_some() && registry.get("demo").is_some());
    registry
}

fn benches(criterion: &mut Criterion) {
    let begun = Instant::now();
    let engine = Engine::new().unwrap();
    println!(
        "engine: {:?}, pooled: {}",
        begun.elapsed(),
        engine.is_pooled()
    );
    let claude = plugins().join("claude.wasm");
    let adapter = Adapter::from_file(&engine, "claude", &claude, Settings::default()).unwrap();

    parsing(&adapter);
    memory(&adapter);

    let (context, prompt) = (context(), prompt());
    let (native, native_prompt) = (native_context(), native_prompt());
    let warm = typical(|| drop(black_box(adapter.prepare(&context, &prompt).unwrap())));
    let bare = typical(|| {
        drop(black_box(
            sdk::prepare::<Claude>(black_box(&native), &native_prompt).unwrap(),
        ))
    });
    println!(
        "| `prepare`, warm | {warm:.1?} | a native call, {bare:.1?} | {:.1?} more | ≤ 50 µs more |",
        warm.saturating_sub(bare)
    );
    let begin = typical(|| drop(black_box(adapter.converse(&context, None).unwrap())));
    println!("| a new instance for a conversation | {begin:.1?} | – | | ≤ 30 µs |");
    criterion.bench_function("prepare, warm", |b| {
        b.iter(|| adapter.prepare(&context, &prompt).unwrap())
    });
    criterion.bench_function("prepare, native", |b| {
        b.iter(|| sdk::prepare::<Claude>(black_box(&native), &native_prompt).unwrap());
    });
    criterion.bench_function("begin a conversation", |b| {
        b.iter(|| adapter.converse(&context, None).unwrap());
    });

    let folder = tempfile::tempdir().unwrap();
    let demo = plugins().join("demo.wasm");
    let toml =
        format!("[runtime.claude]\ncomponent = {claude:?}\n[runtime.demo]\ncomponent = {demo:?}\n");
    std::fs::write(folder.path().join("runtimes.toml"), toml).unwrap();
    let begun = Instant::now();
    registry(&engine, folder.path());
    let compiling = begun.elapsed();
    let cached = typical(|| drop(registry(&engine, folder.path())));
    println!(
        "| loading two adapters, cached | {cached:.1?} | compiling them, {compiling:.0?} | {:.0}× faster \
         | ≥ 10× faster, well under 100 ms |",
        compiling.as_secs_f64() / cached.as_secs_f64()
    );
    criterion.bench_function("start, nothing cached", |b| {
        b.iter_custom(|iterations| {
            let mut spent = Duration::ZERO;
            for _ in 0..iterations {
                std::fs::remove_dir_all(folder.path().join("cwasm")).ok();
                let begun = Instant::now();
                black_box(registry(&engine, folder.path()));
                spent += begun.elapsed();
            }
            spent
        });
    });
    registry(&engine, folder.path());
    criterion.bench_function("start, all cached", |b| {
        b.iter(|| registry(&engine, folder.path()));
    });
}

criterion_group! {
    name = adapter;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3));
    targets = benches
}
criterion_main!(adapter);
