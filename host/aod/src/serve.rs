//! `aod serve`.

use std::fmt::Debug;
use std::io::IsTerminal as _;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use aod_api::Connections;
use aod_services::runtimes::Runtimes;
use aod_services::{Host, Paths};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::field::Field;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::fmt::format::{self, Writer};

use crate::config::{LogFormat, Settings, unknown_variables};
use crate::{listener, report};

/// How long work that cannot be broken off may go on when the server stops.
const LAST_WORK: Duration = Duration::from_secs(5);

/// Runs the server until it is told to stop.
pub(crate) fn serve(mut settings: Settings) -> Result<()> {
    limit_heap();
    start_logging(&settings)?;
    // Before anything else is opened or started: it has a number that is given, and is inherited.
    let given = listener::given()?;
    if let Some(given) = &given {
        settings.listen = given.local_addr()?;
    }
    have_own_mounts(&settings);
    raise_open_files();
    go_before_agents();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let served = runtime.block_on(run(settings, given));
    // What still reads a file that does not come to an end is not waited for.
    runtime.shutdown_timeout(LAST_WORK);
    served
}

/// Sessions' disks are mounted for this process and its children alone, so that nothing is left of
/// them when those are gone.
fn have_own_mounts(settings: &Settings) {
    if Paths::may_mount(&settings.data_dir, settings.disk_by())
        && let Err(error) = aod_sandbox::disk_image::own_mounts()
    {
        // What is to be mounted fails, and says so.
        tracing::warn!(%error, "no mounts of its own: sessions' disk images cannot be used");
    }
}

/// Has the kernel serve this process before what agents run, where it lets us: sandboxes are
/// sessions of their own, and the scheduler shares processor time out among sessions (`sched(7)`,
/// "The autogroup feature"). Children begin sessions of their own, so that none of them inherits it.
fn go_before_agents() {
    // Refused to ordinary users, and absent where the kernel is built without.
    let _ = std::fs::write("/proc/self/autogroup", "-12");
}

/// What threads have had for the files and the output of large sessions is given back when it is
/// freed. Left to itself the allocator has an arena for each of many threads, and keeps of each what
/// was needed at most: with hostile sessions beside the others, more than a hundred MiB.
fn limit_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: plain parameters of the allocator, set before there are other threads.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 2);
        libc::mallopt(libc::M_MMAP_THRESHOLD, 1 << 20);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 1 << 20);
    }
}

async fn run(settings: Settings, given: Option<std::net::TcpListener>) -> Result<()> {
    let mut config = settings.host()?;
    let mut host = match Host::start(config.clone()).await {
        Err(error) if error.wants_passphrase() && std::io::stdin().is_terminal() => {
            config.vault.passphrase = Some(crate::vault::ask_passphrase()?);
            Host::start(config).await?
        }
        started => started?,
    };
    if !settings.listen.ip().is_loopback() && !host.services.users.any_valid_token().await? {
        bail!(
            "refusing to listen on {}, which others can reach, while there is no token: make one \
             with `aod token create NAME --data {}`",
            settings.listen,
            settings.data_dir.display()
        );
    }
    let listener = listener::open(given, settings.listen).await?;
    // For as long as the server runs.
    let _twin = listener::hold_twin(settings.listen, listener.local_addr()?)?;
    let address = listener.local_addr()?;
    host.listens_on(address);
    let stop = CancellationToken::new();
    let signals = tokio::spawn(signals(stop.clone(), host.services.runtimes.clone()));
    let connections = Connections::new(settings.connections());
    let router = aod_api::router(host.services.clone(), settings.http()?, connections.clone());
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    for name in unknown_variables(names) {
        tracing::warn!(
            "{name} is no setting, and says nothing: settings are AOD_LISTEN, AOD_DATA_DIR, \
             AOD_RUNTIMES and AOD_<SECTION>__<KEY>; --print-config shows them"
        );
    }
    tracing::info!("listening on http://{address}");
    let reports = tokio::spawn(report::start(
        host.machine.clone(),
        host.services.runtimes.clone(),
    ));
    // Streams may last for hours: they are cut, and their readers come back by id.
    tokio::select! {
        never = aod_api::serve(listener, router, connections) => match never {},
        () = stop.cancelled() => tracing::info!("stopping; running turns go on"),
    }
    signals.abort();
    reports.abort();
    Ok(host.shut_down().await?)
}

/// As many open files as this process may have: each running turn and each reader takes a few, and
/// the usual limit is 1024.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, current = ?limit.current, "cannot raise the limit on open files");
    }
}

/// Waits for signals: SIGTERM and SIGINT stop, SIGHUP reloads the runtimes.
async fn signals(stop: CancellationToken, runtimes: Runtimes) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            // Compiling takes a while, in which the server may be told to stop.
            _ = hangup.recv() => drop(tokio::spawn(reload(runtimes.clone()))),
        }
    }
    stop.cancel();
    Ok(())
}

async fn reload(runtimes: Runtimes) {
    match runtimes.reload().await {
        Ok(report) => tracing::info!(runtimes = report.runtimes.len(), "reloaded runtimes"),
        Err(error) => tracing::error!(%error, "cannot reload runtimes; the old ones stay"),
    }
}

/// A plain `debug` is meant for this program, not for each pass of the compiler in it.
const UNASKED: &str = "cranelift=warn,wasmtime=warn,regalloc2=warn,hyper=info,h2=info";

fn start_logging(settings: &Settings) -> Result<()> {
    // What comes last goes first: a filter that names one of them is heeded.
    let filter = format!("{UNASKED},{}", settings.log.level);
    let filter = tracing_subscriber::EnvFilter::try_new(filter)
        .with_context(|| format!("log.level {:?} is no filter", settings.log.level))?;
    let is_colored = std::io::stderr().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(is_colored)
        .with_writer(std::io::stderr);
    match settings.log.format {
        LogFormat::Pretty => log
            .fmt_fields(format::debug_fn(write_field).delimited(" "))
            .init(),
        // The one span that there is has the request.
        LogFormat::Json => log.json().flatten_event(true).with_span_list(false).init(),
    }
    Ok(())
}

/// Writes a field of a line of the log. What others have a say in cannot look like another line of
/// it, since lines that go on are indented, nor steer a terminal.
fn write_field(writer: &mut Writer<'_>, field: &Field, value: &dyn Debug) -> std::fmt::Result {
    if field.name() != "message" {
        write!(writer, "{}=", field.name())?;
    }
    for character in format!("{value:?}").chars() {
        match character {
            '\n' => writer.write_str("\n    ")?,
            '\t' => writer.write_char(character)?,
            _ if character.is_control() => write!(writer, "{}", character.escape_default())?,
            _ => writer.write_char(character)?,
        }
    }
    Ok(())
}
