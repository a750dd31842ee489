//! Names of operations.

use utoipa::openapi::path::Operation;

/// Puts an operation's tag in front of its name, so that no two have the same: the standard asks
/// for it, and generators of clients fail or overwrite otherwise.
pub(super) fn qualify(operation: &mut Operation) {
    let tag = operation.tags.as_ref().and_then(|tags| tags.first());
    if let (Some(tag), Some(name)) = (tag, &operation.operation_id) {
        operation.operation_id = Some(format!("{tag}_{name}"));
    }
}
