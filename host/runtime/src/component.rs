//! From a file to an interface that can be called: read, check, compile or find compiled.

use std::io::{Read, Seek as _};
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use wasmtime::component::Component;

use crate::cache::{Cache, engine_hash};
use crate::compiler::{Compiler, Failure};
use crate::digest::Digest;
use crate::engine::{Compiling, Engine};
use crate::error::ComponentError;
use crate::limits::MAX_COMPONENT_BYTES;
use crate::v1;

const ADAPTER: &str = v1::INTERFACE;
/// The interface's own types are not a thing to be had from the host, only named.
const TYPES: &str = "aod:runtime/";

/// An interface of one of the versions that the host knows.
pub(crate) enum Interface {
    V1(v1::Interface),
}

/// A component as it lies on disk.
pub(crate) struct Binary {
    pub(crate) bytes: Vec<u8>,
    pub(crate) digest: Digest,
}

/// The versions of the interface `aod:runtime` of which adapters are taken.
pub const INTERFACE_VERSIONS: &[&str] = &[v1::VERSION];

/// Names of the versions that the host knows, for messages.
fn known() -> String {
    v1::VERSION.to_owned()
}

impl Binary {
    /// Reads a component, at most as many bytes as are ever compiled, and checks its digest.
    pub(crate) fn read(path: &Path, pinned: Option<Digest>) -> Result<Self, ComponentError> {
        let read_error = |source| ComponentError::Read {
            path: path.to_owned(),
            source,
        };
        let file = aod_trees::open_regular(path).map_err(read_error)?;
        let metadata = file.metadata().map_err(read_error)?;
        let mut bytes = Vec::new();
        file.take(MAX_COMPONENT_BYTES + 1)
            .read_to_end(&mut bytes)
            .map_err(read_error)?;
        if bytes.len() as u64 > MAX_COMPONENT_BYTES {
            let bytes = metadata.len().max(MAX_COMPONENT_BYTES + 1);
            return Err(ComponentError::TooLarge {
                path: path.to_owned(),
                bytes,
            });
        }
        let digest = Digest::of(&bytes);
        match pinned {
            Some(pinned) if pinned != digest => Err(ComponentError::Digest {
                pinned,
                actual: digest,
            }),
            _ => Ok(Self { bytes, digest }),
        }
    }
}

/// A component that need not be compiled, since it is in the cache or came compiled with the
/// release; checked as [`load`] does.
pub(crate) fn cached(
    engine: &Engine,
    cache: Option<&Cache>,
    binary: &Binary,
) -> Option<Result<Interface, ComponentError>> {
    let cached = cache.and_then(|cache| cache.load(engine.raw(), binary.digest));
    let component = cached.or_else(|| engine.precompiled()?.load(engine.raw(), binary.digest))?;
    Some(link(engine, &component))
}

/// Compiles a component, or takes it from the cache, and checks what it imports and exports.
pub(crate) fn load(
    engine: &Engine,
    cache: Option<&Cache>,
    binary: &Binary,
    deadline: Duration,
) -> Result<Interface, ComponentError> {
    if let Some(interface) = cached(engine, cache, binary) {
        return interface;
    }
    let component = compile(engine, cache, binary, deadline)?;
    link(engine, &component)
}

/// Compiles a component, for at most so long, and keeps what is made of it in the cache. Whoever
/// asks for one that is being compiled waits for that.
pub(crate) fn compile(
    engine: &Engine,
    cache: Option<&Cache>,
    binary: &Binary,
    deadline: Duration,
) -> Result<Component, ComponentError> {
    preamble(&binary.bytes)?;
    let begun = Instant::now();
    let compiling = engine
        .begin_compiling(binary.digest, deadline)
        .ok_or(ComponentError::SlowCompile { limit: deadline })?;
    // Another runtime may have the same component, and have compiled it just now.
    if let Some(component) = cache.and_then(|cache| cache.load(engine.raw(), binary.digest)) {
        return Ok(component);
    }
    match engine.compiler() {
        Some(compiler) => {
            let left = deadline.saturating_sub(begun.elapsed());
            compile_apart(engine, compiler, cache, binary, left)
                .map_err(|failure| failure.of_component(deadline))
        }
        None => compile_here(engine, cache, binary, deadline, compiling),
    }
}

