//! Which tools agents may call, as the egress program is told it.

use std::time::Duration;

use aod_egress::{Permission, Tool, ToolPolicy, ToolServer};
use aod_resources::{CustomTool, ToolPermission, ToolPermissions};
use aod_supervisor::CallAnswer;

/// The agent's own tools.
pub(super) fn server(tools: &[CustomTool], default_timeout: Duration) -> ToolServer {
    let each = tools.iter().map(|tool| {
        let seconds = tool
            .timeout
            .map(|seconds| Duration::from_secs(seconds.into()));
        Tool {
            name: tool.name.clone(),
            description: tool.description.clone(),
            input_schema: tool.input_schema.clone(),
            permission: permission(tool.permission),
            timeout_ms: milliseconds(seconds.unwrap_or(default_timeout)),
            default: match &tool.default {
                Some(default) => CallAnswer {
                    content: default.content.clone(),
                    is_error: default.is_error,
                },
                None => CallAnswer {
                    content: "nobody answered the call in time".to_owned(),
                    is_error: true,
                },
            },
        }
    });
    ToolServer {
        tools: each.collect(),
    }
}

/// Which tools of an MCP server may be called.
pub(super) fn policy(
    server: &str,
    permissions: &ToolPermissions,
    default_timeout: Duration,
) -> ToolPolicy {
    let tools = permissions.tools.iter();
    ToolPolicy {
        server: server.to_owned(),
        default: permission(permissions.default),
        tools: tools
            .map(|(tool, given)| (tool.clone(), permission(*given)))
            .collect(),
        timeout_ms: milliseconds(default_timeout),
    }
}

const fn permission(given: ToolPermission) -> Permission {
    match given {
        ToolPermission::Allow => Permission::Allow,
        ToolPermission::Ask => Permission::Ask,
        ToolPermission::Deny => Permission::Deny,
    }
}

fn milliseconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}
