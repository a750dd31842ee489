//! Processor time, shared out fairly among sandboxes.
//!
//! The kernel shares it out among sessions (in the sense of `setsid(2)`; `sched(7)`, "The autogroup
//! feature"), so that a sandbox of a hundred busy processes gets as much as one of a single process.
//! But whoever computes without end still takes a full share from each that only wants to answer.
//! So each sandbox has a budget of processor time, which fills as time passes. One that has used it
//! up goes behind the others, until it has been quiet for a while: it loses nothing while nobody
//! else wants the processor, and those that are behind share it evenly.
//!
//! Where a sandbox has a control group with a processor share, that is what is shared out, and
//! sessions are of no account.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use aod_processor::ProcessorBudget;

/// What a sandbox may use in front of others at most: a tool call or two of a CLI, and less than some
/// CLIs compute as they start, which is nobody's wait but their own.
const MOST: Duration = Duration::from_millis(200);
/// What a new one has of it: whoever begins with a flood, or with a storm of processes, is soon
/// behind.
const FIRST: Duration = Duration::from_millis(60);
/// Who has computed for an hour is in front again 2 s after it has stopped.
const DEBT: Duration = Duration::from_millis(400);
/// The nice value of those behind: a tenth of the weight of the others.
const BEHIND: i32 = 10;
/// That of whoever records them, which is also who stops them: a third.
const RECORDER_BEHIND: i32 = 5;
/// The same as the weight of a control group, of which each has 100 at first.
const BEHIND_WEIGHT: u32 = 10;

/// Whether a tree of processes goes behind others, by what it has used lately.
#[derive(Debug)]
pub(crate) struct Fairness {
    budget: ProcessorBudget,
    /// When it was looked at last, and the milliseconds of processor time used until then.
    last: (u64, u64),
    /// Whether this process works for the tree alone.
    counts_self: bool,
}

impl Default for Fairness {
    fn default() -> Self {
        Self {
            budget: ProcessorBudget::new(MOST).with_first(FIRST).with_debt(DEBT),
            last: (0, 0),
            counts_self: false,
        }
    }
}

impl Fairness {
    /// Counts what this process uses, too, and has it go behind with the tree.
    pub(crate) fn count_self(&mut self) {
        self.counts_self = true;
    }

    /// Looks at a tree's processes, and has them go behind others or not. Where the kernel has no
    /// such groups, nothing changes.
    pub(crate) fn look(&mut self, now: u64, processes: &[u32]) {
        let used: u64 = processes.iter().map(|pid| processor_ms(*pid)).sum();
        let own = if self.counts_self { own_ms() } else { 0 };
        let was_behind = self.budget.is_behind();
        self.judge(now, used.saturating_add(own));
        if self.budget.is_behind() {
            // Each time: a process that begins a session of its own begins with a full share.
            self.set(processes, BEHIND, RECORDER_BEHIND);
        } else if was_behind {
            self.set(processes, 0, 0);
        }
    }

    /// The same for a tree that has a control group: its weight is changed. Where the group has
    /// none, nothing happens.
    pub(crate) fn look_at_group(&mut self, now: u64, group: &Path) {
        let weight = group.join("cpu.weight");
        let Some(used) = group_ms(group).filter(|_| weight.exists()) else {
            return;
        };
        let was_behind = self.budget.is_behind();
        self.judge(now, used);
        let is_behind = self.budget.is_behind();
        if is_behind != was_behind {
            let set = if is_behind { BEHIND_WEIGHT } else { 100 };
            // The group may be gone by now.
            let _ = fs::write(weight, set.to_string());
        }
    }

    /// Nothing is left to be looked at: this process goes to the front, if it was behind.
    pub(crate) fn end(&mut self) {
        let ended = std::mem::take(self);
        if ended.budget.is_behind() {
            ended.set(&[], 0, 0);
        }
    }

    fn set(&self, processes: &[u32], nice: i32, own_nice: i32) {
        let own = std::process::id();
        if self.counts_self {
            set(&[own], own_nice, None);
        }
        set(processes, nice, group(own));
    }