/// Compiles a component in a process of its own.
fn compile_apart(
    engine: &Engine,
    compiler: &Compiler,
    cache: Option<&Cache>,
    binary: &Binary,
    deadline: Duration,
) -> Result<Component, Failure> {
    let hash = engine_hash(engine.raw());
    let mut code = compiler.compile(&hash, &binary.bytes, deadline)?;
    if let Some(cache) = cache {
        code.rewind()?;
        cache.store_code(binary.digest, &code);
        if let Some(component) = cache.load(engine.raw(), binary.digest) {
            return Ok(component);
        }
    }
    let mut bytes = Vec::new();
    code.rewind()?;
    code.read_to_end(&mut bytes)?;
    // SAFETY: the bytes must be those that a compiler of this version gave. They are what a child
    // process wrote that runs this very program and has ended well, to a file that lies in no
    // folder and that nobody else has; it is given back unread by anybody but us. That its engine
    // is like this one, it has checked by the hash, and the engine checks it once more.
    unsafe { Component::deserialize(engine.raw(), bytes) }
        .map_err(|error| Failure::Crashed(format!("{error:#}")))
}

/// Compiles a component in this process. Here the compiler cannot be stopped: one that takes too
/// long goes on by itself, once for each component, and what it makes is in the cache when the
/// component is loaded again.
fn compile_here(
    engine: &Engine,
    cache: Option<&Cache>,
    binary: &Binary,
    deadline: Duration,
    compiling: Compiling,
) -> Result<Component, ComponentError> {
    let (done, compiled) = mpsc::sync_channel(1);
    let bytes = binary.bytes.clone();
    let (raw, cache, digest) = (engine.raw().clone(), cache.cloned(), binary.digest);
    let work = move || {
        let component = Component::new(&raw, bytes);
        if let (Ok(component), Some(cache)) = (&component, cache) {
            cache.store(digest, component);
        }
        // Whoever waits for it finds it in the cache from here on.
        drop(compiling);
        // Nobody may wait any more.
        let _ = done.send(component);
    };
    std::thread::Builder::new()
        .name("aod-compile".to_owned())
        .spawn(work)
        .map_err(|error| ComponentError::Compile(format!("no thread for it: {error}")))?;
    match compiled.recv_timeout(deadline) {
        Ok(component) => component.map_err(|error| ComponentError::Compile(format!("{error:#}"))),
        Err(mpsc::RecvTimeoutError::Timeout) => {
            Err(ComponentError::SlowCompile { limit: deadline })
        }
        Err(mpsc::RecvTimeoutError::Disconnected) => {
            let problem = "the compiler crashed".to_owned();
            Err(ComponentError::Compile(problem))
        }
    }
}

/// What a component asks of the host, by name.
pub(crate) fn imports(engine: &Engine, component: &Component) -> Vec<String> {
    let ty = component.component_type();
    let imports = ty.imports(engine.raw()).map(|(name, _)| name.to_owned());
    imports.filter(|name| !name.starts_with(TYPES)).collect()
}

/// The first eight bytes tell components, core modules and everything else apart.
fn preamble(bytes: &[u8]) -> Result<(), ComponentError> {
    match bytes.get(..8) {
        Some([0, b'a', b's', b'm', _, _, 1, 0]) => Ok(()),
        Some([0, b'a', b's', b'm', _, _, 0, 0]) => Err(ComponentError::CoreModule),
        _ => Err(ComponentError::NotWasm),
    }
}

pub(crate) fn link(engine: &Engine, component: &Component) -> Result<Interface, ComponentError> {
    let ty = component.component_type();
    let version = ty
        .exports(engine.raw())
        .find_map(|(name, _)| match name.split_once('@') {
            Some((ADAPTER, version)) => Some(version),
            None if name == ADAPTER => Some("none"),
            _ => None,
        })
        .ok_or_else(|| ComponentError::NotAnAdapter { known: known() })?;
    if version != v1::VERSION {
        return Err(ComponentError::Version {
            found: version.to_owned(),
            known: known(),
        });
    }
    let mut wasi = false;
    for (name, _) in ty.imports(engine.raw()) {
        match name {
            _ if name.starts_with(TYPES) && name.rsplit('@').next() == Some(version) => {}
            _ if name.starts_with("wasi:") => wasi = true,
            _ => return Err(ComponentError::Import(name.to_owned())),
        }
    }
    let pre = engine
        .linker(wasi)
        .instantiate_pre(component)
        .map_err(|error| {
            // Everything but WASI was refused above, so what is missing is some part of WASI.
            ComponentError::Import(format!("{error:#}"))
        })?;
    let interface = v1::Interface::new(pre).map_err(|error| ComponentError::Shape {
        version: version.to_owned(),
        problem: format!("{error:#}"),
    })?;
    Ok(Interface::V1(interface))
}
