//! Turns as they should be: remembered, counted, told in one vocabulary.

use std::collections::BTreeMap;

use aod_e2e::{Gate, MODEL_HOST, Session};
use serde_json::{Value, json};

use crate::lab::{CLAUDE, CODEX, GEMINI, Lab, OPENCODE, Vendor, events, idle, said};

each_vendor!(
    two_turns_remember,
    a_tool_changes_a_file,
    usage_is_what_the_provider_counted,
    a_conversation_survives_a_restart_of_the_host,
    nothing_but_the_model_is_asked_for,
);

async fn two_turns_remember(vendor: &'static Vendor) {
    let lab = Lab::new(vendor).await;
    let session = lab.session("the word is tangerine").await;
    session.ended().await.completed();
    session.prompt("which word? [[recall]]").await;
    let ended = session.ended().await.completed();
    let answer = said(&session, &ended).await;
    assert!(answer.contains("the word is tangerine"), "{answer}");
    assert_eq!(ended.session["turn_count"], 2);
}

async fn a_tool_changes_a_file(vendor: &'static Vendor) {
    let lab = Lab::new(vendor).await;
    let session = lab
        .session("[[bash echo plum >note.txt; pwd; id -u]] [[say written]]")
        .await;
    let ended = session.ended().await.completed();
    assert_eq!(said(&session, &ended).await, "written");
    let note = lab.server.workspace_file(&session.id, "note.txt").unwrap();
    assert_eq!(note.trim(), "plum");
    let events = events(&session, &ended).await;
    let call = the(&events, "tool.call");
    assert!(call["input"].to_string().contains("note.txt"), "{call}");
    let result = the(&events, "tool.result");
    assert_eq!(call["call_id"], result["call_id"]);
    assert_eq!(result["is_error"], false, "{result}");
    let output = result["output"].as_str().unwrap();
    assert!(output.contains("/workspace"), "{output}");
    assert!(
        !output.lines().any(|line| line == "0"),
        "root inside: {output}"
    );
    // A failing tool is no failure of the turn.
    session
        .prompt("[[bash cat missing.txt]] [[say none]]")
        .await;
    let ended = session.ended().await.completed();
    assert_eq!(said(&session, &ended).await, "none");
}

/// Where nothing but the model is allowed, nothing else is tried: no news, no updates, no packages.
async fn nothing_but_the_model_is_asked_for(vendor: &'static Vendor) {
    let lab = Lab::new(vendor).await;
    let networking = json!({"type": "limited", "allowed_hosts": [MODEL_HOST]});
    let environment = json!({"name": "e", "networking": networking});
    let environment = lab.client().create_environment(&environment).await;
    let begin = json!({"environment_id": environment, "prompt": "hello [[say hello]]"});
    let session = lab.session_with(begin).await;
    let ended = session.ended().await.completed();
    let mut told = events(&session, &ended).await;
    session.prompt("again [[say again]]").await;
    let ended = session.ended().await.completed();
    told.extend(events(&session, &ended).await);
    let refused: Vec<_> = told
        .iter()
        .filter(|event| event["code"] == "network.refused")
        .collect();
    assert!(refused.is_empty(), "{refused:#?}");
    let home = ended.session["sizes"]["home"].as_u64().unwrap();
    assert!(home < 8 << 20, "its home has {home} bytes");
}

fn the<'a>(events: &'a [Value], kind: &str) -> &'a Value {
    let found: Vec<_> = events
        .iter()
        .filter(|event| event["type"] == kind)
        .collect();
    assert_eq!(found.len(), 1, "one {kind} of {events:#?}");
    found[0]
}

async fn usage_is_what_the_provider_counted(vendor: &'static Vendor) {
    let lab = Lab::new(vendor).await;
    let session = lab.session("[[bash true]] [[say one]]").await;
    session.ended().await.completed();
    session.prompt("[[say two]]").await;
    let ended = session.ended().await.completed();
    let counted = lab.model.usage();
    assert!(counted.replies >= 3, "{counted:?}");
    let usage = &ended.session["usage"];
    let about = || format!("{usage} {counted:?} {:#?}", ended.events);
    assert_eq!(usage["input_tokens"], counted.input_tokens, "{}", about());
    assert_eq!(usage["output_tokens"], counted.output_tokens, "{}", about());
    let turns = session.turns().await;
    for kind in ["input_tokens", "output_tokens"] {
        let of = |turn: &Value| turn["usage"][kind].as_u64().unwrap();
        assert!(turns.iter().all(|turn| of(turn) > 0), "{turns:#?}");
        let sum: u64 = turns.iter().map(of).sum();
        assert_eq!(usage[kind], sum, "{turns:#?}");
        // The gateway has counted the same, and nobody is told of a difference.
        let of = |turn: &Value| turn["provider_usage"][kind].as_u64().unwrap();
        let sum: u64 = turns.iter().map(of).sum();
        assert_eq!(usage[kind], sum, "{turns:#?}");
    }
    let requests = turns.iter().map(|it| &it["provider_usage"]["requests"]);
    let requests: u64 = requests.map(|it| it.as_u64().unwrap()).sum();
    assert_eq!(requests, counted.replies, "{turns:#?}");
    let path = format!("/sessions/{}/events?limit=200", session.id);
    let told = lab.client().get(&path).await.expect(200).to_string();
    assert!(!told.contains("usage.differs"), "{told}");
}

