//! `/sessions/{id}/events`: the normalized events (`docs/stream.md`).

use aod_resources::Session;
use aod_resources::event::{Event, EventId};
use aod_resources::schema;
use aod_resources::shape::{Pattern, Shape, Text};
use aod_streams::events::{EventPage, PageRequest, PageStart};
use aod_streams::follow::StreamStart;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE, VARY};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::{ObjectBuilder, Required, Type as SchemaType};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::Api;
use crate::auth::Caller;
use crate::error::ApiError;
use crate::page::LIMIT;
use crate::path::Id;
use crate::query;
use crate::stream::{ResumeId, last_event_id, refused, sse};

/// The most events on a page, and as many as there are where nothing is said.
const PAGE: usize = 200;

/// The routes of normalized events.
pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(events))
        .routes(routes!(event))
}

impl ResumeId for EventId {
    const START: Self = Self::START;
    const SHOULD_BE: &str = "an event's id, such as 12.0, or the number of a log entry";

    fn read(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

/// What [`EventId`] reads.
static EVENT_ID: Pattern = Pattern::new(
    r"^[0-9]{1,19}(\.[0-9]{1,9})?$",
    "Input should be an event's id, such as 12.0, or the number of a log entry",
);

const ID: Shape = Text::new(1, 30).like(&EVENT_ID).shape();

aod_resources::input! {
    /// Which events to give.
    example ""
    struct Params {
        /// Stream: resume after the event with this id, or after all that came from the log entry
        /// with this number. The header `Last-Event-ID` wins over it. Of a page the same as `after`.
        optional since: Option<String> = ID,
        /// Stream: `false` replays what there is now, and ends there.
        optional follow: Option<bool> = Shape::Boolean,
        /// Page: begin after the event with this id, or after all that came from the log entry
        /// with this number.
        optional after: Option<String> = ID,
        /// Page: end before the event with this id, with the newest that come before it.
        optional before: Option<String> = ID,
        /// Page: the newest events, so many of them.
        optional tail: Option<u32> = LIMIT,
        /// Page: begin with the first event of this turn.
        optional turn: Option<u32> = Shape::Integer { min: 1, max: u32::MAX as i64 },
        /// Page: the most events to give; 200 where nothing is said.
        optional limit: Option<u32> = LIMIT,
        /// Page: `false` leaves out pieces of messages and thoughts that are there whole.
        optional deltas: Option<bool> = Shape::Boolean,
    }
}

/// A page of normalized events.
#[derive(Debug, Serialize, ToSchema)]
#[allow(dead_code, reason = "the schema of what is put together as text")]
struct Events {
    data: Vec<Event>,
    /// Pass as `after` for the next page. Absent where there is nothing more by now.
    #[schema(required = false, nullable = false)]
    next: Option<EventId>,
    /// Pass as `before` for the page before, where this one was asked for by `before`, `tail` or
    /// `turn`. Absent where there is nothing before it.
    #[schema(required = false, nullable = false)]
    prev: Option<EventId>,
}

/// How a client wants its events.
enum EventsRequest {
    Stream(StreamStart<EventId>),
    Page(PageRequest),
}

impl<S: Send + Sync> FromRequestParts<S> for EventsRequest {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let params: Params = query::read(parts).map_err(refused)?;
        let places = [
            ("after", params.after.is_some()),
            ("before", params.before.is_some()),
            ("tail", params.tail.is_some()),
            ("turn", params.turn.is_some()),
        ];
        let mut places = places.iter().filter(|(_, is_given)| *is_given);
        let place = places.next().map(|(name, _)| *name);
        let is_page = !accepts(parts, "text/event-stream")
            && (accepts(parts, "application/json")
                || place.is_some()
                || params.limit.is_some()
                || params.deltas.is_some());
        if is_page {
            if let (Some(first), Some((second, _))) = (place, places.next()) {
                return Err(ApiError::bad_request(format!(
                    "{first} and {second} each say where the page is: leave out one of them"
                )));
            }
            if let (Some(place), Some(_)) = (place, &params.since) {
                return Err(ApiError::bad_request(format!(
                    "since and {place} each say where the page is: leave out one of them"
                )));
            }
            return page_request(params).map(Self::Page);
        }
        let since = id("since", params.since)?;
        let after = last_event_id(parts)?.or(since);
        Ok(Self::Stream(StreamStart {
            after: after.unwrap_or(EventId::START),
            follow: params.follow.unwrap_or(true),
        }))
    }
}

fn page_request(params: Params) -> Result<PageRequest, ApiError> {
    if params.tail.is_some() && params.limit.is_some() {
        let detail = "tail says how many events the page has: leave out limit";
        return Err(ApiError::bad_request(detail));
    }
    let before = id("before", params.before)?;
    let start = match (before, params.turn) {
        (Some(before), _) => PageStart::Before(before),
        (None, Some(turn)) => PageStart::Turn(turn),
        (None, None) if params.tail.is_some() => PageStart::Tail,
        (None, None) => {
            let (after, since) = (id("after", params.after)?, id("since", params.since)?);
            PageStart::After(after.or(since).unwrap_or(EventId::START))
        }
    };
    Ok(PageRequest {
        start,
        limit: params
            .tail
            .or(params.limit)
            .map_or(PAGE, |limit| limit as usize),
        deltas: params.deltas.unwrap_or(true),
    })
}

/// Whether a request's `Accept` names a media type.
pub(crate) fn accepts(parts: &Parts, kind: &str) -> bool {
    let values = parts.headers.get_all(ACCEPT).iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|range| {
            let range = range.split(';').next().unwrap_or_default();
            range.trim().eq_ignore_ascii_case(kind)
        })
}

