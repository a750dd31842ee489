//! Lists: whole by default, in pages on request.

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::error::ApiError;

/// `?limit=&after=`.
#[derive(Clone, Copy, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Page {
    /// 1 to 200; everything where nothing is said.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// Go on after the item with this id.
    after: Option<Uuid>,
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

impl<S: Send + Sync> FromRequestParts<S> for Page {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let Query(page) = Query::<Self>::try_from_uri(&parts.uri).map_err(|_| {
            ApiError::bad_request(
                "limit should be a number from 1 to 200, and after an id from an earlier page",
            )
        })?;
        match page.limit {
            None | Some(1..=200) => Ok(page),
            Some(_) => Err(ApiError::bad_request(
                "limit should be a number from 1 to 200",
            )),
        }
    }
}

/// A list, or a page of one.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Listing<T> {
    data: Vec<T>,
    /// Pass as `after` for the next page.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    next: Option<Uuid>,
}

impl<T> Listing<T> {
    /// Everything there is.
    pub(crate) fn whole(data: Vec<T>) -> Self {
        Self { data, next: None }
    }
}
