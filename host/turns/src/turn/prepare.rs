//! What comes before a turn's CLI is started: the stages, the launch, and what the supervisor is
//! told.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use aod_resources::{CredentialMode, McpServer, Secrets, Timestamp};
use aod_runtime::Adapter;
use aod_runtime::types::{
    Capability, Description, Endpoint, EndpointSource, LimitName, OptionScope,
};
use aod_sandbox::disk_image::ImageError;
use aod_store::SealedKind;
use serde_json::{Value, json};

use super::attachments::{self, Attachments};
use super::context::{
    BeginRecord, Continuity, Start, context, limits, prompt, sandbox_paths, settings,
};
use super::fold::{Fold, FoldInput, TurnLimits};
use super::launch;
use super::task::Task;
use crate::adapters::Chosen;
use crate::git::{self, Clones};
use crate::journal::Journal;
use crate::network::{
    Bound, Brokered, SandboxNetwork, bind, broker, packets, policy_of, usage_fields,
};
use crate::packages::{Layer, PackageSet};
use crate::permissions::unkept_permission;
use crate::provision::{
    self, Cancelled, Installation, Output, ProvisionError, Readers, Setup, Stage, StageError,
    Stages, program,
};
use crate::secrets::{self, Renewal, TurnSecrets};
use crate::{Error, Result, Seals};

/// For so long after a turn's end an OAuth token is to be good, whatever clocks say.
const TOKEN_MARGIN: Duration = Duration::from_secs(60);

/// What is ready to be started.
pub(super) struct Ready {
    pub(super) spec: Box<aod_supervisor::TurnSpec>,
    pub(super) fold: Fold,
    pub(super) adapter: Arc<Adapter>,
    pub(super) begin: BeginRecord,
    /// The user's credentials that the turn is given.
    pub(super) credentials: Vec<String>,
    /// How many tokens were renewed when its secrets were read.
    pub(super) renewals: u64,
}

/// What stands before the CLI is started.
struct Staged<'j> {
    stages: Stages<'j>,
    chosen: Chosen,
    installation: Installation,
    /// The environment's packages.
    layer: Option<Layer>,
    facts: ProcessFacts,
}

/// Why a session's files cannot be made. That a disk is full is told in other words.
fn unusable(error: io::Error) -> StageError {
    let is_of_image = error
        .get_ref()
        .is_some_and(|inner| inner.is::<ImageError>());
    match error.kind() {
        io::ErrorKind::StorageFull => error.into(),
        io::ErrorKind::Unsupported => StageError::Failed(no_disk_text(&error)),
        _ if is_of_image => StageError::Failed(no_disk_text(&error)),
        _ => error.into(),
    }
}

/// Why a turn has no files to work with.
fn no_disk(error: io::Error) -> ProvisionError {
    tracing::error!(%error, "a session's disk cannot be mounted");
    ProvisionError::Failed(no_disk_text(&error))
}

