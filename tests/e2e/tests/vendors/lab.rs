//! What differs between the vendors, and a server to try one of them on.

use aod_e2e::{
    Client, Ended, MODEL_HOST, Runtimes, Server, ServerOptions, Session, check_events, extend,
};
use aod_standin::{Options, Request, Standin};
use reqwest::Method;
use reqwest::header::ACCEPT;
use serde_json::{Value, json};

/// A vendor's CLI as its users know it.
#[derive(Debug)]
pub(crate) struct Vendor {
    /// The runtime.
    pub(crate) runtime: &'static str,
    /// A model that it serves.
    pub(crate) model: &'static str,
    /// The credential that opens the model.
    pub(crate) credential: &'static str,
    /// The variable of that credential.
    pub(crate) variable: &'static str,
    /// The variable for another base URL.
    pub(crate) endpoint: &'static str,
    /// How the vendor's keys begin.
    pub(crate) prefix: &'static str,
    /// The folder of its skills, below `$HOME`.
    pub(crate) skills: &'static str,
    /// Whether its text comes in pieces where its process may stay.
    pub(crate) deltas: bool,
    /// Seconds that a turn with a broken provider is given: more than the CLI takes to give up,
    /// where it ever does.
    pub(crate) patience: u64,
}

pub(crate) const CLAUDE: Vendor = Vendor {
    runtime: "claude",
    model: "anthropic/claude-sonnet-4-6",
    credential: "provider_key:anthropic",
    variable: "ANTHROPIC_API_KEY",
    endpoint: "ANTHROPIC_BASE_URL",
    prefix: "sk-ant-api03-",
    skills: ".claude/skills",
    deltas: true,
    patience: 90,
};

pub(crate) const CODEX: Vendor = Vendor {
    runtime: "codex",
    model: "openai/gpt-4.1",
    credential: "provider_key:openai",
    variable: "OPENAI_API_KEY",
    endpoint: "OPENAI_BASE_URL",
    prefix: "sk-",
    skills: ".codex/skills",
    deltas: true,
    patience: 90,
};

pub(crate) const GEMINI: Vendor = Vendor {
    runtime: "gemini",
    model: "google/gemini-2.5-flash",
    credential: "provider_key:google",
    variable: "GEMINI_API_KEY",
    endpoint: "GOOGLE_GEMINI_BASE_URL",
    prefix: "AIza",
    skills: ".gemini/skills",
    deltas: true,
    patience: 90,
};

pub(crate) const OPENCODE: Vendor = Vendor {
    runtime: "opencode",
    skills: ".config/opencode/skills",
    deltas: true,
    patience: 40,
    ..CLAUDE
};

/// opencode with the other providers that it serves.
pub(crate) const OPENCODE_ELSEWHERE: [Vendor; 2] = [
    Vendor {
        runtime: "opencode",
        ..CODEX
    },
    Vendor {
        runtime: "opencode",
        ..GEMINI
    },
];

/// A server with one vendor's runtime, and a stand-in for its model.
pub(crate) struct Lab {
    pub(crate) vendor: &'static Vendor,
    pub(crate) server: Server,
    pub(crate) model: Standin,
    /// The key that the user has registered, unless the test wanted none.
    pub(crate) key: String,
}

impl Lab {
    /// With the vendor's key and the model's address registered as credentials.
    pub(crate) async fn new(vendor: &'static Vendor) -> Self {
        let lab = Self::without_key(vendor).await;
        lab.register(vendor.credential, &lab.key).await;
        lab
    }

    /// With a process for each turn, whatever the CLI can.
    pub(crate) async fn with_a_process_a_turn(vendor: &'static Vendor) -> Self {
        Self::where_processes_stay(vendor, "0s").await
    }

    /// With processes that stay for so long.
    pub(crate) async fn where_processes_stay(vendor: &'static Vendor, idle: &str) -> Self {
        let lab = Self::start(vendor, idle).await;
        lab.register(vendor.credential, &lab.key).await;
        lab
    }

