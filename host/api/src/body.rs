//! Request bodies: read once, held against their table, every problem reported at once.

use aod_resources::Input;
use axum::body::HttpBody as _;
use axum::extract::{FromRequest, Request};
use axum::http::header::{CONTENT_ENCODING, EXPECT};
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use tokio::time::timeout;

use crate::Limits;
use crate::check;
use crate::error::ApiError;
use crate::json;

/// A body that fits its table.
#[derive(Debug)]
pub(crate) struct Body<T> {
    /// The bytes as they came, for idempotency.
    pub(crate) bytes: Bytes,
    /// What they say.
    pub(crate) value: T,
}

impl<S: Send + Sync, T: Input> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let bytes = read(request).await?;
        let value = fit(&bytes)?;
        Ok(Self { bytes, value })
    }
}

/// A body that fits its table; nothing stands for an object without fields.
#[derive(Debug)]
pub(crate) struct OptionalBody<T>(pub(crate) Body<T>);

impl<S: Send + Sync, T: Input> FromRequest<S> for OptionalBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let bytes = read(request).await?;
        let value = match bytes.is_empty() {
            true => fit(b"{}"),
            false => fit(&bytes),
        }?;
        Ok(Self(Body { bytes, value }))
    }
}

/// Reads a body that fits its table.
fn fit<T: Input>(bytes: &[u8]) -> Result<T, ApiError> {
    // The parser's own message would quote the position only, but nothing more is promised.
    let (value, twice) = json::read(bytes).map_err(|_| ApiError::bad_request("Invalid JSON"))?;
    let fields = match check::body(T::table(), value) {
        Ok(fields) if twice.is_empty() => fields,
        Ok(_) => return Err(ApiError::invalid(twice)),
        Err(problems) => return Err(ApiError::invalid([twice, problems].concat())),
    };
    // The cause would quote what was given, which may be a secret.
    T::build(fields).map_err(|_| ApiError::internal(&"a body fits its table and not its type"))
}

/// The limit where the server has set none.
const DEFAULT_LIMIT: usize = 2 << 20;
/// How much of a body that is too large is read and thrown away, in multiples of the limit.
const DRAINED: usize = 8;

/// Reads a body. One that is too large is read on for a while before it is refused: a connection
/// that is closed while its client still writes is reset, and the client never sees the reply.
async fn read(request: Request) -> Result<Bytes, ApiError> {
    let limits = request.extensions().get::<Limits>().copied();
    let (limit, patience) = limits.map_or((DEFAULT_LIMIT, None), |limits| {
        (limits.body, limits.body_timeout)
    });
    let encoding = request.headers().get(CONTENT_ENCODING);
    if encoding.is_some_and(|it| !matches!(it.as_bytes(), b"" | b"identity")) {
        return Err(ApiError::encoded_body());
    }
    // Such a client waits for leave before it writes, and is refused instead.
    let waits = request.headers().contains_key(EXPECT);
    let announced = request.body().size_hint().lower();
    let too_large = || {
        ApiError::too_large(format!(
            "the request body is larger than the server takes: at most {limit} bytes"
        ))
    };
    if waits && usize::try_from(announced).is_ok_and(|announced| announced > limit) {
        return Err(too_large());
    }
    let mut stream = request.into_body().into_data_stream();
    let mut whole = BytesMut::new();
    let mut seen = 0usize;
    loop {
        let next = match patience {
            Some(patience) => timeout(patience, stream.next())
                .await
                .map_err(|_| ApiError::too_slow(patience))?,
            None => stream.next().await,
        };
        let Some(chunk) = next else { break };
        let chunk = chunk
            .map_err(|_| ApiError::bad_request("the request body ended before it was whole"))?;
        seen = seen.saturating_add(chunk.len());
        if seen <= limit {
            whole.extend_from_slice(&chunk);
        } else {
            whole = BytesMut::new();
        }
        if seen > limit.saturating_mul(DRAINED) {
            break;
        }
    }
    if seen > limit {
        Err(too_large())
    } else {
        Ok(whole.freeze())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(length: usize, limit: usize) -> Request {
        let mut request = Request::new(axum::body::Body::from(vec![b' '; length]));
        request.extensions_mut().insert(Limits {
            body: limit,
            body_timeout: None,
        });
        request
    }

    #[tokio::test]
    async fn a_body_is_as_large_as_the_limit_and_no_larger() {
        assert_eq!(read(request(100, 100)).await.unwrap().len(), 100);
        assert!(read(request(101, 100)).await.is_err());
        let mut asks = request(101, 100);
        asks.headers_mut()
            .insert(EXPECT, "100-continue".parse().unwrap());
        assert!(read(asks).await.is_err());
    }
}
