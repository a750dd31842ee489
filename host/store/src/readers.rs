//! A small pool of connections that only read.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use rusqlite::Connection;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::spawn_blocking,
};

use crate::{Error, Result, connection};

/// WAL readers do not block each other or the writer; a few are enough, since each read is short.
const READERS: usize = 4;

pub(crate) struct Readers {
    idle: Arc<Mutex<Vec<Connection>>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let idle = (0..READERS)
            .map(|_| connection::reader(path))
            .collect::<Result<Vec<_>>>()?;
        Ok(Self {
            idle: Arc::new(Mutex::new(idle)),
            permits: Arc::new(Semaphore::new(READERS)),
        })
    }

    /// Runs `body` in one read transaction: all that it reads is of one moment.
    pub(crate) async fn run<T, F>(&self, body: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        let permit = self.permit(1).await?;
        let idle = Arc::clone(&self.idle);
        spawn_blocking(move || {
            let mut reader = Lease::take(&idle, permit)?;
            let transaction = reader.connection()?.transaction()?;
            body(&transaction)
        })
        .await
        .map_err(|_| Error::Panicked)?
    }

    /// As [`Readers::run`], on the caller's own thread: for reads of a few rows by key, which take
    /// some 20 µs. To hand one to another thread and to be woken by that takes longer, and a turn
    /// begins with a dozen of them, one after the other.
    pub(crate) async fn run_here<T, F>(&self, body: F) -> Result<T>
    where
        F: FnOnce(&Connection) -> Result<T>,
    {
        let permit = self.permit(1).await?;
        let read = || {
            let mut reader = Lease::take(&self.idle, permit)?;
            let transaction = reader.connection()?.transaction()?;
            body(&transaction)
        };
        catch_unwind(AssertUnwindSafe(read)).map_err(|_| Error::Panicked)?
    }

    /// Waits until no read is under way and keeps new ones out while the permit is held.
    pub(crate) async fn pause(&self) -> Result<OwnedSemaphorePermit> {
        self.permit(READERS as u32).await
    }

    async fn permit(&self, count: u32) -> Result<OwnedSemaphorePermit> {
        Arc::clone(&self.permits)
            .acquire_many_owned(count)
            .await
            .map_err(|_| Error::Closed)
    }

    /// Takes no more reads.
    pub(crate) fn close(&self) {
        self.permits.close();
        lock(&self.idle).clear();
    }
}

/// A connection that goes back to the pool, also when the read panics.
struct Lease<'a> {
    connection: Option<Connection>,
    idle: &'a Mutex<Vec<Connection>>,
    permit: OwnedSemaphorePermit,
}

impl<'a> Lease<'a> {
    fn take(idle: &'a Mutex<Vec<Connection>>, permit: OwnedSemaphorePermit) -> Result<Self> {
        // There are as many permits as connections, so only a closed pool is empty here.
        let connection = lock(idle).pop().ok_or(Error::Closed)?;
        Ok(Self {
            connection: Some(connection),
            idle,
            permit,
        })
    }

    fn connection(&mut self) -> Result<&mut Connection> {
        self.connection.as_mut().ok_or(Error::Closed)
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        let closed = self.permit.semaphore().is_closed();
        if let Some(connection) = self.connection.take().filter(|_| !closed) {
            lock(self.idle).push(connection);
        }
    }
}

fn lock(idle: &Mutex<Vec<Connection>>) -> std::sync::MutexGuard<'_, Vec<Connection>> {
    idle.lock().unwrap_or_else(PoisonError::into_inner)
}
