//! The one thread that writes.
//!
//! Operations come as closures through a channel. What is waiting when the thread is free is
//! committed together: each operation in a savepoint of its own, so that one that fails takes
//! nothing of the others with it, and one `fsync` for all. An operation is answered after the
//! commit, so an answer is durable.
//!
//! Operations that say so ([`Durability::Soon`]) do not wait for the disk: what they did outlives
//! every process, and a power cut may take it as long as no later commit was forced to the disk.
//! SQLite's log is written in order, so nothing later is ever there without them.
//!
//! Others ([`Writer::run_early`]) tell what they did as soon as it is committed, and once more when
//! the disk has it: what is to come of it can be made ready meanwhile.

use std::{
    fs::File,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread::{self, JoinHandle},
};

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{oneshot, watch};

use crate::{Error, Result};

/// How many operations share one commit at most: bounds how long the first waits for the last.
const GROUP: usize = 128;

/// Sends operations to the writing thread; dropping it waits for what was sent.
pub(crate) struct Writer {
    channel: Mutex<Option<mpsc::Sender<Message>>>,
    /// Whether something is told that is not on the disk yet.
    forcing: watch::Receiver<bool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// When what an operation did survives a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Durability {
    /// Once a later commit was forced to the disk.
    Soon,
    /// Once it is answered.
    Now,
}

/// Says when what was committed is on the disk.
#[derive(Clone, Debug)]
pub struct OnDisk(watch::Receiver<Option<Result<()>>>);

impl OnDisk {
    /// Waits until it is.
    ///
    /// # Errors
    /// [`Error::Unavailable`]: the disk failed. What was committed is there as long as the machine
    /// runs.
    pub async fn wait(&mut self) -> Result<()> {
        let forced = self.0.wait_for(Option::is_some).await;
        forced.map_err(|_| Error::Closed)?.clone().unwrap_or(Ok(()))
    }
}

enum Message {
    /// Runs inside a group's transaction.
    Grouped(Box<dyn Job>),
    /// Runs alone and outside any transaction.
    Alone(Box<dyn FnOnce(&mut Connection) + Send>),
}

/// An operation whose answer waits for the commit.
trait Job: Send {
    /// Runs it; false when it failed and its changes must go.
    fn run(&mut self, connection: &Connection) -> bool;
    /// What is asked of the commit.
    fn durability(&self) -> Durability {
        Durability::Now
    }
    /// Whether it is told once it is committed, before that is on the disk.
    fn is_early(&self) -> bool {
        false
    }
    /// It is committed.
    fn committed(&mut self) {}
    /// Answers: with its own result when the group was committed, else with the group's error.
    fn answer(self: Box<Self>, committed: Result<()>);
}

struct Operation<T, F, A> {
    body: Option<F>,
    result: Result<T>,
    durability: Durability,
    after: A,
    reply: oneshot::Sender<Result<T>>,
}

impl<T, F, A> Job for Operation<T, F, A>
where
    T: Send,
    F: FnOnce(&Connection) -> Result<T> + Send,
    A: FnOnce(&T) + Send,
{
    fn run(&mut self, connection: &Connection) -> bool {
        let Some(body) = self.body.take() else {
            return false;
        };
        // The savepoint is rolled back after a panic, so no half-made change can be seen.
        self.result =
            catch_unwind(AssertUnwindSafe(|| body(connection))).unwrap_or(Err(Error::Panicked));
        self.result.is_ok()
    }

    fn durability(&self) -> Durability {
        self.durability
    }

    fn answer(self: Box<Self>, committed: Result<()>) {
        let result = committed.and(self.result);
        if let Ok(value) = &result {
            (self.after)(value);
        }
        // Nobody waits when the caller was cancelled; the operation was carried out all the same.
        let _ = self.reply.send(result);
    }
}

/// An operation that is told of twice.
struct EarlyOperation<T, F, A> {
    body: Option<F>,
    result: Option<Result<T>>,
    is_done: bool,
    after: A,
    /// Told once it is committed.
    early: Option<oneshot::Sender<Result<T>>>,
    /// Told once it is on the disk.
    on_disk: watch::Sender<Option<Result<()>>>,
}

impl<T, F, A> EarlyOperation<T, F, A> {
    fn tell(&mut self, result: Result<T>) {
        if let Some(early) = self.early.take() {
            // Nobody waits when the caller was cancelled; the operation was carried out all the same.
            let _ = early.send(result);
        }
    }
}

