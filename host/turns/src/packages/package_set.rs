//! What an environment wants installed, and the name of the layer that holds it.

use std::path::Path;
use std::time::SystemTime;

use aod_resources::{Environment, PackageManager};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::tools::{MissingTool, Tool, Tools};
use crate::hex::hex;

/// Raised when layers of before can no longer be used.
const FORM: u32 = 2;
/// What is installed on a Debian system.
pub(super) const DPKG_STATUS: &str = "/var/lib/dpkg/status";

/// Packages by manager, in the order in which they are installed. No list is empty, and each is
/// sorted and has no name twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PackageSet {
    lists: Vec<(PackageManager, Vec<String>)>,
}

impl PackageSet {
    /// What an environment wants; nothing where it names no package.
    pub(crate) fn of(environment: &Environment) -> Option<Self> {
        use PackageManager::{Apt, Cargo, Gem, Go, Npm, Pip};
        // Others may need what apt brings.
        let lists = [Apt, Pip, Npm, Gem, Go, Cargo]
            .into_iter()
            .filter_map(|manager| {
                let mut names = environment.packages.get(&manager)?.clone();
                names.sort_unstable();
                names.dedup();
                (!names.is_empty()).then_some((manager, names))
            });
        let lists: Vec<_> = lists.collect();
        (!lists.is_empty()).then_some(Self { lists })
    }

    pub(super) fn lists(&self) -> impl Iterator<Item = (PackageManager, &[String])> {
        self.lists
            .iter()
            .map(|(manager, names)| (*manager, names.as_slice()))
    }

    /// What it is installed with here, and the name of the layer that this gives. `runs_scripts`
    /// answers whether the scripts of apt's packages are run.
    pub(super) fn locate(
        &self,
        runs_scripts: impl FnOnce() -> bool,
    ) -> Result<(Tools, String), MissingTool> {
        let tools = Tools::find(self)?;
        let key = self.key(&tools, runs_scripts);
        Ok((tools, key))
    }

    /// The name of the layer: what is wanted, and of the base system what the layer rests on.
    fn key(&self, tools: &Tools, runs_scripts: impl FnOnce() -> bool) -> String {
        let rests_on: Vec<Value> = self
            .lists()
            .map(|(manager, _)| match tools.of(manager) {
                Some(Tool::Here(program)) => json!([program, length(program)]),
                Some(Tool::FromApt(names)) => json!(names),
                None => Value::Null,
            })
            .collect();
        let status = match tools.needs_apt(self) {
            true => Some((changed(DPKG_STATUS.as_ref()), runs_scripts())),
            false => None,
        };
        let facts = json!([
            FORM,
            std::env::consts::ARCH,
            std::fs::read_to_string("/etc/os-release").unwrap_or_default(),
            self.lists,
            rests_on,
            status,
        ]);
        let hash = Sha256::digest(facts.to_string().as_bytes());
        hex(&hash[..16])
    }
}

fn length(program: &Path) -> Option<u64> {
    Some(program.metadata().ok()?.len())
}

/// When a file was changed last, and how long it is.
fn changed(path: &Path) -> Option<(u128, u64)> {
    let metadata = path.metadata().ok()?;
    let since = metadata
        .modified()
        .ok()?
        .duration_since(SystemTime::UNIX_EPOCH);
    Some((since.ok()?.as_nanos(), metadata.len()))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn wanted(lists: &[(PackageManager, &[&str])]) -> Option<PackageSet> {
        let packages: indexmap::IndexMap<_, Vec<String>> = lists
            .iter()
            .map(|(manager, names)| (*manager, names.iter().map(|&name| name.into()).collect()))
            .collect();
        let environment = json!({
            "id": uuid::Uuid::nil(), "name": "e", "packages": packages, "setup_script": null,
            "networking": {"type": "unrestricted"}, "version": 1, "archived_at": null,
            "created_at": aod_resources::Timestamp::now(),
            "updated_at": aod_resources::Timestamp::now(),
        });
        PackageSet::of(&serde_json::from_value(environment).unwrap())
    }

    #[test]
    fn the_key_is_of_what_is_wanted_and_not_of_how_it_is_said() {
        use PackageManager::{Apt, Npm, Pip};
        assert_eq!(wanted(&[]), None);
        assert_eq!(wanted(&[(Pip, &[])]), None);
        let tools = Tools::default();
        let key = |lists| wanted(lists).unwrap().key(&tools, || false);
        let one = key(&[(Pip, &["six", "rich"]), (Npm, &[]), (Apt, &["jq"])]);
        assert_eq!(one, key(&[(Apt, &["jq"]), (Pip, &["rich", "six", "six"])]));
        assert_eq!(one.len(), 32);
        for other in [
            key(&[(Apt, &["jq"]), (Pip, &["rich"])]),
            key(&[(Apt, &["jq"]), (Pip, &["rich", "six==1.16.0"])]),
            key(&[(Apt, &["jq"]), (Npm, &["rich", "six"])]),
        ] {
            assert_ne!(one, other);
        }
        let elsewhere = Tools::with(Pip, Tool::Here("/bin/sh".into()));
        let wanted = wanted(&[(Apt, &["jq"]), (Pip, &["rich", "six"])]).unwrap();
        assert_ne!(one, wanted.key(&elsewhere, || false));
        assert_ne!(one, wanted.key(&tools, || true));
    }
}
