//! The real server, on a data folder and a port of its own.

mod compiled;
mod options;
mod refusal;
mod supervisors;

use std::fs::{self, OpenOptions};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use aod_sandbox::disk_image;
use tempfile::TempDir;

use self::options::{activated, command};
use crate::client::Client;
use crate::process::{Process, Tree};
use crate::runtimes::Runtimes;
use crate::tracer::Traced;
use crate::wait::{DEADLINE, eventually};

pub use self::options::{MODEL_HOST, ServerOptions};
pub use self::refusal::serve_until_exit;
pub use self::supervisors::supervisors;

/// How long a process may look like the one that it was forked from, and how often that is looked at.
const FORKED: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(2);

/// A server that ends, with everything that it started, when this is dropped.
pub struct Server {
    options: ServerOptions,
    folder: TempDir,
    process: Option<Child>,
    client: Client,
    token: String,
    /// Images of sessions that are mounted for the test.
    disks: Mutex<Vec<OwnedFd>>,
}

impl Server {
    /// Starts a server and makes a token. It answers when this returns.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start(options: ServerOptions) -> Self {
        let folder = match tempfile::Builder::new().prefix("aod-e2e-").tempdir() {
            Ok(folder) => folder,
            Err(error) => panic!("no temporary folder: {error}"),
        };
        let stranger = options.stranger.clone();
        let runtimes = options.runtimes.text();
        let runtimes = match &stranger {
            Some(stranger) => stranger.translate(runtimes),
            None => runtimes.to_owned(),
        };
        write(&folder.path().join("runtimes.toml"), &runtimes);
        let own = |folder: &Path| stranger.iter().for_each(|stranger| stranger.own(folder));
        own(folder.path());
        let mut server = Self {
            options,
            folder,
            process: None,
            client: Client::new("http://127.0.0.1:0", None),
            token: String::new(),
            disks: Mutex::default(),
        };
        server.token = server.create_token(&[]);
        // A small disk is for what the test writes.
        let shares = server.options.disk.is_none() && !server.options.is_cold;
        if shares {
            compiled::lend(&server.data());
            own(&server.data());
        }
        server.launch().await;
        if shares {
            compiled::keep(&server.data());
        }
        server
    }

    /// A server with the demo runtime and nothing else.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn demo() -> Self {
        Self::start(ServerOptions::new(Runtimes::demo())).await
    }

    /// Speaks as the administrator.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The administrator's token.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The data folder.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        match &self.options.disk {
            Some(disk) => disk.path().join("data"),
            None => self.folder.path().join("data"),
        }
    }

    /// A session's own folder.
    #[must_use]
    pub fn session_folder(&self, session: &str) -> PathBuf {
        self.data().join("sessions").join(session)
    }

    /// The folder with a session's home and workspace. Where they are in an image that nobody has
    /// mounted, it is until the server is gone.
    ///
    /// # Panics
    /// When it cannot be mounted.
    #[must_use]
    pub fn session_files(&self, session: &str) -> PathBuf {
        let folder = self.session_folder(session);
        let image = folder.join(disk_image::NAME);
        if !image.exists() {
            return folder;
        }
        // Seen through a process that has it mounted: the server, or what it left.
        let own = self.process.as_ref().map(|child| child.id().to_string());
        let supervisors = self.supervisors();
        let left = supervisors.iter().map(|tree| tree.root.pid.to_string());
        let below = folder
            .strip_prefix("/")
            .unwrap_or(&folder)
            .join(disk_image::MOUNT);
        let through = |process: String| Path::new("/proc").join(process).join("root").join(&below);
        let mut mounted = own.into_iter().chain(left).map(through);
        if let Some(found) = mounted.find(|path| path.join("workspace").exists()) {
            return found;
        }
        let mut opened = self.disks.lock().unwrap_or_else(PoisonError::into_inner);
        opened.push(open_disk(&image));
        shown(opened.last())
    }

    /// A file in a session's workspace, if it is there.
    #[must_use]
    pub fn workspace_file(&self, session: &str, name: &str) -> Option<String> {
        let before = self.opened_disks();
        let path = self.session_files(session).join("workspace").join(name);
        let read = fs::read_to_string(path).ok();
        let mut opened = self.disks.lock().unwrap_or_else(PoisonError::into_inner);
        opened.truncate(before);
        read
    }

    fn opened_disks(&self) -> usize {
        let opened = self.disks.lock().unwrap_or_else(PoisonError::into_inner);
        opened.len()
    }

    /// What the server has logged, over all its starts.
    #[must_use]
    pub fn log(&self) -> String {
        let bytes = fs::read(self.log_file()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The file in which its log is.
    #[must_use]
    pub fn log_file(&self) -> PathBuf {
        self.folder.path().join("server.log")
    }

    /// Its `runtimes.toml`.
    #[must_use]
    pub fn runtimes_file(&self) -> PathBuf {
        self.folder.path().join("runtimes.toml")
    }

    /// Replaces `runtimes.toml`; the server is not told.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write_runtimes(&mut self, runtimes: Runtimes) {
        write(&self.folder.path().join("runtimes.toml"), runtimes.text());
        self.options.runtimes = runtimes;
    }

    /// Adds a user, who is no administrator, and speaks as them.
    ///
    /// # Panics
    /// When the command fails.
    #[must_use]
    pub fn add_user(&self, name: &str) -> Client {
        self.run(&["user", "add", name]);
        let token = self.create_token(&["--user", name]);
        Client::new(self.client.base(), Some(&token))
    }

    /// Runs one of the commands that work on the data folder, and returns what it printed.
    ///
    /// # Panics
    /// When it fails.
    pub fn run(&self, arguments: &[&str]) -> String {
        let data = self.data();
        let output = command(&self.options)
            .current_dir(self.folder.path())
            .args(arguments)
            .arg("--data")
            .arg(&data)
            .output();
        succeeded(&arguments.join(" "), output)
    }

    /// One of the program's commands, told of this server and its data by its environment.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(&self.options);
        command
            .current_dir(self.folder.path())
            .args(arguments)
            .env("AOD_DATA_DIR", self.data())
            .env("AOD_API_URL", self.client.base())
            .env("AOD_API_TOKEN", &self.token);
        command
    }

    fn create_token(&self, more: &[&str]) -> String {
        let arguments = [&["token", "create", "e2e"], more].concat();
        self.run(&arguments).trim().to_owned()
    }

    async fn launch(&mut self) {
        let before = self.log().len();
        self.spawn();
        let base = eventually("the server listens", DEADLINE, async || {
            if let Some(Ok(Some(status))) = self.process.as_mut().map(Child::try_wait) {
                panic!("the server ended with {status}: {}", self.log());
            }
            self.address_after(before)
        })
        .await;
        self.client = Client::new(&base, Some(&self.token));
        self.client.learn_contract().await;
        if !self.options.is_cold {
            self.loaded().await;
        }
    }

    /// Waits until no runtime is being compiled any more.
    async fn loaded(&self) {
        eventually("the runtimes are loaded", DEADLINE * 2, async || {
            let reply = self.client.get("/runtimes").await;
            if reply.status != 200 {
                // A server that does not know this token has nothing to be asked.
                return Some(());
            }
            let runtimes = reply.json()["data"].as_array().cloned();
            let mut runtimes = runtimes.into_iter().flatten();
            let is_compiling = runtimes.any(|runtime| runtime["health"] == "compiling");
            (!is_compiling).then_some(())
        })
        .await;
    }

    /// Starts the server again on the same data, to be killed before its `nth` change to files,
    /// and waits until it listens or is killed.
    ///
    /// # Panics
    /// When it does neither.
    pub async fn start_again_traced(&mut self, nth: usize) -> Traced {
        let before = self.log().len();
        let traced = Traced::start(self.serve(), nth);
        let base = eventually("the server listens or ends", DEADLINE, async || match self
            .address_after(before)
        {
            None if traced.has_ended() => Some(None),
            None => None,
            base => Some(base),
        })
        .await;
        if let Some(base) = base {
            self.client = Client::new(&base, Some(&self.token));
        }
        traced
    }

    /// Where the server says it listens, in what it has logged since.
    fn address_after(&self, before: usize) -> Option<String> {
        let log = self.log();
        let (_, line) = log.get(before..)?.split_once("listening on ")?;
        // Only a whole line has the whole address.
        let (url, _) = line.split_once('\n')?;
        let end = url
            .find(|c: char| c.is_whitespace() || c == '\u{1b}' || c == '"')
            .unwrap_or(url.len());
        Some(url[..end].to_owned())
    }

    fn spawn(&mut self) {
        match self.serve().spawn() {
            Ok(process) => self.process = Some(process),
            Err(error) => panic!("the server does not start: {error}"),
        }
    }

    fn serve(&self) -> Command {
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log_file());
        let log = match log {
            Ok(log) => log,
            Err(error) => panic!("no file for the server's log: {error}"),
        };
        let mut command = command(&self.options);
        if let Some(listener) = &self.options.listener {
            command = activated(&command, listener);
        }
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(self.data())
            .arg("--runtimes")
            .arg(self.folder.path().join("runtimes.toml"))
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        command
    }

    /// The server's process.
    ///
    /// # Panics
    /// When it does not run.
    #[must_use]
    pub fn process(&self) -> Process {
        let found = self
            .process
            .as_ref()
            .and_then(|child| i32::try_from(child.id()).ok());
        match found.and_then(Process::find) {
            Some(process) => process,
            None => panic!("the server does not run: {}", self.log()),
        }
    }

    /// Kills the server as `kill -9` does. What it started goes on.
    ///
    /// # Panics
    /// When it cannot be killed.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.process.take()
            && let Err(error) = child.kill().and_then(|()| child.wait().map(drop))
        {
            panic!("the server cannot be killed: {error}");
        }
    }

    /// Waits until the server has died of itself.
    ///
    /// # Panics
    /// When it does not.
    pub async fn died(&mut self) {
        let Some(mut child) = self.process.take() else {
            return;
        };
        eventually("the server dies", DEADLINE, async || {
            match child.try_wait() {
                Ok(status) => status,
                Err(error) => panic!("the server cannot be waited for: {error}"),
            }
        })
        .await;
    }

    /// Asks the server to end, as an operator does, and waits until it has.
    ///
    /// # Panics
    /// When it does not end, or not well.
    pub async fn stop(&mut self) {
        let process = self.process();
        if let Some(pid) = rustix::process::Pid::from_raw(process.pid) {
            let sent = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            assert!(sent.is_ok(), "the server cannot be asked to end: {sent:?}");
        }
        let Some(mut child) = self.process.take() else {
            return;
        };
        let status = eventually("the server ends", DEADLINE, async || {
            match child.try_wait() {
                Ok(status) => status,
                Err(error) => panic!("the server cannot be waited for: {error}"),
            }
        })
        .await;
        assert!(
            status.success(),
            "the server ended with {status}: {}",
            self.log()
        );
    }

    /// Starts the server again on the same data.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start_again(&mut self) {
        self.launch().await;
    }

    /// Starts the server and kills it after so long, ready or not.
    ///
    /// # Panics
    /// When it cannot be started or killed.
    pub async fn start_and_kill(&mut self, after: Duration) {
        self.spawn();
        tokio::time::sleep(after).await;
        self.kill();
    }

    /// Starts another server on the same data, which is to refuse, and returns what it said.
    ///
    /// # Panics
    /// When it goes on running, or ends well.
    pub async fn start_another(&self) -> String {
        let before = self.log().len();
        let mut child = match self.serve().spawn() {
            Ok(child) => child,
            Err(error) => panic!("the server does not start: {error}"),
        };
        let ended = tokio::time::timeout(DEADLINE, async {
            loop {
                if let Ok(Some(status)) = child.try_wait() {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        let ended = ended.await;
        let said = self.log().get(before..).unwrap_or_default().to_owned();
        if ended.is_err() {
            let _ = child.kill();
            let _ = child.wait();
        }
        match ended {
            Ok(status) if !status.success() => said,
            Ok(status) => panic!("it ended with {status}: {said}"),
            Err(_) => panic!("it runs on: {said}"),
        }
    }

    /// Starts the server on the same data with settings by which it dies of itself.
    ///
    /// # Panics
    /// When it does not.
    pub async fn start_until_it_dies(&mut self, options: ServerOptions) {
        self.options = options;
        let said = self.start_another().await;
        assert!(!said.contains("panicked"), "{said}");
    }

    /// Starts the server again on the same data, with other settings.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start_again_with(&mut self, options: ServerOptions) {
        self.options = options;
        self.launch().await;
    }

    /// Kills the server and starts it again on the same data.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn kill_and_start_again(&mut self) {
        self.kill();
        self.launch().await;
    }

    /// The supervisors of this server's sessions, with all that runs under each.
    #[must_use]
    pub fn supervisors(&self) -> Vec<Tree> {
        supervisors(&self.data())
    }

    /// The one supervisor that runs, with all that runs under it. One that has just forked looks
    /// like two until its child has become another program.
    ///
    /// # Panics
    /// When there is none, or more than one.
    #[must_use]
    pub fn supervisor(&self) -> Tree {
        let begun = Instant::now();
        loop {
            let mut found = self.supervisors();
            match (found.pop(), found.len()) {
                (Some(tree), 0) => return tree,
                (Some(_), _) if begun.elapsed() < FORKED => std::thread::sleep(LOOK),
                (_, more) => panic!("not one supervisor but {more} more, or none"),
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the server's log ---\n{}", self.log());
        }
        if let Some(mut child) = self.process.take() {
            // It may have ended by itself; then there is nothing to do.
            let _ = child.kill();
            let _ = child.wait();
        }
        let trees = supervisors(&self.data());
        for tree in &trees {
            tree.root.kill();
        }
        // Whatever runs on may write once more to what is about to be removed.
        let begun = Instant::now();
        while begun.elapsed() < DEADLINE && trees.iter().any(|tree| !tree.survivors().is_empty()) {
            std::thread::sleep(LOOK);
        }
        open_up(self.folder.path());
    }
}

/// Lets the folder be removed by an ordinary user, whatever agents have closed in it.
fn open_up(folder: &Path) {
    let mut next = vec![folder.to_owned()];
    while let Some(folder) = next.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries.flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                let path = entry.path();
                // What cannot be opened stays, and the folder with it.
                let _ = fs::set_permissions(&path, fs::Permissions::from_mode(0o700));
                next.push(path);
            }
        }
    }
}

fn open_disk(image: &Path) -> OwnedFd {
    match disk_image::open(image) {
        Ok(root) => root,
        Err(error) => panic!("{}: {error}", image.display()),
    }
}

fn shown(root: Option<&OwnedFd>) -> PathBuf {
    let number = root.map_or(-1, |root| root.as_raw_fd());
    Path::new("/proc/self/fd").join(number.to_string())
}

fn succeeded(what: &str, output: std::io::Result<Output>) -> String {
    match output {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).into_owned()
        }
        Ok(output) => {
            panic!(
                "aod {what}: {}: {}",
                output.status,
                String::from_utf8_lossy(&output.stderr)
            )
        }
        Err(error) => panic!("aod {what}: {error}"),
    }
}

fn write(path: &Path, text: &str) {
    if let Err(error) = fs::write(path, text) {
        panic!("cannot write {}: {error}", path.display());
    }
}
