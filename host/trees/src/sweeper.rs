//! Emptying the trash in the background.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use aod_processor::{Pace, go_behind};

use crate::error::Error;
use crate::limits::Limits;
use crate::trash::Trash;

/// How long one tree is worked on before the next one has its turn, and before it is looked
/// whether to stop, and whether to rest: nobody waits for what is in the trash.
const SLICE: Duration = Duration::from_millis(20);

/// How long to wait before what could not be removed is tried again.
const RETRY: Duration = Duration::from_secs(60);

/// A thread that empties a [`Trash`]: at its start, and whenever something is discarded. It ends
/// when this is dropped; what is left then is for the next one.
#[derive(Debug)]
pub struct Sweeper {
    trash: Trash,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Sweeper {
    /// Starts the thread.
    ///
    /// # Errors
    /// Where there can be no more threads.
    pub fn start(trash: Trash) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::Builder::new().name("trash".to_owned());
        let (swept, stopped) = (trash.clone(), stop.clone());
        let thread = thread.spawn(move || run(&swept, &stopped))?;
        Ok(Self {
            trash,
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.trash.wake();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that empties the trash had panicked");
        }
    }
}

fn run(trash: &Trash, stop: &AtomicBool) {
    let slice = Limits {
        time: SLICE,
        ..Limits::default()
    };
    go_behind();
    let wanted = || !stop.load(Ordering::Acquire);
    let mut pace = Pace::new();
    while wanted() {
        match trash.sweep_by(&slice, |remove| wanted().then(|| pace.work(remove))) {
            // There is more of it.
            Err(Error::Bound(_)) => {}
            _ => trash.wait(RETRY),
        }
    }
}
