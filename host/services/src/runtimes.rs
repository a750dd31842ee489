//! Runtimes and models as users see them.

mod declared;
mod folders;
mod loading;
mod settings;
mod watch;

pub use declared::{Capability, OptionInfo, OptionScope, ResumeStrategy};
pub(crate) use watch::Watcher;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aod_resources::{RuntimeChange, RuntimeHealth, ToolPermissions};
use aod_runtime::{Change, Health, Registry, Runtime, Snapshot};
use aod_turns::Build;
use indexmap::IndexMap;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::{Error, Result};

/// The declared runtimes.
#[derive(Clone)]
pub struct Runtimes {
    registry: Arc<Registry>,
    /// Where CLIs are installed.
    installs: Arc<Path>,
}

impl std::fmt::Debug for Runtimes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtimes").finish_non_exhaustive()
    }
}

/// How long reading and compiling may take: files may lie on a disk that does not answer.
const RELOADED_IN: Duration = Duration::from_secs(120);

/// A runtime.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RuntimeInfo {
    /// Its name, as declared in `runtimes.toml`.
    pub name: String,
    /// Whether it can be used.
    pub health: RuntimeHealth,
    /// Why what is declared cannot be loaded, with the place in `runtimes.toml`.
    pub error: Option<String>,
    /// What will keep its sessions from starting, although its adapter is loaded: its program is not
    /// on the server's machine, and nothing says how to install it.
    pub warning: Option<String>,
    /// The adapter's name.
    pub adapter: Option<String>,
    /// The adapter's version.
    pub adapter_version: Option<String>,
    /// SHA-256 of the adapter's component, in hex.
    pub adapter_digest: Option<String>,
    /// The version of the interface that it speaks.
    pub interface_version: Option<String>,
    /// The CLI's program.
    pub command: Option<String>,
    /// The versions of the CLI that the adapter was tested with.
    pub tested: Option<String>,
    /// The canonical ids of the models that it serves.
    pub models: Vec<String>,
    /// The credentials that it can use.
    pub credentials: Vec<RuntimeCredential>,
    /// The variables in which its providers' base URLs can be given.
    pub endpoint_variables: Vec<String>,
    /// The version of the CLI that is installed, where it is and could be read.
    pub cli_version: Option<String>,
    /// Whether the adapter was tested with that version; null where one of the two is not known.
    pub cli_tested: Option<bool>,
    /// What it can do.
    pub capabilities: Vec<Capability>,
    /// How a later turn finds the conversation again.
    pub continuity: Option<ResumeStrategy>,
    /// What users may set.
    pub options: Vec<OptionInfo>,
}

/// A credential that a runtime can use.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RuntimeCredential {
    /// Its name, as registered.
    pub name: String,
    /// The variable by which it can also be given per environment or session.
    pub variable: String,
    /// What it is, for people.
    pub label: String,
}

/// A model.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ModelInfo {
    /// The canonical id.
    pub id: String,
    /// Its provider.
    pub provider: String,
    /// A name for people.
    pub label: Option<String>,
    /// The runtimes that serve it.
    pub runtimes: Vec<String>,
}

/// What a reload did.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ReloadReport {
    /// Each runtime that is or was declared.
    pub runtimes: Vec<ReloadedRuntime>,
}

/// What a reload did to a runtime.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ReloadedRuntime {
    /// Its name.
    pub name: String,
    /// What was done.
    pub change: RuntimeChange,
    /// Why it cannot be used.
    pub error: Option<String>,
}

impl Runtimes {
    /// What turns choose their adapters from.
    pub(crate) fn registry(&self) -> Arc<Registry> {
        self.registry.clone()
    }

    /// Checks that a runtime is there and serves a model. While it is being compiled, its models
    /// are not known, and every one passes.
    pub(crate) fn check(&self, runtime: &str, model: &str) -> Result<()> {
        let snapshot = self.registry.snapshot();
        if snapshot.is_compiling(runtime) {
            return Ok(());
        }
        if snapshot.adapter(runtime).is_none() {
            let known = snapshot
                .runtimes
                .values()
                .filter(|runtime| runtime.health.adapter().is_some())
                .map(|runtime| runtime.name.clone())
                .collect();
            let runtime = runtime.to_owned();
            return Err(match snapshot.runtimes.contains_key(&runtime) {
                true => Error::RuntimeUnusable { runtime },
                false => Error::RuntimeUnknown { runtime, known },
            });
        }
        snapshot
            .catalog
            .validate_model(runtime, model)
            .map_err(Error::Model)
    }

