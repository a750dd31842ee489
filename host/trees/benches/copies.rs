//! What a session waits for where its files are copied: its next prompt for a checkpoint, a restore
//! and a fork for the way back.
//!
//! `AOD_BENCH_FILES` and `AOD_BENCH_TREE_MIB` set the size of the tree, and `TMPDIR` where it is.
//!
//! Nothing is removed before the end: where ext4 has just freed many inodes, it looks at each of them
//! again for every file that is made within the next minute. Nothing waits for what was written
//! before it, and what is compared is done in turns.

#![allow(clippy::unwrap_used, reason = "a benchmark may panic")]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use aod_trees::{Copied, Copy, Earlier, Folder, Known, Limits, copy};

/// Files in a folder.
const IN_A_FOLDER: usize = 50;
/// So often each is done.
const ROUNDS: usize = 3;
/// So many are changed by a turn.
const CHANGED: usize = 100;

fn set(name: &str, default: usize) -> usize {
    let value = std::env::var(name).ok();
    value
        .and_then(|value| value.parse().ok())
        .unwrap_or(default)
}

/// Something like a program's text: lines of words, of which some are used more than others.
fn text(seed: u32, length: usize) -> Vec<u8> {
    let mut state = u64::from(seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut text = Vec::with_capacity(length + 64);
    while text.len() < length {
        let indent = next() % 4 * 4;
        text.extend((0..indent).map(|_| b' '));
        for _ in 0..next() % 9 + 2 {
            // The lower one of two numbers: lower ones are more frequent.
            let word = (next() % 5_000).min(next() % 5_000);
            text.extend(
                format!(
                    "{:x}{} ",
                    word.wrapping_mul(2_654_435),
                    "et_".repeat(word as usize % 3)
                )
                .bytes(),
            );
        }
        text.push(b'\n');
    }
    text.truncate(length);
    text
}

fn make(root: &Path, files: usize, bytes: usize) {
    let average = bytes / files;
    for number in 0..files {
        let folder = root.join(format!(
            "f{}/g{}",
            number / IN_A_FOLDER / 20,
            number / IN_A_FOLDER
        ));
        fs::create_dir_all(&folder).unwrap();
        // Most are small, and few are large.
        let length = match number % 20 {
            0 => average * 10,
            _ => average * 10 / 19,
        };
        fs::write(
            folder.join(format!("{number}.rs")),
            text(number as u32, length),
        )
        .unwrap();
    }
    // What is to be shared has to have been there for a while.
    std::thread::sleep(Duration::from_millis(1_500));
}

/// What something took.
#[derive(Clone, Copy, Debug)]
struct Took {
    seconds: f64,
    /// Of this process or of those that it has waited for.
    processor: f64,
}

impl std::fmt::Display for Took {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { seconds, processor } = self;
        write!(f, "{seconds:.2} s ({processor:.2} s of a processor)")
    }
}

/// The processor time of this process and of those that it has waited for, in seconds.
fn processor() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields = stat.rsplit(')').next().unwrap().split_whitespace();
    let ticks: f64 = fields
        .skip(11)
        .take(4)
        .map(|it| it.parse::<f64>().unwrap())
        .sum();
    // What the kernel tells programs is in hundredths, whatever it counts in.
    ticks / 100.0
}

fn timed<T>(work: impl FnOnce() -> T) -> (Took, T) {
    rustix::fs::sync();
    let (begun, before) = (Instant::now(), processor());
    let done = work();
    let took = Took {
        seconds: begun.elapsed().as_secs_f64(),
        processor: processor() - before,
    };
    (took, done)
}

struct BenchFolder<'a>(&'a Path);

impl BenchFolder<'_> {
    fn folder(&self, name: &str) -> Folder {
        fs::create_dir_all(self.0.join(name)).unwrap();
        Folder::open_copy(&self.0.join(name)).unwrap()
    }

    fn copy(
        &self,
        from: &Folder,
        to: &str,
        earlier: Option<(&str, &Known)>,
        compress: bool,
    ) -> Copied {
        let names = self.folder("names");
        let earlier = earlier.map(|(name, known)| (self.folder(name), known));
        let earlier: Vec<_> = earlier
            .iter()
            .map(|(tree, known)| Earlier {
                tree,
                known,
                stays: true,
            })
            .collect();
        let how = Copy {
            limits: Limits::default(),
            bytes: u64::MAX,
            names: &names,
            earlier: &earlier,
            compress,
            without: None,
            wanted: &|| true,
        };
        copy(from, &self.folder(to), &how).unwrap()
    }

    fn cp(&self, own: &Path, to: &str) -> Took {
        let to = self.0.join(to);
        let copy = || Command::new("cp").arg("-a").arg(own).arg(&to).status();
        let (took, copied) = timed(copy);
        assert!(copied.unwrap().success());
        took
    }
}

