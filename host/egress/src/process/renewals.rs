//! Credentials whose values may be others by now: the starter tells, and is asked where a server
//! refuses the value that there is.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use aod_egress::{CredentialReport, RenewedCredential};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use zeroize::Zeroizing;

use super::bodies::KeptBody;
use super::reporter::tell_starter;

/// How long a request waits for a new value. A token endpoint may take half a minute.
const PATIENCE: Duration = Duration::from_secs(45);
/// The starter is not asked again so soon where it had no other value: whoever is refused for
/// another reason would ask for ever.
const PAUSE: Duration = Duration::from_secs(30);

/// A credential's value, as a request is given it.
pub(super) type Value = Arc<Zeroizing<String>>;

/// What credentials are by now. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Renewals(Arc<HashMap<String, watch::Sender<CredentialState>>>);

/// What is known of a credential.
#[derive(Clone)]
struct CredentialState {
    value: Value,
    /// How many values there were before.
    version: u64,
    /// How often the starter has answered what it was asked of it.
    told: u64,
    /// When the starter was asked last, of this value.
    asked: Option<Instant>,
    /// Whether it has not answered yet.
    is_asked: bool,
}

/// A value, and by which credential and which of its values it was.
pub(super) struct Given {
    pub(super) value: Value,
    name: Option<Arc<str>>,
    version: u64,
}

/// A value that was sent, and may have been refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sent {
    name: Arc<str>,
    version: u64,
}

/// A credential: its value, or the name under which that may be another by now.
pub(super) struct Renewable {
    value: Value,
    renewed_as: Option<Arc<str>>,
    renewals: Renewals,
}

impl Renewals {
    /// Credentials by the names under which they are renewed, with the values that are configured
    /// and those that came since.
    pub(super) fn new<'a>(
        configured: impl Iterator<Item = (&'a str, &'a Zeroizing<String>)>,
        renewed: Vec<RenewedCredential>,
    ) -> Self {
        let standing = |value: &Zeroizing<String>| {
            let standing = CredentialState {
                value: Arc::new(value.clone()),
                version: 0,
                told: 0,
                asked: None,
                is_asked: false,
            };
            watch::Sender::new(standing)
        };
        let configured = configured.map(|(name, value)| (name.to_owned(), standing(value)));
        let renewals = Self(Arc::new(configured.collect()));
        for credential in renewed {
            renewals.take(credential);
        }
        renewals
    }

    /// A credential of the configuration.
    pub(super) fn credential(
        &self,
        value: Zeroizing<String>,
        renewed_as: Option<String>,
    ) -> Renewable {
        Renewable {
            value: Arc::new(value),
            renewed_as: renewed_as.map(Arc::from),
            renewals: self.clone(),
        }
    }

    /// Takes what the starter says.
    pub(super) fn take(&self, renewed: RenewedCredential) {
        let RenewedCredential {
            credential,
            value,
            is_answer,
        } = renewed;
        let Some(sender) = self.0.get(&credential) else {
            return;
        };
        let value = value.and_then(|value| {
            let text = std::str::from_utf8(value.expose()).ok()?;
            Some(Zeroizing::new(text.to_owned()))
        });
        sender.send_modify(|standing| {
            if is_answer {
                standing.told += 1;
                standing.is_asked = false;
            }
            if let Some(value) = value.filter(|value| *value != *standing.value) {
                standing.value = Arc::new(value);
                standing.version += 1;
                standing.is_asked = false;
                standing.asked = None;
            }
        });
    }

    /// Whether there are other values by now than those that a request was refused with, which is
    /// waited for where the request can be sent once more.
    pub(super) async fn is_renewed(&self, refused: Vec<Sent>, body: &KeptBody) -> bool {
        let questions: Vec<Question> = refused.into_iter().map(|it| self.ask(it)).collect();
        if !body.is_whole() {
            return false;
        }
        let mut is_renewed = false;
        for question in questions {
            is_renewed |= question.answered().await;
        }
        is_renewed
    }

    /// Has the starter asked for another value than one that was refused, unless there is one, or it
    /// was asked just now. The answer is awaited by [`Question::answered`].
    fn ask(&self, refused: Sent) -> Question {
        let (mut is_new, mut must_ask) = (false, false);
        let (mut told, mut waits) = (0, false);
        if let Some(sender) = self.0.get(&*refused.name) {
            sender.send_if_modified(|standing| {
                is_new = standing.version > refused.version;
                let is_soon = standing.asked.is_some_and(|at| at.elapsed() < PAUSE);
                must_ask = !is_new && !standing.is_asked && !is_soon;
                if must_ask {
                    standing.is_asked = true;
                    standing.asked = Some(Instant::now());
                }
                (told, waits) = (standing.told, standing.is_asked);
                false
            });
        }
        if must_ask {
            let name = refused.name.to_string();
            tell_starter(&CredentialReport::CredentialRefused(name));
        }
        Question {
            renewals: self.clone(),
            refused,
            told: (!is_new && waits).then_some(told),
            is_new,
        }
    }
}

