//! The real server, on a data folder and a port of its own.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::client::Client;
use crate::disk::Disk;
use crate::process::{Process, Tree, all};
use crate::program::program;
use crate::runtimes::Runtimes;
use crate::wait::{DEADLINE, eventually};

/// How a server is started.
#[derive(Clone, Debug, Default)]
pub struct ServerOptions {
    runtimes: Runtimes,
    environment: Vec<(String, String)>,
    disk: Option<Disk>,
}

impl ServerOptions {
    /// With these runtimes.
    #[must_use]
    pub fn new(runtimes: Runtimes) -> Self {
        Self {
            runtimes,
            environment: Vec::new(),
            disk: None,
        }
    }

    /// With its data on a disk of its own of that `size`, as a mount option of tmpfs; none where
    /// mounting is not permitted.
    ///
    /// # Panics
    /// When no folder can be made for it.
    #[must_use]
    pub fn on_a_disk_of(mut self, size: &str) -> Option<Self> {
        self.disk = Some(Disk::mount(size)?);
        Some(self)
    }

    /// With a setting, as a variable such as `AOD_LIMITS__SESSIONS_PER_USER`.
    #[must_use]
    pub fn set(mut self, name: &str, value: impl ToString) -> Self {
        self.environment.push((name.to_owned(), value.to_string()));
        self
    }
}

/// A server that ends, with everything that it started, when this is dropped.
pub struct Server {
    options: ServerOptions,
    folder: TempDir,
    process: Option<Child>,
    client: Client,
    token: String,
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
        write(
            &folder.path().join("runtimes.toml"),
            options.runtimes.text(),
        );
        let mut server = Self {
            options,
            folder,
            process: None,
            client: Client::new("http://127.0.0.1:0", None),
            token: String::new(),
        };
        server.token = server.create_token(&[]);
        server.launch().await;
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

    /// A file in a session's workspace, if it is there.
    #[must_use]
    pub fn workspace_file(&self, session: &str, name: &str) -> Option<String> {
        fs::read_to_string(self.session_folder(session).join("workspace").join(name)).ok()
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
            let log = self.log();
            let (_, line) = log.get(before..)?.split_once("listening on ")?;
            // Only a whole line has the whole address.
            let (url, _) = line.split_once('\n')?;
            let end = url
                .find(|c: char| c.is_whitespace() || c == '\u{1b}')
                .unwrap_or(url.len());
            Some(url[..end].to_owned())
        })
        .await;
        self.client = Client::new(&base, Some(&self.token));
    }

    fn spawn(&mut self) {
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log_file());
        let log = match log {
            Ok(log) => log,
            Err(error) => panic!("no file for the server's log: {error}"),
        };
        let mut command = command(&self.options);
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(self.data())
            .arg("--runtimes")
            .arg(self.folder.path().join("runtimes.toml"))
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        match command.spawn() {
            Ok(process) => self.process = Some(process),
            Err(error) => panic!("the server does not start: {error}"),
        }
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

    /// The one supervisor that runs, with all that runs under it.
    ///
    /// # Panics
    /// When there is none, or more than one.
    #[must_use]
    pub fn supervisor(&self) -> Tree {
        let mut found = self.supervisors();
        match (found.pop(), found.len()) {
            (Some(tree), 0) => tree,
            (_, more) => panic!("not one supervisor but {more} more, or none"),
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
        for tree in supervisors(&self.data()) {
            tree.root.kill();
        }
    }
}

/// Supervisors are told from others' by the log that they hold open.
fn supervisors(data: &Path) -> Vec<Tree> {
    let wanted = program("aod-supervisor");
    let name = wanted
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    all()
        .into_iter()
        .filter(|process| {
            name.as_deref()
                .is_some_and(|name| process.command().contains(name))
                && holds_open(*process, data)
        })
        .map(Tree::under)
        .collect()
}

fn holds_open(process: Process, folder: &Path) -> bool {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{}/fd", process.pid)) else {
        return false;
    };
    let mut files = descriptors
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok());
    files.any(|file| file.starts_with(folder))
}

/// Runs `aod serve` where it is expected to refuse: returns whether it succeeded and what it said.
///
/// # Panics
/// When it goes on running.
pub async fn serve_until_exit(arguments: &[&str]) -> (bool, String) {
    let folder = match tempfile::tempdir() {
        Ok(folder) => folder,
        Err(error) => panic!("no temporary folder: {error}"),
    };
    let runtimes = folder.path().join("runtimes.toml");
    write(&runtimes, "");
    let log = folder.path().join("log");
    let stderr = match File::create(&log) {
        Ok(file) => file,
        Err(error) => panic!("no file for the server's log: {error}"),
    };
    let child = command(&ServerOptions::default())
        .current_dir(folder.path())
        .arg("serve")
        .args(arguments)
        .arg("--data")
        .arg(folder.path().join("data"))
        .arg("--runtimes")
        .arg(runtimes)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(stderr)
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) => panic!("the server does not start: {error}"),
    };
    let end = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            return (
                status.success(),
                fs::read_to_string(&log).unwrap_or_default(),
            );
        }
        if tokio::time::Instant::now() > end {
            let _ = child.kill();
            let _ = child.wait();
            panic!(
                "the server runs on: {}",
                fs::read_to_string(&log).unwrap_or_default()
            );
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The program, free of the settings of whoever runs the tests.
fn command(options: &ServerOptions) -> Command {
    let mut command = Command::new(program("aod"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("AOD_") {
            command.env_remove(name);
        }
    }
    command.env("NO_COLOR", "1").env("AOD_LOG__LEVEL", "debug");
    command.envs(
        options
            .environment
            .iter()
            .map(|(name, value)| (name, value)),
    );
    command
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
