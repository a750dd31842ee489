//! API tokens: only their SHA-256 is known here.

use aod_resources::Timestamp;
use rusqlite::{OptionalExtension, Row, named_params};
use uuid::Uuid;

use crate::{
    Error, Result, Store, User,
    error::is_duplicate,
    sql::{self, At, Id},
};

/// What a new token consists of.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// Its id, not its secret.
    pub id: Uuid,
    /// Whose it is.
    pub user: Uuid,
    /// A name for people.
    pub name: String,
    /// SHA-256 of its secret.
    pub sha256: [u8; 32],
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it is refused.
    pub expires_at: Option<Timestamp>,
}

/// A token without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Its id.
    pub id: Uuid,
    /// Whose it is.
    pub user: Uuid,
    /// A name for people.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last let somebody in.
    pub last_used_at: Option<Timestamp>,
    /// From when on it is refused.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

impl Token {
    /// Whether it lets its user in at that moment.
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }

    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: sql::id(row, "id")?,
            user: sql::id(row, "user_id")?,
            name: row.get("name")?,
            created_at: sql::at(row, "created_at")?,
            last_used_at: sql::at_opt(row, "last_used_at")?,
            expires_at: sql::at_opt(row, "expires_at")?,
            revoked_at: sql::at_opt(row, "revoked_at")?,
        })
    }
}

/// A token found by its hash, with the user that it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenOwner {
    /// The token; ask [`Token::is_valid`] before letting anybody in.
    pub token: Token,
    /// The hash as stored, for a comparison in constant time.
    pub sha256: [u8; 32],
    /// Its user.
    pub user: User,
}

impl Store {
    /// Adds a token.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such user, [`Error::AlreadyExists`] when the hash is
    /// known.
    pub async fn create_token(&self, token: NewToken) -> Result<Token> {
        self.write(move |db| {
            let added = db
                .prepare_cached(
                    "INSERT INTO tokens (id, user_id, name, sha256, created_at, expires_at)
                     SELECT :id, id, :name, :sha256, :created_at, :expires_at
                     FROM users WHERE id = :user",
                )?
                .execute(named_params! {
                    ":id": Id(token.id),
                    ":user": Id(token.user),
                    ":name": token.name,
                    ":sha256": token.sha256,
                    ":created_at": At(token.created_at),
                    ":expires_at": token.expires_at.map(At),
                });
            match added {
                Ok(0) => Err(Error::not_found("user", token.user)),
                Ok(_) => Ok(Token {
                    id: token.id,
                    user: token.user,
                    name: token.name,
                    created_at: token.created_at,
                    last_used_at: None,
                    expires_at: token.expires_at,
                    revoked_at: None,
                }),
                Err(error) if is_duplicate(&error) => Err(Error::AlreadyExists {
                    what: "token",
                    name: token.name,
                }),
                Err(error) => Err(error.into()),
            }
        })
        .await
    }

    /// A user's tokens, newest first, revoked and expired ones included.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn list_tokens(&self, user: Uuid) -> Result<Vec<Token>> {
        self.read(move |db| {
            let mut query =
                db.prepare_cached("SELECT * FROM tokens WHERE user_id = ? ORDER BY seq DESC")?;
            let tokens = query.query_map([Id(user)], Token::from_row)?;
            Ok(tokens.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// Whether there is any token that is valid at that moment.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn any_valid_token(&self, now: Timestamp) -> Result<bool> {
        self.read_row(move |db| {
            Ok(db.query_row(
                "SELECT EXISTS (SELECT 1 FROM tokens WHERE revoked_at IS NULL
                 AND (expires_at IS NULL OR expires_at > ?))",
                [At(now)],
                |row| row.get(0),
            )?)
        })
        .await
    }

    /// The token of that hash and its user; also a revoked or expired one.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn token_by_hash(&self, sha256: [u8; 32]) -> Result<TokenOwner> {
        self.read_row(move |db| {
            let found = db
                .prepare_cached("SELECT * FROM tokens WHERE sha256 = ?")?
                .query_row([sha256], |row| {
                    Ok((Token::from_row(row)?, row.get::<_, [u8; 32]>("sha256")?))
                })
                .optional()?;
            let (token, sha256) = found.ok_or_else(|| Error::not_found("token", "of that hash"))?;
            let user = db
                .prepare_cached("SELECT * FROM users WHERE id = ?")?
                .query_row([Id(token.user)], User::from_row)?;
            Ok(TokenOwner {
                token,
                sha256,
                user,
            })
        })
        .await
    }

    /// Notes that a token let somebody in. Callers may note it now and then rather than each
    /// time: it costs a commit.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn touch_token(&self, id: Uuid, at: Timestamp) -> Result<()> {
        self.write(move |db| {
            let touched = db
                .prepare_cached(
                    "UPDATE tokens SET last_used_at = max(?2, ifnull(last_used_at, ?2))
                     WHERE id = ?1",
                )?
                .execute((Id(id), At(at)))?;
            if touched == 0 {
                return Err(Error::not_found("token", id));
            }
            Ok(())
        })
        .await
    }

    /// Revokes a token of that user for good; revoking it again changes nothing.
    ///
    /// # Errors
    /// [`Error::NotFound`] when that user has no such token.
    pub async fn revoke_token(&self, user: Uuid, id: Uuid, at: Timestamp) -> Result<Token> {
        self.write(move |db| {
            db.prepare_cached(
                "UPDATE tokens SET revoked_at = ifnull(revoked_at, ?3)
                 WHERE id = ?1 AND user_id = ?2 RETURNING *",
            )?
            .query_row((Id(id), Id(user), At(at)), Token::from_row)
            .optional()?
            .ok_or_else(|| Error::not_found("token", id))
        })
        .await
    }
}