fn no_disk_text(error: &io::Error) -> String {
    format!(
        "the session's disk cannot be used: {error}. What the session has said can be read, and it \
         can be deleted"
    )
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
    pub(super) async fn provision(
        &mut self,
        journal: &mut Journal,
    ) -> Result<Ready, ProvisionError> {
        let Staged {
            mut stages,
            chosen,
            installation,
            layer,
            facts,
        } = self.set_stage(journal).await?;
        let limits = self.limits().await?;
        let ready = self.prepare(&chosen, &installation, layer.as_ref(), facts, limits);
        stages.run(Stage::RuntimeStart, async { ready }).await
    }

    /// Runs the stages of a session that nothing is asked of yet.
    pub(super) async fn provision_alone(
        &mut self,
        journal: &mut Journal,
    ) -> Result<(), ProvisionError> {
        self.set_stage(journal).await.map(drop)
    }

    /// Runs the stages that come before the CLI's start.
    async fn set_stage<'j>(
        &mut self,
        journal: &'j mut Journal,
    ) -> Result<Staged<'j>, ProvisionError> {
        let turns = self.turns;
        let compat = turns.config.compat_stage_names;
        let has_lost = journal.has_lost();
        let is_gone = self.paths.image().is_none() && !self.paths.home().exists();
        if has_lost && self.session.provisioned && is_gone {
            // All of the session's folder is gone: it goes on in a new one.
            let paths = self.paths.clone();
            let made = tokio::task::spawn_blocking(move || paths.create_sandbox()).await;
            made.map_err(Error::internal)?.map_err(Error::internal)?;
        }
        let mut stages = Stages::resume(journal, &self.paths, compat)?;
        if !self.session.provisioned && !stages.is_done(Stage::CreateSandbox) {
            let paths = self.paths.clone();
            let make = async move {
                let made = tokio::task::spawn_blocking(move || paths.create_sandbox()).await;
                made.map_err(Error::internal)?.map_err(unusable)
            };
            stages.run(Stage::CreateSandbox, make).await?;
        }
        // An earlier one may have been of a session that had none yet.
        self.disk = None;
        self.use_disk().await.map_err(no_disk)?;
        // The runtime may have to be compiled first.
        let chosen = tokio::select! {
            chosen = turns.adapters.choose(&self.session) => chosen,
            () = self.cancelled() => return Err(ProvisionError::Cancelled),
        };
        let chosen = match chosen {
            Ok(chosen) => chosen,
            Err(error) => return Err(ProvisionError::told(&error)),
        };
        let description = chosen.adapter.description();
        let mut renewals = turns.oauth.count();
        let gathered = self.gather(&chosen.adapter).await;
        // A stage where there is something to tell; a later turn's failure is told by its end.
        let is_stage = !self.session.provisioned
            && gathered.as_ref().map_or(true, |secrets| {
                !secrets.variables.is_empty() && !stages.is_done(Stage::EnvFile)
            });
        let mut secrets = match is_stage {
            true => stages.run(Stage::EnvFile, async { Ok(gathered?) }).await?,
            false => gathered.map_err(|error| ProvisionError::told(&error))?,
        };
        let mut egress = self.broker(&chosen, &mut secrets)?;
        self.hide(&secrets);
        stages.redact(self.hidden.redactor.clone());
        let (installation, layer, has_set) = self
            .set_up(&mut stages, &chosen, &secrets, egress.0.bound.as_ref())
            .await?;
        if has_set {
            // The setup script's own variables are among them now.
            renewals = turns.oauth.count();
            secrets = self.gather_anew(&mut stages, &chosen.adapter).await?;
            egress = self.broker(&chosen, &mut secrets)?;
        }
        let (brokered, network) = egress;
        if !self.session.provisioned {
            if provision::wants_network_policy(&self.session) {
                stages
                    .run(Stage::NetworkPolicy, async {
                        provision::network_policy(&turns.sandboxes.egress)
                    })
                    .await?;
            }
            let agent = &self.session.agent;
            let has_servers = !agent.mcp_servers.is_empty() || !agent.tools.is_empty();
            if has_servers && !stages.is_done(Stage::McpConfig) {
                // The servers' values are open by now; where they go is the adapter's to say.
                stages.run(Stage::McpConfig, async { Ok(()) }).await?;
            }
            if !self.session.agent.skills.is_empty() && !stages.is_done(Stage::Skills) {
                let folder = description.skills_folder.as_deref();
                let cancelled: &Cancelled<'_> = &|| Box::pin(self.cancelled());
                let work = async {
                    let mut output = self.output()?;
                    let (session, paths) = (&self.session, &self.paths);
                    provision::skills(turns, session, paths, folder, &mut output, cancelled).await
                };
                stages.run(Stage::Skills, work).await?;
            }
        }
        Ok(Staged {
            stages,
            chosen,
            installation,
            layer,
            facts: ProcessFacts {
                secrets,
                brokered,
                network,
                has_lost_history: has_lost,
                renewals,
            },
        })
    }

    /// Opens the turn's secrets, with OAuth tokens that are good for as long as it may take.
    pub(super) async fn gather(&self, adapter: &Adapter) -> Result<TurnSecrets> {
        let turns = self.turns;
        let renewal = Renewal {
            tokens: &turns.oauth,
            adapter,
            life: Duration::from_secs(self.turn.turn.timeout.into()) + TOKEN_MARGIN,
            worker: self.worker(),
        };
        let (store, seals) = (&turns.store, &turns.seals);
        let description = adapter.description();
        let (renewal, known) = (Some(renewal), &self.hidden.opened);
        secrets::gather(store, seals, &self.session, description, renewal, known).await
    }

    async fn gather_anew(
        &mut self,
        stages: &mut Stages<'_>,
        adapter: &Adapter,
    ) -> Result<TurnSecrets, ProvisionError> {
        let gathered = self.gather(adapter).await;
        let secrets = gathered.map_err(|error| ProvisionError::told(&error))?;
        self.hide(&secrets);
        stages.redact(self.hidden.redactor.clone());
        Ok(secrets)
    }

    /// Where the output of provisioning goes.
    fn output(&self) -> std::io::Result<Output> {
        let readers = Readers {
            bell: self.turns.setup_bell.clone(),
            session: self.id(),
        };
        let max = self.turns.config.turn.step_output;
        Output::open(
            &self.paths.provisioning(),
            max,
            self.hidden.redactor.clone(),
            readers,
        )
    }

    /// Keeps the variables that a setup script left, in the place of those of an earlier attempt.
    async fn keep_variables(&self, variables: &Secrets) -> Result<(), Error> {
        let (owner, id) = (self.session.owner, self.session.session.id);
        let kind = SealedKind::SetupVariable;
        let sealed = self.turns.seals.seal_all(owner, kind, id, variables)?;
        let store = &self.turns.store;
        Ok(store
            .replace_sealed(owner, kind, id, sealed, Timestamp::now())
            .await?)
    }

    /// Installs the CLI and the environment's packages, and carries out what else the environment
    /// asks for. Says whether a setup script may have set variables.
    async fn set_up(
        &self,
        stages: &mut Stages<'_>,
        chosen: &Chosen,
        secrets: &TurnSecrets,
        bound: Option<&Bound>,
    ) -> Result<(Installation, Option<Layer>, bool), ProvisionError> {
        let turns = self.turns;
        let key = chosen.install_key.as_deref();
        let found = turns
            .installs
            .find(&chosen.cli, key)
            .map_err(Error::internal)?;
        let setup = !self.session.provisioned
            && !stages.is_done(Stage::ProvisionSetup)
            && provision::wants_setup(&self.session);
        let environment = self.session.environment.as_ref();
        let wanted = environment.and_then(PackageSet::of);
        let layer = match &wanted {
            Some(wanted) => {
                let (turns, wanted) = (turns.clone(), wanted.clone());
                let find = tokio::task::spawn_blocking(move || turns.packages.find(&wanted));
                find.await.map_err(Error::internal)?
            }
            None => None,
        };
        let has_packages = layer.is_some() || wanted.is_none();
        if let (Some(found), true, false) = (&found, has_packages, setup) {
            return Ok((found.clone(), layer, false));
        }
        let work = async {
            let mut output = self.output()?;
            let installation = match (found, key) {
                (Some(found), _) => found,
                (None, Some(key)) => {
                    let cancelled = self.cancelled();
                    turns
                        .installs
                        .install(&turns.sandboxes, &chosen.cli, key, &mut output, cancelled)
                        .await?
                }
                (None, None) => Installation::default(),
            };
            let cancelled: &Cancelled<'_> = &|| Box::pin(self.cancelled());
            let layer = match (layer, &wanted) {
                (None, Some(wanted)) => {
                    let (packages, sandboxes) = (&turns.packages, &turns.sandboxes);
                    let provided = packages.provide(sandboxes, wanted, &mut output, cancelled);
                    Some(provided.await?)
                }
                (layer, _) => layer,
            };
            if setup {
                let setup = Setup {
                    sandboxes: &turns.sandboxes,
                    session: &self.session,
                    paths: &self.paths,
                    layer: layer.as_ref(),
                    secrets,
                    bound,
                    trash: &turns.trash,
                    clones: Clones {
                        mirrors: &turns.mirrors,
                        sandboxes: &turns.sandboxes,
                        store: &turns.store,
                        session: &self.session,
                        paths: &self.paths,
                        trash: &turns.trash,
                        tokens: &secrets.tokens,
                    },
                    script_timeout: turns.config.turn.setup_timeout,
                };
                let variables = setup.run(&mut output, cancelled).await?;
                check_set(chosen.adapter.description(), &variables)?;
                self.keep_variables(&variables).await?;
            }
            Ok((installation, layer, setup))
        };
        stages.run(Stage::ProvisionSetup, work).await
    }

    /// Whether the session is the copy of another, of which it should remember something, and this
    /// is its first turn.
    fn is_first_of_fork(&self) -> bool {
        let fork = self.session.session.forked_from;
        self.number() == 1 && fork.is_some_and(|fork| fork.turn > 0)
    }

    /// Asks the adapter how to start the CLI, and prepares the sandbox for it.
    fn prepare(
        &self,
        chosen: &Chosen,
        installation: &Installation,
        layer: Option<&Layer>,
        facts: ProcessFacts,
        limits: TurnLimits,
    ) -> Result<Ready, StageError> {
        let ProcessFacts {
            secrets,
            brokered,
            network,
            has_lost_history,
            renewals,
        } = facts;
        let sandboxes = &self.turns.sandboxes;
        let runtime = &self.session.session.runtime;
        program::check_operators(runtime, &chosen.cli, &self.turns.paths.sessions())?;
        let adapter = &chosen.adapter;
        let description = adapter.description();
        let may_rest = self.turns.config.live.idle > Duration::ZERO;
        let can_stay = description.capabilities.contains(&Capability::Live);
        let mut begin = BeginRecord {
            adapter: adapter.digest().to_string(),
            resume: self.session.resume_token.clone(),
            secrets: secrets.variables.keys().cloned().collect(),
            endpoints: brokered.endpoints.into_iter().map(Into::into).collect(),
            mcp: brokered.mcp,
            cli_version: installation.version.clone(),
            options: adapter.options().to_owned(),
            start: Start::default(),
            first: None,
            live: may_rest && can_stay,
            // An answer of the wrong form is asked for once more.
            is_spoken_to: can_stay && (may_rest || self.turn.turn.output_schema.is_some()),
            limits,
            fingerprint: self.fingerprint(chosen, &secrets, &secrets.brokered_logins()),
            notices: self.notices.clone(),
            logins: secrets.brokered_logins(),
        };
        begin.set_endpoints(secrets.endpoints(description));
        let places = sandbox_paths(&*sandboxes.driver, &self.paths);
        let context = context(&self.session, &begin, places.clone());
        let prompt = prompt(&self.session, &self.turn.turn, &places, description);
        let requested = adapter
            .prepare(&context, &prompt)
            .map_err(|error| StageError::Failed(error.to_string()))?;
        begin.start = Start {
            has_lost_history,
            holds_credentials: secrets.holds_credentials(description),
            ..Start::from(&requested)
        };
        if begin.resume.is_none() && self.is_first_of_fork() {
            begin.start.continuity = Continuity::Fresh;
        }
        let trash = &self.turns.trash;
        attachments::place(&self.turn.turn, &self.paths, trash)?;
        let private = launch::place_files(&requested, &places, &self.paths, trash, &secrets)?;
        let mut argv = requested.argv.clone();
        if let Some(program) = argv.first_mut() {
            if *program == description.cli.command {
                program.clone_from(&chosen.cli.command);
            }
            let driver = &*sandboxes.driver;
            *program = program::find(runtime, program, installation, driver, &self.paths)?;
        }
        let mut spec = sandboxes.of_session(&self.paths, Some(installation), layer, argv);
        spec.private_files = private;
        launch::set_variables(&mut spec, &requested, &chosen.cli.env, &secrets)?;
        git::give_identity(&mut spec, sandboxes, &self.session, &brokered.repositories);
        network.apply(&mut spec);
        let launch = sandboxes.driver.launch(&spec)?;
        let (start, is_live) = (begin.start, begin.live);
        let max_requests = begin.limits.asked.max_rounds;
        let kept = begin.clone();
        let begin = serde_json::to_value(&begin).map_err(Error::internal)?;
        let input = launch::SpecInput {
            turn: &self.turn,
            description,
            requested: &requested,
            begin,
            is_live,
            max_requests,
        };
        let spec = launch::turn_spec(self.turns, &self.paths, launch, input, &secrets)?;
        Ok(Ready {
            spec: Box::new(spec),
            fold: Fold::new(FoldInput {
                adapter: adapter.clone(),
                context,
                prompts: vec![prompt],
                start,
                rests: is_live,
                attachments: Attachments::of(&self.paths),
            }),
            adapter: adapter.clone(),
            begin: kept,
            credentials: secrets.credentials,
            renewals,
        })
    }
}

