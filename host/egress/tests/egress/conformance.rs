//! The official conformance suite of the Model Context Protocol, from npm, against the endpoint that
//! offers tools. `cargo xtask conformance` installs it and runs this.

use std::process::Command;

use aod_egress::{Permission, Policy, Service, Tool, ToolServer};
use aod_launch::{CallAnswer, CallReport};
use serde_json::{Value, json};

use crate::support::{Egress, config};

/// What of it is about servers that offer tools and nothing else, and answer with text.
const SCENARIOS: [&str; 7] = [
    "server-initialize",
    "ping",
    "tools-list",
    "tools-call-simple-text",
    "tools-call-error",
    "json-schema-2020-12",
    "dns-rebinding-protection",
];

fn tool(name: &str, input_schema: &Value) -> Tool {
    Tool {
        name: name.to_owned(),
        description: format!("The suite's {name}."),
        input_schema: input_schema.as_object().unwrap().clone(),
        permission: Permission::Allow,
        timeout_ms: 60_000,
        default: CallAnswer {
            content: String::new(),
            is_error: true,
        },
    }
}

/// The tools that the suite calls, answered as it wants.
fn start() -> String {
    let nothing = json!({ "type": "object", "properties": {} });
    let draft = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": { "address": {
            "type": "object",
            "properties": { "street": { "type": "string" }, "city": { "type": "string" } },
        } },
        "properties": {
            "name": { "type": "string" },
            "address": { "$ref": "#/$defs/address" },
        },
        "additionalProperties": false,
    });
    let server = ToolServer {
        tools: vec![
            tool("test_simple_text", &nothing),
            tool("test_error_handling", &nothing),
            tool("json_schema_2020_12_tool", &draft),
        ],
    };
    let services = vec![Service::Tools(server)];
    let mut egress = Egress::start(&config(services, Policy::default()));
    let url = format!("http://{}/mcp", egress.at[0]);
    std::thread::spawn(move || {
        loop {
            let CallReport::CallHeld(call) = egress.call_report() else {
                continue;
            };
            let answer = match call.tool.as_str() {
                "test_simple_text" => ("This is a simple text response for testing.", false),
                _ => ("This tool intentionally returns an error for testing", true),
            };
            egress.reply(call.id, Some(answer));
        }
    });
    url
}

#[test]
#[ignore = "cargo xtask conformance installs what it runs"]
fn the_suite_of_the_protocol_is_passed() {
    let folder = std::env::var("AOD_MCP_CONFORMANCE").expect("the folder of its installation");
    let modules = format!("{folder}/node_modules");
    let suite = format!("{modules}/@modelcontextprotocol/conformance/dist/index.js");
    let url = start();
    for scenario in SCENARIOS {
        let run = Command::new(format!("{modules}/.bin/node"))
            .args([&suite, "server", "--url", &url, "--scenario", scenario])
            .current_dir(&folder)
            .output()
            .unwrap();
        let output = String::from_utf8_lossy(&run.stdout);
        println!("{output}");
        let errors = String::from_utf8_lossy(&run.stderr);
        assert!(run.status.success(), "{scenario}: {output}{errors}");
        assert!(!output.contains("FAILURE"), "{scenario}: {output}");
    }
}
