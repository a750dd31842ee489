//! Names of operations in the OpenAPI description.

use utoipa::openapi::OpenApi;

/// Puts each operation's tag in front of its name, so that no two have the same: the standard
/// asks for it, and generators of clients fail or overwrite otherwise.
pub(crate) fn qualify(document: &mut OpenApi) {
    for item in document.paths.paths.values_mut() {
        let operations = [
            &mut item.get,
            &mut item.put,
            &mut item.post,
            &mut item.delete,
        ];
        for operation in operations.into_iter().flatten() {
            let tag = operation.tags.as_ref().and_then(|tags| tags.first());
            if let (Some(tag), Some(name)) = (tag, &operation.operation_id) {
                operation.operation_id = Some(format!("{tag}_{name}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    #[test]
    fn no_two_operations_have_the_same_name() {
        let document = serde_json::to_value(crate::openapi()).unwrap();
        let paths = document["paths"].as_object().unwrap();
        let mut names = HashSet::new();
        for operation in paths
            .values()
            .flat_map(|item| item.as_object().unwrap().values())
        {
            let name = operation["operationId"].as_str().unwrap();
            assert!(names.insert(name), "{name} stands twice");
        }
        assert!(names.contains("sessions_create"));
    }
}