impl Task<'_> {
    /// Keeps credentials out of the sandbox, as far as that is asked for; says which gateways fill
    /// them in, and what the sandbox reaches.
    fn broker(
        &self,
        chosen: &Chosen,
        secrets: &mut TurnSecrets,
    ) -> Result<(Brokered, SandboxNetwork), ProvisionError> {
        let description = chosen.adapter.description();
        let endpoints = given_endpoints(chosen, secrets);
        let egress = &self.turns.sandboxes.egress;
        let mut policy = policy_of(egress, &self.session);
        let mut brokered = match self.keeps_credentials_out()? {
            true => {
                if let Some(variable) = secrets.odd_endpoint(description) {
                    // The provider's own address is not what was asked for.
                    return Err(ProvisionError::Failed(format!(
                        "{variable} should be an http or https URL without user information: the \
                         credential of its provider is sent there"
                    )));
                }
                let agent = &self.session.agent;
                let mut brokered = broker(
                    secrets,
                    description,
                    agent,
                    &endpoints,
                    &policy,
                    |provider| usage_fields(&chosen.adapter, provider),
                );
                brokered.bound = bind(secrets, &self.turns.seals, self.session.owner)
                    .map_err(|error| ProvisionError::told(&error))?;
                brokered
            }
            false => Brokered::default(),
        };
        let agent = &self.session.agent;
        // The runtime was not compiled yet when the agent was made, or is another one by now.
        if let Some(permissions) = &agent.permissions
            && let Some(unkept) = unkept_permission(description, permissions)
        {
            return Err(ProvisionError::Failed(format!(
                "this runtime's CLI cannot be told to {} its own tools, as the agent's \
                 `permissions` want it",
                unkept.word()
            )));
        }
        let is_guarded = |server: &McpServer| server.permissions.is_some();
        let wants_tools = !agent.tools.is_empty() || agent.mcp_servers.iter().any(is_guarded);
        if wants_tools && egress.shares_host {
            return Err(ProvisionError::Failed(
                "this server's sandboxes share the host's network, where an agent's tools and the \
                 permissions of its mcp_servers cannot be held: they need a server with \
                 `sandbox.network = \"own\"`"
                    .to_owned(),
            ));
        }
        if !egress.shares_host {
            let timeout = self.turns.config.turn.tool_timeout;
            brokered.guard_tools(agent, &mut policy, timeout);
            brokered.add_repositories(&self.session.session.resources, &secrets.tokens);
        }
        let packets = packets(egress, &self.session).map_err(ProvisionError::Failed)?;
        let network = SandboxNetwork::of_turn(
            egress,
            policy,
            description,
            &endpoints,
            &mut brokered,
            packets,
        )?;
        Ok((brokered, network))
    }

    /// Whether providers' credentials stay outside of the session's sandbox.
    fn keeps_credentials_out(&self) -> Result<bool, ProvisionError> {
        let egress = &self.turns.sandboxes.egress;
        let environment = self.session.environment.as_ref();
        let asked = environment.and_then(|environment| environment.credentials);
        match (asked.unwrap_or(egress.credentials), egress.shares_host) {
            (CredentialMode::Injected, _) => Ok(false),
            (CredentialMode::Brokered, false) => Ok(true),
            (CredentialMode::Brokered, true) if asked.is_none() => Ok(false),
            (CredentialMode::Brokered, true) => Err(ProvisionError::Failed(
                "this server's sandboxes share the host's network, so that credentials cannot be \
                 \"brokered\": use \"injected\", or a server with `sandbox.network = \"own\"`"
                    .to_owned(),
            )),
        }
    }

    /// A keyed hash of what the turn's process would be started with, where that may be another in
    /// the next turn. `logins` are credentials that its gateways can be told others of.
    pub(super) fn fingerprint(
        &self,
        chosen: &Chosen,
        secrets: &TurnSecrets,
        logins: &BTreeMap<String, String>,
    ) -> String {
        let description = chosen.adapter.description();
        let of_process = |id: &str| {
            let mut options = description.options.iter();
            options.any(|option| option.id == id && option.scope == OptionScope::Process)
        };
        let mut settings = settings(&self.session, &self.turn.turn);
        settings.retain(|id, _| of_process(id));
        let form_of_process = Capability::StructuredOutput(OptionScope::Process);
        let form = match description.capabilities.contains(&form_of_process) {
            true => self.turn.turn.output_schema.as_ref(),
            false => None,
        };
        // A CLI that holds it counts what its process spends.
        let holds_cost = |capability: &Capability| match capability {
            Capability::Limits(names) => names.contains(&LimitName::MaxCostUsd),
            _ => false,
        };
        let cost = match description.capabilities.iter().any(holds_cost) {
            true => limits(&self.session, &self.turn.turn).max_cost_usd,
            false => None,
        };
        let asked = json!([settings, form, cost]);
        let mut values = secrets.values();
        for (name, value) in &mut values {
            // Which token that is does not matter, if it is the same login's.
            if let Some(credential) = logins.get(*name)
                && secrets.logins.get(*name) == Some(credential)
            {
                *value = credential;
            }
        }
        fingerprint(&self.turns.seals, chosen, (secrets, &values), &asked)
    }
}

