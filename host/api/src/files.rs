//! `/sessions/{id}/files`: what is in a session's workspace.

mod at;
mod conditions;
mod download;
mod range;
mod upload;

use aod_resources::shape::{Shape, Text};
use aod_resources::{FileEntry, FilePath, NOT_BLANK};
use aod_services::files::{ArchiveFormat, ListFiles, Opened, Unpacked};
use axum::Json;
use axum::extract::{FromRequest as _, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::at::{FileAt, WorkspaceOf};
use self::conditions::{Changes, Conditions};
use crate::Api;
use crate::auth::Caller;
use crate::body::Body;
use crate::error::{ApiError, Detail};
use crate::query::Query;

/// The most entries on a page, and as many as are on one where nothing is said.
const MOST: u32 = 1000;

/// The routes of files.
pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list, unpack))
        .routes(routes!(download, upload, delete, rename))
}

const PATH: Shape = Text::new(0, 4095).shape();
const FORMAT: Shape = Shape::Word(&["tar", "tar.zst"]);

aod_resources::input! {
    /// Which files to list.
    example ""
    struct FilesQuery {
        /// The folder whose content is listed, relative to the workspace; the workspace itself where
        /// nothing is said. Bytes that are not UTF-8 are percent-encoded as any others are.
        optional path: Option<String> = PATH,
        /// Whether what is in its folders is listed as well. A folder comes before its content.
        optional recursive: Option<bool> = Shape::Boolean,
        /// Only what has a path, relative to the folder, that this fits: `*` and `?` stand for
        /// anything within a name, `**` for any folders, and there are `[a-z]` and `{a,b}`. It is
        /// looked for in all folders, whatever `recursive` says.
        optional glob: Option<String> = Text::new(1, 1000).shape(),
        /// The most entries to give; 1000 where nothing is said.
        optional limit: Option<u32> = Shape::Integer { min: 1, max: MOST as i64 },
        /// Go on after the entry that `next` of the page before names.
        optional after: Option<String> = Text::new(0, 16_384).shape(),
        /// Only the entry of `path` itself, whatever it is. A symbolic link is not followed.
        optional stat: Option<bool> = Shape::Boolean,
        /// The folder's content as an archive instead of a list.
        optional format: Option<String> = FORMAT,
    }
}

aod_resources::input! {
    /// How to download.
    example ""
    struct DownloadQuery {
        /// The form of the archive that a folder is sent as; `tar` where nothing is said.
        optional format: Option<String> = FORMAT,
    }
}

aod_resources::input! {
    /// How to upload.
    example ""
    struct UploadQuery {
        /// Whether the file may be executed; as it is where nothing is said.
        optional executable: Option<bool> = Shape::Boolean,
        /// Whether the body is an archive to be unpacked; where nothing is said, it is if its content
        /// type is that of one.
        optional unpack: Option<bool> = Shape::Boolean,
    }
}

aod_resources::input! {
    /// Where something is moved.
    example r#"{"to": "src/new-name.rs"}"#
    struct MoveFile {
        /// Its new path, relative to the workspace. Folders on the way are made.
        required to: String = Text::new(1, 4095).like(&NOT_BLANK).shape(),
        /// Whether a file or link that has the path, or an empty folder, is replaced.
        optional overwrite: Option<bool> = Shape::Boolean,
    }
}

/// A page of files.
#[derive(Debug, Serialize, ToSchema)]
struct FileListing {
    data: Vec<FileEntry>,
    /// Pass as `after` for the next page. Absent where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    next: Option<String>,
}

/// What an upload has come to.
#[derive(Debug, Serialize, ToSchema)]
struct UploadedFile {
    /// What is there now: the file, or the folder that an archive was unpacked into.
    #[serde(flatten)]
    entry: FileEntry,
    /// What was unpacked; absent where the upload was a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    unpacked: Option<UnpackedArchive>,
}

/// What an archive held.
#[derive(Debug, Serialize, ToSchema)]
struct UnpackedArchive {
    /// Files, folders and links.
    entries: u64,
    /// The lengths of all files.
    bytes: u64,
}

/// Bytes.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
#[allow(dead_code, reason = "the schema of a file's content")]
struct FileContent(Vec<u8>);

