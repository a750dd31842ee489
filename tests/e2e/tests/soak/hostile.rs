//! Sessions that do what nobody should. None of it may be answered by an error of the server's.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aod_e2e::{Client, Reply, Session, eventually};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::connections;

/// How long a session that would never end is left alone.
const ALONE: Duration = Duration::from_millis(1500);
/// How long a session that is terminated may take to be over, on a machine that has much to do.
const OVER: Duration = Duration::from_secs(180);

/// What a session does beside running its script.
#[derive(Clone, Copy)]
enum Manner {
    /// It is left to end, or to be ended by its limits, and terminated after a while.
    Alone,
    /// It is asked for again, to place files where the first turn has planted something.
    Again,
    /// It is interrupted.
    Interrupted,
    /// Everything is asked of it at once.
    Stormed,
    /// Clients open its stream and take nothing.
    Unread,
    /// The script is the environment's setup script.
    Setup,
}

/// Its name, its script and its manner.
type Kind = (&'static str, &'static str, Manner);

/// All of them, in turn.
const KINDS: &[Kind] = &[
    (
        "deep tree",
        "perl -e 'for (1..20000) { mkdir \"d\" or last; chdir \"d\" or last }'",
        Manner::Alone,
    ),
    (
        "closed deep tree",
        "perl -e 'for (1..1500) { mkdir \"d\"; chdir \"d\" } mkdir \"e\"; mkdir \"e/f\"; chmod 0, \"e\"'",
        Manner::Alone,
    ),
    (
        "many files",
        "perl -e 'for (1..20000) { open my $f, \">\", \"f$_\" }'",
        Manner::Alone,
    ),
    (
        "huge output",
        "head -c 30000000 /dev/zero | tr '\\0' x | fold -w 2000",
        Manner::Unread,
    ),
    (
        "one line",
        "head -c 20000000 /dev/zero | tr '\\0' x",
        Manner::Alone,
    ),
    ("tiny lines", "yes | head -n 100000", Manner::Unread),
    ("endless output", "yes", Manner::Interrupted),
    ("rubbish", "head -c 3000000 /dev/urandom", Manner::Again),
    (
        "fork storm",
        "f() { f & f & wait; }; f 2>/dev/null",
        Manner::Alone,
    ),
    (
        "memory",
        "perl -e '$x = \"x\" x (1 << 20); push @a, $x . $_ for 1..2000; sleep 60'",
        Manner::Alone,
    ),
    (
        "files in memory",
        "for d in /tmp /run /dev/shm; do head -c 150000000 /dev/zero > $d/x; done; sleep 60",
        Manner::Alone,
    ),
    (
        "planted links",
        "cd; for f in $(ls -A) .demo .claude .config .aod; do rm -rf $f; ln -s /etc/passwd $f; done; \
         cd /workspace; ln -s / root; ln -s . loop; ln -s /proc/self/fd/0 in",
        Manner::Again,
    ),
    (
        "planted pipes",
        "cd; for f in $(ls -A) .demo .claude .config .aod; do rm -rf $f; mkfifo $f; done",
        Manner::Again,
    ),
    (
        "closed folders",
        "cd; mkdir -p a/b; chmod 0 a; chmod 0 /workspace ~",
        Manner::Again,
    ),
    (
        "stops everything",
        "kill -STOP -1; kill -STOP $$",
        Manner::Alone,
    ),
    ("kills everything", "kill -KILL -1", Manner::Again),
    (
        "closed streams",
        "exec <&- >&- 2>&-; sleep 60",
        Manner::Interrupted,
    ),
    (
        "daemons",
        "trap '' INT TERM HUP; for i in 1 2 3 4 5; do setsid sh -c 'trap \"\" INT TERM HUP; \
         sleep 1000' & done; sleep 1000",
        Manner::Interrupted,
    ),
    ("storm of requests", "sleep 0.3; echo x", Manner::Stormed),
    ("setup without end", "yes", Manner::Setup),
    (
        "setup that waits",
        "cat <> /tmp/none; sleep 1000",
        Manner::Setup,
    ),
    (
        "connections from inside",
        "perl -MIO::Socket::INET -e 'push @c, IO::Socket::INET->new(\"ADDRESS\") for 1..100; \
         print {$_} \"GET / HTTP/1.1\\r\\nA: \" for grep { $_ } @c; sleep 2'",
        Manner::Alone,
    ),
];

/// The hostile user.
pub(crate) struct Mallory {
    client: Client,
    agent: String,
    kinds: Vec<Kind>,
    next: AtomicUsize,
    done: Mutex<Vec<Attack>>,
}

/// One hostile session, or one burst of half-open connections, and when it was.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attack {
    pub(crate) kind: &'static str,
    pub(crate) begun: Instant,
    pub(crate) ended: Instant,
}

impl Mallory {
    pub(crate) fn new(client: Client, agent: String) -> Self {
        Self {
            client,
            agent,
            kinds: chosen(),
            next: AtomicUsize::new(0),
            done: Mutex::default(),
        }
    }