/// What a process is started with, besides what the adapter says.
struct ProcessFacts {
    secrets: TurnSecrets,
    brokered: Brokered,
    network: SandboxNetwork,
    /// Whether what the session's log had was gone.
    has_lost_history: bool,
    /// How many tokens were renewed when the secrets were read.
    renewals: u64,
}

/// Refuses variables of a setup script that say where a credential is sent: whatever the script
/// runs could set them.
fn check_set(description: &Description, variables: &Secrets) -> Result<(), StageError> {
    let endpoints = description.providers.iter();
    let mut endpoints = endpoints.filter_map(|provider| provider.endpoint_variable.as_ref());
    match endpoints.find(|name| variables.contains_key(*name)) {
        None => Ok(()),
        Some(name) => Err(StageError::Failed(format!(
            "setup_script left {name} in $AOD_ENV, which says where the provider's credential is \
             sent: set it in the environment's vars"
        ))),
    }
}

/// The base URLs that are given for providers: by the user, and then by the operator.
fn given_endpoints(chosen: &Chosen, secrets: &TurnSecrets) -> Vec<Endpoint> {
    let description = chosen.adapter.description();
    let mut endpoints = secrets.endpoints(description);
    for provider in &description.providers {
        let variable = provider.endpoint_variable.as_ref();
        let url = variable.and_then(|variable| chosen.cli.env.get(variable));
        if let Some(url) = url
            && !endpoints.iter().any(|given| given.provider == provider.id)
        {
            endpoints.push(Endpoint {
                provider: provider.id.clone(),
                url: url.clone(),
                source: EndpointSource::User,
            });
        }
    }
    endpoints
}

/// A keyed hash of what a process is started with and what may be another in the next turn: the
/// secrets, the adapter, the CLI, the operator's settings, and what is `asked` of the turn that
/// only a start can change. All else of a session stays as it is.
fn fingerprint(
    seals: &Seals,
    chosen: &Chosen,
    (secrets, values): (&TurnSecrets, &[(&str, &str)]),
    asked: &Value,
) -> String {
    let hosts = &secrets.bound;
    let cli = &chosen.cli;
    let facts = json!([
        chosen.adapter.digest().to_string(),
        chosen.adapter.options(),
        chosen.install_key,
        cli.command,
        cli.env,
        values,
        hosts,
        asked,
    ]);
    seals.hash("process", &facts)
}
