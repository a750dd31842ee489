//! The table in `docs/runtimes.md` of what each runtime does natively: it says what the adapters
//! say of themselves. With `AOD_UPDATE_DOCS=1` it is written anew.

use std::fmt::Write as _;
use std::fs;

use aod_e2e::{Runtimes, Server, ServerOptions, plugin, repository};
use serde_json::Value;

const RUNTIMES: &[&str] = &["claude", "codex", "gemini", "opencode"];

/// Rows, by the names of capabilities, with words for people.
const ROWS: &[(&str, &str)] = &[
    ("live", "a process stays between turns"),
    ("deltas", "text in pieces"),
    ("reasoning", "thoughts"),
    ("interrupt", "an interrupted conversation goes on"),
    ("inject", "more input while a turn runs"),
    ("permissions", "asks for permission"),
    ("questions", "asks other questions"),
    ("images", "images"),
    ("structured_output", "answers by a JSON Schema"),
    ("limits", "limits that it holds itself"),
    ("fork", "copies of a conversation"),
    ("usage", "tokens"),
    ("usage_by_model", "tokens by model"),
    ("cost", "cost"),
    ("subagents", "what subagents do"),
    ("background_work", "work in the background"),
    ("tool_policies", "policies for its tools"),
    ("system_prompt", "system prompt"),
    ("skills", "skills"),
    ("mcp_stdio", "MCP servers in the sandbox"),
    ("mcp_url", "MCP servers over HTTP"),
    ("mcp_states", "which MCP servers are there"),
];

const BEGIN: &str = "<!-- table of runtimes: begin -->\n";
const END: &str = "<!-- table of runtimes: end -->\n";

async fn described() -> Vec<Value> {
    let runtimes = RUNTIMES.iter().fold(Runtimes::default(), |all, name| {
        // Where the CLI is does not matter to what the adapter says.
        all.with(name, &plugin(name), "")
    });
    let server = Server::start(ServerOptions::new(runtimes)).await;
    let mut all = Vec::new();
    for name in RUNTIMES {
        let path = format!("/runtimes/{name}");
        all.push(server.client().get(&path).await.expect(200));
    }
    all
}

fn table(described: &[Value]) -> String {
    let mut table = format!("| | {} |\n|---|", RUNTIMES.join(" | "));
    table += &"---|".repeat(RUNTIMES.len());
    table += "\n";
    let capabilities = |it: &Value| it["capabilities"].as_array().unwrap().clone();
    for (name, words) in ROWS {
        let cells = described.iter().map(|runtime| {
            let all = capabilities(runtime);
            match all.iter().find(|it| it["name"] == *name) {
                Some(capability) => values(capability),
                None => String::new(),
            }
        });
        row(&mut table, words, cells);
    }
    let settings = described.iter().map(|runtime| {
        let options = runtime["options"].as_array().unwrap();
        let each = options.iter().map(|option| {
            let scope = option["scope"].as_str().unwrap();
            format!("`{}` ({scope})", option["id"].as_str().unwrap())
        });
        each.collect::<Vec<_>>().join(", ")
    });
    row(&mut table, "settings, and what they hold for", settings);
    let continuity = described
        .iter()
        .map(|runtime| runtime["continuity"].as_str().unwrap().replace('_', " "));
    row(&mut table, "a later process goes on by", continuity);
    table
}

fn values(capability: &Value) -> String {
    let values = capability["values"].as_array();
    let words = values.into_iter().flatten().filter_map(Value::as_str);
    let words: Vec<_> = words
        .map(|word| word.trim_start_matches("image/").replace('_', " "))
        .collect();
    match words.is_empty() {
        true => "yes".to_owned(),
        false => words.join(", "),
    }
}

fn row(table: &mut String, words: &str, cells: impl Iterator<Item = String>) {
    let cells: Vec<_> = cells.collect();
    // Writing to a string cannot fail.
    let _ = writeln!(table, "| {words} | {} |", cells.join(" | "));
}

#[tokio::test]
async fn the_table_of_runtimes_says_what_their_adapters_say() {
    let described = described().await;
    for runtime in &described {
        for capability in runtime["capabilities"].as_array().unwrap() {
            let name = capability["name"].as_str().unwrap();
            let has_row = ROWS.iter().any(|(known, _)| *known == name);
            assert!(has_row, "{name} has no row");
        }
    }
    let table = table(&described);
    let path = repository().join("docs/runtimes.md");
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (there, after) = rest.split_once(END).unwrap();
    if std::env::var_os("AOD_UPDATE_DOCS").is_some() {
        fs::write(&path, format!("{before}{BEGIN}\n{table}\n{END}{after}")).unwrap();
        return;
    }
    assert_eq!(
        there.trim(),
        table.trim(),
        "docs/runtimes.md: run this test with AOD_UPDATE_DOCS=1"
    );
}
