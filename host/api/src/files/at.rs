//! What a path of the API leads to: a session, and something in its workspace.
//!
//! They are read from the request's own text, since a name in a workspace may be any bytes.

use std::convert::Infallible;

use aod_resources::{FilePath, PathProblem, Session};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::{ObjectBuilder, Required, Type as SchemaType};
use uuid::Uuid;

use crate::Api;
use crate::auth::Caller;
use crate::check;
use crate::error::ApiError;
use crate::path::Id;

/// `{id}` of a session whose workspace is meant.
#[derive(Debug)]
pub(super) struct WorkspaceOf(Option<Uuid>);

/// `{id}` and `{path}`.
#[derive(Debug)]
pub(super) struct FileAt {
    session: WorkspaceOf,
    path: Result<FilePath, PathProblem>,
}

impl WorkspaceOf {
    /// The session, if it is the caller's.
    ///
    /// # Errors
    /// 404.
    pub(super) async fn session(&self, api: &Api, caller: &Caller) -> Result<Uuid, ApiError> {
        let session = self
            .0
            .ok_or_else(|| ApiError::not_found("Session not found"))?;
        api.files.check(caller.user, session).await?;
        Ok(session)
    }
}

impl FileAt {
    /// The session, if it is the caller's, and a path in its workspace.
    ///
    /// # Errors
    /// 404 before all else; 400.
    pub(super) async fn inside(
        self,
        api: &Api,
        caller: &Caller,
    ) -> Result<(Uuid, FilePath), ApiError> {
        let session = self.session.session(api, caller).await?;
        let path = self.path.and_then(FilePath::inside);
        Ok((session, path.map_err(|problem| bad("path", problem))?))
    }
}

/// 400: a path is none.
pub(super) fn bad(field: &str, problem: PathProblem) -> ApiError {
    ApiError::bad_request(format!("{field}: {problem}"))
}

/// The parts of `/sessions/{id}/files/{path}`, as they were sent.
fn parts_of(path: &str) -> (Option<Uuid>, &str) {
    let rest = path.strip_prefix("/sessions/").unwrap_or_default();
    let (id, rest) = rest.split_once('/').unwrap_or((rest, ""));
    (
        check::id(id),
        rest.strip_prefix("files/").unwrap_or_default(),
    )
}

impl<S: Send + Sync> FromRequestParts<S> for WorkspaceOf {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(parts_of(parts.uri.path()).0))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for FileAt {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let (session, path) = parts_of(parts.uri.path());
        Ok(Self {
            session: WorkspaceOf(session),
            path: FilePath::decode(path),
        })
    }
}

/// The bytes of a parameter of the query, which need not be UTF-8.
pub(super) fn parameter(parts: &Parts, name: &str) -> Option<Vec<u8>> {
    let decode = |text: &str| -> Vec<u8> {
        let text = text.replace('+', " ");
        percent_encoding::percent_decode_str(&text).collect()
    };
    let pairs = parts.uri.query().unwrap_or_default().split('&');
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .find(|(key, _)| decode(key) == name.as_bytes())
        .map(|(_, value)| decode(value))
}

impl IntoParams for WorkspaceOf {
    fn into_params(place: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        Id::<Session>::into_params(place)
    }
}

impl IntoParams for FileAt {
    fn into_params(place: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let mut parameters = WorkspaceOf::into_params(place);
        let path = ObjectBuilder::new()
            .schema_type(SchemaType::String)
            .min_length(Some(1));
        let path = ParameterBuilder::new()
            .name("path")
            .parameter_in(ParameterIn::Path)
            .required(Required::True)
            .description(Some(
                "A path relative to the workspace. Its slashes may stand as they are or as `%2F`; \
                 it is decoded once, and may be any bytes, of which it has at most 4095.",
            ))
            .schema(Some(path))
            .build();
        parameters.push(path);
        parameters
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_is_what_comes_after_the_session_as_it_was_sent() {
        let id = "6f1b6f0e-2d0c-4a8e-9a53-0b1f7b6f2c11";
        let path = format!("/sessions/{id}/files/files/a%2Fb//c");
        let (session, rest) = parts_of(&path);
        assert_eq!(session.unwrap().to_string(), id);
        assert_eq!(rest, "files/a%2Fb//c");
        assert_eq!(parts_of("/sessions/x/files/a"), (None, "a"));
        assert_eq!(parts_of("/sessions/x/files").1, "");
    }
}
