//! A session that is looked at until its turn has ended: across connections that break and servers
//! that are started again, and with signals handed on.

use std::ops::ControlFlow;
use std::time::Duration;

use anyhow::{Result, bail};
use aod_resources::Session;
use reqwest::{Method, StatusCode};
use tokio::time::Instant;
use uuid::Uuid;

use crate::client::{Client, ClientError, Message, StopAck, StreamKind};
use crate::signals::{Stop, Stops};

/// How long a server may be away.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long is waited before it is asked again, at first and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(3));

/// What is shown of a stream; it may have seen enough.
pub(crate) type Seen = Result<ControlFlow<()>>;

/// A session that is looked at.
pub(crate) struct Watch<'a> {
    /// Speaks to the server.
    pub(crate) client: &'a Client,
    /// Which.
    pub(crate) session: Uuid,
    /// What its user wishes meanwhile.
    pub(crate) stops: &'a mut Stops,
    /// Whether the user's wish to stop is handed on to the session, or only ends the watching.
    pub(crate) is_owner: bool,
}

/// How a connection has ended.
enum End {
    /// What is there has been seen.
    Enough,
    /// The server has closed it.
    Closed,
    /// It broke.
    Broken(anyhow::Error),
}

impl Watch<'_> {
    /// Hands over the messages of a stream, after the one with the id `last`, until the turn has
    /// ended (or any turn, where none is named), or `show` has seen enough.
    pub(crate) async fn until_end(
        &mut self,
        kind: StreamKind,
        mut last: Option<String>,
        turn: Option<u32>,
        show: &mut dyn FnMut(&Message) -> Seen,
    ) -> Result<()> {
        let mut is_over = false;
        let mut patience = Patience::new();
        loop {
            let seen = last.clone();
            match self.connection(kind, &mut last, !is_over, show).await? {
                End::Enough => return Ok(()),
                End::Closed if is_over => return Ok(()),
                End::Closed => {
                    is_over = self.is_over(turn).await?;
                    if is_over {
                        return Ok(());
                    }
                }
                End::Broken(error) if !ClientError::is_passing(&error) => return Err(error),
                End::Broken(error) => {
                    if last != seen {
                        patience = Patience::new();
                    }
                    if let Some(stop) = patience.wait(error, self.stops).await?
                        && self.stop(stop).await.is_break()
                    {
                        return Ok(());
                    }
                    // What is left to be told is then told by one more connection.
                    is_over = self.is_over(turn).await?;
                }
            }
            if self.stops_watching() {
                return Ok(());
            }
        }
    }

    async fn connection(
        &mut self,
        kind: StreamKind,
        last: &mut Option<String>,
        follow: bool,
        show: &mut dyn FnMut(&Message) -> Seen,
    ) -> Result<End> {
        let client = self.client;
        let connected = client.stream(self.session, kind, last.as_deref(), follow);
        let mut messages = match connected.await {
            Ok(messages) => messages,
            Err(error) => return Ok(End::Broken(error)),
        };
        loop {
            tokio::select! {
                biased;
                stop = self.stops.next() => {
                    if self.stop(stop).await.is_break() {
                        return Ok(End::Enough);
                    }
                }
                message = messages.next() => match message {
                    Ok(Some(message)) => {
                        if show(&message)?.is_break() {
                            return Ok(End::Enough);
                        }
                        if message.id.is_some() {
                            last.clone_from(&message.id);
                        }
                    }
                    Ok(None) => return Ok(End::Closed),
                    Err(error) => return Ok(End::Broken(error)),
                }
            }
        }
    }

    /// Whether the turn has ended; a server that is away is waited for.
    async fn is_over(&mut self, turn: Option<u32>) -> Result<bool> {
        let session = self.session().await?;
        let has_later = turn.is_some_and(|turn| session.turn_count > turn);
        Ok(has_later || !session.status.is_active())
    }

    /// The session, as it stands.
    pub(crate) async fn session(&mut self) -> Result<Session> {
        let path = format!("/sessions/{}", self.session);
        let mut patience = Patience::new();
        loop {
            match self.client.get(&path).await {
                Err(error) if ClientError::is_passing(&error) => {
                    if let Some(stop) = patience.wait(error, self.stops).await?
                        && self.stop(stop).await.is_break()
                    {
                        bail!("left while the server was away");
                    }
                }
                session => return session,
            }
        }
    }

    /// Whether the user wants no more of it.
    fn stops_watching(&self) -> bool {
        !self.is_owner && self.stops.code().is_some()
    }

    /// Hands a wish on to the session.
    pub(crate) async fn stop(&mut self, mut stop: Stop) -> ControlFlow<()> {
        if !self.is_owner {
            return ControlFlow::Break(());
        }
        loop {
            match stop {
                Stop::Interrupt => eprintln!("interrupting; Ctrl-C again terminates"),
                Stop::Terminate => eprintln!("terminating"),
                Stop::Leave => {
                    eprintln!("left: see `aod session show {}`", self.session);
                    return ControlFlow::Break(());
                }
            }
            tokio::select! {
                biased;
                next = self.stops.next() => stop = next,
                done = ask(self.client, self.session, stop) => {
                    if let Err(error) = done {
                        eprintln!("aod: {}", crate::output::explain(&error));
                    }
                    return ControlFlow::Continue(());
                }
            }
        }
    }

    /// Stops the turn because nobody reads what comes of it any more.
    pub(crate) async fn abandon(&self) {
        if self.is_owner
            && let Err(error) = ask(self.client, self.session, Stop::Interrupt).await
        {
            eprintln!("aod: {}", crate::output::explain(&error));
        }
    }
}

