//! The `aod-standin` command: the stand-in as a process, for tests in other languages.

use std::net::SocketAddr;

use anyhow::Context as _;
use aod_standin::{Options, Standin};
use clap::Parser;

/// A stand-in for the model providers' HTTP APIs, for tests.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Address to listen at; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:18999")]
    listen: SocketAddr,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let standin = Standin::start(Options {
        listen: arguments.listen,
        ..Options::default()
    })
    .await?;
    println!("{}", standin.url());
    tokio::signal::ctrl_c()
        .await
        .context("cannot wait for SIGINT")?;
    Ok(())
}
