//! Queries: held against their table as bodies are.

use aod_resources::Input;
use aod_resources::shape::{Object, Shape};
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
        let value = Value::String(value);
        let is_twice = match entry(T::table(), &name, &mut values) {
            Some((entries, key)) => entries.insert(key.to_owned(), value).is_some(),
            None => values.insert(name.clone(), value).is_some(),
        };
        if is_twice {
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

/// Where a parameter belongs that is an entry of a map: `labels.KEY=VALUE` is one of `labels`.
fn entry<'v, 'n>(
    table: &Object,
    name: &'n str,
    values: &'v mut Map<String, Value>,
) -> Option<(&'v mut Map<String, Value>, &'n str)> {
    let (map, key) = name.split_once('.')?;
    let field = table.field(map)?;
    if !matches!(field.shape, Shape::Map { .. }) {
        return None;
    }
    let entries = values.entry(map).or_insert_with(|| Map::new().into());
    // Another parameter may have the map's own name, which is a problem of that one.
    entries.as_object_mut().map(|entries| (entries, key))
}

/// The parameters of a query that an operation does not know, as problems.
pub(crate) fn unknown(parts: &Parts, known: &[String]) -> Vec<Problem> {
    let root = Loc::Root("query");
    let unknown = pairs(parts)
        .into_iter()
        .filter(|(name, _)| !known.contains(name) && !is_entry(name, known));
    unknown
        .map(|(name, _)| {
            let known = known.iter().map(String::as_str);
            Problem::unknown_field(&Loc::Key(&root, &name), &name, known)
        })
        .collect()
}

/// Whether a parameter is an entry of a map that is known as `labels.KEY`.
fn is_entry(name: &str, known: &[String]) -> bool {
    let map = name.split_once('.').map(|(map, _)| format!("{map}.KEY"));
    map.is_some_and(|map| known.contains(&map))
}

fn pairs(parts: &Parts) -> Vec<(String, String)> {
    // Any text is a list of pairs; what is not UTF-8 in it becomes replacement characters.
    Pairs::try_from_uri(&parts.uri).map_or_else(|_| Vec::new(), |Pairs(pairs)| pairs)
}
