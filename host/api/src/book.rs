//! The documents at `/docs`, from the program itself, with search. Pages have no script at all.

use axum::Router;
use axum::extract::{Path, Query};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::get;
use serde::Deserialize;

/// What a page may do: have its style, and ask this server for another page.
const POLICY: &str = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'self'; \
    frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

const HTML: &str = "text/html; charset=utf-8";

/// The routes of the book. They shadow none of the API's.
pub(crate) fn routes() -> Router {
    Router::new()
        .route("/docs", get(first))
        .route("/docs/", get(first))
        .route("/docs/search", get(search))
        .route("/docs/style.css", get(style))
        .route("/docs/{page}", get(page))
}

async fn first() -> Redirect {
    let first = aod_book::pages().first();
    Redirect::temporary(&format!("/docs/{}", first.map_or("", |page| page.slug)))
}

async fn page(Path(name): Path<String>) -> Response {
    if let Some(file) = aod_book::file(&name) {
        return send(StatusCode::OK, "application/json", file.to_owned());
    }
    match aod_book::page(&name) {
        Some(page) => send(StatusCode::OK, HTML, aod_book::render(page)),
        None => send(StatusCode::NOT_FOUND, HTML, aod_book::not_found()),
    }
}

async fn style() -> Response {
    let style = aod_book::STYLE.to_owned();
    send(StatusCode::OK, "text/css; charset=utf-8", style)
}

#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    q: String,
}

async fn search(asked: Result<Query<Asked>, axum::extract::rejection::QueryRejection>) -> Response {
    // What is no query finds nothing.
    let query = asked.map_or_else(|_| String::new(), |Query(asked)| asked.q);
    let hits = aod_book::search(&query);
    send(StatusCode::OK, HTML, aod_book::results(&query, &hits))
}

fn send(status: StatusCode, media_type: &'static str, body: String) -> Response {
    let headers = [
        (CONTENT_TYPE, media_type),
        (CACHE_CONTROL, "no-cache"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
    ];
    (status, headers, body).into_response()
}
