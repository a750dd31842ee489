//! Environments and their versions.

use aod_resources::{Environment, EnvironmentVersion, Timestamp};
use rusqlite::OptionalExtension;
use uuid::Uuid;

use crate::{
    Error, Page, Result, SealedValue, SecretsUpdate, Store, sealed,
    sql::Id,
    versioned::{self, Versioned},
};

impl Store {
    /// Adds an environment as version 1, with its sealed `env_vars`. `created_at` is taken from
    /// it; `version`, `archived_at` and `updated_at` are set here.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`] when the id is taken.
    pub async fn create_environment(
        &self,
        owner: Uuid,
        environment: Environment,
        secrets: Vec<SealedValue>,
    ) -> Result<Environment> {
        self.write(move |db| versioned::create(db, owner, environment, secrets))
            .await
    }

    /// An environment, archived or not.
    ///
    /// # Errors
    /// [`Error::NotFound`], also for another user's.
    pub async fn environment(&self, owner: Uuid, id: Uuid) -> Result<Environment> {
        self.read_row(move |db| versioned::get(db, owner, id)).await
    }

    /// A user's environments that are not archived, newest first.
    ///
    /// # Errors
    /// [`Error::NotFound`] when `page.after` names none of theirs.
    pub async fn list_environments(&self, owner: Uuid, page: Page) -> Result<Vec<Environment>> {
        self.read(move |db| versioned::list(db, owner, page)).await
    }

    /// Puts `environment` in the place of its version `expected_version`, and in the same
    /// transaction its sealed `env_vars`. Of its fields, `version` and the dates are ignored. An
    /// update that changes nothing returns the environment as it is.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Archived`], [`Error::VersionMismatch`].
    pub async fn update_environment(
        &self,
        owner: Uuid,
        expected_version: i64,
        environment: Environment,
        secrets: SecretsUpdate,
        at: Timestamp,
    ) -> Result<Environment> {
        self.write(move |db| {
            versioned::update(db, owner, expected_version, environment, secrets, at)
        })
        .await
    }

    /// Archives an environment, for good.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Archived`] when it is so already.
    pub async fn archive_environment(
        &self,
        owner: Uuid,
        id: Uuid,
        at: Timestamp,
    ) -> Result<Environment> {
        self.write(move |db| versioned::archive(db, owner, id, at))
            .await
    }

    /// All versions of an environment, newest first.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn environment_versions(
        &self,
        owner: Uuid,
        id: Uuid,
    ) -> Result<Vec<EnvironmentVersion>> {
        self.read(move |db| {
            let versions = versioned::versions(db, owner, id)?;
            Ok(versions
                .into_iter()
                .map(|environment| EnvironmentVersion { environment })
                .collect())
        })
        .await
    }

    /// Deletes an environment with its versions and sealed values.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::InUse`] once any session was made with it, even one that is
    /// deleted by now.
    pub async fn delete_environment(&self, owner: Uuid, id: Uuid) -> Result<()> {
        self.write(move |db| {
            let used: Option<bool> = db
                .prepare_cached("SELECT used FROM environments WHERE id = ? AND owner = ?")?
                .query_row((Id(id), Id(owner)), |row| row.get(0))
                .optional()?;
            match used {
                None => Err(Error::not_found(Environment::WHAT, id)),
                Some(true) => Err(Error::InUse {
                    what: Environment::WHAT,
                    id,
                }),
                Some(false) => {
                    sealed::delete_all(db, Environment::SEALED, id)?;
                    db.prepare_cached("DELETE FROM environments WHERE id = ?")?
                        .execute([Id(id)])?;
                    Ok(())
                }
            }
        })
        .await
    }
}
