//! The console: a page at `/` and the files that it names, from the program itself.

use aod_console::Asset;
use axum::Router;
use axum::extract::Path;
use axum::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE,
    REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;

use crate::error::ApiError;

/// What the page may do: run its own script and its worker, and speak to this server. No text
/// becomes HTML or code, whoever wrote it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' blob:; connect-src 'self'; worker-src 'self'; manifest-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types aod";

/// The routes of the console. They shadow none of the API's.
pub(crate) fn routes() -> Router {
    Router::new()
        .route("/", get(page))
        .route("/assets/{*path}", get(asset))
}

async fn page(headers: HeaderMap) -> Result<Response, ApiError> {
    let page = aod_console::page().ok_or_else(|| nothing("/"))?;
    Ok(send(&page, &headers, "no-cache"))
}

async fn asset(
    uri: Uri,
    Path(path): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    // A name that is not there is an old page's, and never the page itself.
    let asset = aod_console::asset(&path).ok_or_else(|| nothing(uri.path()))?;
    Ok(send(
        &asset,
        &headers,
        "public, max-age=31536000, immutable",
    ))
}

fn nothing(path: &str) -> ApiError {
    ApiError::not_found(format!("there is nothing at {path}"))
}

fn send(asset: &Asset, headers: &HeaderMap, cache: &'static str) -> Response {
    let (body, encoding) = match (asset.brotli, asset.gzip) {
        (Some(brotli), _) if accepts(headers, "br") => (brotli, Some("br")),
        (_, Some(gzip)) if accepts(headers, "gzip") => (gzip, Some("gzip")),
        _ => (asset.plain, None),
    };
    let mut response = axum::body::Bytes::from_static(body).into_response();
    let added = response.headers_mut();
    let mut add = |name: HeaderName, value: &'static str| {
        added.insert(name, HeaderValue::from_static(value));
    };
    add(CONTENT_TYPE, asset.media_type);
    add(CACHE_CONTROL, cache);
    add(VARY, "accept-encoding");
    add(CONTENT_SECURITY_POLICY, POLICY);
    add(X_CONTENT_TYPE_OPTIONS, "nosniff");
    add(REFERRER_POLICY, "no-referrer");
    add(
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    );
    add(
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    );
    if let Some(encoding) = encoding {
        add(CONTENT_ENCODING, encoding);
    }
    response
}

/// Whether a client takes a body that is compressed so.
fn accepts(headers: &HeaderMap, encoding: &str) -> bool {
    let values = headers.get_all(ACCEPT_ENCODING).iter();
    let words = values.filter_map(|value| value.to_str().ok());
    words.flat_map(|text| text.split(',')).any(|word| {
        let (name, weight) = word.split_once(';').unwrap_or((word, ""));
        let is_refused = weight
            .trim()
            .strip_prefix("q=")
            .is_some_and(|q| q.trim().parse::<f32>().is_ok_and(|q| q <= 0.0));
        name.trim().eq_ignore_ascii_case(encoding) && !is_refused
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_gets_what_it_takes() {
        let headers = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(text));
            headers
        };
        assert!(accepts(&headers("gzip, deflate, br, zstd"), "br"));
        assert!(accepts(&headers("GZIP;q=0.5"), "gzip"));
        assert!(!accepts(&headers("br;q=0, gzip"), "br"));
        assert!(!accepts(&headers("brotli"), "br"));
        assert!(!accepts(&HeaderMap::new(), "gzip"));
        let page = aod_console::page().unwrap();
        for (taken, encoding) in [("br, gzip", Some("br")), ("gzip", Some("gzip")), ("", None)] {
            let response = send(&page, &headers(taken), "no-cache");
            let found = response.headers().get(CONTENT_ENCODING);
            assert_eq!(found.map(|it| it.to_str().unwrap()), encoding);
        }
    }
}