    /// With the model's address alone.
    pub(crate) async fn without_key(vendor: &'static Vendor) -> Self {
        Self::start(vendor, &idle()).await
    }

    /// With the key registered, on a server that has a setting.
    pub(crate) async fn with_setting(
        vendor: &'static Vendor,
        (name, value): (&str, String),
    ) -> Self {
        let options = ServerOptions::new(Runtimes::vendor(vendor.runtime)).set(name, value);
        let lab = Self::start_with(vendor, options.set("AOD_LIVE__IDLE", idle())).await;
        lab.register(vendor.credential, &lab.key).await;
        lab
    }

    async fn start(vendor: &'static Vendor, idle: &str) -> Self {
        let options = ServerOptions::new(Runtimes::vendor(vendor.runtime));
        Self::start_with(vendor, options.set("AOD_LIVE__IDLE", idle)).await
    }

    async fn start_with(vendor: &'static Vendor, options: ServerOptions) -> Self {
        let lab = Self {
            server: Server::start(options).await,
            model: Standin::start(Options::default()).await.unwrap(),
            key: secret(vendor),
            vendor,
        };
        let endpoint = format!("env:{}", vendor.endpoint);
        lab.register(&endpoint, &lab.model.url_at(MODEL_HOST)).await;
        lab
    }

    pub(crate) fn client(&self) -> &Client {
        self.server.client()
    }

    pub(crate) async fn register(&self, credential: &str, value: &str) {
        let path = format!("/credentials/{credential}");
        let set = self.client().put(&path, &json!({"value": value})).await;
        set.expect(200);
    }

    /// An agent of the vendor's runtime, with more fields.
    pub(crate) async fn agent(&self, more: Value) -> String {
        let mut body = json!({
            "name": "hello", "runtime": self.vendor.runtime, "model": self.vendor.model,
        });
        extend(&mut body, more);
        self.client().create_agent(&body).await
    }

    /// A session without an environment.
    pub(crate) async fn session(&self, prompt: &str) -> Session {
        self.session_with(json!({"prompt": prompt})).await
    }

    /// A session with more fields.
    pub(crate) async fn session_with(&self, more: Value) -> Session {
        let mut body = json!({"agent_id": self.agent(json!({})).await});
        extend(&mut body, more);
        self.client().create_session(&body).await
    }

    /// What the model was asked to answer: every request that holds this text.
    pub(crate) fn asked(&self, text: &str) -> Vec<Request> {
        let holds = |request: &Request| request.body.to_string().contains(text);
        let asked: Vec<_> = self.model.requests().into_iter().filter(holds).collect();
        assert!(!asked.is_empty(), "the model was never asked: {text}");
        asked
    }
}

/// How long processes stay: as by default, unless `AOD_TEST_LIVE_IDLE` says something else.
pub(crate) fn idle() -> String {
    std::env::var("AOD_TEST_LIVE_IDLE").unwrap_or_else(|_| "60s".to_owned())
}

/// A key that stands nowhere else, in the form of the vendor's.
pub(crate) fn secret(vendor: &Vendor) -> String {
    format!("{}{}", vendor.prefix, uuid::Uuid::new_v4().simple())
}

/// The normalized events of the session's last turn.
pub(crate) async fn events(session: &Session, ended: &Ended) -> Vec<Value> {
    let path = format!("/sessions/{}/events", session.id);
    let request = session.client.request(Method::GET, &path);
    let request = request.header(ACCEPT, "application/json");
    let page = session.client.send(request).await.expect(200);
    let turn = &ended.turn["turn_number"];
    let events = page["data"].as_array().unwrap();
    check_events(events);
    events
        .iter()
        .filter(|event| event["turn"] == *turn)
        .cloned()
        .collect()
}

/// What the assistant said in the session's last turn.
pub(crate) async fn said(session: &Session, ended: &Ended) -> String {
    let events = events(session, ended).await;
    let texts = events
        .iter()
        .filter(|event| event["type"] == "message" && event["role"] == "assistant")
        .filter_map(|event| event["text"].as_str());
    texts.collect::<Vec<_>>().join("\n")
}