    /// Checks values of a runtime's options. While it is being compiled, its options are not known,
    /// and its adapter refuses what it does not have.
    pub(crate) fn check_settings(
        &self,
        runtime: &str,
        settings: &IndexMap<String, Value>,
    ) -> Result<()> {
        let snapshot = self.registry.snapshot();
        let Some(adapter) = snapshot.adapter(runtime) else {
            return Ok(());
        };
        settings::check(runtime, &adapter.description().options, settings)
    }

    /// Checks that a runtime's CLI can be told to keep these permissions of its own tools. While it
    /// is being compiled that is not known, and its turns are refused.
    pub(crate) fn check_permissions(
        &self,
        runtime: &str,
        permissions: &ToolPermissions,
    ) -> Result<()> {
        let snapshot = self.registry.snapshot();
        let unkept = snapshot
            .adapter(runtime)
            .and_then(|adapter| aod_turns::unkept_permission(adapter.description(), permissions));
        let Some(unkept) = unkept else { return Ok(()) };
        Err(Error::Tool {
            field: "permissions".to_owned(),
            problem: format!(
                "the CLI of the runtime \"{runtime}\" cannot be told to {} tools of its own; \
                 `tool_policies` among its capabilities has what it can",
                unkept.word()
            ),
        })
    }

    /// What a session that begins now keeps of its runtime.
    pub(crate) fn build(&self, runtime: &str) -> Option<Build> {
        self.registry
            .get(runtime)
            .map(|adapter| Build::of(&adapter))
    }

    /// All that are declared, in the order of `runtimes.toml`.
    pub fn list(&self) -> Vec<RuntimeInfo> {
        let snapshot = self.registry.snapshot();
        snapshot
            .runtimes
            .values()
            .map(|runtime| info(&snapshot, runtime, &self.installs))
            .collect()
    }

    /// What is wrong with `runtimes.toml` that belongs to none of them, or that keeps it from being
    /// read: they are as they were then.
    pub fn errors(&self) -> Vec<String> {
        let snapshot = self.registry.snapshot();
        snapshot.errors.iter().map(ToString::to_string).collect()
    }

    /// One of them.
    pub fn get(&self, name: &str) -> Option<RuntimeInfo> {
        let snapshot = self.registry.snapshot();
        snapshot
            .runtimes
            .get(name)
            .map(|runtime| info(&snapshot, runtime, &self.installs))
    }

    /// What the adapters in use declare as credentials, by name. Where two declare the same one,
    /// the first in the order of `runtimes.toml` speaks for it.
    pub(crate) fn credentials(&self) -> Vec<aod_runtime::types::Credential> {
        let snapshot = self.registry.snapshot();
        let mut declared: Vec<aod_runtime::types::Credential> = Vec::new();
        for name in snapshot.runtimes.keys() {
            let Some(adapter) = snapshot.adapter(name) else {
                continue;
            };
            for credential in &adapter.description().credentials {
                if !declared.iter().any(|known| known.name == credential.name) {
                    declared.push(credential.clone());
                }
            }
        }
        declared.sort_by(|a, b| a.name.cmp(&b.name));
        declared
    }

    /// The catalog of models.
    pub fn models(&self) -> Vec<ModelInfo> {
        let models = self.registry.snapshot().catalog.models();
        models
            .into_iter()
            .map(|model| ModelInfo {
                id: model.id,
                provider: model.provider,
                label: model.label,
                runtimes: model.runtimes,
            })
            .collect()
    }

    /// The files whose change is a reason to reload.
    fn watched(&self) -> Vec<std::path::PathBuf> {
        self.registry.watched()
    }

