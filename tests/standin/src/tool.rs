//! Choosing an offered tool, and arguments that satisfy its schema.

use serde_json::{Map, Value, json};

use crate::conversation::Tool;

/// Names of shell tools, the most wanted first.
const SHELLS: [&str; 7] = [
    "Bash",
    "bash",
    "shell_command",
    "exec_command",
    "shell",
    "run_shell_command",
    "local_shell",
];
/// Names of tools that write a whole file, the most wanted first.
const WRITERS: [&str; 3] = ["Write", "write", "write_file"];

/// The tool that makes deferred tools known.
pub(crate) const LOOKUP_TOOL: &str = "ToolSearch";

const COMMAND_KEYS: [&str; 2] = ["command", "cmd"];
/// How long a shell tool waits before it reports a command that still runs.
const PATIENCE_KEY: &str = "yield_time_ms";
/// The longest that is granted: a long command should look like one long tool call.
const PATIENCE_MS: u64 = 30_000;
const PATH_KEYS: [&str; 4] = ["file_path", "filePath", "path", "absolute_path"];
const CONTENT_KEYS: [&str; 2] = ["content", "text"];

/// A tool chosen from the offer, with arguments.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// The tool's group, where the API has groups.
    pub namespace: Option<String>,
    /// The tool's name.
    pub name: String,
    /// The arguments, an object.
    pub input: Value,
}

/// Chooses the shell tool and has it run a command.
#[must_use]
pub fn shell(tools: &[Tool], command: &str) -> Option<Choice> {
    let tool = by_names(tools, &SHELLS)?;
    let key = property(tool, &COMMAND_KEYS)?;
    let is_list = tool.schema["properties"][key]["type"] == "array";
    let value = if is_list {
        json!(["bash", "-lc", command])
    } else {
        json!(command)
    };
    let mut input = Map::from_iter([(key.to_owned(), value)]);
    if property(tool, &[PATIENCE_KEY]).is_some() {
        input.insert(PATIENCE_KEY.to_owned(), json!(PATIENCE_MS));
    }
    Some(choose(tool, input))
}

/// Chooses the tool that writes files; where none is on offer, the shell writes it.
#[must_use]
pub fn write(tools: &[Tool], path: &str, content: &str) -> Option<Choice> {
    let by_writer = || {
        let tool = by_names(tools, &WRITERS)?;
        let (path_key, content_key) = (property(tool, &PATH_KEYS)?, property(tool, &CONTENT_KEYS)?);
        let given = [
            (path_key.to_owned(), json!(path)),
            (content_key.to_owned(), json!(content)),
        ];
        Some(choose(tool, Map::from_iter(given)))
    };
    by_writer().or_else(|| {
        shell(
            tools,
            &format!(
                "printf %s {} > {}",
                shell_quoted(content),
                shell_quoted(path)
            ),
        )
    })
}

/// Chooses the tool whose name is, or else ends with, `name`.
#[must_use]
pub fn named(tools: &[Tool], name: &str, input: &Value) -> Option<Choice> {
    let tool = tools
        .iter()
        .find(|tool| tool.name == name)
        .or_else(|| tools.iter().find(|tool| tool.name.ends_with(name)))?;
    Some(choose(tool, input.as_object().cloned().unwrap_or_default()))
}

/// Chooses the tool that looks up the deferred tool whose name ends with `name`.
#[must_use]
pub fn lookup(tools: &[Tool], deferred: &[String], name: &str) -> Option<Choice> {
    let wanted = deferred.iter().find(|deferred| deferred.ends_with(name))?;
    let tool = by_names(tools, &[LOOKUP_TOOL])?;
    let query = json!(format!("select:{wanted}"));
    Some(choose(tool, Map::from_iter([("query".to_owned(), query)])))
}

fn by_names<'a>(tools: &'a [Tool], names: &[&str]) -> Option<&'a Tool> {
    names
        .iter()
        .find_map(|name| tools.iter().find(|tool| tool.name == *name))
}

