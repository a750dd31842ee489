//! What all operations may answer: errors in the envelope, and the header that every reply has.

use utoipa::ToSchema;
use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::path::Operation;
use utoipa::openapi::response::Response;
use utoipa::openapi::{ContentBuilder, ObjectBuilder, Ref, RefOr, Type};

use crate::error::{Error, Invalid, Limited};

/// Sessions may wait for what is broken at the moment: a supervisor, an adapter, a sealed value.
const NEEDS_MORE_THAN_THE_STORE: [&str; 3] = ["/sessions", "/credentials", "/webhooks"];

/// Adds to an operation what it may answer apart from what its own attributes list, and gives each
/// of its responses a description, a body and headers.
pub(super) fn complete(path: &str, operation: &mut Operation) {
    // Only an operation that can do without has a word of its own about it.
    let needs_token = operation.security.is_none();
    let takes_body = operation.request_body.is_some();
    let mut statuses = vec!["421", "500"];
    if needs_token {
        // A parameter of a query that is not known is refused wherever a token is needed.
        statuses.extend(["401", "422", "429", "507"]);
    }
    if takes_body {
        statuses.extend(["400", "408", "413", "415"]);
    }
    if NEEDS_MORE_THAN_THE_STORE
        .iter()
        .any(|start| path.starts_with(start))
    {
        statuses.push("503");
    }
    for status in statuses {
        operation
            .responses
            .responses
            .entry(status.to_owned())
            .or_insert_with(|| Response::new("").into());
    }
    for (status, response) in &mut operation.responses.responses {
        if let RefOr::T(response) = response {
            describe(status, response);
        }
    }
}

fn describe(status: &str, response: &mut Response) {
    if response.description.is_empty() {
        response.description = default_description(status).to_owned();
    }
    let header = |description: &str| -> RefOr<Header> {
        let text = ObjectBuilder::new().schema_type(Type::String);
        HeaderBuilder::new()
            .schema(Some(text))
            .description(Some(description))
            .build()
            .into()
    };
    let mut add = |name: &str, description: &str| {
        response
            .headers
            .insert(name.to_owned(), header(description));
    };
    add(
        "x-request-id",
        "The id under which the server's log has this request.",
    );
    match status {
        "401" => add("www-authenticate", "`Bearer`."),
        "429" => add(
            "retry-after",
            "Seconds to wait, where it was too many failed authentications.",
        ),
        _ => {}
    }
    if status.starts_with(['4', '5']) && response.content.is_empty() {
        let schema = match status {
            "422" => Invalid::name(),
            "429" => Limited::name(),
            _ => Error::name(),
        };
        let content = ContentBuilder::new()
            .schema(Some(Ref::from_schema_name(schema)))
            .build();
        response
            .content
            .insert("application/json".to_owned(), content.into());
    }
}

fn default_description(status: &str) -> &'static str {
    match status {
        "200" => "It is done.",
        "201" => "It is made.",
        "202" => "It is accepted, and goes on from here.",
        "400" => {
            "The request cannot be understood: its body is no JSON, a header or the query of a stream cannot be read, or it names a runtime that cannot be used."
        }
        "401" => "There is no valid token, or none that may do this.",
        "404" => "It is not there, or is another user's.",
        "408" => "Nothing of the body came for too long.",
        "409" => "It is not in the state that this needs; `detail` says which one it is in.",
        "413" => "The body is larger than the server takes.",
        "412" => "It is not what the client has seen.",
        "415" => "The body has a content encoding.",
        "421" => "The `Host` is not one that the server answers for.",
        "422" => {
            "The body or the query is not as described. `detail` lists every problem, or says in a sentence what the rest of the server does not take."
        }
        "429" => {
            "Too many sessions of the caller are active, or too many tokens from this address were wrong."
        }
        "500" => "The server failed. Its log has the cause under this reply's `x-request-id`.",
        "503" => "Something that the server needs for this is broken at the moment.",
        "507" => "The server's disk is full.",
        _ => "See the status.",
    }
}
