//! Small components, written by hand, that do what no good adapter does.

use std::path::{Path, PathBuf};

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// A component by the bodies of its functions, as WAT instructions. Each returns an address, at which
/// the canonical ABI's form of the result lies.
#[derive(Clone, Debug)]
pub struct Guest {
    /// `describe`.
    pub describe: &'static str,
    /// `prepare`.
    pub prepare: &'static str,
    /// `conversation.constructor`.
    pub constructor: &'static str,
    /// `conversation.receive`.
    pub receive: &'static str,
    /// `conversation.feed`.
    pub feed: &'static str,
    /// `conversation.tick`.
    pub tick: &'static str,
    /// `conversation.state`.
    pub state: &'static str,
    /// `conversation.finish`.
    pub finish: &'static str,
    /// What the interface says, and what this component says instead.
    pub instead: (&'static str, &'static str),
    /// Pages of memory to begin with.
    pub pages: u32,
    /// More imports.
    pub extra: &'static str,
    /// The version of the interface that is claimed.
    pub version: &'static str,
}

/// A description named "guest" whose CLI is "cat" and whose one model is "guest/x".
const DESCRIBED: &str = "i32.const 1024";

/// What that shell does, in at most 64 bytes.
const SCRIPT: &str = "for i in 1 2 3 4 5 6; do echo line $i; done; echo oops >&2";

/// A launch of a shell, which prints six lines and one more to stderr.
const PREPARED: &str = "i32.const 3072";

/// A reaction with no actions, and no state.
pub const NOTHING: &str = "i32.const 2048";

impl Default for Guest {
    fn default() -> Self {
        Self {
            describe: DESCRIBED,
            prepare: PREPARED,
            constructor: "i32.const 1 call $new",
            receive: NOTHING,
            feed: NOTHING,
            tick: NOTHING,
            state: NOTHING,
            finish: NOTHING,
            instead: ("package", "package"),
            pages: 2,
            extra: "",
            version: "1.0.0",
        }
    }
}

