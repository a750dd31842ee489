//! Users and their API tokens.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aod_resources::Timestamp;
use aod_store::{NewToken, Store, Token, User};
use aod_vault::token;
use secrecy::SecretString;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{Error, OpenError, Result};

/// How often a token's last use is written down: it costs a commit.
const TOUCH: Duration = Duration::from_secs(60);

/// The users of the server, and the tokens that stand for them.
#[derive(Clone, Debug)]
pub struct Users {
    store: Store,
    touched: Arc<Mutex<HashMap<Uuid, Instant>>>,
}

/// An API token without its secret.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct TokenInfo {
    /// Its id.
    pub id: Uuid,
    /// A name for people.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last let somebody in, to the minute.
    pub last_used_at: Option<Timestamp>,
    /// From when on it is refused.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// Somebody who owns agents, environments, sessions and credentials.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct UserInfo {
    /// Their id.
    pub id: Uuid,
    /// Their name, unique.
    pub name: String,
    /// Whether they may reload runtimes, read metrics and add users.
    pub admin: bool,
    /// When they were added.
    pub created_at: Timestamp,
}

impl From<User> for UserInfo {
    fn from(user: User) -> Self {
        Self {
            id: user.id,
            name: user.name,
            admin: user.admin,
            created_at: user.created_at,
        }
    }
}

/// Who was let in, and by what.
#[derive(Clone, Debug)]
pub struct Authenticated {
    /// The user.
    pub user: User,
    /// The token's name.
    pub token: String,
}

impl From<Token> for TokenInfo {
    fn from(token: Token) -> Self {
        Self {
            id: token.id,
            name: token.name,
            created_at: token.created_at,
            last_used_at: token.last_used_at,
            expires_at: token.expires_at,
            revoked_at: token.revoked_at,
        }
    }
}

impl Users {
    /// The users in a data folder, for commands that need no server.
    ///
    /// # Errors
    /// Where the folder cannot be made, or the store in it not be opened.
    pub async fn open(data_dir: &std::path::Path) -> Result<Self, OpenError> {
        let paths = crate::data_folder(data_dir)?;
        Ok(Self::new(crate::contradiction::open_store(&paths).await?))
    }

    /// The users in a store.
    pub(crate) fn new(store: Store) -> Self {
        Self {
            store,
            touched: Arc::default(),
        }
    }

    /// Whom a token lets in; nobody where it is unknown, expired or revoked.
    ///
    /// # Errors
    /// [`Error::Internal`] where the store does not answer.
    pub async fn authenticate(&self, secret: &str) -> Result<Option<Authenticated>> {
        let hash = token::hash(secret);
        let found = match self.store.token_by_hash(hash).await {
            Err(aod_store::Error::NotFound { .. }) => return Ok(None),
            found => found?,
        };
        let now = Timestamp::now();
        if !token::matches(&found.sha256, &hash) || !found.token.is_valid(now) {
            return Ok(None);
        }
        if self.due(found.token.id) {
            self.store.touch_token(found.token.id, now).await?;
        }
        Ok(Some(Authenticated {
            user: found.user,
            token: found.token.name,
        }))
    }

    fn due(&self, token: Uuid) -> bool {
        let mut touched = self.touched.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if touched
            .get(&token)
            .is_some_and(|at| now.duration_since(*at) < TOUCH)
        {
            return false;
        }
        touched.insert(token, now);
        true
    }

    /// Makes a token for a user. The secret is not kept.
    ///
    /// # Errors
    /// [`Error::NotFound`] where there is no such user.
    pub async fn create_token(
        &self,
        user: Uuid,
        name: String,
        expires_at: Option<Timestamp>,
    ) -> Result<(TokenInfo, SecretString)> {
        let (secret, sha256) = token::generate();
        let token = NewToken {
            id: Uuid::new_v4(),
            user,
            name,
            sha256,
            created_at: Timestamp::now(),
            expires_at,
        };
        Ok((self.store.create_token(token).await?.into(), secret))
    }

    /// A user's tokens, newest first.
    ///
    /// # Errors
    /// [`Error::Internal`].
    pub async fn tokens(&self, user: Uuid) -> Result<Vec<TokenInfo>> {
        Ok(self
            .store
            .list_tokens(user)
            .await?
            .into_iter()
            .map(TokenInfo::from)
            .collect())
    }

    /// Revokes a token for good.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn revoke_token(&self, user: Uuid, id: Uuid) -> Result<TokenInfo> {
        Ok(self
            .store
            .revoke_token(user, id, Timestamp::now())
            .await?
            .into())
    }

    /// Whether anybody can get in.
    ///
    /// # Errors
    /// [`Error::Internal`].
    pub async fn any_valid_token(&self) -> Result<bool> {
        Ok(self.store.any_valid_token(Timestamp::now()).await?)
    }

    /// The user of that name, added where there is none yet. The very first user is an
    /// administrator.
    ///
    /// # Errors
    /// [`Error::Internal`].
    pub async fn ensure(&self, name: &str) -> Result<User> {
        match self.store.user_by_name(name).await {
            Err(aod_store::Error::NotFound { .. }) => {}
            found => return Ok(found?),
        }
        let first = self.store.list_users().await?.is_empty();
        self.add(name, first).await
    }

    /// The user of that name.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn by_name(&self, name: &str) -> Result<User> {
        Ok(self.store.user_by_name(name).await?)
    }

    /// Adds a user.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`] where the name is taken; [`Error::UserName`].
    pub async fn add(&self, name: &str, admin: bool) -> Result<User> {
        if name.trim().is_empty() || name.len() > 200 {
            return Err(Error::UserName);
        }
        let user = User {
            id: Uuid::new_v4(),
            name: name.to_owned(),
            admin,
            created_at: Timestamp::now(),
        };
        Ok(self.store.create_user(user).await?)
    }

    /// The user of that id.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn by_id(&self, id: Uuid) -> Result<User> {
        Ok(self.store.user(id).await?)
    }

    /// All users, oldest first.
    ///
    /// # Errors
    /// [`Error::Internal`].
    pub async fn list(&self) -> Result<Vec<User>> {
        Ok(self.store.list_users().await?)
    }
}
