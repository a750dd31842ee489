//! How prompts are run.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use aod_plugin_gemini::Gemini;
use aod_plugin_sdk::testing::{
    context, keeps_secrets_apart, prompt, setting, shown, starts_afresh, with_everything, written,
};
use aod_plugin_sdk::{
    Attachment, Block, Context, FailureKind, ForkOrigin, Launch, Limit, Origin, Prompt, Stdin,
    WorkspaceConfig, prepare,
};

fn facts() -> (Context, Prompt) {
    let mut context = context("google/gemini-2.5-flash");
    context.secrets = vec!["GEMINI_API_KEY".to_owned()];
    (context, prompt("say hello"))
}

fn launch((context, prompt): &(Context, Prompt)) -> Launch {
    prepare::<Gemini>(context, prompt).unwrap()
}

/// A launch without the companion's code.
fn brief(launch: &Launch) -> String {
    shown(launch).replace(include_str!("../src/companion.cjs"), "…")
}

#[test]
fn a_process_that_is_spoken_to() {
    let mut facts = with_everything(facts(), "5e551011-0000-4000-8000-000000000000", "google");
    facts.0.live = true;
    // The requests of all turns would be added up.
    facts.1.limits = vec![Limit::MaxRounds(7)];
    insta::assert_snapshot!(brief(&launch(&facts)));
}

#[test]
fn a_process_that_asks() {
    let mut facts = facts();
    facts.1.settings = vec![setting("permission_mode", "\"autoEdit\"")];
    facts.0.workspace_config = WorkspaceConfig::All;
    let launch = launch(&facts);
    assert_eq!(launch.argv[..2], ["gemini", "--acp"]);
    assert!(!launch.argv.contains(&"--yolo".to_owned()));
    let shown = brief(&launch);
    assert!(shown.contains("\"hidden\":[]"), "{shown}");
}

/// What users have Node load is loaded, too, and by what the CLI starts as well.
#[test]
fn a_users_options_of_node_stay() {
    let mut facts = facts();
    facts.0.secrets.push("NODE_OPTIONS".to_owned());
    let launch = launch(&facts);
    assert_eq!(launch.withhold, ["NODE_OPTIONS"]);
    let variables: Vec<_> = launch
        .env
        .iter()
        .filter(|it| it.name.contains("NODE_OPTIONS"))
        .map(|it| (it.name.as_str(), written(&it.value)))
        .collect();
    let own = "<NODE_OPTIONS>".to_owned();
    let both = format!("--require=\"/run/private/companion.cjs\" {own}");
    assert_eq!(
        variables,
        [("AOD_NODE_OPTIONS", own), ("NODE_OPTIONS", both)]
    );
}

#[test]
fn a_first_turn() {
    insta::assert_snapshot!(brief(&launch(&facts())));
}

#[test]
fn a_later_turn_with_everything() {
    let (context, mut prompt) =
        with_everything(facts(), "5e551011-0000-4000-8000-000000000000", "google");
    prompt.limits = vec![Limit::MaxOutputTokens(9), Limit::MaxRounds(7)];
    insta::assert_snapshot!(brief(&launch(&(context, prompt))));
}

#[test]
fn a_lost_conversation_starts_afresh() {
    let (context, prompt) = facts();
    starts_afresh::<Gemini>(&context, prompt);
}

#[test]
fn secrets_are_in_files_in_memory_or_in_the_environment_only() {
    let (context, prompt) = facts();
    keeps_secrets_apart::<Gemini>(context, &prompt);
}

/// The command that holds the prompt, and what is said on stdin.
fn handed_over(launch: &Launch) -> (Option<String>, String) {
    let command = launch
        .files
        .iter()
        .find(|file| file.path.contains("/commands/"));
    let Stdin::Text(stdin) = &launch.stdin else {
        panic!("{:?}", launch.stdin);
    };
    (command.map(|file| written(&file.content)), written(stdin))
}

#[test]
fn what_the_cli_would_expand_becomes_the_text_of_a_command() {
    let (context, _) = facts();
    for text in ["say hello", "a\n/b", "{{args}} !{x}"] {
        let (command, stdin) = handed_over(&launch(&(context.clone(), prompt(text))));
        assert_eq!((command, &*stdin), (None, text), "as it is");
    }
    let table = [
        (
            "import { A } from \"@acme/p-1\";\nme@example.org",
            r#"prompt = "import { A } from \"@acme/p-1\";\nme@example.org""#,
        ),
        ("/help", r#"prompt = "/help""#),
        (" /help", r#"prompt = " /help""#),
        (
            "@x !{rm} @{y} {{args}}",
            r#"prompt = "@x !!{}{rm} @!{}{y} {!{}{args}}""#,
        ),
    ];
    for (text, expected) in table {
        let (command, stdin) = handed_over(&launch(&(context.clone(), prompt(text))));
        assert_eq!(command.unwrap().trim_end(), expected);
        assert_eq!(stdin, "/aod:5e551011-0000-4000-8000-000000000000");
    }
}

fn attachment(name: &str, media_type: &str, folder: &str) -> Attachment {
    Attachment {
        id: name.to_owned(),
        name: name.to_owned(),
        media_type: media_type.to_owned(),
        path: format!("{folder}/{name}"),
        size: 1,
    }
}

#[test]
fn images_are_handed_over_and_other_files_named() {
    let (context, mut prompt) = facts();
    prompt.blocks = vec![
        Block::Text("what is this?".to_owned()),
        Block::Image(attachment("a b.png", "image/png", "/home/agent/in")),
        Block::Image(attachment("c.jpg", "image/jpeg", "/workspace/in")),
        Block::Image(attachment("d.gif", "image/gif", "/workspace/in")),
        Block::File(attachment("e.txt", "text/plain", "/workspace/in")),
    ];
    let launch = launch(&(context, prompt));
    let (command, _) = handed_over(&launch);
    assert_eq!(
        command.unwrap(),
        "prompt = \"what is this?\\n\\n@{/home/agent/in/a b.png}\\n\\n@{/workspace/in/c.jpg}\\n\\n\
         [image d.gif: /workspace/in/d.gif]\\n\\n[file e.txt: /workspace/in/e.txt]\"\n"
    );
    let line = launch.argv.join(" ");
    assert!(
        line.contains("--include-directories /home/agent/in"),
        "{line}"
    );
    assert!(!line.contains("/workspace/in"), "{line}");
}

#[test]
fn what_it_cannot_do_is_refused_by_its_field() {
    let (mut context, mut prompt) = facts();
    prompt.settings = vec![setting("effort", "1")];
    let refusal = prepare::<Gemini>(&context, &prompt).unwrap_err();
    assert_eq!(refusal.field.as_deref(), Some("settings.effort"));
    prompt.settings.clear();
    context.origin = Origin::Fork(ForkOrigin {
        token: "x".to_owned(),
        after_turn: None,
    });
    let refusal = prepare::<Gemini>(&context, &prompt).unwrap_err();
    assert_eq!(
        (refusal.kind, refusal.field.as_deref()),
        (FailureKind::Unsupported, Some("origin"))
    );
}
