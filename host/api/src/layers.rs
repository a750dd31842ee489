//! What surrounds every handler: request ids, spans, limits, and the envelope for what never
//! reaches a handler.

use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aod_metrics::metrics;
use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath};
use axum::http::header::{
    AUTHORIZATION, CONTENT_DISPOSITION, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_MATCH,
    IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE, RETRY_AFTER,
};
use axum::http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use axum::response::IntoResponse;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::CorsLayer;
use tower_http::request_id::{
    MakeRequestId, PropagateRequestIdLayer, RequestId, SetRequestIdLayer,
};
use tower_http::trace::TraceLayer;
use tracing::Span;
use uuid::Uuid;

use crate::error::ApiError;
use crate::{HttpSettings, hosts};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

#[derive(Clone, Copy)]
struct NewRequestId;

impl MakeRequestId for NewRequestId {
    fn make_request_id<B>(&mut self, _: &Request<B>) -> Option<RequestId> {
        // A UUID's text is always a valid header value.
        Uuid::new_v4().to_string().parse().ok().map(RequestId::new)
    }
}

/// Puts around a router what surrounds every handler.
pub(crate) fn apply(router: Router, settings: HttpSettings) -> Router {
    let HttpSettings {
        limits,
        allowed_origins,
        hosts,
    } = settings;
    let trace = TraceLayer::new_for_http()
        .make_span_with(|request: &Request<_>| {
            let request_id = request
                .extensions()
                .get::<RequestId>()
                .and_then(|id| id.header_value().to_str().ok())
                .unwrap_or_default();
            // The path alone: a query may one day carry what should not be logged.
            tracing::info_span!(
                "request",
                method = %request.method(),
                path = request.uri().path(),
                request_id
            )
        })
        .on_response(|response: &Response<_>, latency: Duration, _: &Span| {
            tracing::debug!(status = response.status().as_u16(), ?latency, "answered");
        });
    router.layer(
        ServiceBuilder::new()
            .layer(axum::middleware::map_request(strip_request_id))
            .layer(SetRequestIdLayer::new(REQUEST_ID, NewRequestId))
            .layer(trace)
            .layer(axum::middleware::from_fn(count))
            .layer(PropagateRequestIdLayer::new(REQUEST_ID))
            .layer(CatchPanicLayer::custom(panicked))
            .layer(axum::middleware::from_fn_with_state(
                Arc::new(hosts),
                hosts::check,
            ))
            .option_layer(cors(&allowed_origins))
            .layer(axum::Extension(limits))
            .layer(DefaultBodyLimit::max(limits.body)),
    )
}

/// Lets pages of these origins use the API from a browser; `None` where there are none.
fn cors(origins: &[HeaderValue]) -> Option<CorsLayer> {
    let headers = ["idempotency-key", "last-event-id"].map(HeaderName::from_static);
    let conditions = [
        IF_MATCH,
        IF_MODIFIED_SINCE,
        IF_NONE_MATCH,
        IF_RANGE,
        IF_UNMODIFIED_SINCE,
        RANGE,
    ];
    (!origins.is_empty()).then(|| {
        CorsLayer::new()
            .allow_origin(origins.to_vec())
            .allow_methods([
                Method::GET,
                Method::POST,
                Method::PUT,
                Method::PATCH,
                Method::DELETE,
            ])
            .allow_headers(
                [AUTHORIZATION, CONTENT_TYPE]
                    .into_iter()
                    .chain(headers)
                    .chain(conditions)
                    .collect::<Vec<_>>(),
            )
            .expose_headers([
                REQUEST_ID,
                RETRY_AFTER,
                ETAG,
                CONTENT_RANGE,
                CONTENT_DISPOSITION,
            ])
            .max_age(Duration::from_secs(600))
    })
}

/// Counts a request by its route. Where there is none, its path is the client's own: it could make
/// as many counters as it likes. The same holds for its method.
async fn count(
    request: axum::extract::Request,
    next: axum::middleware::Next,
) -> axum::response::Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let method = match request.method() {
        known @ (&Method::GET
        | &Method::POST
        | &Method::PUT
        | &Method::PATCH
        | &Method::DELETE
        | &Method::HEAD
        | &Method::OPTIONS) => known.clone(),
        _ => Method::from_bytes(b"OTHER").unwrap_or_default(),
    };
    let begun = Instant::now();
    let response = next.run(request).await;
    let route = route.as_ref().map_or("other", MatchedPath::as_str);
    let method = method.as_str();
    metrics()
        .http_request_seconds
        .with_label_values(&[method, route])
        .observe(begun.elapsed().as_secs_f64());
    metrics()
        .http_requests
        .with_label_values(&[method, route, response.status().as_str()])
        .inc();
    response
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
