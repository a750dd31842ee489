//! Names of programs that know no proxy.

use std::io;
use std::sync::Arc;

use aod_egress::question::{Code, Kind, Question};
use aod_egress::{Outcome, Refusal, host_name};
use tokio::net::UdpSocket;
use tokio::sync::Semaphore;

use super::connect::{ConnectError, Connector};
use super::packets::Known;
use super::serve::Activity;

/// Questions that are looked up at the same time; what is asked meanwhile has to be asked again.
const MAX_QUESTIONS: usize = 32;
/// The longest question, in bytes.
const MAX_MESSAGE: usize = 1500;
/// Where the questions go, for reports.
const PORT: u16 = 53;

/// Answers questions for addresses, by the machine's own resolver, as far as the policy lets it.
#[derive(Clone)]
pub(super) struct Resolver {
    connector: Connector,
    known: Known,
    activity: Activity,
}

impl Resolver {
    pub(super) fn new(connector: Connector, known: Known, activity: Activity) -> Self {
        Self {
            connector,
            known,
            activity,
        }
    }

    /// Answers for ever.
    pub(super) async fn answer(self, socket: UdpSocket) {
        let socket = Arc::new(socket);
        let permits = Arc::new(Semaphore::new(MAX_QUESTIONS));
        let mut message = [0; MAX_MESSAGE];
        loop {
            // An error is one of an answer that was not taken.
            let Ok((count, from)) = socket.recv_from(&mut message).await else {
                continue;
            };
            let Some(question) = Question::read(&message[..count]) else {
                continue;
            };
            let Ok(permit) = permits.clone().try_acquire_owned() else {
                continue;
            };
            let connected = self.activity.begin();
            let (resolver, socket) = (self.clone(), socket.clone());
            tokio::spawn(async move {
                let answer = resolver.look_up(&question).await;
                let _ = socket.send_to(&answer, from).await;
                drop((permit, connected));
            });
        }
    }

    async fn look_up(&self, question: &Question) -> Vec<u8> {
        if let Err(refusal) = self.check(&question.name) {
            let reason = refusal.to_string();
            self.connector
                .tell(Outcome::Refused, &question.name, PORT, &reason);
            return question.answer(Code::Refused, &[]);
        }
        if question.kind == Kind::Other {
            return question.answer(Code::Done, &[]);
        }
        match self.connector.look_up(&question.name, PORT).await {
            Ok(found) => {
                let addresses: Vec<_> = found.iter().map(std::net::SocketAddr::ip).collect();
                if self.connector.policy().allowed.is_some() {
                    self.known.add(addresses.iter().copied());
                }
                question.answer(Code::Done, &addresses)
            }
            Err(error) => question.answer(code_of(&error), &[]),
        }
    }

    /// Whether the name may be resolved at all. One to which a gateway leads may be reached by that
    /// alone.
    fn check(&self, name: &str) -> Result<(), Refusal> {
        let policy = self.connector.policy();
        let host = host_name(name)?;
        let mut guarded = policy.guarded.iter();
        if guarded.any(|(guarded, _)| host_name(guarded).is_ok_and(|guarded| guarded == host)) {
            return Err(Refusal::Guarded { host });
        }
        policy.look_up(name, PORT).map(drop)
    }
}

fn code_of(error: &ConnectError) -> Code {
    match error {
        ConnectError::Refused(_) => Code::Refused,
        ConnectError::Resolve { source, .. } if source.kind() == io::ErrorKind::TimedOut => {
            Code::Failed
        }
        _ => Code::NoName,
    }
}
