//! Files and folders as replies. No browser is to run or show them as a page of the server's.

use std::fs::File;
use std::io::{self, SeekFrom};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aod_resources::{FileEntry, FilePath};
use aod_services::files::{ArchiveFormat, Opened};
use axum::body::Body;
use axum::http::header::{
    ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_SECURITY_POLICY,
    CONTENT_TYPE, ETAG, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::BytesMut;
use futures::stream;
use headers::{HeaderMapExt as _, LastModified};
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, Take};

use super::conditions::{Conditions, Verdict};
use super::range::{self, RequestedRange};
use crate::error::ApiError;

/// So much is read at once.
const PIECE: usize = 64 << 10;

/// A file, or the part of it that was asked for.
pub(super) async fn file(
    file: File,
    entry: &FileEntry,
    conditions: &Conditions,
    method: &Method,
) -> Result<Response, ApiError> {
    let modified = LastModified::from(moment(entry));
    let mut headers = etag(entry);
    headers.typed_insert(modified);
    let verdict = conditions.verdict(entry, modified);
    match verdict {
        Verdict::NotModified => return Ok((StatusCode::NOT_MODIFIED, headers).into_response()),
        Verdict::Failed => {
            return Err(ApiError::other(
                StatusCode::PRECONDITION_FAILED,
                "the file is not the one that the request's conditions want: read it again",
            ));
        }
        Verdict::Send | Verdict::SendWhole => {}
    }
    let name = entry.encoded_path.rsplit('/').next().unwrap_or_default();
    let name: Vec<u8> = percent_encoding::percent_decode_str(name).collect();
    let kind = mime_guess::from_path(&*String::from_utf8_lossy(&name)).first_or_octet_stream();
    dress(&mut headers, kind.essence_str(), &name);
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    let wanted = match verdict {
        // Ranges are of what is read, not of what is asked about.
        Verdict::Send if method == Method::GET => {
            range::read(conditions.wanted.as_deref(), entry.size)
        }
        _ => RequestedRange::Whole,
    };
    let (status, part) = match wanted {
        RequestedRange::Whole => (StatusCode::OK, 0..entry.size),
        RequestedRange::Part(part) => {
            let text = format!("bytes {}-{}/{}", part.start, part.end - 1, entry.size);
            headers.insert(CONTENT_RANGE, value(&text));
            (StatusCode::PARTIAL_CONTENT, part)
        }
        RequestedRange::Nothing => {
            let text = format!("bytes */{}", entry.size);
            return Err(ApiError::other(
                StatusCode::RANGE_NOT_SATISFIABLE,
                format!("the file has {} bytes, and no such part", entry.size),
            )
            .with(CONTENT_RANGE, value(&text)));
        }
    };
    let length = part.end - part.start;
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    let body = match *method == Method::HEAD {
        true => Body::empty(),
        false => {
            let mut file = tokio::fs::File::from_std(file);
            let sought = file.seek(SeekFrom::Start(part.start)).await;
            sought.map_err(|error| ApiError::internal(&error))?;
            content(file.take(length))
        }
    };
    Ok((status, headers, body).into_response())
}

/// A file's content while it is read. One that shrinks meanwhile breaks the reply off, so that
/// nobody takes it for whole.
fn content(file: Take<tokio::fs::File>) -> Body {
    Body::from_stream(stream::try_unfold(file, |mut file| async move {
        if file.limit() == 0 {
            return Ok(None);
        }
        let mut piece = BytesMut::with_capacity(PIECE);
        match file.read_buf(&mut piece).await? {
            0 => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
            _ => Ok(Some((piece.freeze(), file))),
        }
    }))
}

/// A folder as an archive.
pub(super) fn folder(
    opened: Opened,
    path: &FilePath,
    format: ArchiveFormat,
    method: &Method,
) -> Result<Response, ApiError> {
    let Opened::Folder(packing) = opened else {
        let problem = format!("{:?} is no folder", path.to_string());
        return Err(ApiError::conflict(problem));
    };
    let (kind, ending) = match format {
        ArchiveFormat::Tar => ("application/x-tar", "tar"),
        ArchiveFormat::TarZst => ("application/zstd", "tar.zst"),
    };
    let mut headers = HeaderMap::new();
    let mut name = path.name().unwrap_or(b"workspace").to_vec();
    name.extend_from_slice(format!(".{ending}").as_bytes());
    dress(&mut headers, kind, &name);
    let body = match *method == Method::HEAD {
        true => Body::empty(),
        false => Body::from_stream(packing.archive(format)),
    };
    Ok((headers, body).into_response())
}

/// The version of a file, as a header.
pub(super) fn etag(entry: &FileEntry) -> HeaderMap {
    let etag = entry.etag.as_deref().map(|etag| (ETAG, value(etag)));
    etag.into_iter().collect()
}

/// What a browser needs to know in order to save it and do nothing else.
fn dress(headers: &mut HeaderMap, kind: &str, name: &[u8]) {
    let mut set = |name: HeaderName, text: &str| headers.insert(name, value(text));
    set(CONTENT_TYPE, kind);
    set(X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(CONTENT_SECURITY_POLICY, "sandbox; default-src 'none'");
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_. ".contains(byte);
    let plain: String = name
        .iter()
        .map(|byte| {
            if is_plain(byte) {
                char::from(*byte)
            } else {
                '_'
            }
        })
        .collect();
    // RFC 6266 and 8187: the second is for those that know it.
    let encoded =
        percent_encode(String::from_utf8_lossy(name).as_bytes(), NON_ALPHANUMERIC).to_string();
    let text = format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}");
    set(CONTENT_DISPOSITION, &text);
}

/// Visible characters alone, which are a header's value.
fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""))
}

/// When a file was changed, in whole seconds, within what HTTP's dates can say.
fn moment(entry: &FileEntry) -> SystemTime {
    const LAST: i64 = 253_402_300_799;
    let seconds = (entry.modified_at.as_micros() / 1_000_000).clamp(0, LAST);
    UNIX_EPOCH + Duration::from_secs(seconds.unsigned_abs())
}
