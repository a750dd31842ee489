//! Which of its own tools the CLI may call: rules of its policy engine, in a file. They stand above
//! those that it brings, such as the one that allows everything.

use aod_plugin_sdk::json::write_string;
use aod_plugin_sdk::{Context, OwnPolicies, Policy, Refusal};

/// The CLI's own tools that a policy may be for.
const OWN: &[&str] = &[
    "activate_skill",
    "ask_user",
    "cli_help",
    "codebase_investigator",
    "enter_plan_mode",
    "exit_plan_mode",
    "get_internal_docs",
    "glob",
    "google_web_search",
    "grep_search",
    "invoke_agent",
    "list_directory",
    "list_mcp_resources",
    "read_file",
    "read_many_files",
    "read_mcp_resource",
    "replace",
    "run_shell_command",
    "save_memory",
    "web_fetch",
    "write_file",
    "write_todos",
];

/// Above all rules that the CLI brings, and within what it lets users give.
const PRIORITY: u32 = 900;

/// The policies of the CLI's own tools; none where all may be called.
pub(crate) fn policies(context: &Context) -> Result<Option<OwnPolicies>, Refusal> {
    context.own_policies(OWN)
}

/// The file of rules. One that allows says nothing that the permission mode does not say, unless
/// the others are not allowed.
pub(crate) fn rules(policies: &OwnPolicies) -> String {
    let mut rules = String::new();
    for policy in [Policy::Deny, Policy::Ask, Policy::Allow] {
        let decision = match policy {
            Policy::Deny => "deny",
            Policy::Ask => "ask_user",
            Policy::Allow if policies.default == Policy::Allow => continue,
            Policy::Allow => "allow",
        };
        let mut tools = policies.of(policy).peekable();
        if tools.peek().is_none() {
            continue;
        }
        rules.push_str("[[rule]]\ntoolName = [");
        for tool in tools {
            write_string(&mut rules, tool);
            rules.push(',');
        }
        rules.push_str(&format!(
            "]\ndecision = \"{decision}\"\npriority = {PRIORITY}\n"
        ));
    }
    rules
}
