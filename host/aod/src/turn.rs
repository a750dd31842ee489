//! A turn that a command waits for: shown as it goes, its answer on stdout, its end as an exit code.

use std::ops::ControlFlow;
use std::process::ExitCode;

use anyhow::Result;
use aod_resources::event::{Event, StopKind, TurnResult};
use aod_resources::{Session, Status};
use serde::Deserialize;
use serde_json::json;

use crate::client::{Message, StreamKind};
use crate::output::outln;
use crate::terminal::{Screen, Show, Sink, tame};
use crate::watch::{Seen, Watch};

/// How a turn is shown.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub(crate) struct View {
    /// Print a line of JSON for each event, between two that have the session.
    #[arg(long, conflicts_with = "raw")]
    json: bool,
    /// With --json: also pieces of messages, which are told once more as a whole.
    #[arg(long, requires = "json")]
    deltas: bool,
    /// Print the CLI's own lines instead of a rendering.
    #[arg(long)]
    raw: bool,
}

/// Which turn, and from where on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Which {
    /// Its number; none for the one that is there.
    pub(crate) turn: Option<u32>,
    /// What was told before it.
    pub(crate) after: Option<String>,
    /// Whether its sandbox is provisioned first.
    pub(crate) is_first: bool,
}

impl View {
    /// Whether the result is for programs.
    pub(crate) const fn is_json(&self) -> bool {
        self.json
    }

    /// Shows a turn until it has ended, and says what that makes of the command.
    pub(crate) async fn follow(&self, watch: &mut Watch<'_>, which: Which) -> Result<ExitCode> {
        let shown = self.show(watch, which).await;
        if shown.as_ref().is_err_and(crate::output::is_closed) {
            // Nobody reads any more what somebody pays for.
            watch.abandon().await;
        }
        shown
    }

    async fn show(&self, watch: &mut Watch<'_>, which: Which) -> Result<ExitCode> {
        let mut screen = Screen::new(Show::Progress);
        if self.json {
            let session = watch.session().await?;
            told(&session)?;
        }
        match self.raw {
            true => self.native(watch, which, &mut screen).await?,
            false => self.events(watch, which, &mut screen).await?,
        }
        let session = watch.session().await?;
        let result = result(&session);
        if self.json {
            told(&session)?;
        } else if !self.raw && !screen.has_shown_words() {
            answer(result.as_ref(), screen.answer())?;
        }
        Ok(conclude(&session, result.as_ref(), watch.stops.code()))
    }

    async fn native(&self, watch: &mut Watch<'_>, which: Which, screen: &mut Screen) -> Result<()> {
        let mut show = |message: &Message| {
            screen.native(&message.data)?;
            Ok(ControlFlow::Continue(()))
        };
        watch
            .until_end(StreamKind::Native, None, which.turn, &mut show)
            .await
    }

    async fn events(&self, watch: &mut Watch<'_>, which: Which, screen: &mut Screen) -> Result<()> {
        if which.is_first {
            // Stages are over when the CLI says its first word, and what it says is told better
            // by the normalized events.
            let mut show = |message: &Message| -> Seen {
                let is_begun = kind(&message.data)? == "turn_start";
                if !is_begun && kind(&message.data)? == "stage" {
                    screen.native(&message.data)?;
                }
                Ok(match is_begun {
                    true => ControlFlow::Break(()),
                    false => ControlFlow::Continue(()),
                })
            };
            watch
                .until_end(StreamKind::Native, None, which.turn, &mut show)
                .await?;
        }
        let mut show = |message: &Message| -> Seen {
            let event = Event::from_json(&message.data)?;
            if is_later(&event, which.turn) {
                return Ok(ControlFlow::Break(()));
            }
            if is_earlier(&event, which.turn) {
                return Ok(ControlFlow::Continue(()));
            }
            match self.json {
                true if event.body.kind().ends_with(".delta") && !self.deltas => {}
                true => outln!("{}", message.data)?,
                false => screen.event(&event)?,
            }
            Ok(ControlFlow::Continue(()))
        };
        watch
            .until_end(StreamKind::Events, which.after, which.turn, &mut show)
            .await?;
        Ok(screen.end_words()?)
    }
}

/// Whether an event is of a turn that follows.
fn is_later(event: &Event, turn: Option<u32>) -> bool {
    turn.zip(event.turn).is_some_and(|(turn, of)| of > turn)
}

/// Whether an event is of a turn before.
fn is_earlier(event: &Event, turn: Option<u32>) -> bool {
    turn.zip(event.turn).is_some_and(|(turn, of)| of < turn)
}

fn kind(data: &str) -> serde_json::Result<String> {
    #[derive(Deserialize)]
    struct Kind {
        r#type: String,
    }
    Ok(serde_json::from_str::<Kind>(data)?.r#type)
}

/// The session as a line of JSON, as the stream of what changes about sessions tells it.
fn told(session: &Session) -> std::io::Result<()> {
    outln!("{}", json!({"type": "session", "session": session}))
}

fn result(session: &Session) -> Option<TurnResult> {
    serde_json::from_value(session.result.clone()?).ok()
}

/// The answer alone, for whoever reads stdout.
fn answer(result: Option<&TurnResult>, said: Option<&str>) -> std::io::Result<()> {
    let structured = result.and_then(|result| result.structured.as_ref());
    if let Some(value) = structured {
        return outln!("{}", value.get());
    }
    let text = result.and_then(|result| result.text.as_deref()).or(said);
    match text.map(str::trim_end) {
        None | Some("") => Ok(()),
        Some(text) => outln!("{text}"),
    }
}

/// What the session's end makes of this command: the CLI's own exit code, where there is one.
fn conclude(session: &Session, result: Option<&TurnResult>, signal: Option<u8>) -> ExitCode {
    let usage = &session.usage;
    let was_interrupted = result.is_some_and(|result| result.stop == StopKind::Interrupted);
    let word = match was_interrupted && session.status == Status::Completed {
        true => "interrupted",
        false => session.status.as_str(),
    };
    let mut line = format!(
        "{word}; {} tokens in, {} out",
        usage.input_tokens, usage.output_tokens
    );
    if let Some(cost) = usage.cost_usd {
        line.push_str(&format!(", {cost:.4} USD"));
    }
    // What cannot be told is no reason to fail.
    let _ = Sink::Stderr.write(&format!("{line}\n"));
    if let Some(error) = &session.error {
        let _ = Sink::Stderr.write(&format!("{}\n", tame(error)));
    }
    match (signal, session.status, session.exit_code) {
        (Some(code), ..) => ExitCode::from(code),
        (_, Status::Completed, _) => ExitCode::SUCCESS,
        (_, _, Some(code @ 1..=255)) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        _ => ExitCode::FAILURE,
    }
}
