//! The README and the book, as a newcomer types them: every block of shell commands is run, in a
//! shell for each page, against a real server.

mod page;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use aod_e2e::{
    GitServer, MODEL_HOST, Runtimes, Server, ServerOptions, cli_if_installed, program, repository,
};
use aod_standin::{Options, Standin};
use serde_json::json;

use self::page::{Block, Fate, Page};

/// What may stay untried, so that nobody excuses a block without a thought.
const MOST_NOT_RUN: usize = 12;

/// Seconds that a page may take on a busy machine.
const PATIENCE: &str = "240";

/// Where the documents clone from; the test has a server of its own for that.
const GIT: &str = "https://github.com/";

/// What the stand-in for the model does about prompts of the documents.
const ANSWERS: [(&str, &str); 2] = [
    (
        "Where is order 4711?",
        "Where is order 4711? [[mcp lookup_order {\"number\": \"4711\"}]]",
    ),
    (
        "List the open questions",
        "List the open questions [[mcp StructuredOutput {\"questions\": [\"Why?\"]}]] [[say done]]",
    ),
];

/// The README and all pages that the book's contents name.
fn pages() -> Vec<Page> {
    let root = repository();
    let contents = fs::read_to_string(root.join("docs/SUMMARY.md")).unwrap();
    let links = contents.lines().filter_map(|line| {
        let (_, link) = line.split_once("](")?;
        link.strip_suffix(')')
    });
    let pages: Vec<Page> = links
        .map(|link| match link.strip_prefix("../") {
            Some(path) => path.to_owned(),
            None => format!("docs/{link}"),
        })
        .map(|name| {
            let text = fs::read_to_string(root.join(&name)).unwrap();
            Page::read(&name, &text)
        })
        .collect();
    assert!(pages.len() > 20, "docs/SUMMARY.md names few pages");
    pages
}

/// A server as the documents have it in mind.
struct World {
    server: Server,
    has_claude: bool,
    _model: Standin,
    git: GitServer,
}

impl World {
    async fn new() -> Self {
        let git = GitServer::https();
        let project = git.repository("owner/project");
        let private = git.repository("private/project");
        for repository in [project, private] {
            repository.commit(&[("README.md", "A project.\n")]);
        }
        let has_claude = cfg!(feature = "clis") && cli_if_installed("claude").is_some();
        let mut runtimes = Runtimes::demo();
        if has_claude {
            runtimes = runtimes.with_vendor("claude");
        }
        let options = ServerOptions::new(runtimes)
            .set("AOD_EGRESS__CA_FILE", git.authority().display())
            .set("AOD_LIMITS__SESSIONS_PER_USER", 100);
        let server = Server::start(options).await;
        let model = Standin::start(Options {
            instead: ANSWERS
                .iter()
                .map(|(asked, taken)| ((*asked).to_owned(), (*taken).to_owned()))
                .collect(),
            ..Options::default()
        });
        let model = model.await.unwrap();
        if has_claude {
            let endpoint = json!({"value": model.url_at(MODEL_HOST)});
            let set = server
                .client()
                .put("/credentials/env:ANTHROPIC_BASE_URL", &endpoint);
            set.await.expect(200);
        }
        Self {
            server,
            has_claude,
            _model: model,
            git,
        }
    }

    fn runs(&self, block: &Block) -> bool {
        match &block.fate {
            Fate::Run | Fate::Until(_) => true,
            Fate::NeedsClaude => self.has_claude,
            Fate::NotRun(_) => false,
        }
    }

