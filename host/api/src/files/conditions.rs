//! What a request says that its client has seen.

use aod_resources::FileEntry;
use aod_services::files::{Precondition, Present};
use axum::http::{HeaderMap, StatusCode};
use headers::{
    ETag, Header, HeaderMapExt as _, IfMatch, IfModifiedSince, IfNoneMatch, IfRange,
    IfUnmodifiedSince, LastModified,
};

use crate::error::ApiError;

/// Conditions of those who read.
#[derive(Debug)]
pub(super) struct Conditions {
    changes: Changes,
    modified_since: Option<IfModifiedSince>,
    unmodified_since: Option<IfUnmodifiedSince>,
    range: Option<IfRange>,
    /// The date of `If-Range`, where it has one.
    range_date: Option<LastModified>,
    pub(super) wanted: Option<String>,
}

/// What is sent to those who read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The file, or the part of it that was asked for.
    Send,
    /// The whole file: it is not the one that the client has a part of.
    SendWhole,
    /// Nothing: the client has it.
    NotModified,
    /// Nothing: it is not what the client has seen.
    Failed,
}

/// Conditions of those who change something.
#[derive(Debug)]
pub(super) struct Changes {
    matches: Option<IfMatch>,
    none_match: Option<IfNoneMatch>,
}

/// A header that is there and can be read. The library takes any text for a list of versions.
fn read<H: Header>(headers: &HeaderMap) -> Result<Option<H>, ApiError> {
    let is_list = |text: &str| {
        let text = text.trim();
        let begins = text.starts_with('"') || text.starts_with("W/\"");
        text == "*" || (begins && text.len() > 1 && text.ends_with('"'))
    };
    let name = H::name();
    let mut all = headers.get_all(name).into_iter();
    let read = match all.all(|value| value.to_str().is_ok_and(is_list)) {
        true => headers.typed_try_get().ok(),
        false => None,
    };
    read.ok_or_else(|| {
        ApiError::bad_request(format!(
            "the header {name} should be `*` or a list of versions, each in quotes"
        ))
    })
}

impl Conditions {
    /// Reads them. A date or a range that cannot be read is none, as HTTP has it.
    pub(super) fn read(headers: &HeaderMap) -> Result<Self, ApiError> {
        let wanted = headers.get(axum::http::header::RANGE);
        Ok(Self {
            changes: Changes::read(headers)?,
            modified_since: headers.typed_get(),
            unmodified_since: headers.typed_get(),
            range: headers.typed_get(),
            range_date: headers
                .get(axum::http::header::IF_RANGE)
                .and_then(|date| LastModified::decode(&mut std::iter::once(date)).ok()),
            wanted: wanted.and_then(|it| it.to_str().ok()).map(str::to_owned),
        })
    }

    /// What they mean for a file, in the order of RFC 9110 §13.2.2.
    pub(super) fn verdict(&self, entry: &FileEntry, modified: LastModified) -> Verdict {
        let etag: Option<ETag> = entry.etag.as_deref().and_then(|it| it.parse().ok());
        let present = match &entry.etag {
            Some(etag) => Present::File(etag),
            None => Present::Other,
        };
        let seen = match (&self.changes.matches, self.unmodified_since) {
            (Some(matches), _) => is_match(matches, present),
            (None, Some(since)) => since.precondition_passes(modified.into()),
            (None, None) => true,
        };
        if !seen {
            return Verdict::Failed;
        }
        let new = match (&self.changes.none_match, self.modified_since) {
            (Some(none), _) => is_none(none, present),
            (None, Some(since)) => since.is_modified(modified.into()),
            (None, None) => true,
        };
        if !new {
            return Verdict::NotModified;
        }
        match (&self.range, self.range_date) {
            // The very one (RFC 9110, section 13.1.5): an older file may have taken its place.
            (_, Some(date)) if date != modified => Verdict::SendWhole,
            (Some(range), None) if range.is_modified(etag.as_ref(), Some(&modified)) => {
                Verdict::SendWhole
            }
            _ => Verdict::Send,
        }
    }
}

impl Changes {
    /// Reads them.
    ///
    /// # Errors
    /// 400 where one is there that cannot be read: whoever sent it would lose what it is to keep.
    pub(super) fn read(headers: &HeaderMap) -> Result<Self, ApiError> {
        Ok(Self {
            matches: read(headers)?,
            none_match: read(headers)?,
        })
    }

    /// Refuses them.
    ///
    /// # Errors
    /// 412 where there are any.
    pub(super) fn refuse(self, what: &str) -> Result<(), ApiError> {
        match (self.matches, self.none_match) {
            (None, None) => Ok(()),
            _ => Err(ApiError::other(
                StatusCode::PRECONDITION_FAILED,
                format!("{what} is no single file: leave out If-Match and If-None-Match"),
            )),
        }
    }

    /// What is to be true of what is there.
    pub(super) fn precondition(self) -> Precondition {
        Box::new(move |present| {
            let seen = self.matches.as_ref().is_none_or(|it| is_match(it, present));
            let none = self
                .none_match
                .as_ref()
                .is_none_or(|it| is_none(it, present));
            seen && none
        })
    }
}

fn is_match(wanted: &IfMatch, present: Present<'_>) -> bool {
    match present {
        Present::Nothing => false,
        Present::Other => wanted.is_any(),
        Present::File(etag) => etag
            .parse()
            .is_ok_and(|etag| wanted.precondition_passes(&etag)),
    }
}

fn is_none(wanted: &IfNoneMatch, present: Present<'_>) -> bool {
    match present {
        Present::Nothing => true,
        Present::Other => *wanted != IfNoneMatch::any(),
        Present::File(etag) => etag
            .parse()
            .is_ok_and(|etag| wanted.precondition_passes(&etag)),
    }
}
