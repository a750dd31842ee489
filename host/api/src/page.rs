//! Lists: whole by default, in pages on request.

use aod_resources::shape::Shape;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// The most items on a page.
pub(crate) const LIMIT: Shape = Shape::Integer { min: 1, max: 200 };

aod_resources::input! {
    /// A page of a list.
    example ""
    pub(crate) struct Page {
        /// The most items to give; all of them where nothing is said.
        optional limit: Option<u32> = LIMIT,
        /// Go on after the item with this id, which `next` of the page before has.
        optional after: Option<Uuid> = Shape::Id,
    }
}

impl Page {
    /// What to ask the store for: one more than the limit tells whether there is a next page.
    pub(crate) fn range(&self) -> aod_services::Range {
        aod_services::Range {
            after: self.after,
            limit: self.limit.map(|limit| limit + 1),
        }
    }

    /// The reply.
    pub(crate) fn listing<T>(&self, mut data: Vec<T>, id: impl Fn(&T) -> Uuid) -> Listing<T> {
        let limit = self.limit.map_or(usize::MAX, |limit| limit as usize);
        let more = data.len() > limit;
        data.truncate(limit);
        Listing {
            next: data.last().filter(|_| more).map(id),
            data,
        }
    }
}

/// A list, or a page of one.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Listing<T> {
    data: Vec<T>,
    /// Pass as `after` for the next page. Absent where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    next: Option<Uuid>,
}

impl<T> Listing<T> {
    /// Everything there is.
    pub(crate) fn whole(data: Vec<T>) -> Self {
        Self { data, next: None }
    }
}
