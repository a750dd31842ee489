use aod_resources::{
    AgentChanges, EnvironmentChanges, Input, McpServer, McpTransport, NewAgent, NewEnvironment,
    NewPrompt, NewSession,
};
use proptest::prelude::*;
use proptest::string::string_regex;
use secrecy::ExposeSecret as _;

use super::*;

fn problems(table: &Object, value: Value) -> Vec<(String, String)> {
    let problems = body(table, value).expect_err("problems");
    let text = |problem: &Problem| {
        let problem = serde_json::to_value(problem).unwrap();
        (
            problem["type"].as_str().unwrap().to_owned(),
            problem["loc"].to_string(),
        )
    };
    problems.iter().map(text).collect()
}

#[test]
fn all_problems_come_at_once_and_say_where() {
    let found = problems(
        NewAgent::table(),
        json!({
            "name": "", "runtime": 7, "environment_id": "x", "metadata": {"a": 1, "b": "fine"},
            "skills": [{"name": "ok", "description": "d"}, 7, {"type": "zip"}],
            "mcp_servers": [{"name": "m", "type": "stdio"}, {"name": "m"}],
        }),
    );
    let expected = [
        ("string_too_short", r#"["body","name"]"#),
        ("string_type", r#"["body","runtime"]"#),
        ("missing", r#"["body","model"]"#),
        ("uuid_parsing", r#"["body","environment_id"]"#),
        ("missing", r#"["body","skills",0,"content"]"#),
        ("dict_type", r#"["body","skills",1]"#),
        ("literal_error", r#"["body","skills",2,"type"]"#),
        ("missing", r#"["body","mcp_servers",0,"command"]"#),
        ("missing", r#"["body","mcp_servers",1,"type"]"#),
        ("string_type", r#"["body","metadata","a"]"#),
    ];
    let expected = expected.map(|(kind, loc)| (kind.to_owned(), loc.to_owned()));
    assert_eq!(found, expected);
}

#[test]
fn a_field_that_is_not_known_is_named_with_the_nearest_one() {
    let message = |value: Value| {
        let problems = body(NewEnvironment::table(), value).expect_err("a problem");
        serde_json::to_value(problems).unwrap()
    };
    let found = message(json!({"name": "e", "env_var": {"KEY": "a-secret"}}));
    assert_eq!(
        found,
        json!([{
            "type": "extra_forbidden", "loc": ["body", "env_var"],
            "msg": "Extra field: did you mean env_vars?", "input": null,
        }])
    );
    let found = message(json!({"name": "e", "budget": 3}));
    let msg = found[0]["msg"].as_str().unwrap();
    assert!(
        msg.starts_with("Extra field: known are name, packages,"),
        "{msg}"
    );
    let found = message(json!({"name": "e", "networking": {"type": "limited", "hosts": []}}));
    assert_eq!(found[0]["loc"], json!(["body", "networking", "hosts"]));
    let found = message(json!({"name": "e", "packages": {"brew": []}}));
    assert_eq!(found[0]["loc"], json!(["body", "packages", "brew"]));
}

#[test]
fn a_variable_is_in_one_of_two_maps() {
    for (table, secrets) in [
        (NewEnvironment::table(), "env_vars"),
        (EnvironmentChanges::table(), "env_vars"),
        (NewSession::table(), "secret_env_vars"),
    ] {
        let both = json!({
            "name": "e", "version": 1, "agent_id": uuid::Uuid::nil(), "prompt": "x",
            (secrets): {"A": "one", "B": "two"}, "vars": {"B": "three", "C": "four"},
        });
        let Value::Object(mut fields) = both else {
            unreachable!()
        };
        fields.retain(|name, _| table.field(name).is_some());
        let problems = body(table, Value::Object(fields.clone())).unwrap_err();
        assert_eq!(
            serde_json::to_value(problems).unwrap(),
            json!([{
                "type": "value_error", "loc": ["body", "vars", "B"], "input": null,
                "msg": format!("B is in {secrets}, too: a variable is in one of them"),
            }])
        );
        fields["vars"] = json!({"C": "four"});
        assert!(body(table, Value::Object(fields)).is_ok(), "{secrets}");
    }
}

#[test]
fn a_secret_is_not_repeated() {
    let secret = "17171717";
    for (table, value) in [
        (
            NewEnvironment::table(),
            json!({
                "name": "e", "env_vars": {"KEY": 17_171_717, "A-B": secret},
                "vars": {"KEY": "x", "B": [secret]},
            }),
        ),
        (
            NewSession::table(),
            json!({"resources": [{
                "type": "github_repository", "url": format!("https://me:{secret}@host/r"),
                "authorization_token": [secret], "token": secret,
            }]}),
        ),
        (
            NewAgent::table(),
            json!({"mcp_servers": [{
                "type": "url", "name": "m", "url": format!("ftp://{secret}@x"),
                "headers": {"X-Key": 17_171_717},
            }]}),
        ),
    ] {
        let problems = serde_json::to_string(&body(table, value).unwrap_err()).unwrap();
        assert!(!problems.contains(secret), "{problems}");
    }
}

#[test]
fn lengths_are_counted_in_characters_and_of_prompts_in_bytes_too() {
    let prompt = |text: String| body(NewPrompt::table(), json!({"prompt": text}));
    let name = |text: &str| body(NewEnvironment::table(), json!({"name": text}));
    assert!(name(&"ä".repeat(200)).is_ok() && name(&"ä".repeat(201)).is_err());
    assert!(prompt("a".repeat(1 << 20)).is_ok());
    assert!(prompt("ä".repeat((1 << 19) + 1)).is_err());
    assert!(prompt(" \n\u{3000}".to_owned()).is_err());
}

#[test]
fn ids_have_one_form() {
    let good = "6f1b6f0e-2d0c-4a8e-9a53-0b1f7b6f2c11";
    assert!(id(good).is_some());
    for bad in [
        good.to_uppercase(),
        format!("urn:uuid:{good}"),
        format!("{{{good}}}"),
        good.replace('-', ""),
        format!(" {good}"),
        String::new(),
    ] {
        assert!(id(&bad).is_none(), "{bad}");
    }
}

#[test]
fn null_clears_where_it_may_and_means_nothing_elsewhere() {
    let fields = json!({"version": 1.0, "name": null, "system": null});
    let changes = AgentChanges::build(body(AgentChanges::table(), fields).unwrap()).unwrap();
    assert_eq!(changes.version, 1);
    assert_eq!(
        (changes.name, changes.system, changes.description),
        (None, Some(None), None)
    );
}

#[test]
fn values_of_mcp_servers_are_kept_apart() {
    let fields = json!({"name": "a", "runtime": "r", "model": "m", "mcp_servers": [
        {"name": "s", "type": "stdio", "command": "c", "args": null, "env": {"K": "v", "L": "***"}},
    ]});
    let agent = NewAgent::build(body(NewAgent::table(), fields).unwrap()).unwrap();
    let [
        McpServer {
            transport: McpTransport::Stdio { env, .. },
            ..
        },
    ] = &agent.mcp_servers[..]
    else {
        panic!("{agent:?}");
    };
    assert_eq!((&*env["K"], &*env["L"]), ("***", "***"));
    assert_eq!(agent.mcp_secrets.len(), 1);
    assert_eq!(agent.mcp_secrets["mcp/s/env/K"].expose_secret(), "v");
}

/// A query's values are texts.
#[test]
fn numbers_and_truth_values_of_a_query_are_read_from_texts() {
    static TABLE: Object = Object {
        name: "Query",
        doc: "",
        example: "",
        disjoint: None,
        fields: &[
            Field {
                name: "limit",
                doc: "",
                need: Need::Optional,
                shape: Shape::Integer { min: 1, max: 200 },
            },
            Field {
                name: "follow",
                doc: "",
                need: Need::Optional,
                shape: Shape::Boolean,
            },
        ],
    };
    let read = |name: &str, text: &str| {
        let values = Map::from_iter([(name.to_owned(), json!(text))]);
        query(&TABLE, values)
            .ok()
            .map(|fields| fields[name].clone())
    };
    assert_eq!(read("limit", "200"), Some(json!(200)));
    assert_eq!(read("follow", "false"), Some(json!(false)));
    for bad in ["", "0", "201", "-1", "1.0", "x", "1x", " 1"] {
        assert_eq!(read("limit", bad), None, "{bad:?}");
    }
    assert_eq!(read("follow", "maybe"), None);
}

/// Values that a table allows, and some that are nearly so.
fn values(shape: &Shape) -> BoxedStrategy<Value> {
    let right = match *shape {
        Shape::Text(rule) => text(rule),
        Shape::Integer { min, max } => (min..=max.min(min + 10_000)).prop_map(Value::from).boxed(),
        Shape::Positive { max } => (0.001..=max).prop_map(Value::from).boxed(),
        Shape::Boolean => any::<bool>().prop_map(Value::from).boxed(),
        Shape::Json(_) => any_json(),
        Shape::JsonObject(_) => prop::collection::btree_map(".*", any_json(), 0..3)
            .prop_map(|map| json!(map))
            .boxed(),
        Shape::Id => any::<u128>()
            .prop_map(|id| json!(Uuid::from_u128(id)))
            .boxed(),
        Shape::Moment => Just(json!("2030-01-01T00:00:00Z")).boxed(),
        Shape::Word(words) => prop::sample::select(words).prop_map(Value::from).boxed(),
        Shape::List { items, .. } => prop::collection::vec(values(items), 0..3)
            .prop_map(Value::from)
            .boxed(),
        Shape::TextOrList {
            text: rule, items, ..
        } => prop_oneof![
            text(rule),
            prop::collection::vec(values(items), 0..3).prop_map(Value::from),
        ]
        .boxed(),
        Shape::Map { keys, values: of } => {
            let key = match keys {
                Some(keys) => prop_oneof![9 => matching(keys.regex), 1 => ".*"].boxed(),
                None => ".*".boxed(),
            };
            prop::collection::btree_map(key, values(of), 0..3)
                .prop_map(|map| json!(map))
                .boxed()
        }
        Shape::Object(table) => objects(table, None),
        Shape::Union(union) => {
            let tagged = union
                .tagged
                .iter()
                .map(|(word, table)| objects(table, Some(word)));
            let untagged = union.untagged.map(|table| objects(table, None));
            prop::strategy::Union::new(tagged.chain(untagged)).boxed()
        }
    };
    let wrong = prop_oneof![
        Just(Value::Null),
        Just(json!({})),
        Just(json!([])),
        Just(json!("")),
        Just(json!(0)),
        Just(json!(60.0)),
        Just(json!(0.5)),
        Just(json!(true)),
        Just(json!("a\0b")),
        Just(json!(" ")),
        Just(json!("x".repeat(301))),
    ];
    prop_oneof![60 => right, 1 => wrong].boxed()
}

fn any_json() -> BoxedStrategy<Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    let inner =
        |inner: BoxedStrategy<Value>| prop::collection::vec(inner, 0..3).prop_map(Value::from);
    leaf.prop_recursive(3, 8, 3, move |it| inner(it.boxed()))
        .boxed()
}

fn text(rule: Text) -> BoxedStrategy<Value> {
    let texts = match rule.pattern {
        Some(pattern) => matching(pattern.regex),
        None => ".{0,20}".boxed(),
    };
    texts.prop_map(Value::from).boxed()
}

fn matching(regex: &str) -> BoxedStrategy<String> {
    let inner = regex.trim_start_matches('^').trim_end_matches('$');
    string_regex(inner).unwrap().boxed()
}

fn objects(table: &'static Object, tag: Option<&'static str>) -> BoxedStrategy<Value> {
    let fields: Vec<BoxedStrategy<Option<(String, Value)>>> = table
        .fields
        .iter()
        .map(|field| {
            let there = values(&field.shape).prop_map(|value| Some((field.name.to_owned(), value)));
            let absent = match field.need {
                Need::Required => 1,
                Need::Optional | Need::Nullable => 30,
            };
            prop_oneof![60 => there, absent => Just(None)].boxed()
        })
        .collect();
    let more = prop_oneof![60 => Just(None), 1 => Just(Some(("more".to_owned(), json!(1))))];
    (fields, more)
        .prop_map(move |(fields, more)| {
            let tag = tag.map(|tag| ("type".to_owned(), json!(tag)));
            Value::Object(
                fields
                    .into_iter()
                    .flatten()
                    .chain(more)
                    .chain(tag)
                    .collect(),
            )
        })
        .boxed()
}

/// What only the table says, since JSON Schema has no words for it.
fn is_beyond_schema(problems: &[Problem]) -> bool {
    problems.iter().all(|problem| {
        let problem = json!(problem);
        let msg = problem["msg"].as_str().unwrap();
        let beyond = ["bytes", "a variable is in one of them"];
        beyond.iter().any(|end| msg.ends_with(end)) || msg.starts_with("Two ")
    })
}

fn table_and_schema_agree<T: Input + utoipa::ToSchema>() {
    let mut schemas = vec![(T::name().into_owned(), T::schema())];
    T::schemas(&mut schemas);
    let schemas: Map<String, Value> = schemas
        .into_iter()
        .map(|(name, schema)| (name, json!(schema)))
        .collect();
    let schema = json!({
        "$ref": format!("#/components/schemas/{}", T::name()),
        "components": {"schemas": schemas},
    });
    let validator = jsonschema::options()
        .should_validate_formats(true)
        .build(&schema)
        .unwrap();
    let example: Value = serde_json::from_str(T::table().example).unwrap();
    T::build(body(T::table(), example).unwrap()).unwrap();
    let (mut good, mut bad) = (0, 0);
    let config = ProptestConfig {
        cases: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let objects = objects(T::table(), None);
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let done = runner.run(&objects, |value| {
        let fits = validator.is_valid(&value);
        match body(T::table(), value.clone()) {
            Ok(fields) => {
                prop_assert!(fits, "the schema refuses {value}");
                prop_assert!(T::build(fields).is_ok(), "{value}");
            }
            Err(problems) => {
                let found = json!(problems);
                prop_assert!(!fits || is_beyond_schema(&problems), "{value}: {found}");
            }
        }
        Ok(())
    });
    done.unwrap();
    // Both outcomes are seen, or the test would say little.
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for _ in 0..200 {
        let value = objects.new_tree(&mut runner).unwrap().current();
        match validator.is_valid(&value) {
            true => good += 1,
            false => bad += 1,
        }
    }
    assert!(good > 0 && bad > 0, "{}: {good} good, {bad} bad", T::name());
}

#[test]
fn the_schema_allows_what_the_table_does() {
    table_and_schema_agree::<NewAgent>();
    table_and_schema_agree::<AgentChanges>();
    table_and_schema_agree::<NewEnvironment>();
    table_and_schema_agree::<EnvironmentChanges>();
    table_and_schema_agree::<NewSession>();
    table_and_schema_agree::<NewPrompt>();
    table_and_schema_agree::<crate::tokens::NewToken>();
    table_and_schema_agree::<crate::answers::NewAnswer>();
    table_and_schema_agree::<crate::credentials::NewValue>();
}