    /// Types a whole page in an empty folder.
    fn run(&self, page: &Page) {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("here");
        let output = scratch.path().join("output");
        for path in [&folder, &output] {
            fs::create_dir(path).unwrap();
        }
        let script = scratch.path().join("page.sh");
        let blocks: Vec<&Block> = page.blocks.iter().filter(|it| self.runs(it)).collect();
        let text = script_of(&blocks).replace(GIT, &self.git.url(""));
        fs::write(&script, text).unwrap();
        let environment = self.server.command(&[]);
        let programs = program("aod").parent().unwrap().to_owned();
        let path = std::env::var("PATH").unwrap();
        let mut shell = Command::new("timeout");
        shell
            .args(["--kill-after=5", PATIENCE, "bwrap", "--die-with-parent"])
            .args(machine())
            .args(["bash"])
            .arg(&script)
            .envs(
                environment
                    .get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            )
            .env("PATH", format!("{}:{path}", programs.display()))
            .env("HOME", &folder)
            .env("OUTPUT", &output)
            .env("GITHUB_TOKEN", self.git.token())
            // A server of the page's own.
            .env("AOD_LISTEN", "127.0.0.1:0")
            .env("AOD_RUNTIMES", self.server.runtimes_file())
            .current_dir(&folder);
        let ended = shell.output().unwrap();
        let outputs: Vec<String> = (0..blocks.len())
            .map_while(|at| fs::read(output.join(at.to_string())).ok())
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .collect();
        let at = |block: &Block| format!("{}:{}", page.name, block.line);
        if !ended.status.success() {
            let last = outputs.len().saturating_sub(1);
            let place = blocks.get(last).map_or(page.name.clone(), |it| at(it));
            let said = String::from_utf8_lossy(&ended.stderr).into_owned();
            let shown = outputs.last().cloned().unwrap_or_default();
            panic!("{place}: {}\n{shown}{said}", ended.status);
        }
        for (block, output) in blocks.iter().zip(&outputs) {
            for expected in &block.prints {
                if let Err(line) = page::find(expected, output) {
                    panic!(
                        "{}: no line {line:?} in what it printed:\n{output}",
                        at(block)
                    );
                }
            }
        }
        assert_eq!(outputs.len(), blocks.len(), "{}", page.name);
    }
}

/// This machine as a page sees it: `/var/lib` and `/backups` are empty and its own.
fn machine() -> Vec<PathBuf> {
    let mut arguments: Vec<PathBuf> = vec!["--tmpfs".into(), "/".into()];
    for entry in fs::read_dir("/").unwrap() {
        let path = entry.unwrap().path();
        if let Ok(target) = fs::read_link(&path) {
            arguments.extend(["--symlink".into(), target, path]);
        } else if path.is_dir() && path != Path::new("/backups") {
            arguments.extend(["--dev-bind".into(), path.clone(), path]);
        }
    }
    for own in ["/var/lib", "/backups"] {
        arguments.extend(["--tmpfs".into(), own.into()]);
    }
    arguments
}

/// One script of all blocks, each with a file for what it prints.
fn script_of(blocks: &[&Block]) -> String {
    let mut script = String::from("set -euo pipefail\n");
    for (at, block) in blocks.iter().enumerate() {
        let text = block.text.trim_end();
        // Writing to a string cannot fail.
        let _ = writeln!(script, "exec >\"$OUTPUT/{at}\" 2>&1\n{}", block.before);
        let Fate::Until(sign) = &block.fate else {
            let _ = writeln!(script, "{text}");
            continue;
        };
        // What goes on until somebody stops it is stopped, and has to end well.
        let (before, last) = text.rsplit_once('\n').unwrap_or(("", text));
        let _ = writeln!(
            script,
            "{before}\n( exec {last}\n) & page_serves=$!\n\
             until grep -qF -- '{sign}' \"$OUTPUT/{at}\"; do kill -0 $page_serves; sleep 0.1; done\n\
             kill -TERM $page_serves; wait $page_serves"
        );
    }
    script
}

#[tokio::test]
async fn each_command_of_the_documents_does_what_its_page_says() {
    let world = World::new().await;
    let (mut run, mut left) = (0, Vec::new());
    for page in pages() {
        for block in &page.blocks {
            match &block.fate {
                Fate::NotRun(why) => left.push(format!("{}:{}: {why}", page.name, block.line)),
                _ if world.runs(block) => run += 1,
                _ => println!("{}:{}: needs Claude Code", page.name, block.line),
            }
        }
        if page.blocks.iter().any(|it| world.runs(it)) {
            world.run(&page);
        }
    }
    println!("{run} blocks were run, and {} are not:", left.len());
    println!("{}", left.join("\n"));
    assert!(run > 20, "only {run} blocks were found");
    assert!(left.len() <= MOST_NOT_RUN, "{left:#?}");
}