impl<T, F, A> Job for EarlyOperation<T, F, A>
where
    T: Send,
    F: FnOnce(&Connection) -> Result<T> + Send,
    A: FnOnce() + Send,
{
    fn run(&mut self, connection: &Connection) -> bool {
        let Some(body) = self.body.take() else {
            return false;
        };
        // As above.
        let result =
            catch_unwind(AssertUnwindSafe(|| body(connection))).unwrap_or(Err(Error::Panicked));
        self.is_done = result.is_ok();
        self.result = Some(result);
        self.is_done
    }

    fn is_early(&self) -> bool {
        true
    }

    fn committed(&mut self) {
        if let Some(result) = self.result.take() {
            self.tell(result);
        }
    }

    fn answer(mut self: Box<Self>, committed: Result<()>) {
        if let Err(error) = &committed {
            // Where it was told before, it was the disk that failed.
            self.tell(Err(error.clone()));
        }
        let is_there = self.is_done && committed.is_ok();
        self.on_disk.send_replace(Some(committed));
        if is_there {
            (self.after)();
        }
    }
}

impl Writer {
    pub(crate) fn start(mut connection: Connection) -> Result<Self> {
        let (sender, receiver) = mpsc::channel();
        let (told, forcing) = watch::channel(false);
        let log = Log::of(&connection, told);
        let thread = thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || serve(&mut connection, &log, &receiver))
            .map_err(|error| Error::Io {
                path: "the store's writing thread".into(),
                source: Arc::new(error),
            })?;
        Ok(Self {
            channel: Mutex::new(Some(sender)),
            forcing,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Runs `body` in a transaction and returns once that is durable. Cancelling the returned
    /// future does not take the operation back.
    #[cfg(test)]
    async fn run<T, F>(&self, body: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        self.run_then(Durability::Now, body, |_| ()).await
    }

    /// Runs `body` in a transaction, and returns once that is committed. Calls `after` then, whether
    /// the caller still waits or not. `after` must not block.
    pub(crate) async fn run_then<T, F, A>(
        &self,
        durability: Durability,
        body: F,
        after: A,
    ) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
        A: FnOnce(&T) + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        self.send(Message::Grouped(Box::new(Operation {
            body: Some(body),
            result: Err(Error::Closed),
            durability,
            after,
            reply,
        })))?;
        answer.await.map_err(|_| Error::Closed)?
    }

    /// As [`Writer::run_then`], and returns once it is committed, which outlives every process.
    /// `after` is called, and the [`OnDisk`] tells, once it is on the disk.
    pub(crate) async fn run_early<T, F, A>(&self, body: F, after: A) -> Result<(T, OnDisk)>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
        A: FnOnce() + Send + 'static,
    {
        let (early, committed) = oneshot::channel();
        let (on_disk, told) = watch::channel(None);
        self.send(Message::Grouped(Box::new(EarlyOperation {
            body: Some(body),
            result: None,
            is_done: false,
            after,
            early: Some(early),
            on_disk,
        })))?;
        let done = committed.await.map_err(|_| Error::Closed)??;
        Ok((done, OnDisk(told)))
    }

    /// Waits until all that was committed so far is on the disk, but for what needs not be
    /// ([`Durability::Soon`]).
    pub(crate) async fn settled(&self) -> Result<()> {
        let mut forcing = self.forcing.clone();
        let settled = forcing.wait_for(|is_forcing| !is_forcing).await;
        settled.map(drop).map_err(|_| Error::Closed)
    }

    /// Runs `body` on the writing connection with no transaction open.
    pub(crate) async fn run_alone<T, F>(&self, body: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> Result<T> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        self.send(Message::Alone(Box::new(move |connection| {
            let result =
                catch_unwind(AssertUnwindSafe(|| body(connection))).unwrap_or(Err(Error::Panicked));
            let _ = reply.send(result);
        })))?;
        answer.await.map_err(|_| Error::Closed)?
    }

    fn send(&self, message: Message) -> Result<()> {
        let channel = self.channel.lock().unwrap_or_else(PoisonError::into_inner);
        match &*channel {
            Some(sender) => sender.send(message).map_err(|_| Error::Closed),
            None => Err(Error::Closed),
        }
    }

    /// Takes no more operations and waits until those that were sent are done.
    pub(crate) fn close(&self) {
        take(&self.channel);
        if let Some(thread) = take(&self.thread) {
            // Operations' panics are caught, so there is no panic to pass on.
            let _ = thread.join();
        }
    }
}

fn take<T>(slot: &Mutex<Option<T>>) -> Option<T> {
    slot.lock().unwrap_or_else(PoisonError::into_inner).take()
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.close();
    }
}

/// SQLite's write-ahead log, as a file.
struct Log {
    /// None where nothing is kept in files.
    path: Option<PathBuf>,
    forcing: watch::Sender<bool>,
}

impl Log {
    fn of(connection: &Connection, forcing: watch::Sender<bool>) -> Self {
        let path = connection.path().filter(|path| !path.is_empty());
        Self {
            path: path.map(|path| format!("{path}-wal").into()),
            forcing,
        }
    }

