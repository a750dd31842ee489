//! Whether launches can be carried out, and hold what was asked for.

use std::time::{Duration, Instant};

use super::cases::{self, Case, MAX_WORD, MCP_COMMAND, MCP_URL, SYSTEM};
use super::{Report, Verdict};
use crate::adapter::Adapter;
use crate::error::AdapterError;
use crate::types::{Block, Capability, Continuity, Fragment, Launch, McpTransport, Stdin};

const CHECK: &str = "prepare";

/// Prompts shorter than this may stand in a launch by chance.
const TELLING: usize = 16;

pub(super) fn check(adapter: &Adapter, report: &mut Report) {
    let cases = cases::cases(adapter);
    let mut slowest = Duration::ZERO;
    let (mut prepared, mut refused) = (0, 0);
    for case in &cases {
        let begun = Instant::now();
        let launch = adapter.prepare(&case.context, &case.prompt);
        slowest = slowest.max(begun.elapsed());
        match launch {
            Ok(launch) => {
                prepared += 1;
                let problems = judge(case, &launch, &adapter.description().capabilities);
                for (verdict, problem) in problems {
                    report.add(verdict, CHECK, format!("{}: {problem}", case.name));
                }
                let again = adapter.prepare(&case.context, &case.prompt);
                if again.ok().as_ref() != Some(&launch) {
                    let problem = "the same facts give another launch when asked again";
                    report.failed(CHECK, format!("{}: {problem}", case.name));
                }
            }
            Err(AdapterError::Refused(refusal)) if case.may_refuse => {
                refused += 1;
                if refusal.message.trim().is_empty() {
                    let problem = "is refused, and the user is not told why";
                    report.failed(CHECK, format!("{}: {problem}", case.name));
                }
            }
            Err(error @ AdapterError::Refused(_)) => {
                report.failed(CHECK, format!("{}: is refused: {error}", case.name));
            }
            Err(error) => {
                report.failed(CHECK, format!("{}: {error}", case.name));
                // The others would fail alike, each after its deadline.
                return;
            }
        }
    }
    let of_them = match refused {
        0 => String::new(),
        _ => format!(", {refused} more refused in words, as they may be"),
    };
    report.ok(
        CHECK,
        format!(
            "{prepared} launches prepared{of_them}; the slowest took {:.1} ms",
            slowest.as_secs_f64() * 1e3
        ),
    );
    if slowest > adapter.limits().call_deadline / 2 {
        let limit = adapter.limits().call_deadline.as_millis();
        let problem = format!("more than half of what a call may take, {limit} ms: raise limits");
        report.warning(CHECK, problem);
    }
}

fn judge(case: &Case, launch: &Launch, can: &[Capability]) -> Vec<(Verdict, String)> {
    let mut problems = Vec::new();
    let mut failed = |problem: String| problems.push((Verdict::Failed, problem));
    let context = &case.context;
    let [Block::Text(prompt)] = &case.prompt.blocks[..] else {
        return problems;
    };
    if launch.argv.iter().any(|word| word.len() >= MAX_WORD) {
        failed("a word of the command line is longer than Linux takes (128 KiB)".to_owned());
    }
    for variable in &launch.env {
        if length(&variable.value) + variable.name.len() + 1 >= MAX_WORD {
            let problem = "is longer than Linux takes (128 KiB)";
            failed(format!("variable {} {problem}", variable.name));
        }
    }
    for file in &launch.files {
        let has_secret = file
            .content
            .iter()
            .any(|it| matches!(it, Fragment::Secret(_)));
        if has_secret
            && !file
                .path
                .starts_with(&format!("{}/", context.paths.private))
        {
            let problem = "holds a secret and does not lie below paths.private";
            failed(format!("file {:?} {problem}", file.path));
        }
        if has_secret && file.mode & 0o077 != 0 {
            let problem = "holds a secret and can be read by others";
            failed(format!("file {:?} {problem}", file.path));
        }
    }
    match (case.prompt.turn, launch.continuity) {
        (1, Continuity::Native | Continuity::Fresh) => {
            failed("a first turn's continuity is `first`".to_owned());
        }
        (2.., Continuity::First) => {
            failed("a later turn's continuity is `native` or `fresh`, not `first`".to_owned());
        }
        _ => {}
    }
    // A dialogue says all this later.
    if !matches!(launch.stdin, Stdin::Open(_)) {
        let mut wanted = Vec::new();
        if prompt.len() >= TELLING {
            wanted.push(("the prompt", prompt.as_str()));
        }
        if can.contains(&Capability::SystemPrompt) && context.system.is_some() {
            wanted.push(("the system prompt", SYSTEM));
        }
        for server in &context.mcp_servers {
            match &server.transport {
                McpTransport::Url(_) if can.contains(&Capability::McpUrl) => {
                    wanted.push(("the MCP server", MCP_URL))
                }
                McpTransport::Stdio(_) if can.contains(&Capability::McpStdio) => {
                    wanted.push(("the MCP server", MCP_COMMAND));
                }
                _ => {}
            }
        }
        for (what, text) in wanted {
            if !holds(launch, text) {
                failed(format!("{what} does not stand anywhere in the launch"));
            }
        }
    }
    let in_argv = |word: &String| word.contains(prompt.as_str());
    if prompt.len() >= TELLING && launch.argv.iter().any(in_argv) {
        let problem = "the prompt stands in the command line, where every process can read it: \
                       give it by stdin if the CLI takes it so";
        problems.push((Verdict::Warning, problem.to_owned()));
    }
    problems
}

/// Whether a text stands somewhere in a launch, as it is or within a JSON string.
fn holds(launch: &Launch, text: &str) -> bool {
    let json = serde_json::Value::from(text).to_string();
    let escaped = json.trim_matches('"');
    let has = |there: &str| there.contains(text) || there.contains(escaped);
    let mut fragments = launch.env.iter().flat_map(|variable| &variable.value);
    let stdin = match &launch.stdin {
        Stdin::None => &[][..],
        Stdin::Text(text) | Stdin::Open(text) => text,
    };
    let mut files = launch.files.iter().flat_map(|file| &file.content);
    let is_text = |fragment: &Fragment| match fragment {
        Fragment::Text(there) => has(there),
        Fragment::Secret(_) | Fragment::Attachment(_) => false,
    };
    launch.argv.iter().any(|word| has(word))
        || stdin.iter().any(is_text)
        || fragments.any(is_text)
        || files.any(is_text)
}

fn length(fragments: &[Fragment]) -> usize {
    let each = fragments.iter().map(|fragment| match fragment {
        Fragment::Text(text) => text.len(),
        Fragment::Secret(_) | Fragment::Attachment(_) => 0,
    });
    each.sum()
}
