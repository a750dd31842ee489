//! Work that can wait, done while nobody else wants a processor.

use std::fs;
use std::num::NonZero;
use std::sync::LazyLock;
use std::thread;
use std::time::{Duration, Instant};

/// How many times as long as it has worked a thread rests while somebody waits: it takes a quarter
/// of a processor.
const REST: u32 = 3;

/// What threads that go behind add to their nice value: they have a tenth of the weight of their
/// process's others.
pub const NICENESS: i32 = 10;

/// Asked for once: the answer is in files of control groups, and is wanted every few milliseconds.
static PROCESSORS: LazyLock<usize> =
    LazyLock::new(|| thread::available_parallelism().map_or(1, NonZero::get));

/// How many threads of this process can run at the same time.
#[must_use]
pub fn processors() -> usize {
    *PROCESSORS
}

/// Has the calling thread, and on Linux no other, go behind the others of its process.
pub fn go_behind() {
    // One that may not be nice works all the same.
    let _ = rustix::process::nice(NICENESS);
}

/// Processor time that the calling thread has used.
#[must_use]
pub fn thread_time() -> Duration {
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(used).unwrap_or_default()
}

/// Paces the work of a thread: pieces of a few milliseconds each, and rests between them while
/// somebody waits for a processor.
#[derive(Debug, Default)]
pub struct Pace {
    again: Option<Instant>,
}

impl Pace {
    /// Before the first piece.
    #[must_use]
    pub const fn new() -> Self {
        Self { again: None }
    }

    /// Does a piece of work. Rests before it for what was done before, and not after it, so that
    /// nobody waits for what is done.
    pub fn work<T>(&mut self, work: impl FnOnce() -> T) -> T {
        if let Some(again) = self.again.take()
            && somebody_waits()
        {
            thread::sleep(again.saturating_duration_since(Instant::now()));
        }
        self.work_at_once(work)
    }

    /// Does a piece of work without a rest before it.
    pub fn work_at_once<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let done = work();
        let ended = Instant::now();
        self.again = ended.checked_add((ended - begun) * REST);
        done
    }
}

/// So much of a long piece of work is done without a rest …
const AT_ONCE: Duration = Duration::from_millis(20);
/// … and so much between two rests.
const PIECE: Duration = Duration::from_millis(5);

/// Paces work that somebody may wait for, and that may be long: what is short is done at once, and
/// what is not rests in between while somebody waits for a processor.
#[derive(Debug)]
pub struct LongWork {
    /// Looked at on the clock, which costs less than asking for processor time.
    begun: Instant,
    used: Duration,
    piece: Duration,
}

impl Default for LongWork {
    fn default() -> Self {
        Self {
            begun: Instant::now(),
            used: thread_time(),
            piece: AT_ONCE,
        }
    }
}

impl LongWork {
    /// Begins it, in the thread that does it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Looks whether to rest, and says for how long it did. Costs little: call it at each step.
    pub fn step(&mut self, now: Instant) -> Duration {
        if now.saturating_duration_since(self.begun) < self.piece {
            return Duration::ZERO;
        }
        let worked = thread_time().saturating_sub(self.used);
        if worked < self.piece {
            // It waits for the disk: looked at again as soon as it can be too much.
            self.begun = now;
            return Duration::ZERO;
        }
        let rest = match somebody_waits() {
            true => worked.min(self.piece * 2) * REST,
            false => Duration::ZERO,
        };
        if !rest.is_zero() {
            thread::sleep(rest);
        }
        *self = Self {
            piece: PIECE,
            ..Self::new()
        };
        rest
    }
}

/// Whether more threads want to run than there are processors, this one included: the fourth field
/// of `/proc/loadavg` (`proc_loadavg(5)`). Where it cannot be read, somebody may.
fn somebody_waits() -> bool {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    runnable(&text).is_none_or(|runnable| runnable > *PROCESSORS)
}

fn runnable(loadavg: &str) -> Option<usize> {
    let (runnable, _) = loadavg.split_ascii_whitespace().nth(3)?.split_once('/')?;
    runnable.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    struct Stop<'a>(&'a AtomicBool);

    impl Drop for Stop<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    /// Runs as many threads as there are processors beside `then`, once all want to run.
    fn beside_busy_threads(then: impl FnOnce()) {
        let stopped = AtomicBool::new(false);
        thread::scope(|scope| {
            let _stop = Stop(&stopped);
            for _ in 0..*PROCESSORS {
                scope.spawn(|| {
                    while !stopped.load(Ordering::Relaxed) {
                        std::hint::spin_loop();
                    }
                });
            }
            until_somebody_waits();
            then();
        });
    }

    fn until_somebody_waits() {
        while !somebody_waits() {
            thread::yield_now();
        }
    }

    #[test]
    fn runnable_threads_are_counted() {
        assert_eq!(runnable("3.75 5.52 6.32 6/282 29497\n"), Some(6));
        assert_eq!(runnable(""), None);
        assert_eq!(runnable("3.75 5.52 6.32 six/282 29497\n"), None);
    }

    #[test]
    fn a_thread_rests_for_as_long_as_somebody_waits() {
        beside_busy_threads(|| {
            let mut pace = Pace::new();
            let begun = Instant::now();
            pace.work(|| thread::sleep(Duration::from_millis(20)));
            let first = begun.elapsed();
            until_somebody_waits();
            pace.work(|| ());
            let second = begun.elapsed() - first;
            assert!(first >= Duration::from_millis(20));
            assert!(second >= Duration::from_millis(40), "{second:?}");
        });
    }

    #[test]
    fn long_work_rests_and_short_work_does_not() {
        beside_busy_threads(|| {
            let begun = thread_time();
            let mut work = LongWork::new();
            let mut rests = Vec::new();
            while rests.len() < 3 {
                let rested = work.step(Instant::now());
                if !rested.is_zero() {
                    rests.push((thread_time() - begun, rested));
                }
            }
            let (first, rested) = rests[0];
            assert!(first >= AT_ONCE, "{rests:?}");
            assert!(rested >= AT_ONCE * REST, "{rests:?}");
            let (third, rested) = rests[2];
            assert!(third >= AT_ONCE + PIECE * 2, "{rests:?}");
            assert!(rested >= PIECE * REST, "{rests:?}");
        });
    }
}
