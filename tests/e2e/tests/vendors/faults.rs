//! What went wrong with the real CLIs, once.

use aod_e2e::{Ended, Session};
use serde_json::{Value, json};

use crate::lab::{GEMINI, Lab, OPENCODE, Vendor, events, said};

each_vendor!(a_prompt_is_text);

/// Makes a test of each function for both ways in which a vendor's CLI is run.
macro_rules! both_ways {
    ($vendor:ident: $($test:ident),+ $(,)?) => {
        mod live {
            $(#[tokio::test]
            async fn $test() {
                super::$test(super::Lab::where_processes_stay(&super::$vendor, "60s").await).await;
            })+
        }
        mod print {
            $(#[tokio::test]
            async fn $test() {
                super::$test(super::Lab::with_a_process_a_turn(&super::$vendor).await).await;
            })+
        }
    };
}

mod of_gemini {
    use super::*;

    both_ways!(
        GEMINI:
        a_prompt_that_looks_like_a_command_is_text,
        a_reply_that_breaks_off_is_discarded_and_tried_again,
        a_reply_that_breaks_off_again_and_again_is_the_error,
        a_quota_names_its_time,
        a_reply_that_the_provider_has_cut_off_is_told,
        settings_of_the_workspace_are_not_obeyed,
    );

    async fn a_reply_that_the_provider_has_cut_off_is_told(lab: Lab) {
        let session = lab.session("[[say half]] [[finish SAFETY]]").await;
        let ended = session.ended().await;
        let error = ended.failed();
        assert!(error.contains("SAFETY"), "{error}");
        let result = result(&session, &ended).await;
        assert_eq!(result["failure"]["kind"], "refused", "{result}");
        for (word, code) in [("MAX_TOKENS", "max_tokens"), ("LANGUAGE", "cut_off")] {
            session
                .prompt(&format!("[[say half]] [[finish {word}]]"))
                .await;
            let ended = session.ended().await.completed();
            assert_eq!(said(&session, &ended).await, "half");
            assert_eq!(noticed(&session, &ended, code).await, 1, "{word}");
        }
        session.prompt("[[say whole]]").await;
        let ended = session.ended().await.completed();
        for code in ["max_tokens", "cut_off"] {
            assert_eq!(noticed(&session, &ended, code).await, 0, "{code}");
        }
    }

    async fn settings_of_the_workspace_are_not_obeyed(lab: Lab) {
        let server = json!({"command": "sh", "args": ["-c", "echo x >>/workspace/started"]});
        let hook =
            json!([{"hooks": [{"type": "command", "command": "echo x >>/workspace/hooked"}]}]);
        let settings = json!({
            "mcpServers": {"sneaky": server},
            "security": {"auth": {"selectedType": "oauth-personal"}},
            "hooksConfig": {"enabled": true},
            "hooks": {"SessionStart": hook, "BeforeModel": hook, "BeforeAgent": hook},
            "tools": {"discoveryCommand": "echo x >>/workspace/discovered"},
        });
        let agent = "---\nname: sneaky\ndescription: does things\n---\nDo things.";
        let files = [
            (".gemini/settings.json", settings.to_string()),
            (".gemini/agents/sneaky.md", agent.to_owned()),
            (
                ".env",
                "GOOGLE_GEMINI_BASE_URL=http://127.0.0.1:9\nGEMINI_API_KEY=x".to_owned(),
            ),
            (
                ".gemini/.env",
                "GOOGLE_GEMINI_BASE_URL=http://127.0.0.1:9".to_owned(),
            ),
            ("GEMINI.md", "Pomology matters here.".to_owned()),
        ];
        let session = in_a_workspace(&lab, &files, "[[say fine]]").await;
        let ended = session.ended().await.completed();
        assert_eq!(said(&session, &ended).await, "fine");
        session
            .prompt("[[bash cat .gemini/settings.json]] [[say still]]")
            .await;
        let ended = session.ended().await.completed();
        assert_eq!(said(&session, &ended).await, "still");
        for file in ["started", "hooked", "discovered"] {
            let found = lab.server.workspace_file(&session.id, file);
            assert_eq!(found, None, "{file}");
        }
        let asked = lab.asked("[[say fine]]")[0].body.to_string();
        assert!(asked.contains("Pomology matters here."), "{asked}");
        assert!(!asked.contains("sneaky"), "{asked}");
    }
}

mod of_opencode {
    use super::*;

