//! What `aod --version` says.

use std::sync::LazyLock;

static LONG: LazyLock<String> = LazyLock::new(|| {
    let commit = option_env!("AOD_COMMIT").map_or_else(
        || "not a release".to_owned(),
        |commit| format!("commit {commit}"),
    );
    let interfaces: Vec<String> = aod_runtime::INTERFACE_VERSIONS
        .iter()
        .map(|version| format!("aod:runtime@{version}"))
        .collect();
    format!(
        "{} ({commit}, {}-linux)\nadapters: {}",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::ARCH,
        interfaces.join(", ")
    )
});

/// The version, the commit, and the adapters that it takes.
///
/// The commit is known to a release alone, whose build says it: a program that is built while one
/// works would name the commit before the work.
pub(crate) fn long() -> &'static str {
    &LONG
}
