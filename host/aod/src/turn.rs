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
            let said = screen.take_held();
            answer(&session, result.as_ref(), said)?;
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
                match kind(&message.data)?.as_str() {
                    "turn_start" => return Ok(ControlFlow::Break(())),
                    "stage" => screen.native(&message.data)?,
                    _ => {}
                }
                Ok(ControlFlow::Continue(()))
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
                true if is_piece(&event) && !self.deltas => {}
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

/// Whether an event is a piece of what is told once more as a whole.
pub(crate) fn is_piece(event: &Event) -> bool {
    event.body.kind().ends_with(".delta")
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

/// A session's result, if it has one.
pub(crate) fn result(session: &Session) -> Option<TurnResult> {
    serde_json::from_value(session.result.clone()?).ok()
}

/// The answer alone, for whoever reads stdout; what was said last and is none is progress.
fn answer(
    session: &Session,
    result: Option<&TurnResult>,
    said: Option<String>,
) -> std::io::Result<()> {
    let text = |text: &str| text.trim_end().to_owned();
    // Why a turn has failed is told with its end.
    let result = result.filter(|result| !result.is_error);
    let structured = result.and_then(|result| result.structured.as_ref());
    let told = structured
        .map(|value| value.get().to_owned())
        .or_else(|| Some(text(result?.text.as_deref()?)));
    let said = said.map(|said| text(&said));
    let (told, said) = match told {
        None if session.status == Status::Completed => (said, None),
        told => (told, said),
    };
    if let Some(said) = said.filter(|said| told.as_ref() != Some(said)) {
        Sink::Stderr.write(&format!("{}\n", tame(&said)))?;
    }
    match told.filter(|told| !told.is_empty()) {
        None => Ok(()),
        Some(told) => outln!("{told}"),
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
