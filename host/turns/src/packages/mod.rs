//! Packages of environments: read-only layers, each built once and shared by all sessions that want
//! the same.
//!
//! A layer is built in a folder of its own and moved to its place when it is whole, so that whoever
//! finds it finds all of it. Its name says what is in it and what it rests on.

mod apt;
mod build;
mod layer;
mod package_set;
mod registries;
mod scripts;
mod tools;

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aod_resources::{PackageLayer, PackageLayerState, Timestamp};
use aod_sandbox::SandboxDriver;
use aod_trees::{Folder, Limits, Trash};
use uuid::Uuid;

use self::build::{Build, TEMPORARY};
use self::layer::{RECORD, Record};
use self::tools::{MissingTool, Tools};
use crate::Error;
use crate::provision::{Cancelled, Output, Sandboxes, StageError};

pub(crate) use self::layer::Layer;
pub(crate) use self::package_set::PackageSet;

/// What is being built begins so; what an earlier process left half-done is never used.
const STAGING: &str = ".staging-";
/// So many layers are remembered; others are found again in the folder.
const MAX_KNOWN: usize = 1000;

/// Settings of packages.
#[derive(Clone, Debug)]
pub struct PackagesConfig {
    /// Layers that no turn was started with for so long are removed; zero: none is.
    pub layer_age: Duration,
    /// Whether the scripts of apt's packages are run where that works.
    pub apt_scripts: bool,
}

/// All layers of a data folder.
pub(crate) struct Packages {
    root: PathBuf,
    trash: Trash,
    config: PackagesConfig,
    scripts: AptScripts,
    known: Mutex<HashMap<String, Arc<Known>>>,
    /// Held by who finds a layer until that counts as used, and by who removes one.
    finding: Mutex<()>,
}

/// Whether the scripts of apt's packages are run.
#[derive(Clone)]
struct AptScripts {
    /// By the operator.
    are_wanted: bool,
    /// Says what works on this machine.
    driver: Arc<dyn SandboxDriver>,
    /// Where that is tried.
    root: PathBuf,
}

impl AptScripts {
    /// The first call may block for some tens of milliseconds.
    fn are_run(&self) -> bool {
        self.are_wanted && self.driver.check_system_change(&self.root).is_ok()
    }
}

/// What this process knows of a layer.
#[derive(Default)]
struct Known {
    /// Held by who builds it: others that want it wait for that.
    building: tokio::sync::Mutex<()>,
    /// When the last attempt ended, and what went wrong, where that is not the session's own fault.
    failed: Mutex<Option<(Instant, String)>>,
}

impl Known {
    /// What went wrong in an attempt that ended after `asked`.
    fn failure_since(&self, asked: Instant) -> Option<String> {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = failed.as_ref().filter(|(ended, _)| *ended >= asked);
        failed.map(|(_, message)| message.clone())
    }
}

impl Packages {
    /// The layers in the folder `root`. What an earlier process left half-done goes.
    pub(crate) fn new(
        root: PathBuf,
        trash: Trash,
        config: PackagesConfig,
        driver: Arc<dyn SandboxDriver>,
    ) -> Self {
        let scripts = AptScripts {
            are_wanted: config.apt_scripts,
            driver,
            root: root.clone(),
        };
        let packages = Self {
            root,
            trash,
            config,
            scripts,
            known: Mutex::default(),
            finding: Mutex::default(),
        };
        for (name, path) in packages.folders() {
            if name.starts_with(STAGING) {
                packages.discard(&path);
            }
        }
        packages
    }