    /// Reads the manifest and the components anew.
    ///
    /// # Errors
    /// [`Error::Manifest`] where the manifest as a whole cannot be read, and
    /// [`Error::StillReloading`] where that takes too long; everything stays as it was then.
    pub async fn reload(&self) -> Result<ReloadReport> {
        let reports = tokio::time::timeout(RELOADED_IN, self.reports())
            .await
            .map_err(|_| Error::StillReloading {
                seconds: RELOADED_IN.as_secs(),
            })??;
        let errors = &self.registry.snapshot().errors;
        if !errors.is_empty() && reports.is_empty() {
            return Err(Error::Manifest(errors.clone()));
        }
        let changes = reports
            .into_iter()
            .map(|report| {
                let (change, error) = match report.change {
                    Change::Added => (RuntimeChange::Added, None),
                    Change::Changed => (RuntimeChange::Changed, None),
                    Change::Unchanged => (RuntimeChange::Unchanged, None),
                    Change::Disabled => (RuntimeChange::Disabled, None),
                    Change::Removed => (RuntimeChange::Removed, None),
                    Change::Failed(error) => (RuntimeChange::Failed, Some(error.to_string())),
                };
                ReloadedRuntime {
                    name: report.runtime,
                    change,
                    error,
                }
            })
            .collect();
        Ok(ReloadReport { runtimes: changes })
    }

    /// How many can be used, of how many that is not known yet, and of how many what is declared
    /// cannot be loaded.
    pub(crate) fn counts(&self) -> (u64, u64, u64) {
        let snapshot = self.registry.snapshot();
        let count = |wanted: fn(&Health) -> bool| {
            snapshot
                .runtimes
                .values()
                .filter(|runtime| wanted(&runtime.health))
                .count() as u64
        };
        (
            count(|health| health.adapter().is_some()),
            count(|health| matches!(health, Health::Compiling(_))),
            count(|health| health.error().is_some()),
        )
    }
}

/// What is known of a runtime. `installs` is the folder of installed CLIs.
fn info(snapshot: &Snapshot, runtime: &Runtime, installs: &Path) -> RuntimeInfo {
    let mut info = RuntimeInfo {
        name: runtime.name.clone(),
        health: match runtime.health {
            Health::Compiling(_) => RuntimeHealth::Compiling,
            Health::Ready(_) => RuntimeHealth::Ready,
            Health::Stale(..) => RuntimeHealth::Stale,
            Health::Disabled => RuntimeHealth::Disabled,
            Health::Failed(_) => RuntimeHealth::Failed,
        },
        error: runtime.health.error().map(ToString::to_string),
        warning: None,
        adapter: None,
        adapter_version: None,
        adapter_digest: None,
        interface_version: None,
        command: None,
        tested: None,
        models: snapshot
            .catalog
            .served_by(&runtime.name)
            .unwrap_or_default(),
        credentials: Vec::new(),
        endpoint_variables: Vec::new(),
        cli_version: None,
        cli_tested: None,
        capabilities: Vec::new(),
        continuity: None,
        options: Vec::new(),
    };
    if let Some(adapter) = runtime.health.adapter() {
        let description = adapter.description();
        info.adapter = Some(description.name.clone());
        info.adapter_version = Some(description.version.clone());
        info.adapter_digest = Some(adapter.digest().to_string());
        info.interface_version = Some(adapter.interface_version().to_owned());
        info.warning = aod_turns::missing_program(&runtime.name, adapter.cli());
        info.command = Some(adapter.cli().command.clone());
        info.tested = Some(description.cli.tested.clone());
        info.cli_version = adapter
            .cli()
            .install_key()
            .and_then(|key| aod_turns::installed_version(installs, &key));
        info.cli_tested = info
            .cli_version
            .as_deref()
            .and_then(|version| adapter.cli().is_tested(version));
        info.capabilities = declared::capabilities(description);
        info.continuity = Some(description.resume.into());
        info.options = declared::options(description);
        info.endpoint_variables = description
            .providers
            .iter()
            .filter_map(|provider| provider.endpoint_variable.clone())
            .collect();
        info.credentials = description
            .credentials
            .iter()
            .map(|credential| RuntimeCredential {
                name: credential.name.clone(),
                variable: credential.variable.clone(),
                label: credential.label.clone(),
            })
            .collect();
    }
    info
}
