//! Opening everything, and closing it again.

use std::sync::Arc;

use aod_store::Store;
use aod_streams::LogWatch;
use aod_telemetry::{Telemetry, TelemetryTask};
use aod_trees::{Sweeper, Trash};
use aod_turns::{Adapters, LocalPlacement, Parts, Seals, TurnObserver, Turns};
use aod_webhooks::SenderTask;

use crate::agents::Agents;
use crate::credentials::Credentials;
use crate::environments::Environments;
use crate::files::Files;
use crate::health::{Health, ServerLimits};
use crate::machine::Machine;
use crate::owner::Owner;
use crate::runtimes::{Runtimes, Watcher};
use crate::session_changes::{Followers, Teller};
use crate::sessions::Sessions;
use crate::users::Users;
use crate::webhooks::Webhooks;
use crate::{Config, OpenError, contradiction};

/// What a server offers.
#[derive(Clone, Debug)]
pub struct Services {
    /// Agents.
    pub agents: Agents,
    /// Environments.
    pub environments: Environments,
    /// Registered credentials.
    pub credentials: Credentials,
    /// Sessions.
    pub sessions: Sessions,
    /// Files of sessions' workspaces.
    pub files: Files,
    /// Users and their tokens.
    pub users: Users,
    /// Runtimes and models.
    pub runtimes: Runtimes,
    /// Webhooks.
    pub webhooks: Webhooks,
    /// Health and metrics.
    pub health: Health,
}

/// A server's services, and what runs behind them.
#[derive(Debug)]
pub struct Host {
    /// What it offers.
    pub services: Services,
    /// What the sandbox driver finds out about the machine.
    pub machine: Machine,
    turns: Turns,
    sweeper: Sweeper,
    owner: Owner,
    watcher: Watcher,
    webhooks: SenderTask,
    telemetry: Option<TelemetryTask>,
    teller: Teller,
    store: Store,
}

impl Host {
    /// Opens the data folder, begins to load the runtimes, and goes on with what an earlier host left.
    ///
    /// # Errors
    /// With what could not be opened, and what to do about it.
    pub async fn start(config: Config) -> Result<Self, OpenError> {
        let sandbox = &config.turns.sandbox;
        let paths = crate::data_folder(&config.data_dir)?
            .with_disks(sandbox.disk_by, sandbox.limits.disk_bytes);
        let owner = {
            let folder = config.data_dir.clone();
            tokio::task::spawn_blocking(move || Owner::take(&folder)).await??
        };
        let store = contradiction::open_store(&paths).await?;
        contradiction::check_identity(&paths, &config.vault, &store).await?;
        let vault = crate::vault::open(&paths, &config.vault)?;
        let seals = Seals::new(vault);
        let driver: Arc<dyn aod_sandbox::SandboxDriver> = aod_sandbox::driver(
            &config.turns.sandbox.driver,
            Some(config.supervisor.clone()),
            config.turns.egress.shares_host,
            &config.data_dir,
            config.turns.sandbox.disk_by,
        )?
        .into();
        let machine = Machine::look(driver.clone());
        let loaded = std::time::SystemTime::now();
        let runtimes = Runtimes::open(&config, &paths).await?;
        let watcher = Watcher::start(runtimes.clone(), loaded).map_err(OpenError::Inotify)?;
        let trash = Trash::open(&paths.trash())?;
        let files = Files::new(store.clone(), paths.clone(), trash.clone(), config.uploads)?;
        let sweeper = Sweeper::start(trash.clone()).map_err(OpenError::Thread)?;
        let (ended, telemetry) = match config.telemetry {
            Some(telemetry) => {
                let paths = paths.clone();
                let events = Arc::new(move |session| paths.session(session).events());
                let (names, task) = Telemetry::start(telemetry, store.clone(), events)?;
                let ended: TurnObserver =
                    Arc::new(move |session, turn| names.turn_ended(session, turn));
                (Some(ended), Some(task))
            }
            None => (None, None),
        };
        let limits = ServerLimits {
            sessions_per_user: config.sessions_per_user,
            running_turns: config.turns.admission.max_running,
            turn_timeout: config.turns.turn.timeout,
        };
        let turns = Turns::new(Parts {
            trash,
            watch: LogWatch::start().map_err(OpenError::Inotify)?,
            ended,
            store: store.clone(),
            seals: seals.clone(),
            adapters: Adapters::new(runtimes.registry(), store.clone()),
            driver,
            placement: Arc::new(LocalPlacement::new(config.supervisor, paths.clone())),
            config: config.turns,
            paths,
        });
        let (outgoing, sender) =
            aod_webhooks::Webhooks::start(config.webhooks, store.clone(), seals.vault().clone())?;
        let webhooks = Webhooks {
            store: store.clone(),
            seals: seals.clone(),
            outgoing,
        };
        let services = Services {
            agents: Agents {
                store: store.clone(),
                seals: seals.clone(),
                runtimes: runtimes.clone(),
            },
            environments: Environments {
                store: store.clone(),
                seals: seals.clone(),
                turns: turns.clone(),
            },
            credentials: Credentials {
                store: store.clone(),
                seals: seals.clone(),
                runtimes: runtimes.clone(),
            },
            sessions: Sessions {
                store: store.clone(),
                seals: seals.clone(),
                runtimes: runtimes.clone(),
                turns: turns.clone(),
                webhooks: webhooks.clone(),
                followers: Followers::default(),
                active_limit: config.sessions_per_user,
            },
            files,
            users: Users::new(store.clone()),
            health: Health {
                store: store.clone(),
                seals,
                runtimes: runtimes.clone(),
                turns: turns.clone(),
                machine: machine.clone(),
                webhooks: webhooks.clone(),
                checked: crate::health::Checked::default(),
                limits,
            },
            webhooks,
            runtimes,
        };
        let teller = Teller::start(services.sessions.clone());
        let host = Self {
            services,
            machine,
            turns,
            sweeper,
            owner,
            watcher,
            webhooks: sender,
            telemetry,
            teller,
            store,
        };
        aod_turns::recover(&host.turns)
            .await
            .map_err(OpenError::Recovery)?;
        host.turns.watch_over();
        Ok(host)
    }

    /// Tells other servers that want this data folder where this one listens.
    pub fn listens_on(&mut self, address: std::net::SocketAddr) {
        if let Err(error) = self.owner.listens_on(address) {
            tracing::warn!(%error, "it cannot be noted where this server listens");
        }
    }

    /// Closes everything. Running turns go on under their supervisors.
    ///
    /// # Errors
    /// Where the store cannot be closed.
    pub async fn shut_down(self) -> Result<(), aod_store::Error> {
        self.watcher.stop().await;
        self.webhooks.stop().await;
        self.teller.stop().await;
        self.turns.shut_down().await;
        if let Some(telemetry) = self.telemetry {
            telemetry.stop().await;
        }
        // It ends within moments; what is left is for the next start.
        let _ = tokio::task::spawn_blocking(move || drop(self.sweeper)).await;
        self.store.close().await?;
        drop(self.owner);
        Ok(())
    }
}
