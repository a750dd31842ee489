//! Builds the runtime adapters: one component for each crate below `plugins/`.
//!
//! Adapters are compiled to `wasm32-unknown-unknown`, which offers nothing to import, and then
//! wrapped as components. The standard library for that target comes from one of two places,
//! whichever the machine has: an installed target, or the library's sources and `-Zbuild-std`.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use wit_component::{ComponentEncoder, DecodedWasm};

const TARGET: &str = "wasm32-unknown-unknown";
const PROFILE: &str = "guest";
/// The crates below `plugins/` that are no adapters, but what adapters are made with.
const LIBRARIES: &[&str] = &["sdk", "acp-client"];
/// The crate below `tests/` that is an adapter.
const TEST_ADAPTER: &str = "conversant";
const INTERFACE: &str = "aod:runtime/conversations@";

/// Vector instructions, which every engine has had for years: text is scanned with them. And more
/// of the small functions of parsers become one: an engine that can break a guest off looks at the
/// clock whenever a function begins, so that calls cost more there. (Divided as
/// `CARGO_ENCODED_RUSTFLAGS` wants it.)
const RUSTFLAGS: &str = "-Ctarget-feature=+simd128\u{1f}-Cllvm-args=-inline-threshold=400";

/// A component that was built.
#[derive(Debug, Clone)]
pub struct Built {
    /// The runtime adapter's name: its folder below `plugins/`.
    pub name: String,
    /// Where the component is.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: usize,
    /// Whether it differs from what was there before.
    pub changed: bool,
}

impl fmt::Display for Built {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kib = self.size.div_ceil(1024);
        let note = if self.changed { "" } else { ", unchanged" };
        write!(formatter, "plugins/{}.wasm: {kib} KiB{note}", self.name)
    }
}

/// Builds every adapter of the workspace at `root` into `plugins/<name>.wasm`.
///
/// Cargo decides what needs compiling; a component whose bytes stay the same is not touched. With
/// `verbose`, Cargo's output is shown.
///
/// # Errors
///
/// No compiler on this machine can build for WebAssembly (the message says what to install), an
/// adapter does not compile, or a component imports something or lacks the interface.
pub fn build(root: &Path, verbose: bool) -> Result<Vec<Built>> {
    build_all(root, &adapters(root)?, verbose)
}

/// Builds those adapters that the workspace's `runtimes.toml` declares, as [`build`] does: who
/// looks at the project for the first time need not wait for the others.
///
/// # Errors
///
/// As [`build`], or there is no `runtimes.toml`.
pub fn build_declared(root: &Path, verbose: bool) -> Result<Vec<Built>> {
    let path = root.join("runtimes.toml");
    let declared =
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut adapters = adapters(root)?;
    adapters.retain(|it| declared.contains(&format!("\"plugins/{}.wasm\"", it.name)));
    build_all(root, &adapters, verbose)
}

/// Builds what [`build`] does and the adapter that only tests use, into its own folder.
///
/// # Errors
///
/// As [`build`].
pub fn build_for_tests(root: &Path, verbose: bool) -> Result<Vec<Built>> {
    let mut adapters = adapters(root)?;
    adapters.push(Source {
        name: TEST_ADAPTER.to_owned(),
        component: root
            .join("tests")
            .join(TEST_ADAPTER)
            .join(format!("{TEST_ADAPTER}.wasm")),
    });
    build_all(root, &adapters, verbose)
}

/// An adapter, and where its component is put.
struct Source {
    name: String,
    component: PathBuf,
}

fn build_all(root: &Path, adapters: &[Source], verbose: bool) -> Result<Vec<Built>> {
    let toolchain = Toolchain::find()?;
    let target_dir = target_dir(root);
    compile(root, adapters, &toolchain, &target_dir, verbose)?;
    adapters
        .iter()
        .map(|adapter| {
            let module = target_dir
                .join(TARGET)
                .join(PROFILE)
                .join(format!("{}.wasm", package(&adapter.name).replace('-', "_")));
            wrap(adapter, &module)
        })
        .collect()
}

/// Builds an adapter whose project lies anywhere, with whatever compiler this machine has, as its
/// profile `release` says and by the lock file that lies there. Returns the core module.
///
/// # Errors
///
/// As [`build`].
pub fn build_elsewhere(root: &Path, project: &Path, verbose: bool) -> Result<PathBuf> {
    let toolchain = Toolchain::find()?;
    let target_dir = target_dir(root);
    let mut command = toolchain.command();
    command
        .current_dir(project)
        .args(["build", "--lib", "--target", TARGET, "--profile", PROFILE])
        // Under the name of ours, so that what both need is built once.
        .args(["--config", "profile.guest.inherits=\"release\""])
        .arg("--target-dir")
        .arg(&target_dir);
    let what = format!("the adapter in {}", project.display());
    run_build(command, &toolchain, verbose, &what)?;
    Ok(target_dir.join(TARGET).join(PROFILE).join("adapter.wasm"))
}

