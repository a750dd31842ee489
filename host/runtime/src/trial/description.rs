//! Whether what an adapter says of itself is more than well-formed.

use super::Report;
use crate::adapter::Adapter;

/// The host has refused by now what it cannot work with.
pub(super) fn check(adapter: &Adapter, report: &mut Report) {
    const CHECK: &str = "describe";
    let described = adapter.description();
    report.ok(
        CHECK,
        format!(
            "{} {}: drives `{}`, serves {} of {}, knows {}",
            described.name,
            described.version,
            described.cli.command,
            counted(described.models.len(), "model"),
            counted(described.providers.len(), "provider"),
            counted(described.credentials.len(), "credential"),
        ),
    );
    if semver::Version::parse(&described.version).is_err() {
        let problem = format!("version {:?} is not semver, as 1.2.3 is", described.version);
        report.failed(CHECK, problem);
    }
    if let Err(error) = semver::VersionReq::parse(&described.cli.tested) {
        let problem = format!(
            "cli.tested {:?} is not a semver requirement, as \">=1.2, <2\" and \"*\" are: {error}",
            described.cli.tested
        );
        report.failed(CHECK, problem);
    }
    if described.cli.version_args.is_empty() {
        report.warning(
            CHECK,
            "cli.version-args is empty: the CLI is run without arguments to see whether it is there",
        );
    }
    let whole = described.providers.iter().any(|p| p.whole_catalog);
    if described.models.is_empty() && !whole {
        report.warning(
            CHECK,
            "serves no model of its own: no agent can be made of it until runtimes.toml adds one",
        );
    }
    for credential in &described.credentials {
        for provider in &credential.providers {
            if !described.providers.iter().any(|p| p.id == *provider) {
                let problem = format!(
                    "credential {:?} opens provider {provider:?}, which is not among the providers",
                    credential.name
                );
                report.failed(CHECK, problem);
            }
        }
    }
    match adapter.with_settings(adapter.runtime(), adapter.settings().clone()) {
        Ok(again) if again.description() == described => {}
        Ok(_) => report.failed(CHECK, "says something else when it is asked again"),
        Err(error) => report.failed(CHECK, format!("asked again: {error}")),
    }
}

fn counted(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}
