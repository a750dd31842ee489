//! What a request to an MCP server asks for, read so that the server cannot read it in another way.

use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// A message, as it is passed on.
#[derive(Debug)]
pub(super) struct Message {
    /// Its id; none: it is a notification, or an answer.
    pub(super) id: Option<Box<RawValue>>,
    pub(super) method: Option<String>,
    /// With `tools/call`: what is called.
    pub(super) call: Option<Call>,
    /// Its text: what was read, and nothing else.
    pub(super) text: String,
}

/// A call of a tool.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) tool: String,
    pub(super) input: Box<RawValue>,
}

/// The members of a message (JSON-RPC 2.0). All else is left out.
const MEMBERS: [&str; 6] = ["jsonrpc", "id", "method", "params", "result", "error"];

impl Message {
    /// Reads a message.
    ///
    /// Parsers do not agree on names that come twice, and some of them take no notice of case. A
    /// message that could be read in two ways is refused.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn read(body: &[u8]) -> Result<Self, String> {
        if body.trim_ascii_start().starts_with(b"[") {
            return Err("batches are not passed on to this server".to_owned());
        }
        let members: Members = serde_json::from_slice(body)
            .map_err(|error| format!("this is no JSON object: {error}"))?;
        members.check()?;
        let mut message = Self {
            id: members.get("id").map(ToOwned::to_owned),
            method: None,
            call: None,
            text: String::new(),
        };
        let mut params = None;
        if let Some(method) = members.get("method") {
            let method: String = serde_json::from_str(method.get())
                .map_err(|_| "the method should be a string".to_owned())?;
            let is_call = method.trim().eq_ignore_ascii_case("tools/call");
            if is_call && method != "tools/call" {
                return Err(format!("there is no method {method:?}"));
            }
            if is_call {
                let given = members.get("params").unwrap_or(RawValue::NULL);
                let given: Members = serde_json::from_str(given.get())
                    .map_err(|_| "params should be an object".to_owned())?;
                given.check()?;
                let tool = given
                    .get("name")
                    .and_then(|name| serde_json::from_str(name.get()).ok());
                let tool = tool.ok_or("params.name should be a string")?;
                let input = given.get("arguments");
                message.call = Some(Call {
                    tool,
                    input: input.unwrap_or(RawValue::NULL).to_owned(),
                });
                params = Some(given.write(|_, value| Some(value.to_owned())));
            }
            message.method = Some(method);
        }
        message.text = members.write(|name, value| match &params {
            Some(params) if name == "params" => Some(params.clone()),
            _ => MEMBERS.contains(&name).then(|| value.to_owned()),
        });
        Ok(message)
    }
}

/// The members of an object, in their order.
struct Members(Vec<(String, Box<RawValue>)>);

impl Members {
    fn get(&self, name: &str) -> Option<&RawValue> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| &**value)
    }

    fn check(&self) -> Result<(), String> {
        for (index, (name, _)) in self.0.iter().enumerate() {
            let is_twice = self.0[..index]
                .iter()
                .any(|(other, _)| other.eq_ignore_ascii_case(name));
            if is_twice || !name.is_ascii() {
                return Err(format!(
                    "the member {name:?} can be read in more than one way"
                ));
            }
        }
        Ok(())
    }

    /// The object with the values that `value` gives, and without members that have none.
    fn write(&self, value: impl Fn(&str, &str) -> Option<String>) -> String {
        let mut text = "{".to_owned();
        for (name, given) in &self.0 {
            let Some(value) = value(name, given.get()) else {
                continue;
            };
            if text.len() > 1 {
                text.push(',');
            }
            // A string is JSON.
            text += &serde_json::to_string(name).unwrap_or_default();
            text.push(':');
            text += &value;
        }
        text.push('}');
        text
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Each)
    }
}

/// An answer to a request, in the place of the server's.
#[derive(Serialize)]
struct Reply<'a> {
    jsonrpc: &'static str,
    id: Option<&'a RawValue>,
    #[serde(flatten)]
    outcome: Outcome,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Result(serde_json::Value),
    Error(serde_json::Value),
}

fn reply(id: Option<&RawValue>, outcome: Outcome) -> String {
    let reply = Reply {
        jsonrpc: "2.0",
        id,
        outcome,
    };
    serde_json::to_string(&reply).unwrap_or_default()
}

