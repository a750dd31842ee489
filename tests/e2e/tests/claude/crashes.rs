//! The host dies; Claude Code does not notice.

use aod_e2e::{Gate, check_ids};

use crate::{Lab, result};

#[tokio::test]
async fn a_turn_outlives_the_host_and_its_reader_misses_nothing() {
    let mut lab = Lab::new().await;
    let gate = Gate::new("gate");
    let prompt = format!(
        "[[slow 10]] [[words 60]] [[bash {}]] [[say through]]",
        gate.command()
    );
    let mut session = lab.session(&prompt).await;
    let mut stream = session.stream().await;
    // Killed in the middle of a streamed answer.
    let mut seen = stream.until(|event| event.says("word9 ")).await;
    lab.server.kill();
    seen.extend(stream.rest().await);
    let mut last = check_ids(&seen, 0);
    lab.server.start_again().await;
    session = session.at(lab.server.client());
    assert_eq!(session.read().await["status"], "running");
    let mut stream = session.client.stream(&session.id, Some(last)).await;
    gate.reached(&lab.server, &session).await;
    // And once more within a tool.
    lab.server.kill();
    let more = stream.rest().await;
    last = check_ids(&more, last);
    seen.extend(more.into_iter().skip(1));
    gate.open(&lab.server, &session);
    lab.server.start_again().await;
    session = session.at(lab.server.client());
    let more = session
        .client
        .stream(&session.id, Some(last))
        .await
        .rest()
        .await;
    check_ids(&more, last);
    seen.extend(more.into_iter().skip(1));
    let ended = session.ended().await.completed();
    // A piece that begins with the turn's first output brings `turn_start` along once more.
    assert_eq!(seen, ended.events);
    assert_eq!(result(&ended.stdout()), "through");
    let counted = lab.model.usage();
    assert_eq!(
        ended.session["usage"]["input_tokens"], counted.input_tokens,
        "counted once"
    );
    assert_eq!(
        ended.session["usage"]["output_tokens"],
        counted.output_tokens
    );
}
