//! What surrounds every handler: request ids, spans, limits, and the envelope for what never
//! reaches a handler.

use std::any::Any;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderName, Method, Request, Response, StatusCode, Uri};
use axum::response::IntoResponse;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::request_id::{
    MakeRequestId, PropagateRequestIdLayer, RequestId, SetRequestIdLayer,
};
use tower_http::trace::TraceLayer;
use tracing::Span;
use uuid::Uuid;

use crate::Limits;
use crate::error::ApiError;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

#[derive(Clone, Copy)]
struct NewRequestId;

impl MakeRequestId for NewRequestId {
    fn make_request_id<B>(&mut self, _: &Request<B>) -> Option<RequestId> {
        // A UUID's text is always a valid header value.
        Uuid::new_v4().to_string().parse().ok().map(RequestId::new)
    }
}

pub(crate) fn apply(router: Router, limits: Limits) -> Router {
    let trace = TraceLayer::new_for_http()
        .make_span_with(|request: &Request<_>| {
            let id = request
                .extensions()
                .get::<RequestId>()
                .and_then(|id| id.header_value().to_str().ok())
                .unwrap_or_default();
            // The path alone: a query may one day carry what should not be logged.
            tracing::info_span!("request", method = %request.method(), path = request.uri().path(), id)
        })
        .on_response(|response: &Response<_>, latency: Duration, _: &Span| {
            tracing::debug!(status = response.status().as_u16(), ?latency, "answered");
        });
    router.layer(
        ServiceBuilder::new()
            .layer(axum::middleware::map_request(strip_request_id))
            .layer(SetRequestIdLayer::new(REQUEST_ID, NewRequestId))
            .layer(trace)
            .layer(PropagateRequestIdLayer::new(REQUEST_ID))
            .layer(CatchPanicLayer::custom(panicked))
            .layer(axum::Extension(limits))
            .layer(DefaultBodyLimit::max(limits.body)),
    )
}

/// A client's own request id would let it write what it likes into the log.
async fn strip_request_id<B>(mut request: Request<B>) -> Request<B> {
    request.headers_mut().remove(REQUEST_ID);
    request
}

fn panicked(cause: Box<dyn Any + Send>) -> axum::response::Response {
    let cause = cause
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| cause.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    ApiError::internal(&format_args!("a handler panicked: {cause}")).into_response()
}

pub(crate) async fn not_found(uri: Uri) -> ApiError {
    ApiError::not_found(format!("there is nothing at {}", uri.path()))
}

pub(crate) async fn method_not_allowed(method: Method, uri: Uri) -> ApiError {
    ApiError::other(
        StatusCode::METHOD_NOT_ALLOWED,
        format!("{} does not take {method}", uri.path()),
    )
}
