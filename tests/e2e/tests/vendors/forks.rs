//! Sessions as they were at a turn's end, with what their CLIs remember of it.

use serde_json::json;

use crate::lab::{Lab, Vendor, events, said};

each_vendor!(a_copy_remembers_what_was_until_then);

async fn a_copy_remembers_what_was_until_then(vendor: &'static Vendor) {
    let lab = Lab::new(vendor).await;
    let words = ["apple", "banana", "cherry", "damson", "elder"];
    let session = lab.session("the word is apple").await;
    session.ended().await.completed();
    for word in &words[1..] {
        let prompt = format!("the word is {word} [[bash echo {word} >>words.txt]] [[say noted]]");
        session.prompt(&prompt).await;
        session.ended().await.completed();
    }
    let copy = session
        .fork(&json!({"turn": 2, "prompt": "which words? [[recall]]", "title": "copy"}))
        .await;
    let ended = copy.ended().await.completed();
    let answer = said(&copy, &ended).await;
    for (index, word) in words.iter().enumerate() {
        let has = answer.contains(&format!("the word is {word}"));
        assert_eq!(has, index < 2, "{word}: {answer}");
    }
    let told = events(&copy, &ended).await;
    assert_eq!(told[0]["continuity"], "native", "{:#}", told[0]);
    let noted = |id: &str| lab.server.workspace_file(id, "words.txt").unwrap();
    assert_eq!(noted(&copy.id), "banana\n");
    assert_eq!(ended.session["forked_from"]["turn"], 2);
    assert_eq!(ended.session["title"], "copy");

    // Both go on, and neither knows of the other.
    copy.prompt("the word is fig").await;
    copy.ended().await.completed();
    session.prompt("which words? [[recall]]").await;
    let ended = session.ended().await.completed();
    let answer = said(&session, &ended).await;
    for word in words {
        assert!(answer.contains(&format!("the word is {word}")), "{answer}");
    }
    assert!(!answer.contains("fig"), "{answer}");
    assert_eq!(noted(&session.id), "banana\ncherry\ndamson\nelder\n");

    // Taken back itself, it has forgotten the rest.
    let restored = session.restore(3).await;
    assert_eq!(restored["restored_to"], 3);
    session.prompt("which words? [[recall]]").await;
    let ended = session.ended().await.completed();
    let answer = said(&session, &ended).await;
    for (index, word) in words.iter().enumerate() {
        let has = answer.contains(&format!("the word is {word}"));
        assert_eq!(has, index < 3, "{word}: {answer}");
    }
    assert_eq!(noted(&session.id), "banana\ncherry\n");
    assert_eq!(ended.turn["continues"], 3, "{:#}", ended.turn);
}