/// Whether there is another value than one that was refused.
struct Question {
    renewals: Renewals,
    refused: Sent,
    /// How often the starter had answered when it was asked; none where it is not.
    told: Option<u64>,
    is_new: bool,
}

impl Question {
    async fn answered(self) -> bool {
        let sender = self.renewals.0.get(&*self.refused.name);
        let (Some(told), Some(sender)) = (self.told, sender) else {
            return self.is_new;
        };
        let version = self.refused.version;
        let mut watching = sender.subscribe();
        let answered =
            watching.wait_for(|standing| standing.told > told || standing.version > version);
        if let Ok(Ok(standing)) = timeout(PATIENCE, answered).await {
            return standing.version > version;
        }
        // The next one asks anew.
        sender.send_if_modified(|standing| {
            standing.is_asked = false;
            false
        });
        false
    }
}

impl Renewable {
    /// Its value by now.
    pub(super) fn given(&self) -> Given {
        let standing = self.renewed_as.as_deref().and_then(|name| {
            let sender = self.renewals.0.get(name)?;
            let standing = sender.borrow();
            Some((standing.value.clone(), standing.version))
        });
        let (value, version) = standing.unwrap_or_else(|| (self.value.clone(), 0));
        Given {
            value,
            name: self.renewed_as.clone(),
            version,
        }
    }

    /// Whether there may be another value.
    pub(super) const fn is_renewed(&self) -> bool {
        self.renewed_as.is_some()
    }
}

impl Given {
    /// What is kept of it when it is sent, where it may be refused for another.
    pub(super) fn sent(&self) -> Option<Sent> {
        let name = self.name.clone()?;
        let version = self.version;
        Some(Sent { name, version })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn renewals(renewed: Vec<RenewedCredential>) -> Renewals {
        let first = Zeroizing::new("first".to_owned());
        Renewals::new([("TOKEN", &first)].into_iter(), renewed)
    }

    fn told(value: Option<&str>) -> RenewedCredential {
        RenewedCredential {
            credential: "TOKEN".to_owned(),
            value: value.map(|value| value.to_owned().into()),
            is_answer: true,
        }
    }

    fn credential(renewals: &Renewals) -> Renewable {
        let value = Zeroizing::new("first".to_owned());
        renewals.credential(value, Some("TOKEN".to_owned()))
    }

    #[test]
    fn a_value_is_the_last_one_that_was_told() {
        let renewals = renewals(vec![told(Some("second"))]);
        let credential = credential(&renewals);
        assert_eq!(**credential.given().value, "second");
        renewals.take(told(Some("third")));
        renewals.take(told(None));
        renewals.take(RenewedCredential {
            credential: "OTHER".to_owned(),
            value: Some("fourth".to_owned().into()),
            is_answer: true,
        });
        assert_eq!(**credential.given().value, "third");
        let fixed = renewals.credential(Zeroizing::new("x".to_owned()), None);
        assert!(fixed.given().sent().is_none() && !fixed.is_renewed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_value_waits_for_another_one() {
        let renewals = renewals(Vec::new());
        let credential = credential(&renewals);
        let sent = credential.given().sent().unwrap();
        // All that wait at once are answered at once.
        let (one, other, ()) = tokio::join!(
            renewals.ask(sent.clone()).answered(),
            renewals.ask(sent.clone()).answered(),
            async {
                renewals.take(told(Some("second")));
            }
        );
        assert!(one && other);
        // What was sent before is refused for nothing new.
        assert!(renewals.ask(sent.clone()).answered().await);
        let sent = credential.given().sent().unwrap();
        let (renewed, ()) = tokio::join!(renewals.ask(sent.clone()).answered(), async {
            // What it has already is no answer, unless it is given as one.
            renewals.take(RenewedCredential {
                is_answer: false,
                ..told(Some("second"))
            });
            tokio::task::yield_now().await;
            renewals.take(told(None));
        });
        assert!(!renewed);
        // It is not asked for again at once, and no request waits in vain.
        let before = Instant::now();
        assert!(!renewals.ask(sent.clone()).answered().await);
        assert_eq!(before.elapsed(), Duration::ZERO);
        tokio::time::advance(PAUSE).await;
        // Nobody answers.
        let before = Instant::now();
        assert!(!renewals.ask(sent.clone()).answered().await);
        assert_eq!(before.elapsed(), PATIENCE);
    }
}
