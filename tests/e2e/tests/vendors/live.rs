//! Processes that stay between turns.

use aod_e2e::{DEADLINE, Gate, Process, Session, eventually};
use serde_json::{Value, json};

use crate::lab::{GEMINI, Lab, OPENCODE, Vendor, events, said, secret};

/// Makes a test of each function for each vendor whose process stays.
macro_rules! each_living_vendor {
    ($($test:ident),+ $(,)?) => {
        mod gemini {
            $(#[tokio::test] async fn $test() { super::$test(&super::GEMINI).await; })+
        }
        mod opencode {
            $(#[tokio::test] async fn $test() { super::$test(&super::OPENCODE).await; })+
        }
    };
}

each_living_vendor!(
    three_turns_have_one_process_and_remember,
    an_interrupted_answer_keeps_the_process,
    an_interrupted_tool_keeps_the_process,
    a_process_that_is_killed_at_rest_loses_nothing,
    a_host_that_starts_again_goes_on_with_the_process,
    a_changed_key_closes_the_process,
    what_a_stopped_turn_was_asked_is_known_in_the_next,
);

/// The process that serves the session's turns.
fn process(lab: &Lab) -> Process {
    lab.server.supervisor().root
}

mod steered {
    use super::*;
    use crate::lab::{CLAUDE, CODEX};

    #[tokio::test]
    async fn claude() {
        a_steered_prompt_reaches_the_turn_that_runs(&CLAUDE).await;
    }

    #[tokio::test]
    async fn codex() {
        a_steered_prompt_reaches_the_turn_that_runs(&CODEX).await;
    }

    #[tokio::test]
    async fn claude_at_once() {
        a_turn_is_steered_from_its_first_moment(&CLAUDE).await;
    }

    #[tokio::test]
    async fn codex_at_once() {
        a_turn_is_steered_from_its_first_moment(&CODEX).await;
    }
}

async fn a_steered_prompt_reaches_the_turn_that_runs(vendor: &'static Vendor) {
    let lab = Lab::where_processes_stay(vendor, "60s").await;
    let gate = Gate::new("gate");
    let prompt = format!("[[bash {}]] [[say through]]", gate.command());
    let session = lab.session(&prompt).await;
    gate.reached(&lab.server, &session).await;
    let steer = json!({"prompt": "look left as well", "when_busy": "steer"});
    let path = format!("/sessions/{}/prompt", session.id);
    let told = lab.client().post(&path, &steer).await.expect(202);
    assert_eq!(told["current_turn"], 1, "{told}");
    gate.open(&lab.server, &session);
    session.ended().await.completed();
    assert!(!lab.asked("look left as well").is_empty());
    assert_eq!(session.turns().await.len(), 1);
}

/// The CLI is still starting, or has not come to the prompt yet.
async fn a_turn_is_steered_from_its_first_moment(vendor: &'static Vendor) {
    let lab = Lab::where_processes_stay(vendor, "60s").await;
    let session = lab.session("[[bash sleep 1]] [[say first]]").await;
    session.wait_for("running").await;
    let path = format!("/sessions/{}/prompt", session.id);
    let steer = |text: &str| json!({"prompt": text, "when_busy": "steer"});
    let told = lab.client().post(&path, &steer("look left")).await;
    assert_eq!(told.expect(202)["current_turn"], 1);
    session.ended().await.completed();
    session.prompt("[[bash sleep 1]] [[say second]]").await;
    session.wait_for("running").await;
    let told = lab.client().post(&path, &steer("look right")).await;
    assert_eq!(told.expect(202)["current_turn"], 2);
    session.ended().await.completed();
    for text in ["look left", "look right"] {
        assert!(!lab.asked(text).is_empty());
    }
    assert_eq!(session.turns().await.len(), 2);
}

async fn interrupt(lab: &Lab, session: &Session) {
    lab.client()
        .post_empty(&format!("/sessions/{}/interrupt", session.id))
        .await
        .expect(202);
    let ended = session.ended().await;
    assert_eq!(ended.session["status"], "completed", "{ended:#?}");
    assert_eq!(ended.turn["outcome"], "interrupted", "{ended:#?}");
}

async fn three_turns_have_one_process_and_remember(vendor: &'static Vendor) {
    let lab = Lab::where_processes_stay(vendor, "60s").await;
    let session = lab.session("the word is tangerine").await;
    session.ended().await.completed();
    let first = process(&lab);
    session.prompt("[[bash echo plum]] [[say second]]").await;
    let ended = session.ended().await.completed();
    assert_eq!(said(&session, &ended).await, "second");
    session.prompt("which word? [[recall]]").await;
    let ended = session.ended().await.completed();
    let answer = said(&session, &ended).await;
    assert!(answer.contains("the word is tangerine"), "{answer}");
    assert_eq!(process(&lab), first);
    // Each turn has what it used, and all of it.
    let counted = lab.model.usage();
    let used = &ended.session["usage"];
    assert_eq!(used["input_tokens"], counted.input_tokens, "{used}");
    assert_eq!(used["output_tokens"], counted.output_tokens, "{used}");
    let turns = session.turns().await;
    let requests: Vec<_> = turns
        .iter()
        .map(|turn| turn["usage"]["output_tokens"].as_u64().unwrap() / 7)
        .collect();
    assert_eq!(requests, [1, 2, 1], "{turns:#?}");
}

async fn an_interrupted_answer_keeps_the_process(vendor: &'static Vendor) {
    let lab = Lab::where_processes_stay(vendor, "60s").await;
    let session = lab.session("[[say ready]]").await;
    session.ended().await.completed();
    let first = process(&lab);
    session.prompt("[[slow 50]] [[words 2000]] one").await;
    eventually("it answers", DEADLINE, async || {
        let page = lab
            .client()
            .get(&format!("/sessions/{}/events?limit=200", session.id))
            .await
            .expect(200);
        let events = page["data"].as_array().unwrap();
        let is_delta = |it: &&Value| it["turn"] == 2 && it["type"] == "message.delta";
        (events.iter().filter(is_delta).count() > 2).then_some(())
    })
    .await;
    interrupt(&lab, &session).await;
    session.prompt("[[say on]]").await;
    let ended = session.ended().await.completed();
    assert_eq!(said(&session, &ended).await, "on");
    assert_eq!(process(&lab), first);
}

async fn an_interrupted_tool_keeps_the_process(vendor: &'static Vendor) {
    let lab = Lab::where_processes_stay(vendor, "60s").await;
    let session = lab.session("[[say ready]]").await;
    session.ended().await.completed();
    let first = process(&lab);
    let command = "echo x >there; sleep 4321";
    session
        .prompt(&format!("[[bash {command}]] [[say no]]"))
        .await;
    eventually("the tool runs", DEADLINE, async || {
        lab.server.workspace_file(&session.id, "there").map(|_| ())
    })
    .await;
    interrupt(&lab, &session).await;
    session.prompt("[[recall]]").await;
    let ended = session.ended().await.completed();
    let answer = said(&session, &ended).await;
    assert!(answer.contains(command), "{answer}");
    assert_eq!(process(&lab), first);
    // The tool is gone, and the CLI is not.
    let left = lab.server.supervisor().below;
    let commands: Vec<_> = left.iter().map(|process| process.command()).collect();
    assert!(
        !commands.iter().any(|it| it.contains("4321")),
        "{commands:#?}"
    );
}

/// What a turn leaves behind and the CLI at rest can use the gateway no more than anybody else,
/// whether the host is there or not, until the next turn begins.
#[tokio::test]
async fn between_turns_the_placeholder_is_refused() {
    let mut lab = Lab::where_processes_stay(&GEMINI, "60s").await;
    let asks = "setsid sh -c 'while :; do curl -s -o /dev/null -w \"%{http_code}\\n\" \
                -H \"x-goog-api-key: $GEMINI_API_KEY\" $GOOGLE_GEMINI_BASE_URL/v1beta/none \
                >>/workspace/codes; sleep 0.1; done' >/dev/null 2>&1 </dev/null & \
                until [ -s /workspace/codes ]; do sleep 0.1; done";
    let session = lab.session(&format!("[[bash {asks}]] [[say one]]")).await;
    session.ended().await.completed();
    let first = process(&lab);
    let codes = |lab: &Lab| lab.server.workspace_file(&session.id, "codes").unwrap();
    let last = |lab: &Lab| codes(lab).lines().last().unwrap_or_default().to_owned();
    assert!(!codes(&lab).starts_with("401"), "{}", codes(&lab));
    eventually("it is refused", DEADLINE, async || {
        (last(&lab) == "401").then_some(())
    })
    .await;
    lab.server.kill();
    let so_far = codes(&lab).len();
    eventually("it is still asked", DEADLINE, async || {
        (codes(&lab).len() > so_far + 8).then_some(())
    })
    .await;
    let since = codes(&lab)[so_far..].to_owned();
    assert!(since.trim().lines().all(|code| code == "401"), "{since}");
    lab.server.kill_and_start_again().await;
    let session = session.at(lab.server.client());
    let wait = "while [ \"$(tail -n 1 /workspace/codes)\" = 401 ]; do sleep 0.1; done";
    session
        .prompt(&format!("[[bash {wait}]] [[say two]]"))
        .await;
    let ended = session.ended().await.completed();
    assert_eq!(said(&session, &ended).await, "two");
    assert_eq!(process(&lab), first);
    eventually("it is refused again", DEADLINE, async || {
        let codes = lab.server.workspace_file(&session.id, "codes").unwrap();
        (codes.lines().last() == Some("401")).then_some(())
    })
    .await;
    // The CLI itself was never refused.
    let path = format!("/sessions/{}/events?limit=200", session.id);
    let told = lab.client().get(&path).await.expect(200).to_string();
    assert!(!told.contains("aod_gateway"), "{told}");
}

/// At once, too: the Gemini CLI would lose a session that is loaded in the minute of its beginning.
async fn a_process_that_is_killed_at_rest_loses_nothing(vendor: &'static Vendor) {
    let lab = Lab::where_processes_stay(vendor, "60s").await;
    let session = lab.session("the word is tangerine").await;
    session.ended().await.completed();
    for word in ["pear", "plum"] {
        let tree = lab.server.supervisor();
        for process in &tree.below {
            if process.command().contains(vendor.runtime) && !process.command().contains("--init") {
                process.kill();
            }
        }
        eventually("the processes are gone", DEADLINE, async || {
            tree.survivors().is_empty().then_some(())
        })
        .await;
        session.prompt(&format!("{word} [[recall]]")).await;
        let ended = session.ended().await.completed();
        let answer = said(&session, &ended).await;
        assert!(answer.contains("the word is tangerine"), "{answer}");
        assert_ne!(process(&lab), tree.root);
    }
    session.prompt("[[recall]]").await;
    let ended = session.ended().await.completed();
    let answer = said(&session, &ended).await;
    assert!(
        answer.contains("pear") && answer.contains("plum"),
        "{answer}"
    );
}

async fn a_host_that_starts_again_goes_on_with_the_process(vendor: &'static Vendor) {
    let mut lab = Lab::where_processes_stay(vendor, "60s").await;
    let session = lab.session("the word is tangerine").await;
    session.ended().await.completed();
    let first = process(&lab);
    lab.server.kill_and_start_again().await;
    let session = session.at(lab.server.client());
    session
        .prompt("[[bash echo plum]] which word? [[recall]]")
        .await;
    let ended = session.ended().await.completed();
    let answer = said(&session, &ended).await;
    assert!(answer.contains("the word is tangerine"), "{answer}");
    assert_eq!(process(&lab), first);
    // What was known of the process is known still: the call is told as it would have been.
    let events = events(&session, &ended).await;
    let call = events.iter().find(|it| it["type"] == "tool.call").unwrap();
    assert_eq!(call["input"]["command"], "echo plum", "{call}");
    let result = events.iter().find(|it| it["type"] == "tool.result");
    let output = result.unwrap()["output"].as_str().unwrap();
    assert_eq!(output.trim(), "plum");
    assert_eq!(
        ended.turn["usage"]["output_tokens"], 14,
        "{:#?}",
        ended.turn
    );
}

async fn a_changed_key_closes_the_process(vendor: &'static Vendor) {
    let lab = Lab::where_processes_stay(vendor, "60s").await;
    let session = lab.session("the word is tangerine").await;
    session.ended().await.completed();
    let first = process(&lab);
    let changed = secret(vendor);
    lab.register(vendor.credential, &changed).await;
    session.prompt("[[recall]] with-the-other").await;
    let ended = session.ended().await.completed();
    let answer = said(&session, &ended).await;
    assert!(answer.contains("the word is tangerine"), "{answer}");
    assert_ne!(process(&lab), first);
    let asked = lab.asked("with-the-other");
    let keys: Vec<_> = asked.iter().map(|it| it.credential.as_deref()).collect();
    assert!(keys.iter().all(|key| *key == Some(&changed)), "{keys:?}");
}

/// An agent that is told "no, in blue" has to know what.
async fn what_a_stopped_turn_was_asked_is_known_in_the_next(vendor: &'static Vendor) {
    let lab = Lab::where_processes_stay(vendor, "60s").await;
    let session = lab.session("[[slow 50]] [[words 2000]] paint it red").await;
    eventually("the model is asked", DEADLINE, async || {
        let requests = lab.model.requests();
        let asked = |it: &aod_standin::Request| it.body.to_string().contains("paint it red");
        requests.iter().any(asked).then_some(())
    })
    .await;
    interrupt(&lab, &session).await;
    session.prompt("no, in blue [[recall]]").await;
    let ended = session.ended().await.completed();
    let answer = said(&session, &ended).await;
    assert!(answer.contains("paint it red"), "{answer}");
    let requests = lab.asked("no, in blue");
    let body = json!(requests[0].body).to_string();
    assert_eq!(body.matches("paint it red").count(), 1, "{body}");
}