fn id(name: &str, given: Option<String>) -> Result<Option<EventId>, ApiError> {
    let Some(text) = given else {
        return Ok(None);
    };
    match EventId::read(&text) {
        Some(id) => Ok(Some(id)),
        None => Err(ApiError::bad_request(format!(
            "{name} should be {}",
            EventId::SHOULD_BE
        ))),
    }
}

/// `Last-Event-ID`, by which browsers resume.
struct LastEventId;

impl IntoParams for LastEventId {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let about = "Stream: resume after the event with this id. It wins over `since`.";
        vec![schema::header("Last-Event-ID", about, &ID)]
    }
}

/// A session's normalized events: one vocabulary for all runtimes.
///
/// As a stream of server-sent events, or, with `Accept: application/json` or where a parameter of
/// pages is given, as a page. Fields of more than 64 KiB are cut in pages and named in `truncated`;
/// read by its id, an event has them whole.
#[utoipa::path(get, path = "/sessions/{id}/events", tag = "sessions",
    params(Id<Session>, Params, LastEventId),
    responses(
        (status = 200, description = "Each message of the stream has an `Event` as its data.", content(
            (Event = "text/event-stream"),
            (Events = "application/json"),
        )),
        (status = 400), (status = 404)))]
async fn events(
    State(api): State<Api>,
    caller: Caller,
    Id { id, .. }: Id<Session>,
    request: EventsRequest,
) -> Result<Response, ApiError> {
    let mut response = match request {
        EventsRequest::Stream(start) => {
            sse(api.sessions.follow_events(caller.user, id, start).await?)
        }
        EventsRequest::Page(request) => page(api.sessions.events(caller.user, id, request).await?),
    };
    response
        .headers_mut()
        .insert(VARY, axum::http::HeaderValue::from_static("accept"));
    Ok(response)
}

/// `{id}` of a session and `{event_id}` of one of its events.
struct EventPath {
    session: Uuid,
    event: EventId,
}

#[derive(Deserialize)]
struct RawPath {
    event_id: String,
}

