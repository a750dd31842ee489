//! Queries: held against their table as bodies are.

use aod_resources::Input;
use axum::extract::{FromRequestParts, Query as Pairs};
use axum::http::request::Parts;
use serde_json::{Map, Value};

use crate::check;
use crate::error::ApiError;
use crate::problem::{Loc, Problem};

/// A query that fits its table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Query<T>(pub(crate) T);

impl<S: Send + Sync, T: Input> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        read(parts).map(Self).map_err(ApiError::invalid)
    }
}

/// Reads a query.
///
/// # Errors
/// Every problem.
pub(crate) fn read<T: Input>(parts: &Parts) -> Result<T, Vec<Problem>> {
    let root = Loc::Root("query");
    let mut values = Map::new();
    let mut problems = Vec::new();
    for (name, value) in pairs(parts) {
        if values.insert(name.clone(), Value::String(value)).is_some() {
            let msg = "The parameter may be given once";
            problems.push(Problem::new(
                "value_error",
                &Loc::Key(&root, &name),
                msg,
                None,
            ));
        }
    }
    match check::query(T::table(), values) {
        Ok(fields) if problems.is_empty() => T::build(fields).map_err(|_| {
            vec![Problem::new(
                "value_error",
                &root,
                "The query cannot be read",
                None,
            )]
        }),
        Ok(_) => Err(problems),
        Err(more) => {
            problems.extend(more);
            Err(problems)
        }
    }
}

/// The parameters of a query that an operation does not know, as problems.
pub(crate) fn unknown(parts: &Parts, known: &[String]) -> Vec<Problem> {
    let root = Loc::Root("query");
    let unknown = pairs(parts)
        .into_iter()
        .filter(|(name, _)| !known.contains(name));
    unknown
        .map(|(name, _)| {
            let known = known.iter().map(String::as_str);
            Problem::unknown_field(&Loc::Key(&root, &name), &name, known)
        })
        .collect()
}

fn pairs(parts: &Parts) -> Vec<(String, String)> {
    // Any text is a list of pairs; what is not UTF-8 in it becomes replacement characters.
    Pairs::try_from_uri(&parts.uri).map_or_else(|_| Vec::new(), |Pairs(pairs)| pairs)
}
