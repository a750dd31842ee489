//! Environments: kept with their versions, their variables sealed.

use aod_resources::{
    Environment, EnvironmentChanges, EnvironmentDetail, EnvironmentVersion, NewEnvironment,
    Secrets, Timestamp,
};
use aod_store::{Page, SealedKind, SealedValue, SecretsUpdate, Store};
use aod_turns::{Seals, Turns};
use secrecy::ExposeSecret;
use uuid::Uuid;

use crate::{Error, Kind, Result};

/// The environments of all users.
#[derive(Clone, Debug)]
pub struct Environments {
    pub(crate) store: Store,
    pub(crate) seals: Seals,
    pub(crate) turns: Turns,
}

impl Environments {
    /// Creates an environment.
    ///
    /// # Errors
    /// [`Error::Internal`].
    pub async fn create(&self, owner: Uuid, new: NewEnvironment) -> Result<Environment> {
        let id = Uuid::new_v4();
        let secrets = self.seal(owner, id, &new.env_vars)?;
        let now = Timestamp::now();
        let environment = Environment {
            id,
            kind: aod_resources::EnvironmentType::Environment,
            name: new.name,
            packages: new.packages,
            setup_script: new.setup_script,
            setup_timeout: new.setup_timeout,
            networking: new.networking,
            vars: new.vars,
            git_identity: new.git_identity,
            credentials: new.credentials,
            project_config: new.project_config,
            version: 1,
            archived_at: None,
            created_at: now,
            updated_at: now,
        };
        Ok(self
            .store
            .create_environment(owner, environment, secrets)
            .await?)
    }

    /// A user's environments that are not archived, newest first, and what there is of their packages.
    ///
    /// # Errors
    /// [`Error::NotFound`] where the page begins after none of theirs.
    pub async fn list(&self, owner: Uuid, page: Page) -> Result<Vec<EnvironmentDetail>> {
        let environments = self.store.list_environments(owner, page).await?;
        self.detailed(environments).await
    }

    /// One environment, and what there is of its packages.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn get(&self, owner: Uuid, id: Uuid) -> Result<EnvironmentDetail> {
        let environment = self.store.environment(owner, id).await?;
        let mut detailed = self.detailed(vec![environment]).await?;
        detailed.pop().ok_or(Error::NotFound(Kind::Environment))
    }

    async fn detailed(&self, environments: Vec<Environment>) -> Result<Vec<EnvironmentDetail>> {
        let layers = self.turns.package_layers(&environments).await?;
        let both = environments.into_iter().zip(layers);
        let detailed = both.map(|(environment, package_layer)| EnvironmentDetail {
            environment,
            package_layer,
        });
        Ok(detailed.collect())
    }

    /// Changes an environment.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::VersionMismatch`]; [`Error::Archived`].
    pub async fn update(
        &self,
        owner: Uuid,
        id: Uuid,
        changes: EnvironmentChanges,
    ) -> Result<Environment> {
        let mut environment = self.store.environment(owner, id).await?;
        if environment.archived_at.is_some() {
            return Err(Error::Archived(Kind::Environment));
        }
        let secrets = match &changes.env_vars {
            Some(variables) if !self.same(owner, id, variables).await? => {
                SecretsUpdate::Replace(self.seal(owner, id, variables)?)
            }
            _ => SecretsUpdate::Keep,
        };
        environment.name = changes.name.unwrap_or(environment.name);
        environment.packages = changes.packages.unwrap_or(environment.packages);
        environment.setup_script = changes.setup_script.unwrap_or(environment.setup_script);
        environment.setup_timeout = changes.setup_timeout.unwrap_or(environment.setup_timeout);
        environment.networking = changes.networking.unwrap_or(environment.networking);
        environment.vars = changes.vars.unwrap_or(environment.vars);
        environment.git_identity = changes.git_identity.unwrap_or(environment.git_identity);
        environment.credentials = changes.credentials.unwrap_or(environment.credentials);
        environment.project_config = changes.project_config.unwrap_or(environment.project_config);
        let now = Timestamp::now();
        let updated = self
            .store
            .update_environment(owner, changes.version, environment, secrets, now)
            .await?;
        Ok(updated)
    }

    /// Archives an environment for good.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Archived`] where it is already.
    pub async fn archive(&self, owner: Uuid, id: Uuid) -> Result<Environment> {
        Ok(self
            .store
            .archive_environment(owner, id, Timestamp::now())
            .await?)
    }

    /// All versions of an environment, newest first.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn versions(&self, owner: Uuid, id: Uuid) -> Result<Vec<EnvironmentVersion>> {
        Ok(self.store.environment_versions(owner, id).await?)
    }

    /// Deletes an environment that no session was ever made with.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::InUse`] where a session was.
    pub async fn delete(&self, owner: Uuid, id: Uuid) -> Result<()> {
        Ok(self.store.delete_environment(owner, id).await?)
    }

    /// Whether these are the variables that are sealed already: an update that changes nothing
    /// makes no new version.
    async fn same(&self, owner: Uuid, id: Uuid, variables: &Secrets) -> Result<bool> {
        let sealed = self
            .store
            .list_sealed(owner, SealedKind::EnvironmentVariable, id)
            .await?;
        if sealed.len() != variables.len() {
            return Ok(false);
        }
        for record in &sealed {
            let Some(new) = variables.get(&record.key.name) else {
                return Ok(false);
            };
            // A value that can no longer be opened is replaced by whatever comes.
            match self.seals.open(record) {
                Ok(old) if old.expose_secret() == new.expose_secret() => {}
                _ => return Ok(false),
            }
        }
        Ok(true)
    }

    fn seal(&self, owner: Uuid, record: Uuid, secrets: &Secrets) -> Result<Vec<SealedValue>> {
        Ok(self
            .seals
            .seal_all(owner, SealedKind::EnvironmentVariable, record, secrets)?)
    }
}