/// A result of a tool that tells of a failure.
pub(super) fn refusal(id: &RawValue, text: &str) -> String {
    let content = serde_json::json!([{ "type": "text", "text": text }]);
    let result = serde_json::json!({ "content": content, "isError": true });
    reply(Some(id), Outcome::Result(result))
}

/// An error as the answer to a request.
pub(super) fn error(id: Option<&RawValue>, message: &str) -> String {
    let error = serde_json::json!({ "code": -32600, "message": message });
    reply(id, Outcome::Error(error))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn tool(body: &str) -> Option<String> {
        Message::read(body.as_bytes())
            .unwrap()
            .call
            .map(|call| call.tool)
    }

    #[test]
    fn calls_are_told_from_other_messages() {
        let call = r#" {"jsonrpc":"2.0","id":1,"method":"tools/call",
            "params":{"name":"a","arguments":{"x":1.0},"_meta":{}}, "extra": 1}"#;
        let message = Message::read(call.as_bytes()).unwrap();
        assert_eq!(message.id.unwrap().get(), "1");
        let called = message.call.unwrap();
        assert_eq!(
            (called.tool.as_str(), called.input.get()),
            ("a", r#"{"x":1.0}"#)
        );
        assert_eq!(
            message.text,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":{"x":1.0},"_meta":{}}}"#
        );
        // A name is what its escapes say.
        let escaped = r#"{"id":1,"\u006dethod":"tools\/call","params":{"\u006eame":"\u0061"}}"#;
        assert_eq!(tool(escaped).as_deref(), Some("a"));
        assert_eq!(tool(r#"{"id":1,"method":"tools/list"}"#), None);
        assert_eq!(tool(r#"{"id":1,"result":{}}"#), None);
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        for bad in [
            r#"[{"id":1,"method":"tools/call","params":{"name":"a"}}]"#,
            r#"{"id":1,"method":"ping","method":"tools/call","params":{"name":"a"}}"#,
            r#"{"id":1,"method":"ping","Method":"tools/call","params":{"name":"a"}}"#,
            r#"{"id":1,"method":"tools/call","params":{"name":"a","name":"b"}}"#,
            r#"{"id":1,"method":"tools/call","params":{"name":"a","NAME":"b"}}"#,
            r#"{"id":1,"method":"tools/call","params":{"name":"a"},"param\u017f":{"name":"b"}}"#,
            r#"{"id":1,"method":"Tools/Call","params":{"name":"a"}}"#,
            r#"{"id":1,"method":" tools/call","params":{"name":"a"}}"#,
            r#"{"id":1,"method":"tools/call","params":{"name":["a"]}}"#,
            r#"{"id":1,"method":"tools/call"}"#,
            r#"{"id":1,"method":["tools/call"]}"#,
            "",
            "null",
            "{",
        ] {
            assert!(Message::read(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_passed_on_is_what_was_read(
            names in prop::collection::vec("(id|method|params|PARAMS|name|x|\\PC{0,3})", 0..6),
            inner in prop::collection::vec("(name|Name|arguments|\\PC{0,3})", 0..4),
            call in any::<bool>(),
        ) {
            let inner: Vec<String> =
                inner.iter().map(|name| format!("{}:\"v\"", json!(name))).collect();
            let members: Vec<String> = names.iter().map(|name| {
                let value = match name.as_str() {
                    "method" if call => "\"tools/call\"".to_owned(),
                    "method" => "\"ping\"".to_owned(),
                    "params" => format!("{{{}}}", inner.join(",")),
                    _ => "1".to_owned(),
                };
                format!("{}:{value}", json!(name))
            }).collect();
            let body = format!("{{{}}}", members.join(" , "));
            if let Ok(message) = Message::read(body.as_bytes()) {
                let text: Value = serde_json::from_str(&message.text).unwrap();
                let method = text.get("method").and_then(Value::as_str);
                prop_assert_eq!(method, message.method.as_deref());
                let name = text["params"]["name"].as_str();
                if method == Some("tools/call") {
                    prop_assert_eq!(name, message.call.as_ref().map(|call| call.tool.as_str()));
                }
            }
        }
    }
}