    /// Forces it to the disk: what the last `fdatasync` of a commit would do.
    fn force(&self) -> Result<()> {
        let Some(path) = &self.path else {
            return Ok(());
        };
        // Opened each time, so that it is the one that is there. SQLite's locks are on other files,
        // which closing this one takes nothing from.
        let forced = File::open(path).and_then(|log| log.sync_data());
        forced.map_err(|source: io::Error| Error::Io {
            path: path.clone(),
            source: Arc::new(source),
        })
    }
}

fn serve(connection: &mut Connection, log: &Log, receiver: &mpsc::Receiver<Message>) {
    while let Ok(first) = receiver.recv() {
        let mut group = Vec::new();
        let mut next = Some(first);
        while let Some(message) = next.take() {
            match message {
                Message::Grouped(job) => {
                    group.push(job);
                    if group.len() < GROUP {
                        next = receiver.try_recv().ok();
                    }
                }
                Message::Alone(body) => {
                    commit(connection, log, std::mem::take(&mut group));
                    body(connection);
                }
            }
        }
        commit(connection, log, group);
    }
}

/// Runs a group and answers each of its operations.
fn commit(connection: &mut Connection, log: &Log, group: Vec<Box<dyn Job>>) {
    let (early, group): (Vec<_>, Vec<_>) = group.into_iter().partition(|job| job.is_early());
    if early.is_empty() {
        return commit_all(connection, group);
    }
    // Before anybody can read of it.
    log.forcing.send_replace(true);
    commit_early(connection, log, early, group);
    log.forcing.send_replace(false);
}

/// Runs a group in one transaction.
fn commit_all(connection: &mut Connection, mut group: Vec<Box<dyn Job>>) {
    if !group.is_empty() {
        let committed = run_group(connection, &mut group);
        answer_all(group, &committed);
    }
}

/// Runs those in a transaction of their own that are told of it early. The disk takes it together with
/// what the others of the group do.
fn commit_early(
    connection: &mut Connection,
    log: &Log,
    mut early: Vec<Box<dyn Job>>,
    others: Vec<Box<dyn Job>>,
) {
    let committed = run_unforced(connection, &mut early);
    if committed.is_ok() {
        early.iter_mut().for_each(|job| job.committed());
    }
    commit_all(connection, others);
    answer_all(early, &committed.and_then(|()| log.force()));
}

fn answer_all(group: Vec<Box<dyn Job>>, committed: &Result<()>) {
    if let Err(error) = committed {
        tracing::error!(%error, operations = group.len(), "the store could not commit");
    }
    for job in group {
        job.answer(committed.clone());
    }
}

fn run_group(connection: &mut Connection, group: &mut [Box<dyn Job>]) -> Result<()> {
    let durability = group.iter().map(|job| job.durability()).max();
    if durability == Some(Durability::Soon) {
        return run_unforced(connection, group);
    }
    run_transaction(connection, group)
}

/// Runs a group in one transaction that is not forced to the disk.
fn run_unforced(connection: &mut Connection, group: &mut [Box<dyn Job>]) -> Result<()> {
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    let committed = run_transaction(connection, group);
    connection.pragma_update(None, "synchronous", "FULL")?;
    committed
}

