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

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread::{self, JoinHandle},
};

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::oneshot;

use crate::{Error, Result};

/// How many operations share one commit at most: bounds how long the first waits for the last.
const GROUP: usize = 128;

/// Sends operations to the writing thread; dropping it waits for what was sent.
pub(crate) struct Writer {
    channel: Mutex<Option<mpsc::Sender<Message>>>,
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
    fn durability(&self) -> Durability;
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

impl Writer {
    pub(crate) fn start(mut connection: Connection) -> Result<Self> {
        let (sender, receiver) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || serve(&mut connection, &receiver))
            .map_err(|error| Error::Io {
                path: "the store's writing thread".into(),
                source: Arc::new(error),
            })?;
        Ok(Self {
            channel: Mutex::new(Some(sender)),
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

fn serve(connection: &mut Connection, receiver: &mpsc::Receiver<Message>) {
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
                    commit(connection, std::mem::take(&mut group));
                    body(connection);
                }
            }
        }
        commit(connection, group);
    }
}

/// Runs a group in one transaction and answers each of its operations.
fn commit(connection: &mut Connection, mut group: Vec<Box<dyn Job>>) {
    if group.is_empty() {
        return;
    }
    let committed = run_group(connection, &mut group);
    if let Err(error) = &committed {
        tracing::error!(%error, operations = group.len(), "the store could not commit");
    }
    for job in group {
        job.answer(committed.clone());
    }
}

fn run_group(connection: &mut Connection, group: &mut [Box<dyn Job>]) -> Result<()> {
    let durability = group.iter().map(|job| job.durability()).max();
    if durability == Some(Durability::Soon) {
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        let committed = run_transaction(connection, group);
        connection.pragma_update(None, "synchronous", "FULL")?;
        return committed;
    }
    run_transaction(connection, group)
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
