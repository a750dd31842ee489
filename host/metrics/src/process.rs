//! What the kernel says of this process.

use std::fs;

use crate::{Metrics, as_gauge};

impl Metrics {
    /// Sets what is known of the process; what cannot be known stays as it is.
    pub(crate) fn look_at_process(&self) {
        let set = |gauge: &prometheus::IntGauge, found: Option<u64>| {
            if let Some(found) = found {
                gauge.set(as_gauge(found));
            }
        };
        set(&self.open_files, open_files());
        set(&self.open_files_limit, open_files_limit());
        set(&self.resident_bytes, resident_bytes());
        set(&self.start_time_seconds, start_time());
    }
}

/// The descriptors that are open.
fn open_files() -> Option<u64> {
    let entries = fs::read_dir("/proc/self/fd").ok()?;
    // One of them is for this look.
    Some((entries.count() as u64).saturating_sub(1))
}

/// The soft limit; none where there is none.
fn open_files_limit() -> Option<u64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

/// When the process began: the machine's start, and the ticks since.
fn start_time() -> Option<u64> {
    /// Of the kernel's clock as programs see it, on every architecture that this is built for.
    const TICKS_PER_SECOND: u64 = 100;
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The program's name, in brackets, may hold anything.
    let (_, fields) = stat.rsplit_once(") ")?;
    let ticks: u64 = fields.split_whitespace().nth(19)?.parse().ok()?;
    let machine = fs::read_to_string("/proc/stat").ok()?;
    let begun = machine
        .lines()
        .find_map(|line| line.strip_prefix("btime "))?;
    Some(begun.trim().parse::<u64>().ok()? + ticks / TICKS_PER_SECOND)
}
