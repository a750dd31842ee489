//! `aod login`: a link that logs a browser in to the console.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use reqwest::Method;

use crate::client::Client;
use crate::output::outln;

/// Prints a link that is good once, for two minutes, on the server's own machine.
pub(crate) fn run() -> Result<ExitCode> {
    let client = Client::from_env()?;
    let made = crate::client::blocking(client.json(Method::POST, "/login/codes", None))?;
    let code = made["code"]
        .as_str()
        .context("the server gave no code: is it of this version?")?;
    outln!("{}/#login={code}", client.url())?;
    Ok(ExitCode::SUCCESS)
}