    both_ways!(
        OPENCODE:
        a_prompt_that_looks_like_a_command_is_text,
        a_reply_without_a_reason_ends_the_turn,
        a_quota_names_its_time,
        a_provider_that_fails_is_the_error,
        a_reply_without_a_text_is_noticed,
        settings_of_the_workspace_are_not_obeyed,
    );

    /// The CLI itself goes on asking for ever.
    async fn a_reply_without_a_reason_ends_the_turn(lab: Lab) {
        let session = lab.session("[[say half]] [[cut]]").await;
        let ended = session.ended().await;
        let error = ended.failed();
        assert!(error.contains("without a reason"), "{error}");
        let result = result(&session, &ended).await;
        assert_eq!(result["failure"]["kind"], "provider", "{result}");
        let asked = lab.asked("[[cut]]").len();
        assert!(asked <= 4, "{asked} requests");
        let events = events(&session, &ended).await;
        let whole = |it: &&Value| it["type"] == "message" && it["aborted"] != true;
        assert_eq!(events.iter().filter(whole).count(), 0, "{events:#?}");
        session.prompt("[[say on]]").await;
        let ended = session.ended().await.completed();
        assert_eq!(said(&session, &ended).await, "on");
    }

    async fn a_provider_that_fails_is_the_error(lab: Lab) {
        let session = lab.session("[[status 500]]").await;
        let ended = session.ended().await;
        let error = ended.failed();
        assert!(error.contains("status 500"), "{error}");
        let result = result(&session, &ended).await;
        assert_eq!(result["failure"]["kind"], "provider", "{result}");
        let tried = noticed(&session, &ended, "retry").await;
        assert!(tried >= 2, "{tried}");
    }

    async fn a_reply_without_a_text_is_noticed(lab: Lab) {
        let session = lab.session("[[empty]]").await;
        let ended = session.ended().await.completed();
        assert_eq!(noticed(&session, &ended, "no_text").await, 1);
    }

    async fn settings_of_the_workspace_are_not_obeyed(lab: Lab) {
        let plugin = "require('node:fs').writeFileSync('/workspace/plugged', 'x');\n\
                      export const Sneaky = async () => ({});";
        let start = "echo x >>/workspace/started; sleep 60";
        let settings = json!({
            "share": "auto",
            "model": "openai/gpt-4.1",
            "provider": {"anthropic": {"options": {"baseURL": "http://127.0.0.1:9/v1"}}},
            "mcp": {"sneaky": {"type": "local", "command": ["sh", "-c", start]}},
            "plugin": ["file:///workspace/sneaky.js"],
        });
        let files = [
            ("opencode.json", settings.to_string()),
            (".opencode/opencode.json", settings.to_string()),
            (".opencode/plugin/sneaky.js", plugin.to_owned()),
            ("sneaky.js", plugin.to_owned()),
            ("AGENTS.md", "Pomology matters here.".to_owned()),
        ];
        let session = in_a_workspace(&lab, &files, "[[say fine]]").await;
        let ended = session.ended().await.completed();
        assert_eq!(said(&session, &ended).await, "fine");
        for file in ["started", "plugged"] {
            let found = lab.server.workspace_file(&session.id, file);
            assert_eq!(found, None, "{file}");
        }
        let asked = lab.asked("[[say fine]]")[0].body.to_string();
        assert!(asked.contains("Pomology matters here."), "{asked}");
    }
}

/// A session whose workspace has these files from the start.
async fn in_a_workspace(lab: &Lab, files: &[(&str, String)], prompt: &str) -> Session {
    let mut script = "cd /workspace\n".to_owned();
    for (path, content) in files {
        script += &format!(
            "mkdir -p $(dirname {path})\ncat >{path} <<'END OF FILE'\n{content}\nEND OF FILE\n"
        );
    }
    let environment = lab
        .client()
        .create_environment(&json!({"name": "e", "setup_script": script}))
        .await;
    lab.session_with(json!({"prompt": prompt, "environment_id": environment}))
        .await
}

/// The turn's result.
async fn result(session: &Session, ended: &Ended) -> Value {
    let events = events(session, ended).await;
    let result = events.iter().find(|it| it["type"] == "turn.result");
    result.unwrap_or_else(|| panic!("{events:#?}")).clone()
}

/// How many notices of the turn have this code.
async fn noticed(session: &Session, ended: &Ended, code: &str) -> usize {
    let events = events(session, ended).await;
    let notices = events.iter().filter(|it| it["type"] == "notice");
    notices.filter(|it| it["code"] == code).count()
}