    /// One session after the other until the time is over and every kind has been begun.
    pub(crate) async fn work(self: std::sync::Arc<Self>, end: Instant) {
        loop {
            let number = self.next.fetch_add(1, Ordering::SeqCst);
            if number > self.kinds.len() && Instant::now() >= end {
                return;
            }
            if number.is_multiple_of(self.kinds.len() + 1) {
                let begun = Instant::now();
                connections::half_open(&self.client).await;
                self.note("half-open connections", begun);
                continue;
            }
            let kind = &self.kinds[number % (self.kinds.len() + 1) - 1];
            let begun = Instant::now();
            self.play(kind).await;
            self.note(kind.0, begun);
        }
    }

    fn note(&self, kind: &'static str, begun: Instant) {
        let ended = Instant::now();
        let attack = Attack { kind, begun, ended };
        self.done.lock().unwrap().push(attack);
    }

    /// All that there were.
    pub(crate) fn attacks(&self) -> Vec<Attack> {
        self.done.lock().unwrap().clone()
    }

    async fn play(&self, (kind, script, manner): &Kind) {
        let address = self.client.base().trim_start_matches("http://");
        let script = script.replace("ADDRESS", address);
        let mut body = json!({"agent_id": self.agent, "prompt": script, "timeout": 60});
        if let Manner::Setup = manner {
            let environment = json!({"name": "setup", "setup_script": script});
            let environment = self.client.create_environment(&environment).await;
            body["environment_id"] = Value::from(environment);
            body["prompt"] = Value::from("echo reached");
        }
        let session = self.client.create_session(&body).await;
        match manner {
            Manner::Alone | Manner::Setup => self.settles(&session, ALONE * 4).await,
            Manner::Again => {
                self.settles(&session, ALONE * 2).await;
                self.ask(&session, "prompt", &json!({"prompt": "echo again"}))
                    .await;
                self.settles(&session, ALONE * 2).await;
            }
            Manner::Interrupted => {
                sleep(ALONE).await;
                self.ask(&session, "interrupt", &Value::Null).await;
                self.settles(&session, ALONE * 2).await;
            }
            Manner::Stormed => self.storm(&session).await,
            Manner::Unread => connections::stalled(&session, ALONE * 2).await,
        }
        self.finish(kind, &session).await;
    }

    /// Everything at once, again and again.
    async fn storm(&self, session: &Session) {
        for _ in 0..3 {
            let prompt = json!({"prompt": "echo y"});
            let prompts = (0..10).map(|_| self.ask(session, "prompt", &prompt));
            let interrupts = (0..5).map(|_| self.ask(session, "interrupt", &Value::Null));
            let terminates = (0..2).map(|_| self.ask(session, "terminate", &Value::Null));
            let deletes = (0..2).map(|_| self.delete(session));
            tokio::join!(
                futures::future::join_all(prompts),
                futures::future::join_all(interrupts),
                futures::future::join_all(terminates),
                futures::future::join_all(deletes)
            );
        }
    }

    /// Waits until no turn runs, and not for longer than `patience`.
    async fn settles(&self, session: &Session, patience: Duration) {
        let end = Instant::now() + patience;
        while !self.is_over(session).await && Instant::now() < end {
            sleep(Duration::from_millis(100)).await;
        }
    }

    async fn is_over(&self, session: &Session) -> bool {
        let reply = self.client.get(&format!("/sessions/{}", session.id)).await;
        check(&reply);
        reply.status == 404
            || matches!(
                reply.json()["status"].as_str(),
                Some("completed" | "failed" | "terminated")
            )
    }

    /// Ends and deletes the session, whatever it does.
    async fn finish(&self, kind: &str, session: &Session) {
        let what = format!("session {} ({kind}) is deleted", session.id);
        eventually(&what, OVER, async || {
            self.ask(session, "terminate", &Value::Null).await;
            (self.delete(session).await != 409).then_some(())
        })
        .await;
    }

    async fn ask(&self, session: &Session, what: &str, body: &Value) -> u16 {
        let path = format!("/sessions/{}/{what}", session.id);
        let reply = match body {
            Value::Null => self.client.post_empty(&path).await,
            body => self.client.post(&path, body).await,
        };
        check(&reply)
    }

    async fn delete(&self, session: &Session) -> u16 {
        let path = format!("/sessions/{}/delete", session.id);
        check(&self.client.delete(&path).await)
    }
}

/// All kinds, or those that `AOD_SOAK_KINDS` names, by commas: to find out which one it is.
fn chosen() -> Vec<Kind> {
    let Ok(names) = std::env::var("AOD_SOAK_KINDS") else {
        return KINDS.to_vec();
    };
    let one = |name: &str| KINDS.iter().find(|kind| kind.0 == name).copied();
    let kinds = names.split(',').map(|name| one(name.trim()).unwrap());
    kinds.collect()
}

/// Too late, too early and too much are answers; an error of the server's is not, but that the
/// turn's supervisor does not answer at the moment.
fn check(reply: &Reply) -> u16 {
    let status = reply.status.as_u16();
    assert!(
        matches!(status, 200..300 | 404 | 409 | 429 | 503),
        "{}: {status}: {}",
        reply.request,
        reply.text
    );
    status
}
