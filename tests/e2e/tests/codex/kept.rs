//! What a process that stays survives, and what it is closed for.

use aod_e2e::{DEADLINE, eventually};

use crate::{Lab, answer, key, options, result};

impl Lab {
    /// Kills the CLI, and waits until nothing of it is left.
    async fn kill_the_cli(&self) {
        let processes = self.processes();
        assert!(!processes.is_empty());
        for process in processes {
            process.kill();
        }
        eventually("it is gone", DEADLINE, async || {
            self.server.supervisors().is_empty().then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_cli_that_is_killed_between_turns_costs_nothing() {
    let lab = Lab::new().await;
    let session = lab.session("the word is tangerine").await;
    answer(&session).await;
    lab.kill_the_cli().await;
    session.prompt("which word? [[recall]]").await;
    let text = answer(&session).await;
    assert!(text.contains("the word is tangerine"), "{text}");
}

#[tokio::test]
async fn a_cli_that_is_killed_in_a_turn_remembers_what_was_asked() {
    let lab = Lab::new().await;
    let session = lab
        .session("[[slow 50]] [[words 2000]] the word is plum")
        .await;
    eventually("the model is asked", DEADLINE, async || {
        (!lab.model.requests().is_empty()).then_some(())
    })
    .await;
    eventually("it answers", DEADLINE, async || {
        let all = crate::events(&session).await;
        (!crate::of_type(&all, "message.delta").is_empty()).then_some(())
    })
    .await;
    lab.kill_the_cli().await;
    let ended = session.ended().await;
    ended.failed();
    session.prompt("which word? [[recall]]").await;
    let text = answer(&session).await;
    assert!(text.contains("the word is plum"), "{text}");
}

/// Nobody goes on with what is not there, and the process that found that out is of no use.
#[tokio::test]
async fn a_conversation_that_is_lost_is_said_to_be_and_begun_anew() {
    let lab = Lab::new().await;
    let session = lab.session("the word is tangerine").await;
    answer(&session).await;
    lab.kill_the_cli().await;
    let home = lab.server.session_files(&session.id).join("home");
    std::fs::remove_dir_all(home.join(".codex/sessions")).unwrap();
    session.prompt("which word? [[recall]]").await;
    let ended = session.ended().await;
    ended.failed();
    let failed = result(&session, &ended).await;
    assert_eq!(failed["failure"]["kind"], "resume", "{failed}");
    session.prompt("[[say anew]]").await;
    assert_eq!(answer(&session).await, "anew");
}

#[tokio::test]
async fn a_host_that_is_killed_goes_on_with_the_process() {
    let mut lab = Lab::new().await;
    let session = lab.session("the word is tangerine").await;
    answer(&session).await;
    let processes = lab.processes();
    lab.server.kill_and_start_again().await;
    let session = session.at(lab.client());
    session.prompt("which word? [[recall]]").await;
    let text = answer(&session).await;
    assert!(text.contains("the word is tangerine"), "{text}");
    assert_eq!(lab.processes(), processes);
}

#[tokio::test]
async fn a_changed_key_works_in_the_next_turn() {
    let lab = Lab::new().await;
    let session = lab.session("the word is tangerine").await;
    answer(&session).await;
    let processes = lab.processes();
    let changed = key();
    lab.register("provider_key:openai", &changed).await;
    session.prompt("which word? [[recall]]").await;
    let text = answer(&session).await;
    assert!(text.contains("the word is tangerine"), "{text}");
    assert!(processes.iter().all(|process| !process.is_alive()));
    let last = lab.model.requests().pop().unwrap();
    assert_eq!(last.credential, Some(changed));
}

/// With a process a turn the CLI is another program, and knows the same conversations.
#[tokio::test]
async fn a_conversation_goes_on_whether_processes_stay_or_not() {
    let mut lab = Lab::new().await;
    let session = lab.session("the word is tangerine").await;
    answer(&session).await;
    lab.kill_the_cli().await;
    for (idle, stays, word) in [("0s", false, "plum"), ("60s", true, "pear")] {
        lab.server.stop().await;
        lab.server.start_again_with(options(idle)).await;
        let session = session.at(lab.client());
        session.prompt(&format!("and {word}: [[recall]]")).await;
        let text = answer(&session).await;
        assert!(text.contains("the word is tangerine"), "{text}");
        assert_eq!(!lab.processes().is_empty(), stays);
    }
    let session = session.at(lab.client());
    session.prompt("all? [[recall]]").await;
    let text = answer(&session).await;
    for part in ["the word is tangerine", "and plum", "and pear"] {
        assert!(text.contains(part), "{text}");
    }
    let counted = lab.model.usage();
    let usage = session.read().await["usage"].clone();
    assert_eq!(usage["input_tokens"], counted.input_tokens, "{usage}");
    assert_eq!(usage["output_tokens"], counted.output_tokens, "{usage}");
}
