//! End-to-end tests: the real server, the real CLIs, real sandboxes.
//!
//! This library is what the tests under `tests/` share. It starts the `aod` program that lies
//! beside the test's own target folder, so build it first: `cargo build -p aod -p aod-supervisor`,
//! and the adapters with `cargo xtask plugins`. `cargo xtask test` does all of it.

mod acp;
mod api;
mod client;
mod contract;
mod disk;
mod fixture;
mod gate;
mod git;
mod process;
mod program;
mod python;
mod receiver;
mod registry;
mod runtimes;
mod schema;
mod search;
mod server;
mod stranger;
mod stream;
mod tracer;
mod wait;

pub use acp::{AcpAgent, CLAUDE_ACP, GEMINI_ACP, OPENCODE_ACP, path_of_claude};
pub use api::{DEMO_MODEL, Ended, Session};
pub use client::{Client, Reply};
pub use fixture::{extend, place_mcp_server};
pub use gate::Gate;
pub use git::{GIT_HOST, GitServer, Repository, lfs_pointer};
pub use process::{Process, Tree, raise_open_files};
pub use program::{CLIS, cli, cli_if_installed, plugin, program, repository, start, target};
pub use python::{python_with, run};
pub use receiver::{Receiver, ReceiverOptions, free_port};
pub use registry::Registry;
pub use runtimes::Runtimes;
pub use schema::check_events;
pub use search::{contains, files_with, processes_with};
pub use server::{MODEL_HOST, Server, ServerOptions, serve_until_exit, supervisors};
pub use stranger::Stranger;
pub use stream::{Event, Stream, check_ids, output, types};
pub use tracer::{Ended as TracedEnd, Traced};
pub use wait::{DEADLINE, eventually, within};