/// Has the kernel forget the content of a tree that is on the disk.
fn forget(root: &Path) {
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
                continue;
            }
            let file = fs::File::open(entry.path()).unwrap();
            rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
        }
    }
}

/// The shortest of some times, each of something that was done right after the same of the other:
/// what else the machine does changes from one moment to the next.
#[derive(Default)]
struct Best {
    own: Option<Took>,
    with_cp: Option<Took>,
}

impl Best {
    fn add(&mut self, own: Took, with_cp: Took) {
        let shorter = |best: &mut Option<Took>, took: Took| {
            if best.is_none_or(|best| took.seconds < best.seconds) {
                *best = Some(took);
            }
        };
        shorter(&mut self.own, own);
        shorter(&mut self.with_cp, with_cp);
    }

    fn row(&self, what: &str, more: &str, bar: Option<f64>) {
        let (own, with_cp) = (self.own.unwrap(), self.with_cp.unwrap());
        let ratio = own.seconds / with_cp.seconds;
        let bar = match bar {
            None => "–".to_owned(),
            Some(bar) => format!("≤ {bar}×"),
        };
        println!(
            "| {what} | {own}{more} | `cp -a` of the whole, {with_cp} | {ratio:.2}× | {bar} |"
        );
    }
}

fn main() {
    let files = set("AOD_BENCH_FILES", 10_000);
    let mib = set("AOD_BENCH_TREE_MIB", 200);
    let root = tempfile::tempdir().unwrap();
    let place = BenchFolder(root.path());
    let own = root.path().join("own");
    make(&own, files, mib << 20);
    let from = Folder::open(&own).unwrap();
    let what = format!("a checkpoint of {files} files, {mib} MiB");
    let disk = |copied: &Copied| copied.new_bytes >> 20;
    for compress in [false, true] {
        let how = match compress {
            true => "compressed",
            false => "as they are, or shared where the file system can",
        };
        let rounds = if compress { 1 } else { ROUNDS };
        let bar = (!compress).then_some(1.5);
        let name = |name: &str, round: usize| format!("{name}-{compress}-{round}");
        let mut best = Best::default();
        let mut first = Copied::default();
        for round in 0..rounds {
            let with_cp = place.cp(&own, &name("cp", round));
            let (took, copied) = timed(|| place.copy(&from, &name("first", round), None, compress));
            best.add(took, with_cp);
            first = copied;
        }
        let more = format!(", {} MiB of the disk", disk(&first));
        best.row(&format!("{what}: the first, {how}"), &more, bar);
        for number in 0..CHANGED.min(files) {
            let at = number * (files / CHANGED.min(files));
            let folder = own.join(format!("f{}/g{}", at / IN_A_FOLDER / 20, at / IN_A_FOLDER));
            fs::write(
                folder.join(format!("{at}.rs")),
                text(u32::from(compress), 20_000),
            )
            .unwrap();
        }
        let (first_name, next_name) = (name("first", rounds - 1), name("next", 0));
        let earlier = Some((first_name.as_str(), &first.known));
        let (took, next) = timed(|| place.copy(&from, &next_name, earlier, compress));
        let more = format!(", {} MiB of the disk", disk(&next));
        let mut changed = Best::default();
        changed.add(took, best.with_cp.unwrap());
        let whose = format!("{what}: the next, with {CHANGED} files changed, {how}");
        changed.row(&whose, &more, None);
        let next_path = root.path().join(&next_name);
        for is_cold in [false, true] {
            let mut best = Best::default();
            for round in 0..rounds {
                // Content that is compressed is no content for others.
                let source = if compress { &own } else { &next_path };
                let look = |path: &Path| {
                    rustix::fs::sync();
                    if is_cold {
                        forget(path);
                    }
                };
                look(source);
                let with_cp = place.cp(source, &name(&format!("cp-back-{is_cold}"), round));
                look(&next_path);
                let to = name(&format!("back-{is_cold}"), round);
                let next = place.folder(&next_name);
                let (took, _) = timed(|| place.copy(&next, &to, None, false));
                best.add(took, with_cp);
            }
            let when = match is_cold {
                true => "of what is on the disk alone",
                false => "of what is in memory",
            };
            best.row(&format!("{what}: the way back {when}, {how}"), "", bar);
        }
    }
}
