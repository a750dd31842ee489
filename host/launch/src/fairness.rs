//! Processor time, shared out fairly among sandboxes.
//!
//! The kernel shares it out among sessions (in the sense of `setsid(2)`; `sched(7)`, "The autogroup
//! feature"), so that a sandbox of a hundred busy processes gets as much as one of a single process.
//! But whoever computes without end still takes a full share from each that only wants to answer.
//! So a sandbox that has used much lately goes behind the others, until it has become quiet: it
//! loses nothing while nobody else wants the processor.

use std::collections::HashSet;
use std::fs;

/// Over how many milliseconds it is told how busy a sandbox is, at least: some CLIs compute for
/// seconds as they start.
const WINDOW_MS: u64 = 5_000;
/// Who uses so many thousandths of one processor and more goes behind the others …
const BUSY: u64 = 500;
/// … until it uses no more than this.
const QUIET: u64 = 100;
/// The nice value of those behind: a third of the weight of the others.
const BEHIND: i32 = 5;

/// Whether a tree of processes goes behind others, by what it has used lately.
#[derive(Debug, Default)]
pub(crate) struct Fairness {
    /// When the window began, and the milliseconds of processor time used until then.
    begun: Option<(u64, u64)>,
    is_behind: bool,
}

impl Fairness {
    /// Looks at a tree's processes, and has them go behind others or not. Where the kernel has no
    /// such groups, nothing changes.
    pub(crate) fn look(&mut self, now: u64, processes: &[u32]) {
        let used = processes.iter().map(|pid| processor_ms(*pid)).sum();
        let was_behind = self.is_behind;
        self.judge(now, used);
        if self.is_behind {
            // Each time: a process that begins a session of its own begins with a full share.
            set(processes, BEHIND);
        } else if was_behind {
            set(processes, 0);
        }
    }

    fn judge(&mut self, now: u64, used: u64) {
        let (begun, before) = *self.begun.get_or_insert((now, used));
        let took = now.saturating_sub(begun);
        if took < WINDOW_MS {
            return;
        }
        // Less than before where a process has ended that nobody has counted.
        let share = used.saturating_sub(before).saturating_mul(1000) / took;
        if share >= BUSY {
            self.is_behind = true;
        } else if share <= QUIET {
            self.is_behind = false;
        }
        self.begun = Some((now, used));
    }
}

/// Milliseconds of processor time that a process and its children that have ended used.
fn processor_ms(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The program's name stands in brackets, and may hold blanks and brackets itself.
    let fields = text.rsplit_once(')').map_or("", |(_, fields)| fields);
    let times = fields.split_ascii_whitespace().skip(11).take(4);
    let ticks: u64 = times.filter_map(|field| field.parse::<u64>().ok()).sum();
    ticks * 1000 / rustix::param::clock_ticks_per_second().max(1)
}

/// Gives the groups of these processes a nice value. The kernel lets an ordinary user change ten
/// groups a second; what it refuses is tried again at the next look.
fn set(processes: &[u32], nice: i32) {
    let own = group(std::process::id()).map(|(name, _)| name);
    let mut seen = HashSet::new();
    for pid in processes {
        let Some((name, current)) = group(*pid) else {
            continue;
        };
        if current != nice && Some(&name) != own.as_ref() && seen.insert(name) {
            let _ = fs::write(format!("/proc/{pid}/autogroup"), nice.to_string());
        }
    }
}

/// The name and the nice value of a process's group: `/autogroup-25 nice 0`.
fn group(pid: u32) -> Option<(String, i32)> {
    let text = fs::read_to_string(format!("/proc/{pid}/autogroup")).ok()?;
    let (name, nice) = text.trim_end().split_once(" nice ")?;
    Some((name.to_owned(), nice.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt as _;
    use std::process::{Child, Command, Stdio};

    use super::*;

    #[test]
    fn the_busy_go_behind_until_they_are_quiet() {
        let mut fairness = Fairness::default();
        let mut after = |now, used| {
            fairness.judge(now, used);
            fairness.is_behind
        };
        assert!(!after(1_000, 500));
        // Much, but of too short a time to tell.
        assert!(!after(5_000, 4_500));
        assert!(after(6_000, 4_900));
        assert!(after(11_000, 6_000));
        assert!(after(14_000, 6_000));
        assert!(!after(16_000, 6_100));
        assert!(!after(21_000, 7_500));
        // Somebody who has been counted is gone.
        assert!(!after(26_000, 100));
    }

    /// A process in a session of its own, killed when dropped.
    struct Session(Child);

    impl Session {
        fn new(program: &str, argument: &str) -> Self {
            let mut command = Command::new(program);
            command.arg(argument).stdout(Stdio::null());
            // SAFETY: only a system call that is safe after a fork.
            unsafe {
                command.pre_exec(|| Ok(rustix::process::setsid().map(drop)?));
            }
            Self(command.spawn().unwrap())
        }
    }

    impl Drop for Session {
        fn drop(&mut self) {
            self.0.kill().unwrap();
            self.0.wait().unwrap();
        }
    }

    #[test]
    fn a_group_gets_its_nice_value_and_others_keep_theirs() {
        let (one, other) = (Session::new("sleep", "60"), Session::new("sleep", "60"));
        let nice = |session: &Session| group(session.0.id()).map(|(_, nice)| nice);
        if nice(&one).is_none() {
            println!("skipped: this kernel has no autogroups");
            return;
        }
        let mut fairness = Fairness {
            begun: Some((0, 0)),
            is_behind: true,
        };
        let own = group(std::process::id());
        // The kernel lets all ordinary users together change ten a second.
        while nice(&one) != Some(BEHIND) {
            fairness.look(1_000, &[one.0.id(), std::process::id()]);
        }
        assert_eq!(nice(&other), Some(0));
        assert_eq!(group(std::process::id()), own);
        while nice(&one) != Some(0) {
            fairness = Fairness {
                begun: Some((0, 0)),
                is_behind: true,
            };
            fairness.look(10_000, &[one.0.id()]);
        }
    }

    #[test]
    fn processor_time_is_counted() {
        let busy = Session::new("yes", "x");
        while processor_ms(busy.0.id()) < 50 {
            std::thread::yield_now();
        }
    }
}