/// The first of `keys` that the tool's schema has.
fn property<'k>(tool: &Tool, keys: &[&'k str]) -> Option<&'k str> {
    keys.iter()
        .copied()
        .find(|key| tool.schema["properties"].get(key).is_some())
}

fn choose(tool: &Tool, mut input: Map<String, Value>) -> Choice {
    let required = tool.schema["required"].as_array();
    for key in required.into_iter().flatten().filter_map(Value::as_str) {
        if !input.contains_key(key) {
            input.insert(key.to_owned(), placeholder(&tool.schema["properties"][key]));
        }
    }
    Choice {
        namespace: tool.namespace.clone(),
        name: tool.name.clone(),
        input: input.into(),
    }
}

/// A value that a schema of this kind accepts.
fn placeholder(schema: &Value) -> Value {
    if let Some(value) = schema.get("default").or_else(|| schema["enum"].get(0)) {
        return value.clone();
    }
    // Gemini writes types in capitals.
    match schema["type"]
        .as_str()
        .unwrap_or("string")
        .to_lowercase()
        .as_str()
    {
        "boolean" => json!(false),
        "integer" | "number" => json!(0),
        "array" => json!([]),
        "object" => json!({}),
        _ => json!("As the prompt asks"),
    }
}

fn shell_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(name: &str, schema: Value) -> Tool {
        Tool {
            namespace: None,
            name: name.into(),
            schema,
        }
    }

    #[test]
    fn fills_what_the_schema_requires() {
        let tools = [
            tool("Read", json!({})),
            tool(
                "Bash",
                json!({
                    "properties": {
                        "command": {"type": "string"},
                        "description": {"type": "string"},
                        "background": {"type": "boolean"},
                        "timeout": {"type": "number"},
                        "limit": {"type": "number", "default": 5},
                        "mode": {"enum": ["a", "b"]}
                    },
                    "required": ["command", "description", "background", "mode", "limit"]
                }),
            ),
        ];
        let choice = shell(&tools, "ls").expect("a shell is on offer");
        assert_eq!(choice.name, "Bash");
        assert_eq!(
            choice.input,
            json!({
                "command": "ls", "description": "As the prompt asks", "background": false,
                "mode": "a", "limit": 5
            })
        );
    }

    #[test]
    fn a_shell_that_takes_a_list_gets_one() {
        let schema = json!({"properties": {"command": {"type": "array"}}});
        let choice = shell(&[tool("shell", schema)], "ls").expect("a shell is on offer");
        assert_eq!(choice.input, json!({"command": ["bash", "-lc", "ls"]}));
    }

    #[test]
    fn a_shell_that_may_wait_is_told_to() {
        let schema = json!({"properties": {"cmd": {}, "yield_time_ms": {"type": "number"}}});
        let choice = shell(&[tool("exec_command", schema)], "ls").expect("a shell is on offer");
        assert_eq!(choice.input, json!({"cmd": "ls", "yield_time_ms": 30_000}));
    }

    #[test]
    fn without_a_writer_the_shell_writes() {
        let schema = json!({"properties": {"cmd": {"type": "string"}}});
        let tools = [tool("exec_command", schema)];
        let choice = write(&tools, "a b", "it's").expect("a shell is on offer");
        assert_eq!(choice.input, json!({"cmd": r"printf %s 'it'\''s' > 'a b'"}));
        let schema = json!({"properties": {"file_path": {}, "content": {}}});
        let choice = write(&[tool("Write", schema)], "p", "c").expect("a writer is on offer");
        assert_eq!(choice.input, json!({"file_path": "p", "content": "c"}));
    }

    #[test]
    fn a_name_may_be_the_end_of_one() {
        let tools = [
            tool("mcp__x__echo2", json!({})),
            tool("mcp__x__echo", json!({})),
        ];
        let choice = named(&tools, "echo", &json!({"a": 1})).expect("it is on offer");
        assert_eq!(
            (choice.name.as_str(), choice.input),
            ("mcp__x__echo", json!({"a": 1}))
        );
        assert_eq!(named(&tools, "other", &json!({})), None);
        assert_eq!(shell(&tools, "ls"), None);
    }
}
