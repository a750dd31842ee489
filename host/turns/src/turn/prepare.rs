//! What comes before a turn's CLI is started: the stages, the plan, and what the supervisor is
//! told.

use std::sync::Arc;

use aod_runtime::Adapter;

use super::context::{Facts, context, sandbox_paths};
use super::fold::Fold;
use super::journal::Journal;
use super::launch;
use super::task::Task;
use crate::Error;
use crate::adapters::Chosen;
use crate::provision::{self, Installation, Output, Stage, Stages, Stop, Trouble};
use crate::secrets::{self, TurnSecrets};

/// What is ready to be started.
pub(super) struct Ready {
    pub(super) spec: Box<aod_supervisor::TurnSpec>,
    pub(super) fold: Fold,
    pub(super) adapter: Arc<Adapter>,
    /// The user's credentials that the turn is given.
    pub(super) credentials: Vec<String>,
}

impl Task<'_> {
    /// Ends when provisioning is to be broken off.
    fn cancelled(&self) -> impl Future<Output = ()> + use<> {
        let mut stopped = self.stopped.clone();
        let shutdown = self.turns.shutdown.clone();
        async move {
            tokio::select! {
                Ok(_) = stopped.wait_for(Option::is_some) => {}
                () = shutdown.cancelled() => {}
            }
        }
    }

    /// Runs the stages and makes ready what the supervisor is told.
    pub(super) async fn provision(&mut self, journal: &mut Journal) -> Result<Ready, Stop> {
        let turns = self.turns;
        let compat = turns.config.compat_stage_names;
        let mut stages = Stages::resume(journal, &self.paths, compat)?;
        if !self.session.provisioned && !stages.is_done(Stage::CreateSandbox) {
            let paths = self.paths.clone();
            stages
                .run(
                    Stage::CreateSandbox,
                    async move { Ok(paths.create_sandbox()?) },
                )
                .await?;
        }
        let chosen = match turns.adapters.choose(&self.session).await {
            Ok(chosen) => chosen,
            Err(error) => return Err(Stop::Failed(error.to_string())),
        };
        let description = chosen.adapter.description();
        let gathered =
            secrets::gather(&turns.store, &turns.seals, &self.session, description).await;
        // A stage where there is something to tell; a later turn's failure is told by its end.
        let is_stage = !self.session.provisioned
            && gathered.as_ref().map_or(true, |secrets| {
                !secrets.variables.is_empty() && !stages.is_done(Stage::EnvFile)
            });
        let secrets = match is_stage {
            true => stages.run(Stage::EnvFile, async { Ok(gathered?) }).await?,
            false => gathered.map_err(|error| Stop::Failed(error.to_string()))?,
        };
        self.redactor = secrets.redactor();
        stages.redact(self.redactor.clone());
        let installation = self.set_up(&mut stages, &chosen, &secrets).await?;
        if !self.session.provisioned {
            if provision::wants_network_policy(&self.session) {
                stages
                    .run(Stage::NetworkPolicy, async { provision::network_policy() })
                    .await?;
            }
            if !self.session.agent.mcp_servers.is_empty() && !stages.is_done(Stage::McpConfig) {
                // The servers' values are open by now; where they go is the plan's to say.
                stages.run(Stage::McpConfig, async { Ok(()) }).await?;
            }
            if !self.session.agent.skills.is_empty() && !stages.is_done(Stage::Skills) {
                let folder = description.skills_folder.as_deref();
                let written = provision::skills(&self.session, &self.paths, folder, &turns.trash);
                stages.run(Stage::Skills, async { written }).await?;
            }
        }
        let ready = self.plan(&chosen, &installation, secrets);
        stages.run(Stage::RuntimeStart, async { ready }).await
    }

    /// Installs the CLI and carries out what the environment asks for.
    async fn set_up(
        &self,
        stages: &mut Stages<'_>,
        chosen: &Chosen,
        secrets: &TurnSecrets,
    ) -> Result<Installation, Stop> {
        let turns = self.turns;
        let key = chosen.install_key.as_deref();
        let found = turns
            .installs
            .find(&chosen.cli, key)
            .map_err(Error::internal)?;
        let setup = !self.session.provisioned
            && !stages.is_done(Stage::ProvisionSetup)
            && provision::wants_setup(&self.session);
        if let (Some(found), false) = (&found, setup) {
            return Ok(found.clone());
        }
        let work = async {
            let mut output = Output::open(
                &self.paths.provisioning(),
                turns.config.turn.step_output,
                self.redactor.clone(),
            )?;
            let installation = match (found, key) {
                (Some(found), _) => found,
                (None, Some(key)) => {
                    let cancelled = self.cancelled();
                    turns
                        .installs
                        .install(turns, &chosen.cli, key, &mut output, cancelled)
                        .await?
                }
                (None, None) => Installation::default(),
            };
            if setup {
                let cancelled = self.cancelled();
                let session = &self.session;
                provision::setup(turns, session, &self.paths, secrets, &mut output, cancelled)
                    .await?;
            }
            Ok(installation)
        };
        stages.run(Stage::ProvisionSetup, work).await
    }

    /// Asks the adapter how to run the turn, and prepares the sandbox for it.
    fn plan(
        &self,
        chosen: &Chosen,
        installation: &Installation,
        secrets: TurnSecrets,
    ) -> Result<Ready, Trouble> {
        let turns = self.turns;
        let adapter = &chosen.adapter;
        let description = adapter.description();
        let facts = Facts {
            adapter: adapter.digest().to_string(),
            resume: self.session.resume_token.clone(),
            secrets: secrets.variables.keys().cloned().collect(),
            endpoints: secrets
                .endpoints(description)
                .into_iter()
                .map(Into::into)
                .collect(),
            cli_version: installation.version.clone(),
            options: adapter.options().to_owned(),
        };
        let places = sandbox_paths(&*turns.driver, &self.paths);
        let context = context(&self.session, &self.turn.turn, &facts, places.clone());
        let plan = adapter
            .plan(&context)
            .map_err(|error| Trouble::Failed(error.to_string()))?;
        let private = launch::place_files(&plan, &places, &self.paths, &turns.trash, &secrets)?;
        let mut argv = plan.argv.clone();
        if let Some(program) = argv.first_mut() {
            if *program == description.cli.command {
                program.clone_from(&chosen.cli.command);
            }
            // By its path, so that a `PATH` of the user's own does not hide it.
            if let Some(path) = installation.program(&*turns.driver, program) {
                *program = path;
            }
        }
        let mut spec = provision::sandbox(turns, &self.paths, Some(installation), argv);
        spec.private_files = private;
        launch::set_variables(&mut spec, &plan, &chosen.cli.env, &secrets)?;
        let launch = turns
            .driver
            .launch(&spec)
            .map_err(|error| Trouble::Failed(error.to_string()))?;
        let begin =
            serde_json::to_value(&facts).map_err(|error| Trouble::Failed(error.to_string()))?;
        let details = launch::Facts {
            turn: &self.turn,
            description,
            plan: &plan,
            begin,
        };
        let spec = launch::turn_spec(turns, &self.paths, launch, details, &secrets)?;
        Ok(Ready {
            spec: Box::new(spec),
            fold: Fold::new(adapter.clone(), context),
            adapter: adapter.clone(),
            credentials: secrets.credentials,
        })
    }
}