/// What asks the model besides the CLI is seen, though the CLI says nothing of it.
#[tokio::test]
async fn a_difference_from_what_the_cli_says_is_told() {
    let lab = Lab::new(&CLAUDE).await;
    let request = r#"curl -s --noproxy '*' "$ANTHROPIC_BASE_URL/v1/messages" -H "x-api-key: $ANTHROPIC_API_KEY" -H "content-type: application/json" -d '{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hello"}]}'"#;
    let prompt = format!("[[bash {request}]] [[say done]]");
    let session = lab.session(&prompt).await;
    let ended = session.ended().await.completed();
    let turn = &ended.turn;
    assert_eq!(turn["provider_usage"]["requests"], 3, "{turn:#}");
    assert_eq!(turn["provider_usage"]["input_tokens"], 33, "{turn:#}");
    assert_eq!(turn["usage"]["input_tokens"], 22, "{turn:#}");
    let events = events(&session, &ended).await;
    let differs = events.iter().find(|it| it["code"] == "usage.differs");
    let text = differs.unwrap()["text"].as_str().unwrap();
    assert!(
        text.contains("33 tokens sent") && text.contains("said 22"),
        "{text}"
    );
}

/// Also where the host was not there to see it.
#[tokio::test]
async fn a_turn_that_is_stopped_has_what_its_provider_counted() {
    let mut lab = Lab::new(&CLAUDE).await;
    let gate = Gate::new("gate");
    let session = lab.session(&format!("[[bash {}]]", gate.command())).await;
    gate.reached(&lab.server, &session).await;
    lab.server.kill_and_start_again().await;
    let session = session.at(lab.server.client());
    let path = format!("/sessions/{}/terminate", session.id);
    lab.client().post_empty(&path).await.expect(200);
    let ended = session.ended().await;
    let turn = &ended.turn;
    let counted =
        json!({"requests": 1, "input_tokens": 11, "output_tokens": 7, "cached_tokens": 0});
    assert_eq!(turn["provider_usage"], counted, "{turn:#}");
    let used = (
        &turn["usage"]["input_tokens"],
        &turn["usage"]["output_tokens"],
    );
    assert_eq!(used, (&json!(11), &json!(7)), "{turn:#}");
    assert_eq!(ended.session["usage"]["input_tokens"], 11);
}

async fn a_conversation_survives_a_restart_of_the_host(vendor: &'static Vendor) {
    let mut lab = Lab::new(vendor).await;
    let session = lab.session("the word is tangerine").await;
    session.ended().await.completed();
    lab.server.kill_and_start_again().await;
    let session = session.at(lab.server.client());
    session.prompt("which word? [[recall]]").await;
    let ended = session.ended().await.completed();
    let answer = said(&session, &ended).await;
    assert!(answer.contains("the word is tangerine"), "{answer}");
}

/// The types of a turn's events, without repetitions, and without what a CLI may or may not say.
fn story(events: &[Value]) -> Vec<String> {
    let mut story: Vec<String> = events
        .iter()
        .map(|event| event["type"].as_str().unwrap().to_owned())
        // Pieces of text and news of calls are some CLIs' alone; when tokens are told is each one's
        // own affair.
        .filter(|kind| {
            let kind = kind.as_str();
            !matches!(kind, "message.delta" | "tool.update" | "usage" | "notice")
        })
        .collect();
    story.dedup();
    story
}

/// What the CLI tells of itself, and what only its shell has done.
async fn each_file_is_told_once(session: &Session) {
    let prompt = "[[write told.txt plum]] [[bash echo pear >seen.txt]] [[say through]]";
    session.prompt(prompt).await;
    let ended = session.ended().await.completed();
    let events = events(session, &ended).await;
    let files: Vec<_> = events
        .iter()
        .filter(|it| it["type"] == "file.change")
        .collect();
    let of = |name: &str| {
        let of_it = files
            .iter()
            .filter(|it| it["path"].as_str().unwrap().ends_with(name));
        let of_it: Vec<_> = of_it.collect();
        assert_eq!(of_it.len(), 1, "{name}: {events:#?}");
        (
            of_it[0]["path"].clone(),
            of_it[0].get("seen_by_host").cloned(),
        )
    };
    of("told.txt");
    assert_eq!(of("seen.txt"), (json!("seen.txt"), Some(json!(true))));
    assert_eq!(files.len(), 2, "{events:#?}");
    assert_eq!(events.last().unwrap()["type"], "turn.result", "{events:#?}");
}

#[tokio::test]
async fn the_same_prompt_gives_the_same_events() {
    let mut stories = BTreeMap::new();
    for vendor in [&CLAUDE, &CODEX, &GEMINI, &OPENCODE] {
        let lab = Lab::new(vendor).await;
        let session = lab
            .session("[[say first]] [[bash echo plum]] [[say through]]")
            .await;
        let ended = session.ended().await.completed();
        let events = events(&session, &ended).await;
        let has = |kind: &str| events.iter().any(|event| event["type"] == kind);
        assert!(has("usage"), "{}: {events:#?}", vendor.runtime);
        assert!(!has("unparsed"), "{}: {events:#?}", vendor.runtime);
        if idle() != "0s" {
            assert_eq!(has("message.delta"), vendor.deltas, "{}", vendor.runtime);
        }
        let result = the(&events, "turn.result");
        assert_eq!(result["is_error"], json!(false), "{result}");
        let text = result["text"].as_str().unwrap_or_default();
        assert!(text.contains("through"), "{}: {result}", vendor.runtime);
        stories.insert(vendor.runtime, story(&events));
        each_file_is_told_once(&session).await;
    }
    let expected = [
        "turn.started",
        "session.started",
        "message",
        "tool.call",
        "tool.result",
        "message",
        "turn.result",
    ];
    for (runtime, story) in stories {
        assert_eq!(story, expected, "{runtime}");
    }
}
