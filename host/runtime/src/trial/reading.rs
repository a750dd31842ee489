//! Whether output is read with nothing lost, the same however it comes, and fast enough.

use std::time::{Duration, Instant};

use aod_resources::event::EventBody;

use super::cases::first;
use super::{Report, Transcript};
use crate::adapter::Adapter;
use crate::error::AdapterError;
use crate::limits::MAX_FEED_BYTES;
use crate::types::{Action, Exit, ExitCause, Input, OutputSource};

/// A host hands over batches of about this size.
const BATCH: usize = 256 << 10;

/// So much is read to see how fast it goes, for at most so long.
const ENOUGH: usize = 4 << 20;
const LONG_ENOUGH: Duration = Duration::from_secs(2);

/// A CLI that writes faster than this is rare, and one that is read more slowly is a nuisance.
const SLOW: f64 = 1.0;

/// Sizes of batches, in lines, one after another and again from the start.
const CUTS: [&[usize]; 3] = [&[1], &[3, 1, 7, 2], &[usize::MAX]];

/// What no CLI should write, and some do.
fn rubbish() -> Transcript {
    let lines = [
        "plain words",
        "null",
        "[]",
        "{}",
        "\"text\"",
        "{\"type\":null}",
        "{\"type\":7}",
        "{\"type\":\"\"}",
        "{\"type\":\"no such type\",\"text\":\"x\"}",
        "{\"cut\": \"off",
        "\u{feff}{}",
        "\u{1b}[91mred\u{1b}[0m",
        "\u{0}",
        "a\rb",
        "\u{2028}",
        "",
        "   ",
    ];
    let mut stdout = lines.join("\n");
    stdout.push('\n');
    stdout.push_str(&"[".repeat(5_000));
    stdout.push('\n');
    stdout.push_str(&"{\"a\":".repeat(5_000));
    stdout.push('\n');
    stdout.push_str(&format!("{{\"long\":\"{}\"}}\n", "x".repeat(1 << 20)));
    Transcript {
        name: "rubbish".to_owned(),
        stderr: format!("{}\nno line end", lines.join("\n")),
        stdout,
        exit: Exit {
            code: Some(0),
            signal: None,
            cause: ExitCause::Own,
            stderr_tail: "no line end".to_owned(),
        },
    }
}

pub(super) fn check(adapter: &Adapter, transcripts: &[Transcript], report: &mut Report) {
    let rubbish = rubbish();
    if !read_all_ways(adapter, &rubbish, "rubbish", report) {
        return;
    }
    for transcript in transcripts {
        read_all_ways(adapter, transcript, "transcript", report);
    }
    match transcripts {
        [] => report.warning(
            "transcript",
            "none given: how the CLI's own output is read was not seen (--transcript FILE)",
        ),
        _ => speed(adapter, transcripts, report),
    }
}

/// Whether the adapter did not break.
fn read_all_ways(
    adapter: &Adapter,
    transcript: &Transcript,
    check: &'static str,
    report: &mut Report,
) -> bool {
    let name = &transcript.name;
    let mut first_time: Option<Told> = None;
    for cuts in CUTS {
        let told = match read(adapter, transcript, cuts) {
            Ok(told) => told,
            Err(error) => {
                report.failed(check, format!("{name}: {error}"));
                return false;
            }
        };
        let Some(before) = &first_time else {
            first_time = Some(told);
            continue;
        };
        if let Some(difference) = before.difference(&told) {
            report.failed(
                check,
                format!("{name}: read differently when it comes in other batches: {difference}"),
            );
            return true;
        }
    }
    let Some(told) = first_time else { return true };
    if let Some(line) = told.forgotten.first() {
        let count = told.forgotten.len();
        report.failed(
            check,
            format!(
                "{name}: {count} of {} lines have no event and are not said to be absorbed, the \
                 first of them {line}",
                told.lines
            ),
        );
    }
    if told.results > 1 {
        let problem = format!("{name}: {} turn-results in one turn", told.results);
        report.failed(check, problem);
    }
    if told.results > 1 || !told.forgotten.is_empty() {
        return true;
    }
    report.ok(
        check,
        format!(
            "{name}: {} lines, {} events, {} lines absorbed, {} unparsed; the same in all batches",
            told.lines, told.events, told.absorbed, told.unparsed
        ),
    );
    true
}

/// What came out of a transcript.
#[derive(Debug, Default)]
struct Told {
    lines: usize,
    /// Actions, each with the line that it came from.
    actions: Vec<String>,
    forgotten: Vec<String>,
    absorbed: usize,
    events: usize,
    unparsed: usize,
    results: usize,
}

impl Told {
    fn difference(&self, other: &Self) -> Option<String> {
        let longest = self.actions.len().max(other.actions.len());
        (0..longest).find_map(|at| {
            let (one, two) = (self.actions.get(at), other.actions.get(at));
            let short = |action: Option<&String>| -> String {
                let text = action.map_or("nothing", String::as_str);
                text.chars().take(120).collect()
            };
            (one != two).then(|| format!("{} and {}", short(one), short(two)))
        })
    }

