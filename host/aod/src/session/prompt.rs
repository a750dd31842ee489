//! `aod session prompt` and `aod session attach`.

use std::process::ExitCode;

use anyhow::Result;
use aod_resources::Session;
use serde_json::json;

use super::Target;
use super::logs::end_of_turns;
use crate::ask::Ask;
use crate::client::{Client, PromptAck};
use crate::output::outln;
use crate::signals::Stops;
use crate::turn::{View, Which};
use crate::watch::Watch;

/// A next prompt.
#[derive(Debug, clap::Args)]
pub(crate) struct Next {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    ask: Ask,
    /// What is to happen where a turn is there already: refuse, have the prompt wait for its end,
    /// or tell the agent at once.
    #[arg(long, value_name = "WHAT", default_value = "reject")]
    when_busy: WhenBusy,
    /// Leave as soon as the prompt is taken: the turn goes on without this command.
    #[arg(long, conflicts_with = "raw")]
    detach: bool,
    #[command(flatten)]
    view: View,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum WhenBusy {
    Reject,
    Queue,
    Steer,
}

impl WhenBusy {
    const fn word(self) -> Option<&'static str> {
        match self {
            Self::Reject => None,
            Self::Queue => Some("queue"),
            Self::Steer => Some("steer"),
        }
    }
}

impl Next {
    pub(super) async fn run(self, client: &Client) -> Result<ExitCode> {
        let mut stops = Stops::listen()?;
        let id = self.target.id(client).await?;
        let mut request = self.ask.request(&mut stops).await?;
        request.when_busy = self.when_busy.word();
        let before: Session = client.get(&format!("/sessions/{id}")).await?;
        let after = end_of_turns(client, &before).await?;
        let ack: PromptAck = client
            .submit(&format!("/sessions/{id}/prompt"), &request)
            .await?;
        if let Some(queued) = ack.queued_id {
            match self.view.is_json() {
                true => outln!("{}", json!({"id": id, "queued_id": queued}))?,
                false => {
                    eprintln!("queued: it begins when the turn has ended");
                    outln!("{queued}")?;
                }
            }
            return Ok(ExitCode::SUCCESS);
        }
        let is_new = ack.current_turn > before.turn_count;
        if self.detach || !is_new {
            match self.view.is_json() {
                true => outln!("{}", json!({"id": id, "current_turn": ack.current_turn}))?,
                false if is_new => eprintln!("turn {}", ack.current_turn),
                false => eprintln!("told to turn {}", ack.current_turn),
            }
            return Ok(ExitCode::SUCCESS);
        }
        let mut watch = Watch {
            client,
            session: id,
            stops: &mut stops,
            is_owner: true,
        };
        let which = Which {
            turn: Some(ack.current_turn),
            after,
            is_first: false,
        };
        self.view.follow(&mut watch, which).await
    }
}

/// The turn that is there.
#[derive(Debug, clap::Args)]
pub(crate) struct Attach {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    view: View,
}

impl Attach {
    pub(super) async fn run(self, client: &Client) -> Result<ExitCode> {
        let mut stops = Stops::listen()?;
        let session = self.target.id(client).await?;
        let mut watch = Watch {
            client,
            session,
            stops: &mut stops,
            is_owner: false,
        };
        let turn = watch.session().await?.current_turn;
        let which = Which {
            turn,
            ..Which::default()
        };
        self.view.follow(&mut watch, which).await
    }
}
