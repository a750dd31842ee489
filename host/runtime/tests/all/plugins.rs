//! The adapters that the project ships, through the same door as any other.

use std::path::Path;

use aod_resources::event::EventBody;
use aod_runtime::manifest::Manifest;
use aod_runtime::types::{Action, Continuity, Exit, ExitCause, OutputSource, Stdin};
use aod_runtime::{Adapter, ModelError, Registry, Settings};

use crate::{context, converse, engine, plugin, prompt};

fn load(name: &str) -> Adapter {
    Adapter::from_file(engine(), name, &plugin(name), Settings::default()).unwrap()
}

fn clean_exit() -> Exit {
    Exit {
        code: Some(0),
        signal: None,
        cause: ExitCause::Own,
        stderr_tail: String::new(),
    }
}

/// The token endpoints in the `runtimes.toml` of a release are for credentials that its adapters
/// declare, and read logins as the CLIs keep them.
#[test]
fn logins_of_the_shipped_runtimes_can_be_renewed() {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../runtimes.toml"));
    let manifest = Manifest::read(path).unwrap();
    assert_eq!(manifest.problems().count(), 0);
    let mut seen = Vec::new();
    for (name, runtime) in &manifest.runtimes {
        let oauth = &runtime.as_ref().unwrap().settings.oauth;
        if oauth.is_empty() {
            continue;
        }
        let adapter = load(name);
        for (credential, endpoint) in oauth {
            let mut declared = adapter.description().credentials.iter();
            assert!(declared.any(|it| it.name == *credential), "{credential}");
            let keys = |path: &[String]| path.join("/");
            seen.push((
                credential.as_str(),
                endpoint.token_url.as_str(),
                keys(&endpoint.access_token),
                keys(&endpoint.refresh_token),
                keys(&endpoint.expires_at),
            ));
        }
    }
    let of = |key: &str| format!("claudeAiOauth/{key}");
    assert_eq!(
        seen,
        [(
            "runtime_token:claude-oauth",
            "https://platform.claude.com/v1/oauth/token",
            of("accessToken"),
            of("refreshToken"),
            of("expiresAt"),
        )]
    );
}

#[test]
fn claude_is_described_and_prepares_a_first_turn() {
    let adapter = load("claude");
    assert_eq!(adapter.interface_version(), "1.0.0");
    let description = adapter.description();
    assert_eq!(description.name, "claude");
    assert!(
        description
            .models
            .iter()
            .any(|model| model.id == "anthropic/claude-sonnet-4-6")
    );
    assert!(adapter.cli().install_key().unwrap().starts_with("claude-"));

    let launch = adapter
        .prepare(&context("anthropic/claude-sonnet-4-6"), &prompt())
        .unwrap();
    assert_eq!(launch.argv[0], adapter.description().cli.command);
    assert!(
        launch.argv.iter().any(|word| word == "claude-sonnet-4-6"),
        "{:?}",
        launch.argv
    );
    assert!(
        !launch.argv.iter().any(|word| word.contains("Say hello")),
        "the prompt goes by stdin"
    );
    assert!(!matches!(launch.stdin, Stdin::None));
    assert_eq!(launch.continuity, Continuity::First);
}

#[test]
fn claude_reads_a_transcript_the_same_however_it_is_cut() {
    let adapter = load("claude");
    for transcript in [
        include_str!("../transcripts/first.jsonl"),
        include_str!("../transcripts/partial.jsonl"),
    ] {
        let read = |batches: Vec<&str>| -> Vec<String> {
            let mut conversation = converse(&adapter, "anthropic/claude-sonnet-4-6").unwrap();
            let mut told = Vec::new();
            for batch in batches {
                let reaction = conversation.feed(OutputSource::Stdout, batch).unwrap();
                for action in reaction.actions {
                    match action {
                        Action::Emit(emitted) => {
                            let body = &emitted.body;
                            assert!(!matches!(body, EventBody::Unparsed(_)), "{emitted:?}");
                            told.push(serde_json::to_string(body).unwrap());
                        }
                        other => told.push(format!("{other:?}")),
                    }
                }
            }
            let last = conversation.finish(&clean_exit()).unwrap();
            assert!(last.actions.is_empty(), "{last:?}");
            told
        };
        let whole = read(vec![transcript]);
        let lines = read(transcript.split_inclusive('\n').collect());
        assert_eq!(whole, lines);
        assert!(
            whole.iter().any(|told| told.contains("turn.result")),
            "{whole:#?}"
        );
        assert!(
            whole.iter().any(|told| told.contains("Remember")),
            "{whole:#?}"
        );
    }
}

#[test]
fn the_demo_is_prepared() {
    let adapter = load("demo");
    let model = adapter.description().models[0].id.clone();
    let launch = adapter.prepare(&context(&model), &prompt()).unwrap();
    assert!(!launch.argv.is_empty());
}

#[test]
fn the_catalog_joins_adapters_and_runtimes_toml() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = folder.path().join("runtimes.toml");
    let (claude, demo) = (plugin("claude"), plugin("demo"));
    std::fs::write(
        &manifest,
        format!(
            "[runtime.claude]\ncomponent = {claude:?}\n\
             [[runtime.claude.models]]\nid = \"anthropic/claude-next-1\"\nlabel = \"Next\"\n\
             [[runtime.claude.models]]\nid = \"anthropic/claude-opus-4-6\"\nhidden = true\n\
             [runtime.demo]\ncomponent = {demo:?}\n"
        ),
    )
    .unwrap();
    let registry = Registry::load(
        engine().clone(),
        &manifest,
        &folder.path().join("cwasm"),
        &folder.path().join("adapters"),
    );
    let catalog = &registry.snapshot().catalog;
    assert_eq!(
        catalog.validate_model("claude", "anthropic/claude-sonnet-4-6"),
        Ok(())
    );
    assert_eq!(
        catalog.validate_model("claude", "anthropic/claude-next-1"),
        Ok(())
    );
    let next = catalog
        .models()
        .into_iter()
        .find(|m| m.id == "anthropic/claude-next-1")
        .unwrap();
    assert_eq!(
        (next.label.as_deref(), next.provider.as_str()),
        (Some("Next"), "anthropic")
    );
    assert_eq!(next.runtimes, ["claude"]);

    let error = catalog
        .validate_model("claude", "anthropic/claude-opus-4-6")
        .unwrap_err();
    assert!(matches!(error, ModelError::Unknown { .. }), "{error}");
    let error = catalog
        .validate_model("claude", "claude-sonnet-4-6")
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("did you mean `anthropic/claude-sonnet-4-6`?"),
        "{error}"
    );
    let error = catalog.validate_model("claude", "openai/o3").unwrap_err();
    assert!(matches!(error, ModelError::Provider { .. }), "{error}");
    assert!(
        error.to_string().contains("anthropic/claude-sonnet-4-6"),
        "{error}"
    );
    let error = catalog.validate_model("none", "openai/o3").unwrap_err();
    assert!(
        matches!(error, ModelError::UnknownRuntime { .. }),
        "{error}"
    );
}