impl<S: Send + Sync> FromRequestParts<S> for EventPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let session = Id::<Session>::from_request_parts(parts, state).await?.id;
        let raw = Path::<RawPath>::from_request_parts(parts, state).await;
        // Only whole ids name an event, in the one form that they have.
        let event = raw.ok().and_then(|Path(RawPath { event_id })| {
            let event = EventId::read(&event_id)?;
            (event.to_string() == event_id).then_some(event)
        });
        let event = event.ok_or_else(|| ApiError::not_found("Event not found"))?;
        Ok(Self { session, event })
    }
}

impl IntoParams for EventPath {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let mut parameters = Id::<Session>::into_params(|| None);
        let id = ObjectBuilder::new()
            .schema_type(SchemaType::String)
            .pattern(Some(r"^[0-9]{1,19}\.[0-9]{1,9}$"));
        let event = ParameterBuilder::new()
            .name("event_id")
            .parameter_in(ParameterIn::Path)
            .required(Required::True)
            .description(Some("The event's id, such as 12.0."))
            .schema(Some(id))
            .build();
        parameters.push(event);
        parameters
    }
}

/// Reads one event, whole.
#[utoipa::path(get, path = "/sessions/{id}/events/{event_id}", tag = "sessions",
    params(EventPath),
    responses((status = 200, body = Event), (status = 404)))]
async fn event(
    State(api): State<Api>,
    caller: Caller,
    EventPath { session, event }: EventPath,
) -> Result<Response, ApiError> {
    let event = api.sessions.event(caller.user, session, event).await?;
    Ok(([(CONTENT_TYPE, "application/json")], event).into_response())
}

/// The events are passed on as they are stored, but for what is cut.
fn page(page: EventPage) -> Response {
    let mut body = b"{\"data\":".to_vec();
    body.extend_from_slice(&page.data);
    for (name, place) in [("next", page.next), ("prev", page.prev)] {
        if let Some(id) = place {
            body.extend_from_slice(format!(",\"{name}\":\"{id}\"").as_bytes());
        }
    }
    body.push(b'}');
    ([(CONTENT_TYPE, "application/json")], body).into_response()
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    async fn wanted(query: &str, accept: Option<&str>) -> Result<EventsRequest, ApiError> {
        let mut request = Request::get(format!("/sessions/x/events{query}"));
        if let Some(accept) = accept {
            request = request.header(ACCEPT, accept);
        }
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        EventsRequest::from_request_parts(&mut parts, &()).await
    }

    #[tokio::test]
    async fn a_page_is_given_to_who_asks_for_one() {
        let json = Some("application/json;q=0.9, text/plain");
        let stream = Some("text/event-stream");
        for (query, accept, is_page) in [
            ("", None, false),
            ("", Some("*/*"), false),
            ("", stream, false),
            ("?limit=1", stream, false),
            ("?limit=1", Some("*/*"), true),
            ("?after=3.1", None, true),
            ("?before=3", None, true),
            ("?tail=3", None, true),
            ("?turn=3", Some("*/*"), true),
            ("?deltas=false", None, true),
            ("?tail=3", stream, false),
            ("", json, true),
        ] {
            let wanted = wanted(query, accept).await.unwrap();
            let found = matches!(wanted, EventsRequest::Page(_));
            assert_eq!(found, is_page, "{query} {accept:?}");
        }
    }

    #[tokio::test]
    async fn what_is_no_id_and_no_limit_is_refused() {
        for query in [
            "?since=x",
            "?since=-1",
            "?since=1.",
            "?follow=maybe",
            "?since=1&since=2",
            "?after=x",
            "?limit=0",
            "?limit=201",
            "?limit=-1",
            "?limit=x",
            "?limit=1&limit=2",
            "?before=x",
            "?tail=0",
            "?tail=201",
            "?turn=0",
            "?turn=4294967296",
            "?deltas=maybe",
            "?after=1&before=2",
            "?tail=1&turn=2",
            "?tail=1&limit=2",
        ] {
            assert!(wanted(query, None).await.is_err(), "{query}");
        }
    }
}