    /// Takes an action; its line is counted from `base`.
    fn take(&mut self, action: &Action, base: usize) {
        let shown = match action {
            Action::Emit(emitted) => {
                self.count(&emitted.body);
                let mut emitted = emitted.clone();
                emitted.line += u32::try_from(base).unwrap_or(u32::MAX);
                format!("{emitted:?}")
            }
            // Output that comes first puts it off, and what comes first depends on the batches.
            Action::WakeAfter(_) => return,
            other => format!("{other:?}"),
        };
        self.actions.push(shown);
    }

    fn count(&mut self, body: &EventBody) {
        self.events += 1;
        match body {
            EventBody::Unparsed(_) => self.unparsed += 1,
            EventBody::TurnResult(_) => self.results += 1,
            _ => {}
        }
    }
}

fn read(adapter: &Adapter, transcript: &Transcript, cuts: &[usize]) -> Result<Told, AdapterError> {
    let (context, prompt) = first(adapter);
    let mut conversation = adapter.converse(&context, None)?;
    let mut told = Told::default();
    for action in conversation.receive(&Input::Prompt(prompt))?.actions {
        told.take(&action, 0);
    }
    for (source, text) in [
        (OutputSource::Stdout, &transcript.stdout),
        (OutputSource::Stderr, &transcript.stderr),
    ] {
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        told.lines += lines.len();
        let mut at = 0;
        for cut in cuts.iter().cycle() {
            let batch = batch(&lines[at..], *cut);
            if batch == 0 {
                break;
            }
            let reaction = conversation.feed(source, &lines[at..at + batch].concat())?;
            let mut seen = vec![false; batch];
            for line in &reaction.absorbed {
                told.absorbed += 1;
                // The host has checked that such lines were fed.
                seen[*line as usize] = true;
            }
            for action in reaction.actions {
                if let Action::Emit(emitted) = &action {
                    seen[emitted.line as usize] = true;
                }
                told.take(&action, at);
            }
            let forgotten = (0..batch).filter(|line| !seen[*line]);
            told.forgotten.extend(
                forgotten
                    .filter(|line| !lines[at + line].trim().is_empty())
                    .map(|line| format!("line {} of {source:?}", at + line + 1)),
            );
            at += batch;
        }
    }
    for action in conversation.finish(&transcript.exit)?.actions {
        told.take(&action, 0);
    }
    Ok(told)
}

/// How many lines of these make a batch: some, and no more bytes than are fed at once.
fn batch(lines: &[&str], most: usize) -> usize {
    let mut bytes = 0;
    let fitting = lines.iter().take(most).take_while(|line| {
        bytes += line.len();
        bytes <= MAX_FEED_BYTES
    });
    // A longer line is not fed at all, and a transcript with one is told as such by `feed`.
    fitting.count().max(usize::from(!lines.is_empty()))
}

/// Reads transcripts again and again.
fn speed(adapter: &Adapter, transcripts: &[Transcript], report: &mut Report) {
    const CHECK: &str = "speed";
    let (context, prompt) = first(adapter);
    let (mut bytes, mut took, mut slowest) = (0, Duration::ZERO, Duration::ZERO);
    let texts: Vec<String> = transcripts
        .iter()
        .filter(|transcript| !transcript.stdout.is_empty())
        .map(|transcript| {
            let mut text = transcript.stdout.clone();
            if !text.ends_with('\n') {
                text.push('\n');
            }
            // A batch that is worth the call.
            text.repeat(BATCH.div_ceil(text.len()))
        })
        .collect();
    if texts.is_empty() {
        return;
    }
    for text in texts.iter().cycle() {
        let Ok(mut conversation) = adapter.converse(&context, None) else {
            return;
        };
        if conversation
            .receive(&Input::Prompt(prompt.clone()))
            .is_err()
        {
            return;
        }
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        let mut rest = &lines[..];
        while !rest.is_empty() {
            let mut size = 0;
            let count = rest.iter().take_while(|line| {
                let fits = size < BATCH;
                size += line.len();
                fits
            });
            let (now, later) = rest.split_at(count.count());
            let text = now.concat();
            let begun = Instant::now();
            // What fails was told when it was read above.
            if conversation.feed(OutputSource::Stdout, &text).is_err() {
                return;
            }
            let call = begun.elapsed();
            (took, slowest) = (took + call, slowest.max(call));
            bytes += text.len();
            rest = later;
        }
        if bytes >= ENOUGH || took >= LONG_ENOUGH {
            break;
        }
    }
    let rate = bytes as f64 / f64::from(1 << 20) / took.as_secs_f64().max(1e-9);
    let verdict = if rate < SLOW {
        super::Verdict::Warning
    } else {
        super::Verdict::Ok
    };
    let (slowest, limit) = (
        slowest.as_millis(),
        adapter.limits().call_deadline.as_millis(),
    );
    report.add(
        verdict,
        CHECK,
        format!("{rate:.0} MiB/s; the slowest call took {slowest} of {limit} ms"),
    );
}
