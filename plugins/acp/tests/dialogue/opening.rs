//! Tables, launches, and how a session is opened.

use super::*;

#[test]
fn options_that_make_no_agent_are_refused_in_words() {
    let table = [
        (r"{}", "options.argv is missing"),
        (r#"{"argv":["/opt/x"]}"#, "not the name of a program"),
        (r#"{"argv":["x"]}"#, "options.providers is missing"),
        (
            r#"{"argv":["x"],"providers":[{"id":"acme"}],"credentials":[{"name":"provider_key:o","variable":"O","providers":["other"]}]}"#,
            "does not have",
        ),
        (
            r#"{"argv":["x"],"providers":[{"id":"acme"}],"permission_deadline":0}"#,
            "not from 1 to",
        ),
        (r#"{"argv":["x"],"permissons":"ask"}"#, "unknown field"),
        (r#"{"argv":["x"],"permissions":"maybe"}"#, "maybe"),
    ];
    for (options, problem) in table {
        let refused = describe::<Acp>(options).unwrap_err();
        assert!(refused.contains(problem), "{options}: {refused}");
    }
}

#[test]
fn a_launch_is_what_its_table_says() {
    let mut facts = facts(
        r#"{"argv":["agent","--model={model}"],"providers":[{"id":"acme"}],"delete":["{home}/lock"],
            "env":{"A":"{canonical}","URL":"{endpoint:acme}"},"system_prompt_file":"{home}/AGENT.md"}"#,
    );
    facts.system = Some("Be brief.".to_owned());
    let launch = prepare::<Acp>(&facts, &later(2, "x")).unwrap();
    assert_eq!(launch.argv, ["agent", "--model=m-1"]);
    assert_eq!(launch.continuity, Continuity::Fresh);
    assert_eq!(launch.delete, ["/home/agent/lock"]);
    assert_eq!(launch.files[0].path, "/home/agent/AGENT.md");
    let variables: Vec<_> = launch
        .env
        .iter()
        .map(|it| (it.name.as_str(), written(&it.value)))
        .collect();
    assert_eq!(variables, [("A", "acme/m-1".to_owned())]);
    let Stdin::Open(first) = launch.stdin else {
        panic!("{:?}", launch.stdin);
    };
    assert!(written(&first).contains("\"initialize\""));
}

#[test]
fn a_description_is_what_its_table_says() {
    let description = describe::<Acp>(
        r#"{"argv":["agent"],"providers":[{"id":"acme","default_endpoint":"https://acme.test/v1"}],
            "credentials":[{"name":"provider_key:acme","variable":"ACME","providers":["acme"],
                "sent":[{"header":"authorization","prefix":"Bearer "},{"query":"key"}]}],
            "settings":[{"id":"reasoning_effort","config":"effort","values":["low","high"]}],
            "steering":true,"fork":true,"images":[]}"#,
    )
    .unwrap();
    assert_eq!(
        description.providers[0].default_endpoint.as_deref(),
        Some("https://acme.test/v1")
    );
    assert_eq!(
        description.credentials[0].sent,
        [
            AuthStyle::Header(AuthHeader {
                name: "authorization".to_owned(),
                prefix: "Bearer ".to_owned()
            }),
            AuthStyle::Query("key".to_owned())
        ]
    );
    assert_eq!(description.options[0].schema, r#"{"enum":["low","high"]}"#);
    let can = |capability| description.capabilities.contains(&capability);
    assert!(can(Capability::Live));
    assert!(can(Capability::Inject(vec![InjectMode::Steer])));
    let images = |it: &Capability| matches!(it, Capability::Images(_));
    assert!(!description.capabilities.iter().any(images));
}

#[test]
fn a_session_is_opened_step_by_step() {
    let mut facts = facts(r#"{"auth_method":"key","select_model":"{model}","mode":"build"}"#);
    facts.system = Some("Be brief.".to_owned());
    facts.mcp_servers = mcp_servers();
    let mut driver = begun(facts);
    let reply = |id: u32| format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"sessionId":"s1"}}}}"#);
    let mut lines = said(&feed(&mut driver, INITIALIZED));
    for id in 1..=4 {
        lines.extend(said(&feed(&mut driver, &reply(id))));
    }
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn servers_that_an_agent_does_not_reach_are_left_out_and_it_is_said() {
    let mut facts = facts("{}");
    facts.mcp_servers = mcp_servers();
    let mut driver = begun(facts);
    let reaction = feed(
        &mut driver,
        &INITIALIZED.replace("\"http\":true", "\"http\":false"),
    );
    let line = &said(&reaction)[0];
    assert!(
        line.contains("\"local\"") && !line.contains("\"docs\""),
        "{line}"
    );
    let is_missing = |event: &EventBody| {
        matches!(event, EventBody::McpServer(it)
            if it.name == "docs" && it.state == McpState::Failed && it.message.is_some())
    };
    assert!(events(&reaction).any(is_missing));
}

#[test]
fn an_agent_that_cannot_go_on_starts_afresh_and_says_so() {
    let mut driver = gone_on(facts("{}"), Origin::Resume("s0".to_owned()));
    let reaction = feed(&mut driver, r#"{"id":0,"result":{"protocolVersion":1}}"#);
    assert!(said(&reaction)[0].contains("session/new"));
    assert!(matches!(
        events(&reaction).next(),
        Some(EventBody::Notice(_))
    ));
}

#[test]
fn a_session_that_is_not_found_is_begun_afresh_and_it_is_said() {
    let mut driver = gone_on(facts("{}"), Origin::Resume("s0".to_owned()));
    let loading = feed(&mut driver, INITIALIZED);
    assert!(said(&loading)[0].contains("session/load"));
    let lost = r#"{"id":1,"error":{"code":-32603,"message":"no such session"}}"#;
    let reaction = feed(&mut driver, lost);
    assert!(said(&reaction)[0].contains("session/new"));
    let says_why = |event: &EventBody| matches!(event, EventBody::Notice(notice) if notice.text.contains("no such session"));
    assert!(events(&reaction).any(says_why), "{:?}", reaction.actions);
    // Who is not let in has not lost anything.
    let mut driver = gone_on(facts("{}"), Origin::Resume("s0".to_owned()));
    feed(&mut driver, INITIALIZED);
    let refused = r#"{"id":1,"error":{"code":-32000,"message":"who are you?"}}"#;
    let reaction = feed(&mut driver, refused);
    assert_eq!(failure(&reaction), Some(FailureKind::Auth));
    assert!(said(&reaction).is_empty());
    assert!(closes(&reaction));
}