fn run_transaction(connection: &mut Connection, group: &mut [Box<dyn Job>]) -> Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for job in group {
        transaction.execute_batch("SAVEPOINT operation")?;
        if !job.run(&transaction) {
            // SQLite drops the whole transaction on some errors (a full disk, for one), and with
            // it what the operations before this one did.
            if transaction.is_autocommit() {
                return Err(Error::Unavailable(Arc::new(
                    rusqlite::Error::SqliteFailure(
                        rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_ABORT_ROLLBACK),
                        Some(
                            "the transaction was rolled back by an operation's failure".to_owned(),
                        ),
                    ),
                )));
            }
            transaction.execute_batch("ROLLBACK TO operation")?;
        }
        transaction.execute_batch("RELEASE operation")?;
    }
    transaction.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(db: &Connection) -> i64 {
        db.query_row("SELECT count(*) FROM t", [], |row| row.get(0))
            .unwrap()
    }

    async fn insert(writer: &Writer, value: i64) -> Result<()> {
        writer
            .run(move |db| {
                db.execute("INSERT INTO t VALUES (?)", [value])?;
                Ok(())
            })
            .await
    }

    #[tokio::test]
    async fn a_panic_is_rolled_back_and_the_thread_goes_on() {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch("CREATE TABLE t (x)").unwrap();
        let writer = Writer::start(db).unwrap();
        let panicked = writer
            .run(|db| -> Result<()> {
                db.execute("INSERT INTO t VALUES (1)", [])?;
                panic!("as a test asks");
            })
            .await;
        assert!(matches!(panicked, Err(Error::Panicked)));
        insert(&writer, 2).await.unwrap();
        assert_eq!(writer.run(|db| Ok(count(db))).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn only_what_may_be_late_is_not_forced_to_the_disk() {
        let db = Connection::open_in_memory().unwrap();
        let writer = Writer::start(db).unwrap();
        let level = |db: &Connection| {
            let level = db.query_row("PRAGMA synchronous", [], |row| row.get::<_, i64>(0));
            Ok(level?)
        };
        let (normal, full) = (1, 2);
        let soon = || writer.run_then(Durability::Soon, level, |_| ());
        assert_eq!(soon().await.unwrap(), normal);
        assert_eq!(writer.run(level).await.unwrap(), full);
        // In one group with another that may not be late.
        let (release, held) = mpsc::channel::<()>();
        let hold = writer.run_alone(move |_| {
            let _ = held.recv();
            Ok(())
        });
        let release = async move {
            release.send(()).unwrap();
            Ok::<_, Error>(())
        };
        let (_, late, now, _) = tokio::join!(biased; hold, soon(), writer.run(level), release);
        assert_eq!((late.unwrap(), now.unwrap()), (full, full));
    }

    #[tokio::test]
    async fn what_is_early_is_told_before_it_is_on_the_disk_and_once_more_after() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db");
        let db = Connection::open(&path).unwrap();
        db.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (x)")
            .unwrap();
        let writer = Writer::start(db).unwrap();
        let add = |db: &Connection| {
            db.execute("INSERT INTO t VALUES (1)", [])?;
            Ok(count(db))
        };
        let (after, called) = mpsc::channel();
        let early = writer.run_early(add, move || after.send(()).unwrap());
        let (told, mut on_disk) = early.await.unwrap();
        assert_eq!(told, 1);
        let reader = Connection::open(&path).unwrap();
        assert_eq!(count(&reader), 1, "it is committed");
        on_disk.wait().await.unwrap();
        called.recv().unwrap();
        writer.settled().await.unwrap();

        // What cannot be forced to the disk: SQLite has the file open, and goes on with it.
        let (log, away) = (folder.path().join("db-wal"), folder.path().join("away"));
        std::fs::rename(&log, &away).unwrap();
        let (told, mut on_disk) = writer.run_early(add, || panic!("not there")).await.unwrap();
        assert_eq!(told, 2);
        assert!(matches!(on_disk.wait().await, Err(Error::Io { .. })));
        std::fs::rename(&away, &log).unwrap();
        let refused = writer.run_early(|_| Err::<(), _>(Error::Closed), || panic!("not done"));
        assert!(matches!(refused.await, Err(Error::Closed)));
        assert_eq!(writer.run(|db| Ok(count(db))).await.unwrap(), 2);
    }

    #[tokio::test]
    async fn when_sqlite_drops_the_transaction_nobody_is_told_that_it_was_committed() {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch("CREATE TABLE t (x)").unwrap();
        let writer = Writer::start(db).unwrap();
        // Holds the thread until the next three operations are waiting, so they form one group.
        let (release, held) = mpsc::channel::<()>();
        let hold = writer.run_alone(move |_| {
            let _ = held.recv();
            Ok(())
        });
        let rolled_back = writer.run(|db| -> Result<()> {
            db.execute_batch("ROLLBACK")?;
            Err(Error::Closed)
        });
        let release = async move {
            release.send(()).unwrap();
            Ok::<_, Error>(())
        };
        // Polled in this order: each sends its operation when first polled.
        let (_, first, second, third, _) = tokio::join!(
            biased;
            hold,
            insert(&writer, 1),
            rolled_back,
            insert(&writer, 3),
            release,
        );
        for answer in [first, second, third] {
            assert!(matches!(answer, Err(Error::Unavailable(_))), "{answer:?}");
        }
        assert_eq!(writer.run(|db| Ok(count(db))).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn a_full_disk_fails_the_operation_and_not_the_store() {
        let folder = tempfile::tempdir().unwrap();
        let db = Connection::open(folder.path().join("db")).unwrap();
        db.execute_batch("CREATE TABLE t (x); PRAGMA max_page_count = 20")
            .unwrap();
        let writer = Writer::start(db).unwrap();
        insert(&writer, 1).await.unwrap();
        let full = writer
            .run(|db| {
                db.execute("INSERT INTO t VALUES (zeroblob(1000000))", [])?;
                Ok(())
            })
            .await;
        assert!(matches!(full, Err(Error::Unavailable(_))), "{full:?}");
        insert(&writer, 2).await.unwrap();
        assert_eq!(writer.run(|db| Ok(count(db))).await.unwrap(), 2);
    }
}