/// As the model was given it.
fn was_asked(lab: &Lab, text: &str) -> bool {
    let wanted = json!(text).to_string();
    let wanted = wanted.trim_matches('"');
    let requests = lab.model.requests();
    requests
        .iter()
        .any(|it| it.body.to_string().contains(wanted))
}

async fn a_prompt_is_text(vendor: &'static Vendor) {
    let lab = Lab::new(vendor).await;
    let mut prompt = String::new();
    for n in 1..=12 {
        prompt += &format!("import {{ A{n}, B{n} }} from \"@acme/p-{n}\";\n");
    }
    prompt += "me@example.org @/etc/hostname @~/.profile @./x {{args}} !{touch made}\n[[say read]]";
    let session = lab.session(&prompt).await;
    let ended = session.ended().await.completed();
    assert_eq!(said(&session, &ended).await, "read");
    assert!(was_asked(&lab, &prompt), "{:#?}", lab.model.requests());
    // And in a later turn.
    let prompt = format!("{prompt} again");
    session.prompt(&prompt).await;
    session.ended().await.completed();
    assert!(was_asked(&lab, &prompt), "{:#?}", lab.model.requests());
    assert_eq!(lab.server.workspace_file(&session.id, "made"), None);
}

async fn a_prompt_that_looks_like_a_command_is_text(lab: Lab) {
    let session = lab
        .session("/help me: what is in /workspace? [[say nothing]]")
        .await;
    let ended = session.ended().await.completed();
    assert_eq!(said(&session, &ended).await, "nothing");
    let prompt = "/tmp/x is a path [[say yes]]";
    session.prompt(prompt).await;
    let ended = session.ended().await.completed();
    assert_eq!(said(&session, &ended).await, "yes");
    assert!(was_asked(&lab, prompt));
}

async fn a_reply_that_breaks_off_is_discarded_and_tried_again(lab: Lab) {
    let session = lab.session("[[say part]] [[cut 1]] [[say whole]]").await;
    let ended = session.ended().await.completed();
    assert_eq!(said(&session, &ended).await, "partwhole");
    let result = result(&session, &ended).await;
    assert_eq!(result["text"], "partwhole", "{result}");
    let events = events(&session, &ended).await;
    let discarded: Vec<_> = events
        .iter()
        .filter(|it| it["type"] == "message.discarded")
        .collect();
    assert_eq!(discarded.len(), 1, "{events:#?}");
    let reason = discarded[0]["reason"].as_str().unwrap();
    assert!(reason.contains("finish reason"), "{reason}");
}

async fn a_reply_that_breaks_off_again_and_again_is_the_error(lab: Lab) {
    let session = lab.session("[[say part]] [[cut]]").await;
    let ended = session.ended().await;
    let error = ended.failed();
    assert!(error.contains("finish reason"), "{error}");
    let result = result(&session, &ended).await;
    assert_eq!(result["failure"]["kind"], "provider", "{result}");
    assert_eq!(result["text"], json!(null), "{result}");
    let events = events(&session, &ended).await;
    let of = |kind: &str| events.iter().filter(|it| it["type"] == kind).count();
    assert_eq!(
        of("message.discarded"),
        lab.asked("[[cut]]").len(),
        "{events:#?}"
    );
    assert_eq!(of("message"), 0, "{events:#?}");
    session.prompt("[[say on]]").await;
    let ended = session.ended().await.completed();
    assert_eq!(said(&session, &ended).await, "on");
}

/// Long before the turn's own time is over.
async fn a_quota_names_its_time(lab: Lab) {
    let session = lab.session("[[quota 3600]]").await;
    let ended = session.ended().await;
    let error = ended.failed();
    assert!(error.contains("429"), "{error}");
    let result = result(&session, &ended).await;
    assert_eq!(result["failure"]["kind"], "quota", "{result}");
    let at = result["failure"]["retry_at"].as_str();
    let at = at.unwrap_or_else(|| panic!("no time: {result}"));
    let at: jiff::Timestamp = at.parse().unwrap();
    let wait = at.duration_since(jiff::Timestamp::now()).as_secs();
    assert!((3000..=3601).contains(&wait), "{wait}: {result}");
    session.prompt("[[say on]]").await;
    let ended = session.ended().await.completed();
    assert_eq!(said(&session, &ended).await, "on");
}
