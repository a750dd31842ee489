//! `aod session logs`.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::process::ExitCode;

use anyhow::Result;
use aod_resources::event::{Event, EventBody};
use aod_resources::{Session, Turn};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::Target;
use crate::client::{Client, EventPage, Listing, Message, StreamKind};
use crate::output::outln;
use crate::signals::Stops;
use crate::terminal::{Screen, Show, short};
use crate::turn::is_piece;
use crate::watch::{Seen, Watch};

/// The most events of a page.
const PAGE: usize = 200;

/// What of a session, and how.
#[derive(Debug, clap::Args)]
pub(crate) struct Logs {
    #[command(flatten)]
    target: Target,
    /// Go on with what comes, until the turn that is there has ended.
    #[arg(short, long)]
    follow: bool,
    /// Begin with this turn.
    #[arg(long, value_name = "N", conflicts_with_all = ["tail", "raw"])]
    turn: Option<u32>,
    /// Begin with the last so many events.
    #[arg(long, value_name = "N", conflicts_with = "raw")]
    tail: Option<usize>,
    /// Print a line of JSON for each event.
    #[arg(long, conflicts_with = "raw")]
    json: bool,
    /// With --json: also pieces of messages, which are told once more as a whole.
    #[arg(long, requires = "json")]
    deltas: bool,
    /// Print the CLI's own lines instead of a rendering.
    #[arg(long)]
    raw: bool,
}

impl Logs {
    pub(super) async fn run(self, client: &Client) -> Result<ExitCode> {
        let session = self.target.id(client).await?;
        let mut screen = Screen::new(Show::Record);
        let mut last = None;
        if !self.raw {
            let prompts = self.prompts(client, session).await?;
            for event in self.beginning(client, session).await? {
                last = Some(self.show(event.get(), &mut screen, &prompts)?);
            }
            // With nothing at the end of a session, all of it would follow.
            if self.tail == Some(0) && last.is_none() {
                last = Some(end(client, session).await?);
            }
            let show = &mut |message: &Message| {
                self.show(&message.data, &mut screen, &prompts)?;
                Ok(ControlFlow::Continue(()))
            };
            let code = self.stream(client, session, last, show).await?;
            screen.end_words()?;
            return Ok(code);
        }
        self.stream(client, session, last, &mut |message| {
            screen.native(&message.data)?;
            Ok(ControlFlow::Continue(()))
        })
        .await
    }

    async fn stream(
        &self,
        client: &Client,
        session: Uuid,
        last: Option<String>,
        show: &mut dyn FnMut(&Message) -> Seen,
    ) -> Result<ExitCode> {
        let kind = match self.raw {
            true => StreamKind::Native,
            false => StreamKind::Events,
        };
        if self.follow {
            let mut stops = Stops::listen()?;
            let mut watch = Watch {
                client,
                session,
                stops: &mut stops,
                is_owner: false,
            };
            watch.until_end(kind, last, None, show).await?;
            return Ok(stops.code().map_or(ExitCode::SUCCESS, ExitCode::from));
        }
        let mut messages = client.stream(session, kind, last.as_deref(), false).await?;
        while let Some(message) = messages.next().await? {
            if show(&message)?.is_break() {
                break;
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    /// What was asked in each turn, which events do not tell.
    async fn prompts(&self, client: &Client, session: Uuid) -> Result<Vec<Turn>> {
        if self.json {
            return Ok(Vec::new());
        }
        let turns: Listing<Turn> = client.get(&format!("/sessions/{session}/turns")).await?;
        Ok(turns.data)
    }

    fn show(&self, data: &str, screen: &mut Screen, prompts: &[Turn]) -> Result<String> {
        let event = Event::from_json(data)?;
        if self.json {
            if self.deltas || !is_piece(&event) {
                outln!("{data}")?;
            }
            return Ok(event.id.to_string());
        }
        if let (EventBody::TurnStarted(_), Some(number)) = (&event.body, event.turn) {
            let turn = prompts.iter().find(|turn| turn.turn_number == number);
            let prompt = turn.map_or_else(String::new, |turn| short(&turn.prompt, 100));
            screen.note(format!("turn {number}  {prompt}").trim_end())?;
        }
        screen.event(&event)?;
        Ok(event.id.to_string())
    }

    /// The events with which it begins, where it does not begin with the first: what follows them
    /// is streamed.
    async fn beginning(&self, client: &Client, session: Uuid) -> Result<VecDeque<Box<RawValue>>> {
        let path = format!("/sessions/{session}/events");
        if let Some(turn) = self.turn {
            let page: EventPage = client.get(&format!("{path}?turn={turn}&limit=1")).await?;
            return Ok(page.data.into());
        }
        let mut events = VecDeque::new();
        let Some(wanted) = self.tail.filter(|tail| *tail > 0) else {
            return Ok(events);
        };
        let mut at = format!("tail={}", wanted.min(PAGE));
        loop {
            let page: EventPage = client.get(&format!("{path}?{at}")).await?;
            for event in page.data.into_iter().rev() {
                events.push_front(event);
            }
            let left = wanted.saturating_sub(events.len());
            match page.prev {
                Some(prev) if left > 0 => {
                    at = format!("before={prev}&limit={}", left.min(PAGE));
                }
                _ => return Ok(events),
            }
        }
    }
}

/// Where a session's events end by now.
async fn end(client: &Client, session: Uuid) -> Result<String> {
    let path = format!("/sessions/{session}/events?tail=1");
    let page: EventPage = client.get(&path).await?;
    Ok(match page.data.first() {
        Some(event) => Event::from_json(event.get())?.id.to_string(),
        None => "0.0".to_owned(),
    })
}

/// Where the events of the turns that a session has had end, as the beginning of the next.
pub(super) async fn end_of_turns(client: &Client, session: &Session) -> Result<Option<String>> {
    match session.turn_count {
        0 => Ok(None),
        _ => end(client, session.id).await.map(Some),
    }
}