/// Lists files of a session's workspace, in order of their paths; or sends a folder as an archive.
#[utoipa::path(get, path = "/sessions/{id}/files", tag = "files", params(WorkspaceOf, FilesQuery),
    responses((status = 200, content((FileListing = "application/json"),
        (FileContent = "application/x-tar"), (FileContent = "application/zstd"))),
    (status = 400), (status = 404), (status = 409)))]
async fn list(
    State(api): State<Api>,
    caller: Caller,
    at: WorkspaceOf,
    Query(query): Query<FilesQuery>,
    method: Method,
    parts: Parts,
) -> Result<Response, ApiError> {
    let session = at.session(&api, &caller).await?;
    let path = match at::parameter(&parts, "path") {
        Some(bytes) => FilePath::from_bytes(&bytes).map_err(|it| at::bad("path", it))?,
        None => FilePath::default(),
    };
    if query.stat == Some(true) {
        let entry = api.files.stat(caller.user, session, path).await?;
        let (data, next) = (vec![entry], None);
        return Ok(Json(FileListing { data, next }).into_response());
    }
    if let Some(format) = query.format {
        let opened = api.files.open(caller.user, session, path.clone()).await?;
        return download::folder(opened, &path, archive(Some(&format)), &method);
    }
    let limit = query.limit.unwrap_or(MOST);
    let wanted = ListFiles {
        path,
        recursive: query.recursive.unwrap_or(false),
        glob: query.glob,
        after: query.after,
        limit: limit as usize,
    };
    let page = api.files.list(caller.user, session, wanted).await?;
    let (data, next) = (page.entries, page.next);
    Ok(Json(FileListing { data, next }).into_response())
}

fn archive(format: Option<&str>) -> ArchiveFormat {
    match format {
        Some("tar.zst") => ArchiveFormat::TarZst,
        _ => ArchiveFormat::Tar,
    }
}

/// Downloads a file, or a part of it; or a folder as an archive.
///
/// `Range`, `If-Range`, `If-Match`, `If-None-Match`, `If-Modified-Since` and `If-Unmodified-Since`
/// are honoured for files, and `HEAD` is answered for both.
#[utoipa::path(get, path = "/sessions/{id}/files/{*path}", tag = "files",
    params(FileAt, DownloadQuery),
    responses(
        (status = 200, description = "The file, of a type that its name tells, or the archive.",
            content((FileContent = "application/octet-stream"), (FileContent = "*/*"))),
        (status = 206, description = "A part of the file.",
            content((FileContent = "application/octet-stream"), (FileContent = "*/*"))),
        (status = 304, description = "The client has the file already."),
        (status = 400), (status = 404), (status = 409),
        (status = 412, description = "The file is not the one that the client has seen."),
        (status = 416, description = "The file has no such part."),
    ))]
async fn download(
    State(api): State<Api>,
    caller: Caller,
    at: FileAt,
    Query(query): Query<DownloadQuery>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let (session, path) = at.inside(&api, &caller).await?;
    let conditions = Conditions::read(&headers)?;
    match api.files.open(caller.user, session, path.clone()).await? {
        Opened::File(..) if query.format.is_some() => Err(ApiError::conflict(format!(
            "{:?} is a file, and only folders have a format",
            path.to_string()
        ))),
        Opened::File(file, entry) => download::file(file, &entry, &conditions, &method).await,
        opened => download::folder(opened, &path, archive(query.format.as_deref()), &method),
    }
}

/// Uploads a file; or unpacks an archive into a folder.
///
/// The folders on the way are made. The old file is there until the new one is whole. A body of the
/// type `application/x-tar` or `application/zstd` is unpacked. `If-Match` and `If-None-Match` keep
/// one upload from undoing another.
#[utoipa::path(put, path = "/sessions/{id}/files/{*path}", tag = "files",
    params(FileAt, UploadQuery),
    request_body(content = FileContent, content_type = "application/octet-stream"),
    responses((status = 200, description = "It is in the place of another, or unpacked.",
            body = UploadedFile),
        (status = 201, body = UploadedFile), (status = 400), (status = 404), (status = 409),
        (status = 412, description = "The file is not the one that the client has seen."),
        (status = 415, description = "The body has a content encoding.")))]