/// Asks for a stop until the server has taken it. A session whose first turn has not begun cannot be
/// interrupted, and is terminated.
async fn ask(client: &Client, session: Uuid, stop: Stop) -> Result<()> {
    let mut word = match stop {
        Stop::Interrupt => "interrupt",
        Stop::Terminate | Stop::Leave => "terminate",
    };
    let deadline = Instant::now() + PATIENCE;
    let mut pause = PAUSES.0;
    loop {
        let path = format!("/sessions/{session}/{word}");
        let asked = client.send(Method::POST, &path, None).await;
        let Err(error) = asked else { return Ok(()) };
        if ClientError::status(&error) == Some(StatusCode::CONFLICT) {
            let now: Session = client.get(&format!("/sessions/{session}")).await?;
            if !now.status.is_active() {
                return Ok(());
            }
            word = "terminate";
        } else if !ClientError::is_passing(&error) || Instant::now() > deadline {
            return Err(error);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSES.1);
    }
}

/// How long a server that is away is still waited for.
struct Patience {
    deadline: Instant,
    pause: Duration,
}

impl Patience {
    fn new() -> Self {
        Self {
            deadline: Instant::now() + PATIENCE,
            pause: PAUSES.0,
        }
    }

    /// Waits a while, or until the user wishes for something.
    ///
    /// # Errors
    /// The one that is given, where it was waited for long enough.
    async fn wait(&mut self, error: anyhow::Error, stops: &mut Stops) -> Result<Option<Stop>> {
        if Instant::now() > self.deadline {
            return Err(error);
        }
        if self.pause == PAUSES.0 {
            eprintln!("aod: {}; trying again", crate::output::explain(&error));
        }
        tokio::select! {
            stop = stops.next() => return Ok(Some(stop)),
            () = tokio::time::sleep(self.pause) => {}
        }
        self.pause = (self.pause * 2).min(PAUSES.1);
        Ok(None)
    }
}

/// Stops what a session does, and says where it stands then.
pub(crate) async fn stop_once(client: &Client, session: Uuid, word: &str) -> Result<StopAck> {
    let path = format!("/sessions/{session}/{word}");
    let reply = client.send(Method::POST, &path, None).await?;
    Ok(reply.json().await?)
}