impl Guest {
    /// The core module.
    ///
    /// # Panics
    ///
    /// A body is no WAT.
    #[must_use]
    pub fn module(&self) -> Vec<u8> {
        let interface = |name: &str| format!("aod:runtime/{name}@{}", self.version);
        let (description, launching) = (interface("description"), interface("launching"));
        let conversations = interface("conversations");
        let Self {
            describe,
            prepare,
            constructor,
            receive,
            feed,
            tick,
            state,
            finish,
            pages,
            extra,
            ..
        } = self;
        let wat = format!(
            r#"(module
                (import "[export]{conversations}" "[resource-new]conversation" (func $new (param i32) (result i32)))
                {extra}
                (memory (export "memory") {pages})
                (global $top (mut i32) (i32.const 65536))
                (global $calls (mut i32) (i32.const 0))
                ;; ok; name, version, cli.command, cli.version-args, cli.tested; no install; one
                ;; provider, one model; everything else is empty, none or the first.
                (data (i32.const 1024) "\00\00\00\00" "\00\06\00\00\05\00\00\00" "\10\06\00\00\05\00\00\00" "\20\06\00\00\03\00\00\00"
                    "\80\06\00\00\01\00\00\00" "\90\06\00\00\01\00\00\00" "\00\00\00\00\00\00\00\00"
                    "\30\06\00\00\01\00\00\00" "\b0\06\00\00\01\00\00\00")
                (data (i32.const 1536) "guest")
                (data (i32.const 1552) "0.0.1")
                (data (i32.const 1568) "cat")
                (data (i32.const 1584) "\00\06\00\00\05\00\00\00")
                (data (i32.const 1640) "guest/x")
                (data (i32.const 1664) "\98\06\00\00\09\00\00\00")
                (data (i32.const 1680) "*")
                (data (i32.const 1688) "--version")
                (data (i32.const 1712) "\68\06\00\00\07\00\00\00")
                ;; ok; argv of three words; everything else is empty, none or the first.
                (data (i32.const 3072) "\00\00\00\00" "\80\0c\00\00\03\00\00\00")
                (data (i32.const 3200) "\a0\0c\00\00\02\00\00\00" "\a4\0c\00\00\02\00\00\00" "\a8\0c\00\00\40\00\00\00")
                (data (i32.const 3232) "sh")
                (data (i32.const 3236) "-c")
                (data (i32.const 3240) "{SCRIPT:<64}")
                (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                    (local $address i32)
                    (local.set $address (i32.and (i32.add (global.get $top) (i32.const 15)) (i32.const -16)))
                    (global.set $top (i32.add (local.get $address) (local.get 3)))
                    (if (i32.gt_u (global.get $top) (i32.mul (memory.size) (i32.const 65536)))
                        (then (if (i32.eq (i32.const -1) (memory.grow
                            (i32.add (i32.const 1) (i32.div_u (local.get 3) (i32.const 65536)))))
                            (then unreachable))))
                    (local.get $address))
                (func (export "{description}#describe") (param i32 i32) (result i32) {describe})
                (func (export "{launching}#prepare") (param i32) (result i32) {prepare})
                (func (export "{conversations}#[constructor]conversation") (param i32) (result i32) {constructor})
                (func (export "{conversations}#[method]conversation.receive")
                    (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32) {receive})
                (func (export "{conversations}#[method]conversation.feed") (param i32 i32 i32 i32) (result i32) {feed})
                (func (export "{conversations}#[method]conversation.tick") (param i32 i64) (result i32) {tick})
                (func (export "{conversations}#[method]conversation.state") (param i32) (result i32) {state})
                (func (export "{conversations}#[method]conversation.finish") (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32) {finish})
                (func $deeper (param i32) (result i32)
                    (i32.add (i32.const 1) (call $deeper (i32.add (local.get 0) (i32.const 1)))))
            )"#
        );
        wat::parse_str(&wat).unwrap_or_else(|error| panic!("{error}\n{wat}"))
    }

    /// The component.
    ///
    /// # Panics
    ///
    /// A body has another type than its function.
    #[must_use]
    pub fn component(&self) -> Vec<u8> {
        let mut text = format!("package aod:runtime@{};\n", self.version);
        text.push_str(&interfaces());
        let (said, instead) = self.instead;
        text = text.replace(said, instead);
        let imports = self.extra.contains("(import \"test:");
        let wasi = self.extra.contains("(import \"wasi:");
        if wasi {
            text = text.replace(
                "world runtime {",
                "world runtime {\n import wasi:io/poll@0.2.0; import wasi:clocks/monotonic-clock@0.2.0;",
            );
        }
        if imports {
            text = text.replace(
                "world runtime {",
                "world runtime {\n import test:evil/files@0.1.0;",
            );
        }
        let mut resolve = Resolve::default();
        if imports {
            let evil = "package test:evil@0.1.0; interface files { open: func(n: u32) -> u32; }";
            resolve.push_str("evil.wit", evil).unwrap();
        }
        if wasi {
            let io =
                "package wasi:io@0.2.0; interface poll { resource pollable { block: func(); } }";
            resolve.push_str("io.wit", io).unwrap();
            let clocks = "package wasi:clocks@0.2.0; interface monotonic-clock {
                use wasi:io/poll@0.2.0.{pollable};
                now: func() -> u64;
                subscribe-duration: func(when: u64) -> pollable;
            }";
            resolve.push_str("clocks.wit", clocks).unwrap();
        }
        let package = resolve.push_str("runtime.wit", &text).unwrap();
        let world = resolve.select_world(&[package], Some("runtime")).unwrap();
        let mut module = self.module();
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false)
            .unwrap();
        ComponentEncoder::default()
            .module(&module)
            .unwrap()
            .validate(true)
            .encode()
            .unwrap()
    }

    /// The component in a file of a folder, `<name>.wasm`.
    ///
    /// # Panics
    ///
    /// The file cannot be written.
    pub fn write(&self, folder: &Path, name: &str) -> PathBuf {
        let path = folder.join(format!("{name}.wasm"));
        std::fs::write(&path, self.component()).unwrap();
        path
    }
}

/// All files of the interface in one text, without what says which package they are.
fn interfaces() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit/1.0.0");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let each = files.iter().map(|file| {
        std::fs::read_to_string(file)
            .unwrap()
            .replace("package aod:runtime@1.0.0;", "")
    });
    each.collect()
}
