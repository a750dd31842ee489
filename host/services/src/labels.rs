//! What sessions are called and labelled with.

use aod_resources::{Session, SessionChanges, Timestamp};
use indexmap::IndexMap;
use uuid::Uuid;

use crate::{Error, Result, Sessions};

/// So many labels may a session have.
const MOST_LABELS: usize = 16;

impl Sessions {
    /// Changes what a session is called and labelled with.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::TooManyLabels`].
    pub async fn update(&self, owner: Uuid, id: Uuid, changes: SessionChanges) -> Result<Session> {
        let change = move |session: &mut Session| {
            if let Some(title) = changes.title {
                session.title = title;
            }
            for (key, value) in changes.metadata {
                if value.is_empty() {
                    session.metadata.shift_remove(&key);
                } else {
                    session.metadata.insert(key, value);
                }
            }
            check_labels(&session.metadata)
        };
        let changed = self
            .store
            .label_session(owner, id, change, Timestamp::now())
            .await?;
        Ok(self.in_queue(changed?))
    }
}

/// Checks that a session has no more labels than it may have.
pub(crate) fn check_labels(labels: &IndexMap<String, String>) -> Result<()> {
    match labels.len() {
        count if count > MOST_LABELS => Err(Error::TooManyLabels {
            most: MOST_LABELS,
            count,
        }),
        _ => Ok(()),
    }
}

/// An empty value is none.
pub(crate) fn without_empty(labels: IndexMap<String, String>) -> IndexMap<String, String> {
    let labels = labels.into_iter();
    labels.filter(|(_, value)| !value.is_empty()).collect()
}
