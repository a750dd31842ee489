//! A store in a temporary folder, with a user and shorthands for records.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use aod_resources::{
    Agent, Environment, Limits, Networking, Outcome, Session, Timestamp, Turn, Usage,
};
use aod_store::{
    Ask, Error, NewSession, NewTurn, SealedKind, SealedValue, Store, Submitted, TurnEnd, User,
    VersionRef,
};
use indexmap::IndexMap;
use serde_json::json;
use tempfile::TempDir;
use uuid::Uuid;

#[derive(Clone)]
pub struct Fixture {
    folder: Option<Arc<TempDir>>,
    pub store: Store,
    pub user: Uuid,
    pub agent: Agent,
    pub environment: Environment,
}

impl Fixture {
    /// A user and what they need in a new store of its own.
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("aod.db")).unwrap();
        let mut fixture = Self::of(store, "ada").await;
        fixture.folder = Some(Arc::new(folder));
        fixture
    }

    /// A new user and what they need in a store.
    pub async fn of(store: Store, name: &str) -> Self {
        let user = user(&store, name).await;
        let agent = store.create_agent(user, agent(), vec![]).await.unwrap();
        let environment = store
            .create_environment(user, environment(), vec![])
            .await
            .unwrap();
        Self {
            folder: None,
            store,
            user,
            agent,
            environment,
        }
    }

    pub fn folder(&self) -> &Path {
        self.folder.as_ref().unwrap().path()
    }

    pub fn path(&self) -> PathBuf {
        self.folder().join("aod.db")
    }

    /// Closes the store and opens the same file.
    pub async fn reopen(&mut self) {
        self.store.clone().close().await.unwrap();
        self.store = Store::open(self.path()).unwrap();
    }

    pub fn new_session(&self) -> NewSession {
        NewSession {
            id: Uuid::new_v4(),
            owner: self.user,
            agent: VersionRef {
                id: self.agent.id,
                version: self.agent.version,
            },
            environment: Some(VersionRef {
                id: self.environment.id,
                version: self.environment.version,
            }),
            runtime: "demo".to_owned(),
            model: "provider/model".to_owned(),
            resources: vec![],
            vars: IndexMap::new(),
            settings: IndexMap::new(),
            timeout: 600,
            limits: Limits::default(),
            title: None,
            metadata: IndexMap::new(),
            fork: None,
            first: Some(Ask {
                prompt: "first".to_owned(),
                ..Ask::default()
            }),
            secrets: vec![],
            adapter_digest: None,
            install_key: None,
            active_limit: None,
            webhook: None,
            idempotency: None,
            at: Timestamp::now(),
        }
    }

    pub async fn session(&self) -> Session {
        created(self.store.create_session(self.new_session()).await.unwrap())
    }

    pub fn new_turn(&self, session: Uuid) -> NewTurn {
        NewTurn {
            session,
            owner: self.user,
            ask: Ask {
                prompt: "next".to_owned(),
                ..Ask::default()
            },
            active_limit: None,
            idempotency: None,
            at: Timestamp::now(),
        }
    }

    pub async fn start(&self, session: Uuid, turn: u32) {
        self.store
            .start_turn(session, turn, "digest".to_owned(), Timestamp::now())
            .await
            .unwrap();
    }

    pub async fn end(&self, session: Uuid, turn: u32, outcome: Outcome) -> Session {
        self.store
            .end_turn(turn_end(session, turn, outcome))
            .await
            .unwrap()
    }
}

pub fn created<T>(submitted: Submitted<T>) -> T {
    match submitted {
        Submitted::New(it) => it,
        Submitted::Replayed(replay) => panic!("replayed {replay:?}"),
    }
}

pub async fn user(store: &Store, name: &str) -> Uuid {
    let user = User {
        id: Uuid::new_v4(),
        name: name.to_owned(),
        admin: false,
        created_at: Timestamp::now(),
    };
    store.create_user(user).await.unwrap().id
}

pub fn agent() -> Agent {
    let now = Timestamp::now();
    Agent {
        id: Uuid::new_v4(),
        kind: aod_resources::AgentType::Agent,
        name: "hello".to_owned(),
        description: None,
        system: Some("Be brief.".to_owned()),
        runtime: "demo".to_owned(),
        model: "provider/model".to_owned(),
        environment_id: None,
        skills: vec![],
        tools: Vec::new(),
        permissions: None,
        mcp_servers: vec![],
        metadata: IndexMap::new(),
        settings: IndexMap::new(),
        limits: Limits::default(),
        git_identity: None,
        version: 0,
        archived_at: None,
        created_at: now,
        updated_at: now,
    }
}

pub fn environment() -> Environment {
    let now = Timestamp::now();
    Environment {
        id: Uuid::new_v4(),
        kind: aod_resources::EnvironmentType::Environment,
        name: "plain".to_owned(),
        packages: IndexMap::new(),
        setup_script: None,
        setup_timeout: None,
        git_identity: None,
        networking: Networking::default(),
        vars: IndexMap::new(),
        credentials: None,
        project_config: None,
        version: 0,
        archived_at: None,
        created_at: now,
        updated_at: now,
    }
}

pub fn turn_end(session: Uuid, turn: u32, outcome: Outcome) -> TurnEnd {
    TurnEnd {
        sizes: None,
        session,
        turn,
        outcome,
        exit_code: Some(0),
        error: None,
        provider_usage: None,
        usage: Usage {
            input_tokens: 10,
            output_tokens: 2,
            cached_tokens: 1,
            cost_usd: Some(0.5),
        },
        rounds: 1,
        result: None,
        terminal: json!({"type": "exit", "code": 0}),
        resume_token: None,
        checkpoint: false,
        is_broken: false,
        at: Timestamp::now(),
    }
}

pub fn value(kind: SealedKind, name: &str, blob: &[u8]) -> SealedValue {
    SealedValue {
        kind,
        name: name.to_owned(),
        blob: blob.to_vec(),
    }
}

/// Adds a turn, and waits until that is on the disk.
pub async fn add_turn(store: &Store, turn: NewTurn) -> Result<Submitted<Turn>, Error> {
    let (submitted, mut on_disk) = store.add_turn(turn).await?;
    on_disk.wait().await?;
    Ok(submitted)
}