async fn upload(
    State(api): State<Api>,
    caller: Caller,
    at: FileAt,
    Query(query): Query<UploadQuery>,
    request: Request,
) -> Result<Response, ApiError> {
    let (session, path) = at.inside(&api, &caller).await?;
    let changes = Changes::read(request.headers())?;
    let unpack = upload::is_archive(request.headers(), query.unpack)?;
    if unpack {
        changes.refuse("an archive")?;
        return into_folder(&api, &caller, session, path, request).await;
    }
    let (body, rest) = upload::body(request, api.files.upload_limit())?;
    let written = api.files.write(
        caller.user,
        session,
        path,
        query.executable,
        changes.precondition(),
        body,
    );
    let written = rest.settle(written.await).await?;
    let status = match written.is_new {
        true => StatusCode::CREATED,
        false => StatusCode::OK,
    };
    let etag = download::etag(&written.entry);
    let (entry, unpacked) = (written.entry, None);
    Ok((status, etag, Json(UploadedFile { entry, unpacked })).into_response())
}

/// Unpacks an archive into a session's workspace.
#[utoipa::path(put, path = "/sessions/{id}/files", tag = "files", params(WorkspaceOf),
    request_body(content = FileContent, content_type = "application/x-tar"),
    responses((status = 200, body = UploadedFile), (status = 404), (status = 409),
        (status = 415, description = "The body is no archive.")))]
async fn unpack(
    State(api): State<Api>,
    caller: Caller,
    at: WorkspaceOf,
    request: Request,
) -> Result<Response, ApiError> {
    let session = at.session(&api, &caller).await?;
    Changes::read(request.headers())?.refuse("an archive")?;
    if !upload::is_archive(request.headers(), None)? {
        return Err(ApiError::other(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "a workspace takes an archive: send it as application/x-tar or application/zstd, or \
             name a file in the path",
        ));
    }
    into_folder(&api, &caller, session, FilePath::default(), request).await
}

async fn into_folder(
    api: &Api,
    caller: &Caller,
    session: uuid::Uuid,
    path: FilePath,
    request: Request,
) -> Result<Response, ApiError> {
    let (body, rest) = upload::body(request, api.files.upload_limit())?;
    let unpacked = api.files.unpack(caller.user, session, path.clone(), body);
    let Unpacked { entries, bytes } = rest.settle(unpacked.await).await?;
    let entry = api.files.stat(caller.user, session, path).await?;
    let unpacked = Some(UnpackedArchive { entries, bytes });
    Ok(Json(UploadedFile { entry, unpacked }).into_response())
}

/// Deletes a file, a link or a folder with all that is in it.
#[utoipa::path(delete, path = "/sessions/{id}/files/{*path}", tag = "files", params(FileAt),
    responses((status = 200, body = Detail), (status = 400), (status = 404), (status = 409),
        (status = 412, description = "The file is not the one that the client has seen.")))]
async fn delete(
    State(api): State<Api>,
    caller: Caller,
    at: FileAt,
    headers: HeaderMap,
) -> Result<Json<Detail>, ApiError> {
    let (session, path) = at.inside(&api, &caller).await?;
    let expected = Changes::read(&headers)?.precondition();
    let deleted = api.files.delete(caller.user, session, path, expected);
    deleted.await?;
    Ok(Json(Detail::new("File deleted")))
}

/// Moves a file, a link or a folder.
#[utoipa::path(post, path = "/sessions/{id}/files/{*path}", tag = "files", params(FileAt),
    request_body = MoveFile,
    responses((status = 200, body = FileEntry), (status = 400), (status = 404), (status = 409),
        (status = 412, description = "The file is not the one that the client has seen.")))]
async fn rename(
    State(api): State<Api>,
    caller: Caller,
    at: FileAt,
    request: Request,
) -> Result<Json<FileEntry>, ApiError> {
    let (session, from) = at.inside(&api, &caller).await?;
    let expected = Changes::read(request.headers())?.precondition();
    let Body { value, .. } = Body::<MoveFile>::from_request(request, &api).await?;
    let to = FilePath::from_bytes(value.to.as_bytes()).and_then(FilePath::inside);
    let to = to.map_err(|problem| at::bad("to", problem))?;
    let overwrite = value.overwrite.unwrap_or(false);
    let moved = api
        .files
        .rename(caller.user, session, from, to, overwrite, expected);
    Ok(Json(moved.await?))
}