/// Where adapters are built.
fn target_dir(root: &Path) -> PathBuf {
    let target = env::var_os("CARGO_TARGET_DIR");
    target
        .map_or_else(|| root.join("target"), PathBuf::from)
        .join("guest")
}

/// Whether this machine can build adapters.
pub fn toolchain_is_there() -> bool {
    Toolchain::find().is_ok()
}

/// The adapters of the workspace, sorted by name.
fn adapters(root: &Path) -> Result<Vec<Source>> {
    let folder = root.join("plugins");
    let mut names = Vec::new();
    for entry in
        fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?
    {
        let entry = entry?;
        if let Ok(name) = entry.file_name().into_string()
            && !LIBRARIES.contains(&name.as_str())
            && entry.path().join("Cargo.toml").is_file()
        {
            names.push(name);
        }
    }
    names.sort();
    ensure!(!names.is_empty(), "no crates below {}", folder.display());
    let sources = names.into_iter().map(|name| Source {
        component: folder.join(format!("{name}.wasm")),
        name,
    });
    Ok(sources.collect())
}

fn package(name: &str) -> String {
    format!("aod-plugin-{name}")
}

fn compile(
    root: &Path,
    adapters: &[Source],
    toolchain: &Toolchain,
    target_dir: &Path,
    verbose: bool,
) -> Result<()> {
    let mut command = toolchain.command();
    command
        .current_dir(root)
        .args([
            "build",
            "--locked",
            "--lib",
            "--target",
            TARGET,
            "--profile",
            PROFILE,
        ])
        .arg("--target-dir")
        .arg(target_dir);
    for adapter in adapters {
        command.arg("--package").arg(package(&adapter.name));
    }
    run_build(command, toolchain, verbose, "the adapters")
}

/// Runs a build of guests; `what` is built.
fn run_build(mut command: Command, toolchain: &Toolchain, verbose: bool, what: &str) -> Result<()> {
    command
        .env("CARGO_ENCODED_RUSTFLAGS", RUSTFLAGS)
        .stdin(Stdio::null());
    if !verbose {
        command.arg("--quiet");
    }
    let status = command
        .status()
        .with_context(|| format!("cannot run {}", toolchain.cargo.display()))?;
    ensure!(
        status.success(),
        "{what} did not compile (with {toolchain})"
    );
    Ok(())
}

/// Makes a component of a core module, and leaves it alone if it is the one already there.
fn wrap(adapter: &Source, module: &Path) -> Result<Built> {
    let name = &adapter.name;
    let core = fs::read(module).with_context(|| format!("cannot read {}", module.display()))?;
    let component = ComponentEncoder::default()
        .module(&core)
        .and_then(|encoder| encoder.validate(true).encode())
        .with_context(|| format!("{} cannot be made a component", module.display()))?;
    check(&component).with_context(|| format!("{name} is not a runtime adapter"))?;

    let path = adapter.component.clone();
    let changed = fs::read(&path).map_or(true, |there| there != component);
    if changed {
        // By rename, so that a host that watches the folder never reads half a component.
        let partial = path.with_extension("wasm.partial");
        fs::write(&partial, &component)
            .and_then(|()| fs::rename(&partial, &path))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(Built {
        name: name.clone(),
        path,
        size: component.len(),
        changed,
    })
}

/// An adapter exports the interface and imports nothing.
fn check(component: &[u8]) -> Result<()> {
    let DecodedWasm::Component(resolve, world) = wit_component::decode(component)? else {
        bail!("it is a WIT package");
    };
    let world = &resolve.worlds[world];
    let imports: Vec<_> = world
        .imports
        .keys()
        .map(|key| resolve.name_world_key(key))
        .collect();
    ensure!(imports.is_empty(), "it imports {}", imports.join(", "));
    ensure!(
        world
            .exports
            .keys()
            .any(|key| resolve.name_world_key(key).starts_with(INTERFACE)),
        "it does not export {INTERFACE}…; is `export_adapter!` missing?"
    );
    Ok(())
}

/// A compiler that can build for WebAssembly.
struct Toolchain {
    cargo: PathBuf,
    rustc: PathBuf,
    library: Library,
}

/// Where the standard library for the target comes from.
enum Library {
    /// The target is installed.
    Installed,
    /// From its sources, linked by this linker.
    Sources { linker: PathBuf },
}

impl fmt::Display for Toolchain {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = match self.library {
            Library::Installed => "its installed target",
            Library::Sources { .. } => "-Zbuild-std",
        };
        write!(formatter, "{} and {how}", self.rustc.display())
    }
}