    fn folders(&self) -> impl Iterator<Item = (String, PathBuf)> + use<> {
        let entries = std::fs::read_dir(&self.root)
            .into_iter()
            .flatten()
            .flatten();
        entries.map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            (name, entry.path())
        })
    }

    fn discard(&self, path: &Path) {
        if let Err(error) = self.trash.discard_path(path, &Limits::default()) {
            tracing::warn!(%error, "a layer of packages cannot be removed");
        }
    }

    fn known(&self, key: &str) -> Arc<Known> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_KNOWN {
            known.retain(|_, known| Arc::strong_count(known) > 1);
        }
        known.entry(key.to_owned()).or_default().clone()
    }

    /// What packages are installed with here, and the name of their layer.
    fn locate(&self, wanted: &PackageSet) -> Result<(Tools, String), MissingTool> {
        wanted.locate(|| self.scripts.are_run())
    }

    fn open(&self, key: &str) -> Option<Layer> {
        Layer::open(self.root.join(key))
    }

    /// The layer with these packages, if it is there. It counts as used now. Looks at the disk.
    pub(crate) fn find(&self, wanted: &PackageSet) -> Option<Layer> {
        let (_, key) = self.locate(wanted).ok()?;
        let _finding = self.finding.lock().unwrap_or_else(PoisonError::into_inner);
        let layer = self.open(&key)?;
        // Who cannot note it is told by what comes next.
        layer.touch().ok().map(|()| layer)
    }

    /// The layer with these packages: builds it, or waits for who does.
    pub(crate) async fn provide(
        &self,
        sandboxes: &Sandboxes,
        wanted: &PackageSet,
        output: &mut Output,
        cancelled: &Cancelled<'_>,
    ) -> Result<Layer, StageError> {
        let asked = Instant::now();
        let (scripts, located) = (self.scripts.clone(), wanted.clone());
        let locate = move || located.locate(|| scripts.are_run());
        let located = tokio::task::spawn_blocking(locate).await;
        let located = located.map_err(Error::internal)?;
        let (tools, key) = located.map_err(|error| StageError::Failed(error.to_string()))?;
        let known = self.known(&key);
        let guard = match known.building.try_lock() {
            Ok(guard) => guard,
            Err(_) => {
                output.say("waiting for another session, which installs the same packages");
                tokio::select! {
                    guard = known.building.lock() => guard,
                    () = cancelled() => return Err(StageError::Cancelled),
                }
            }
        };
        if let Some(layer) = self.open(&key) {
            layer.touch()?;
            return Ok(layer);
        }
        if let Some(failure) = known.failure_since(asked) {
            return Err(StageError::Failed(failure));
        }
        let built = self
            .build(sandboxes, wanted, &tools, &key, output, cancelled)
            .await;
        if let Err(StageError::Failed(message)) = &built {
            let mut failed = known.failed.lock().unwrap_or_else(PoisonError::into_inner);
            *failed = Some((Instant::now(), message.clone()));
        }
        drop(guard);
        built
    }

    async fn build(
        &self,
        sandboxes: &Sandboxes,
        wanted: &PackageSet,
        tools: &Tools,
        key: &str,
        output: &mut Output,
        cancelled: &Cancelled<'_>,
    ) -> Result<Layer, StageError> {
        let driver = sandboxes.driver.clone();
        let needs_apt = tools.needs_apt(wanted);
        let can = tokio::task::spawn_blocking(move || match needs_apt {
            true => driver.check_layers(),
            false => Ok(()),
        });
        can.await.map_err(Error::internal)??;
        if sandboxes.driver.place("/".as_ref(), layer::PREFIX.as_ref()) != Path::new(layer::PREFIX)
        {
            return Err(StageError::Failed(format!(
                "this server's sandboxes have no mounts of their own, so that there is no place for \
                 `packages`: install them in setup_script, or have the server use the sandbox \
                 driver \"bubblewrap\" instead of {:?}",
                sandboxes.driver.name()
            )));
        }
        let staging = self
            .root
            .join(format!("{STAGING}{key}-{}", Uuid::new_v4().simple()));
        // Whatever comes of it, also where this is dropped.
        let staged = Staged {
            packages: self,
            folder: &staging,
        };
        let build = Build {
            sandboxes,
            folder: &staging,
            runs_scripts: needs_apt && self.scripts.are_run(),
        };
        build.install(wanted, tools, output, cancelled).await?;
        let (folder, target) = (staging.clone(), self.root.join(key));
        let trash = self.trash.clone();
        let finished = tokio::task::spawn_blocking(move || finish(&folder, &target, &trash));
        finished.await.map_err(Error::internal)??;
        drop(staged);
        let layer = self.open(key);
        layer.ok_or_else(|| StageError::Failed("the packages went away".to_owned()))
    }

    /// What there is of the layer with these packages.
    pub(crate) fn look(&self, wanted: &PackageSet) -> PackageLayer {
        let mut told = PackageLayer {
            state: PackageLayerState::Missing,
            size_bytes: None,
            built_at: None,
            used_at: None,
        };
        let Ok((_, key)) = self.locate(wanted) else {
            return told;
        };
        if let Some(Ok((record, used))) = self.open(&key).map(|layer| layer.record()) {
            told.state = PackageLayerState::Ready;
            told.size_bytes = Some(record.size_bytes);
            told.built_at = Some(record.built_at);
            told.used_at = Some(used.into());
        } else if self.known(&key).building.try_lock().is_err() {
            told.state = PackageLayerState::Building;
        }
        told
    }

    /// Whether layers grow old.
    pub(crate) const fn is_swept(&self) -> bool {
        !self.config.layer_age.is_zero()
    }

    /// Removes layers that were not used for long, but none that is among `used`.
    pub(crate) fn sweep(&self, used: &[PackageSet]) {
        let used = used.iter().filter_map(|wanted| self.locate(wanted).ok());
        let used: HashSet<String> = used.map(|(_, key)| key).collect();
        for (key, path) in self.folders() {
            if key.starts_with(STAGING) || used.contains(&key) {
                continue;
            }
            // Nobody may come for it in between.
            let known = self.known(&key);
            let Ok(_guard) = known.building.try_lock() else {
                continue;
            };
            let _finding = self.finding.lock().unwrap_or_else(PoisonError::into_inner);
            let age = path.join(RECORD).metadata().and_then(|it| it.modified());
            let age = age.map(|used| used.elapsed().unwrap_or(Duration::ZERO));
            // Without a record it is none of ours.
            if age.is_ok_and(|age| age > self.config.layer_age) {
                tracing::info!(
                    layer = key,
                    "removed packages that nobody has used for long"
                );
                self.discard(&path);
            }
        }
    }
}

/// A folder that a layer is built in, which does not outlive that.
struct Staged<'a> {
    packages: &'a Packages,
    folder: &'a Path,
}

impl Drop for Staged<'_> {
    fn drop(&mut self) {
        // Where it is in its place, nothing has this name any more.
        self.packages.discard(self.folder);
    }
}

/// Puts a layer in its place.
fn finish(folder: &Path, target: &Path, trash: &Trash) -> io::Result<()> {
    for name in TEMPORARY.iter().chain(&scripts::LEFT) {
        trash.discard_path(&folder.join(name), &Limits::default())?;
    }
    let measured = aod_trees::measure(&Folder::open(folder)?, &Limits::default())?;
    let record = Record {
        built_at: Timestamp::now(),
        size_bytes: measured.allocated,
    };
    std::fs::write(folder.join(RECORD), serde_json::to_vec(&record)?)?;
    // Behind a loss of power it must not be there with files that are not.
    rustix::fs::syncfs(File::open(folder)?)?;
    std::fs::rename(folder, target)?;
    rustix::fs::fsync(File::open(target.parent().unwrap_or(target))?)?;
    Ok(())
}
