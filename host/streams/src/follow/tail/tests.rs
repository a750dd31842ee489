//! Any number of followers of a log that grows, at any pace: each sees the whole.

use aod_log::{Batch, Flags, Kind, Meta, Options, Writer};
use proptest::prelude::*;

use super::*;

/// Reads on by itself to the end of what is there.
fn read_on(dir: &Path, last: u64, seen: &mut Vec<u8>) -> Reader {
    let mut reader = reader_after(dir, last).unwrap();
    let mut progress = Progress {
        after: last,
        met_output: last > 0,
    };
    loop {
        let mut batch = Vec::new();
        fill(&mut batch, &mut reader, &mut progress, None).unwrap();
        if batch.is_empty() {
            return reader;
        }
        seen.extend_from_slice(&batch);
    }
}

struct Lab {
    folder: tempfile::TempDir,
    writer: Writer,
    grown: watch::Sender<u64>,
    tail: Arc<Mutex<Tail>>,
}

impl Lab {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let writer = Writer::open(&folder.path().join("log"), Options::default()).unwrap();
        let mut lab = Self {
            folder,
            writer,
            grown: watch::Sender::new(0),
            tail: Tails::default().of(Uuid::nil()),
        };
        lab.write(1, 10);
        lab
    }

    fn dir(&self) -> std::path::PathBuf {
        self.folder.path().join("log")
    }

    fn write(&mut self, lines: usize, size: usize) {
        let mut batch = Batch::new();
        for line in 0..lines {
            let mut meta = Meta::new(Kind::Stdout, 1, 0);
            if self.writer.last_id() == 0 && line == 0 {
                meta.flags = Flags::FIRST;
            }
            let text = format!("{}\n", "x".repeat(size));
            batch.push(meta, text.as_bytes()).unwrap();
        }
        self.writer.append(&mut batch).unwrap();
        self.grown.send_modify(|_| {});
    }

    /// One who has read all that there is by now.
    fn follower(&self, last: u64, mut seen: Vec<u8>) -> Watched {
        let reader = read_on(&self.dir(), last, &mut seen);
        let live = Live::join(self.tail.clone(), &reader, self.grown.subscribe()).unwrap();
        Watched { live, seen }
    }

    /// Has a follower look once; says whether there was something.
    fn look(&self, follower: &mut Watched) -> bool {
        match follower.live.look().unwrap() {
            Found::Nothing => false,
            Found::Grown(grown) => {
                follower.seen.extend_from_slice(&grown.events);
                true
            }
            Found::Behind => {
                let seen = std::mem::take(&mut follower.seen);
                *follower = self.follower(follower.live.last_id(), seen);
                true
            }
        }
    }

    fn kept(&self) -> (usize, usize) {
        let tail = lock(&self.tail);
        let bytes = tail.batches.iter().map(|it| it.grown.events.len()).sum();
        (tail.batches.len(), bytes)
    }
}

struct Watched {
    live: Live,
    seen: Vec<u8>,
}

#[test]
fn it_is_read_once_for_all_and_kept_until_all_have_it() {
    let mut lab = Lab::new();
    let mut followers: Vec<_> = (0..3).map(|_| lab.follower(0, Vec::new())).collect();
    lab.write(2, 10);
    let mut found = Vec::new();
    for follower in &mut followers {
        match follower.live.look().unwrap() {
            Found::Grown(grown) => found.push(grown.events),
            Found::Nothing | Found::Behind => panic!("it has grown"),
        }
        assert!(!lab.look(follower));
    }
    // The same bytes, not equal ones.
    assert!(
        found
            .windows(2)
            .all(|pair| pair[0].as_ptr() == pair[1].as_ptr())
    );
    assert_eq!(lab.kept(), (0, 0));
}

#[test]
fn who_is_slow_costs_no_more_than_so_much() {
    let mut lab = Lab::new();
    let mut quick = lab.follower(0, Vec::new());
    let mut slow = lab.follower(0, Vec::new());
    for _ in 0..20 {
        lab.write(3, 100 << 10);
        while lab.look(&mut quick) {}
        assert!(lab.kept().1 <= KEPT);
    }
    while lab.look(&mut slow) {}
    assert_eq!(slow.seen, quick.seen);
    assert_eq!(lab.kept(), (0, 0));
    // Nothing is kept for one who leaves.
    lab.write(3, 100);
    while lab.look(&mut quick) {}
    assert_eq!(lab.kept().0, 1);
    drop(slow);
    assert_eq!(lab.kept(), (0, 0));
}

#[derive(Clone, Debug)]
enum Step {
    Write { lines: usize, size: usize },
    Look(usize),
    Join,
    Leave(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (1..5_usize, prop_oneof![8 => 0..100_usize, 1 => Just(200 << 10)])
            .prop_map(|(lines, size)| Step::Write { lines, size }),
        6 => any::<usize>().prop_map(Step::Look),
        1 => Just(Step::Join),
        1 => any::<usize>().prop_map(Step::Leave),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn each_sees_the_whole(steps in prop::collection::vec(step(), 1..60)) {
        let mut lab = Lab::new();
        let mut followers = vec![lab.follower(0, Vec::new())];
        for step in steps {
            match step {
                Step::Write { lines, size } => lab.write(lines, size),
                Step::Join => followers.push(lab.follower(0, Vec::new())),
                Step::Look(which) if !followers.is_empty() => {
                    let which = which % followers.len();
                    lab.look(&mut followers[which]);
                }
                Step::Leave(which) if !followers.is_empty() => {
                    followers.swap_remove(which % followers.len());
                }
                Step::Look(_) | Step::Leave(_) => {}
            }
        }
        let mut whole = Vec::new();
        read_on(&lab.dir(), 0, &mut whole);
        for follower in &mut followers {
            while lab.look(follower) {}
            prop_assert_eq!(&follower.seen, &whole);
        }
        prop_assert!(lab.kept().1 <= KEPT);
    }
}