impl Toolchain {
    /// Looks at the toolchain in use and at the system's; an installed target is preferred.
    fn find() -> Result<Self> {
        let current = Compiler {
            cargo: env::var_os("CARGO").map_or_else(|| "cargo".into(), PathBuf::from),
            rustc: env::var_os("RUSTC").map_or_else(|| "rustc".into(), PathBuf::from),
        };
        let system = Compiler {
            cargo: "/usr/bin/cargo".into(),
            rustc: "/usr/bin/rustc".into(),
        };
        let linker = find_linker(&current);
        let usable: Vec<_> = [current, system]
            .into_iter()
            .filter(Compiler::is_recent)
            .filter_map(|compiler| Some((compiler.sysroot()?, compiler)))
            .collect();

        for (sysroot, compiler) in &usable {
            if sysroot
                .join("lib/rustlib")
                .join(TARGET)
                .join("lib")
                .is_dir()
            {
                return Ok(compiler.with(Library::Installed));
            }
        }
        let sources = usable.iter().find(|(sysroot, _)| {
            sysroot
                .join("lib/rustlib/src/rust/library/std/Cargo.toml")
                .is_file()
        });
        match (sources, linker) {
            (Some((_, compiler)), Some(linker)) => Ok(compiler.with(Library::Sources { linker })),
            (Some(_), None) => bail!(
                "the adapters need a linker for WebAssembly, and there is neither rust-lld nor \
                 wasm-ld here.\n  On Debian: apt-get install lld"
            ),
            (None, _) => bail!(
                "the adapters are built for {TARGET}, and no Rust here can do that.\n  \
                 With rustup:  rustup target add {TARGET}\n  \
                 On Debian:    apt-get install rustc-web cargo-web rust-web-src"
            ),
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.cargo);
        // The outer Cargo's settings are for the machine it runs on.
        for (name, _) in env::vars_os() {
            if is_cargos(&name) {
                command.env_remove(name);
            }
        }
        command.env("RUSTC", &self.rustc);
        if let Library::Sources { linker } = &self.library {
            command
                .arg("-Zbuild-std=std,panic_abort")
                .env("RUSTC_BOOTSTRAP", "1")
                .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
        }
        command
    }
}

/// Whether a variable was set by the Cargo that runs this, or steers how it compiles.
fn is_cargos(name: &OsString) -> bool {
    let name = name.to_string_lossy();
    [
        "RUSTFLAGS",
        "RUSTDOCFLAGS",
        "RUSTC",
        "RUSTC_WRAPPER",
        "CARGO",
    ]
    .contains(&&*name)
        || [
            "CARGO_PKG_",
            "CARGO_MANIFEST_",
            "CARGO_ENCODED_",
            "CARGO_BUILD_",
            "CARGO_PROFILE_",
        ]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

struct Compiler {
    cargo: PathBuf,
    rustc: PathBuf,
}

impl Compiler {
    fn with(&self, library: Library) -> Toolchain {
        Toolchain {
            cargo: self.cargo.clone(),
            rustc: self.rustc.clone(),
            library,
        }
    }

    fn ask(&self, arguments: &[&str]) -> Option<String> {
        let output = Command::new(&self.rustc)
            .args(arguments)
            .stderr(Stdio::null())
            .output()
            .ok()
            .filter(|output| output.status.success())?;
        Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
    }

    fn sysroot(&self) -> Option<PathBuf> {
        self.ask(&["--print", "sysroot"]).map(PathBuf::from)
    }

    /// Whether it is at least as new as what the workspace asks for.
    fn is_recent(&self) -> bool {
        let version = |text: &str| -> Option<(u32, u32)> {
            let mut parts = text.split('.');
            Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
        };
        let wanted = version(env!("CARGO_PKG_RUST_VERSION"));
        self.ask(&["--version"])
            .and_then(|text| version(text.split_whitespace().nth(1)?))
            .is_some_and(|found| Some(found) >= wanted)
    }
}

/// A linker for WebAssembly: the one that comes with the toolchain in use, or LLVM's own.
fn find_linker(compiler: &Compiler) -> Option<PathBuf> {
    let host = compiler.ask(&["--print", "host-tuple"]);
    let bundled = host.and_then(|host| {
        let path = compiler
            .sysroot()?
            .join("lib/rustlib")
            .join(host)
            .join("bin/rust-lld");
        path.is_file().then_some(path)
    });
    bundled.or_else(|| {
        env::split_paths(&env::var_os("PATH")?)
            .map(|folder| folder.join("wasm-ld"))
            .find(|path| path.is_file())
    })
}