    /// How long it may take, in milliseconds, until a sandbox that is in front and takes all of a
    /// processor has used up its budget. None for those that are behind already, or take little.
    pub(crate) fn patience(&self) -> Option<u64> {
        let ms = self.budget.left()?.as_millis();
        u64::try_from(ms).ok()
    }

    fn judge(&mut self, now: u64, used: u64) {
        let (at, before) = self.last;
        // Less than before where a process has ended that nobody has counted.
        self.budget.pass(
            Duration::from_millis(now.saturating_sub(at)),
            Duration::from_millis(used.saturating_sub(before)),
        );
        self.last = (now, used);
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

/// Milliseconds of processor time that all processes of a control group have used.
fn group_ms(group: &Path) -> Option<u64> {
    let text = fs::read_to_string(group.join("cpu.stat")).ok()?;
    let used = text.lines().find_map(|it| it.strip_prefix("usage_usec "))?;
    Some(used.trim().parse::<u64>().ok()? / 1000)
}

/// Milliseconds of processor time that this process used, without its children.
fn own_ms() -> u64 {
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let (seconds, nanoseconds) = (used.tv_sec.unsigned_abs(), used.tv_nsec.unsigned_abs());
    seconds * 1000 + nanoseconds / 1_000_000
}

/// Gives the groups of these processes a nice value, but for one that is `spared`. The kernel lets
/// an ordinary user change ten groups a second; what it refuses is tried again at the next look.
fn set(processes: &[u32], nice: i32, spared: Option<(String, i32)>) {
    let spared = spared.map(|(name, _)| name);
    let mut seen = HashSet::new();
    for pid in processes {
        let Some((name, current)) = group(*pid) else {
            continue;
        };
        if current != nice && Some(&name) != spared.as_ref() && seen.insert(name) {
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
            fairness.budget.is_behind()
        };
        // A whole processor: the first 60 are used up within 80.
        assert!(!after(70, 70));
        assert!(after(80, 80));
        assert!(after(60_000, 60_000));
        // Quiet: it lacks 400, and 2,000 earn 500.
        assert!(after(61_900, 60_000));
        assert!(!after(62_000, 60_000));
        // A quarter of a processor for ever, and what has been saved at once.
        assert!(!after(70_000, 60_500));
        assert!(!after(170_000, 85_500));
        assert!(!after(180_000, 85_500));
        assert!(!after(180_190, 85_690));
        // Somebody who has been counted is gone.
        assert!(!after(190_000, 100));
    }

    #[test]
    fn who_spends_is_looked_at_before_all_is_used_up() {
        let mut fairness = Fairness::default();
        assert_eq!(fairness.patience(), None, "nothing is used yet");
        fairness.judge(40, 40);
        assert_eq!(fairness.patience(), Some(30));
        fairness.judge(1_000, 1_000);
        assert_eq!(fairness.patience(), None, "it is behind");
        fairness.judge(10_000, 1_000);
        assert_eq!(fairness.patience(), None, "it does nothing");
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
        let behind = || {
            let mut fairness = Fairness::default();
            fairness.judge(0, 60_000);
            fairness
        };
        let mut fairness = behind();
        let own = group(std::process::id());
        // The kernel lets all ordinary users together change ten a second.
        while nice(&one) != Some(BEHIND) {
            fairness.look(0, &[one.0.id(), std::process::id()]);
        }
        assert_eq!(nice(&other), Some(0));
        assert_eq!(group(std::process::id()), own);
        while nice(&one) != Some(0) {
            fairness = behind();
            fairness.look(10_000, &[one.0.id()]);
        }
    }

    #[test]
    fn what_this_process_uses_is_counted_where_it_works_for_the_tree() {
        let begun = own_ms();
        while own_ms() < begun + 20 {
            std::hint::spin_loop();
        }
        let mut fairness = Fairness::default();
        fairness.look(0, &[]);
        assert_eq!(fairness.last, (0, 0));
        fairness.count_self();
        fairness.look(0, &[]);
        assert!(fairness.last.1 >= 20, "{fairness:?}");
    }

    #[test]
    fn processor_time_is_counted() {
        let busy = Session::new("yes", "x");
        while processor_ms(busy.0.id()) < 50 {
            std::thread::yield_now();
        }
    }
}
