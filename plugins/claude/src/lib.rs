//! Runtime adapter for Claude Code.

use aod_plugin_sdk::{Adapter, Conclusion, Description, Exit, Out, OutputStream, Plan, Turn};
use aod_plugin_sdk::{Continuity, NoOptions, Stdin, TurnContext};

struct Claude;

impl Adapter for Claude {
    type Options = NoOptions;
    type Turn = ClaudeTurn;

    fn describe(_: &NoOptions) -> Result<Description, String> {
        Ok(aod_plugin_sdk::description("claude", env!("CARGO_PKG_VERSION"), "sh"))
    }

    fn plan(_: &NoOptions, turn: &TurnContext) -> Result<Plan, String> {
        let mut plan = aod_plugin_sdk::plan(["sh", "-c", "cat"], Continuity::First);
        plan.stdin = Stdin::Text(aod_plugin_sdk::text(&turn.prompt));
        Ok(plan)
    }

    fn turn(_: &NoOptions, _: TurnContext) -> ClaudeTurn {
        ClaudeTurn
    }
}

struct ClaudeTurn;

impl Turn for ClaudeTurn {
    fn line(&mut self, _: OutputStream, line: &str, out: &mut Out) {
        out.message(line);
    }

    fn finish(&mut self, _: Exit) -> Conclusion {
        Conclusion { events: Vec::new(), failure: None, remember: None }
    }
}

aod_plugin_sdk::export_adapter!(Claude);
