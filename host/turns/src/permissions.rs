//! Which of a CLI's own tools may be called, as its adapter is told it.

use aod_resources::{ToolPermission, ToolPermissions};
use aod_runtime::types::{Capability, Description, Policy, ToolPolicy};

/// The first of these permissions that a runtime's CLI cannot be told to keep; none where it keeps
/// all.
#[must_use]
pub fn unkept_permission(
    description: &Description,
    permissions: &ToolPermissions,
) -> Option<ToolPermission> {
    let kept = description
        .capabilities
        .iter()
        .find_map(|capability| match capability {
            Capability::ToolPolicies(kept) => Some(kept.as_slice()),
            _ => None,
        });
    let kept = kept.unwrap_or_default();
    let all = permissions
        .tools
        .values()
        .copied()
        .chain([permissions.default]);
    // Where all are allowed anyway, allowing one says nothing.
    let says_nothing = |permission: &ToolPermission| {
        *permission == ToolPermission::Allow && permissions.default == ToolPermission::Allow
    };
    all.filter(|permission| !says_nothing(permission))
        .find(|permission| !kept.contains(&policy(*permission)))
}

/// What the adapter is told, the tools that are not named at its end.
pub(crate) fn tool_policies(permissions: &ToolPermissions) -> Vec<ToolPolicy> {
    let told = |tool: &str, permission| ToolPolicy {
        server: None,
        tool: tool.to_owned(),
        policy: policy(permission),
    };
    let named = permissions.tools.iter();
    let named = named.map(|(tool, permission)| told(tool, *permission));
    named.chain([told("*", permissions.default)]).collect()
}

const fn policy(permission: ToolPermission) -> Policy {
    match permission {
        ToolPermission::Allow => Policy::Allow,
        ToolPermission::Ask => Policy::Ask,
        ToolPermission::Deny => Policy::Deny,
    }
}
