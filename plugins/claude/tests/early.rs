//! What is said to a turn of which the CLI has not said a word.

use aod_plugin_claude::Claude;
use aod_plugin_sdk::testing::{context, exit, prompt, written};
use aod_plugin_sdk::{
    Action, Block, Driver, InjectMode, Injection, InjectionState, Input, OutputSource, Reaction,
};

fn begun() -> Driver<Claude> {
    let mut context = context("anthropic/claude-sonnet-4-6");
    context.live = true;
    let mut driver = Driver::<Claude>::new(context, None);
    driver.receive(Input::Prompt(prompt("x")));
    driver
}

fn steer(driver: &mut Driver<Claude>) -> Reaction {
    driver.receive(Input::Inject(Injection {
        id: "i".to_owned(),
        blocks: vec![Block::Text("rather blue".to_owned())],
        mode: InjectMode::Steer,
    }))
}

fn states(reaction: &Reaction) -> Vec<InjectionState> {
    let outcomes = reaction.actions.iter().filter_map(|action| match action {
        Action::Injected(outcome) => Some(outcome.state),
        _ => None,
    });
    outcomes.collect()
}

fn said(reaction: &Reaction) -> String {
    let lines = reaction.actions.iter().filter_map(|action| match action {
        Action::WriteStdin(fragments) => Some(written(fragments)),
        _ => None,
    });
    lines.collect()
}

fn lifecycle(uuid: &str, state: &str) -> String {
    format!(
        "{{\"type\":\"system\",\"subtype\":\"x\"}}\n\
         {{\"type\":\"command_lifecycle\",\"command_uuid\":\"{uuid}\",\"state\":\"{state}\"}}\n"
    )
}

#[test]
fn it_is_given_once_the_cli_has_the_prompt() {
    let mut driver = begun();
    let turn = prompt("x").turn_id;
    let reaction = steer(&mut driver);
    assert_eq!(states(&reaction), [InjectionState::Queued]);
    assert_eq!(said(&reaction), "");
    let reaction = driver.feed(OutputSource::Stdout, &lifecycle(&turn, "started"));
    assert!(said(&reaction).contains("rather blue"), "{reaction:#?}");
    // Nothing waits any more.
    let reaction = driver.feed(OutputSource::Stdout, &lifecycle(&turn, "started"));
    assert_eq!(said(&reaction), "");
}

#[test]
fn it_goes_with_a_turn_that_is_stopped_or_dies() {
    let mut driver = begun();
    steer(&mut driver);
    let reaction = driver.receive(Input::Interrupt);
    assert_eq!(states(&reaction), [InjectionState::Cancelled]);
    let mut driver = begun();
    steer(&mut driver);
    assert_eq!(states(&driver.finish(exit(1))), [InjectionState::Refused]);
}
