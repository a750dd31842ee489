//! Folders as archives, made while they are sent.

use std::io::{self, Read as _, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aod_resources::FilePath;
use aod_trees::{Folder, Found, Kind, Limits, Status, Step, link_target, walk_chosen};
use bytes::Bytes;
use futures::Stream;
use tar::{Builder, EntryType, Header};
use tokio::sync::mpsc;

use super::list::Way;
use super::permits::UserPermit;
use super::zstandard::Compressor;

/// So much is sent at once.
const PIECE: usize = 64 << 10;
/// How many pieces may wait to be sent.
const WAITING: usize = 4;
/// How long an archive may take, at the pace of who takes it.
const PATIENCE: Duration = Duration::from_secs(24 * 3600);
/// The sandbox's user.
const USER: u64 = 1000;

/// The form of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArchiveFormat {
    /// A tar archive.
    Tar,
    /// The same, compressed by Zstandard.
    TarZst,
}

/// A folder that can be sent as an archive.
#[derive(Debug)]
pub struct Packing {
    pub(super) folder: Folder,
    pub(super) permit: UserPermit,
}

impl Packing {
    /// The archive, made as fast as it is taken. It has files, folders and symbolic links, by their
    /// paths relative to the folder. An error ends it where it cannot be made to its end.
    pub fn archive(self, format: ArchiveFormat) -> impl Stream<Item = io::Result<Bytes>> + Send {
        let (sender, receiver) = mpsc::channel(WAITING);
        // It ends when the archive does, or nobody takes it any more.
        tokio::task::spawn_blocking(move || {
            let _permit = self.permit;
            let pieces = Pieces {
                piece: Vec::with_capacity(PIECE),
                sender: sender.clone(),
            };
            if let Err(error) = pack(&self.folder, format, pieces) {
                tracing::debug!(%error, "an archive was not made to its end");
                let _ = sender.blocking_send(Err(error));
            }
        });
        futures::stream::unfold(receiver, |mut receiver| async move {
            Some((receiver.recv().await?, receiver))
        })
    }
}

/// Packs a folder as far as it can be walked, for nobody who could go away meanwhile; with why it
/// could be no further.
pub(crate) fn pack_into<W: Write>(
    folder: &Folder,
    to: W,
) -> io::Result<(W, aod_trees::Result<()>)> {
    let (sender, _receiver) = mpsc::channel(1);
    write_as_far(folder, to, &Taker(sender))
}

fn pack(folder: &Folder, format: ArchiveFormat, pieces: Pieces) -> io::Result<()> {
    let taker = Taker(pieces.sender.clone());
    let mut pieces = match format {
        ArchiveFormat::Tar => write(folder, pieces, &taker)?,
        ArchiveFormat::TarZst => write(folder, Compressor::new(pieces), &taker)?.finish()?,
    };
    pieces.flush()
}

fn write<W: Write>(folder: &Folder, to: W, taker: &Taker) -> io::Result<W> {
    let (to, walked) = write_as_far(folder, to, taker)?;
    walked?;
    Ok(to)
}

fn write_as_far<W: Write>(
    folder: &Folder,
    to: W,
    taker: &Taker,
) -> io::Result<(W, aod_trees::Result<()>)> {
    let mut builder = Builder::new(to);
    let mut way = Way::new(&FilePath::default());
    let mut failed = Ok(());
    let limits = Limits {
        time: PATIENCE,
        ..Limits::default()
    };
    let walked = walk_chosen(folder, &limits, &mut |found| {
        let Some(path) = way.enter(found) else {
            return Step::Skip;
        };
        failed = add(&mut builder, &path, found, taker);
        match failed {
            Ok(()) => Step::Enter,
            Err(_) => Step::Stop,
        }
    });
    failed?;
    Ok((builder.into_inner()?, walked))
}

fn add<W: Write>(
    builder: &mut Builder<W>,
    path: &FilePath,
    found: &Found<'_>,
    taker: &Taker,
) -> io::Result<()> {
    let at = path.as_path();
    taker.check()?;
    match found.kind {
        Kind::Directory => {
            let mut header = header(EntryType::Directory, &found.stat, 0);
            builder.append_data(&mut header, at, io::empty())
        }
        Kind::RegularFile => {
            let file = match found.file() {
                Ok(file) => file,
                // It is gone, is something else by now, or is closed to its owner, too.
                Err(error) => {
                    tracing::debug!(%error, "a file is left out of an archive");
                    return Ok(());
                }
            };
            let size = found.stat.size;
            let mut header = header(EntryType::Regular, &found.stat, size);
            // One that shrinks meanwhile is filled up, as its size is in the archive already.
            let content = file.take(size).chain(io::repeat(0)).take(size);
            let content = Watched { content, taker };
            builder.append_data(&mut header, at, content)
        }
        Kind::Symlink => match link_target(found.folder, found.name) {
            Some(target) => {
                let mut header = header(EntryType::Symlink, &found.stat, 0);
                builder.append_link(&mut header, at, target)
            }
            None => Ok(()),
        },
        _ => Ok(()),
    }
}

fn header(kind: EntryType, status: &Status, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size);
    // Neither the sandbox nor whoever unpacks it has use for more.
    header.set_mode(status.mode & 0o777);
    header.set_uid(USER);
    header.set_gid(USER);
    header.set_mtime(seconds(status.modified));
    header
}

fn seconds(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// Whoever takes an archive. What compresses well may be read for long before it is missed that
/// nobody takes it any more.
struct Taker(mpsc::Sender<io::Result<Bytes>>);

impl Taker {
    fn check(&self) -> io::Result<()> {
        match self.0.is_closed() {
            true => Err(io::ErrorKind::BrokenPipe.into()),
            false => Ok(()),
        }
    }
}

/// Content that ends where nobody takes it any more.
struct Watched<'a, R> {
    content: R,
    taker: &'a Taker,
}

impl<R: io::Read> io::Read for Watched<'_, R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        self.taker.check()?;
        self.content.read(to)
    }
}

/// Hands over what is written in pieces.
struct Pieces {
    piece: Vec<u8>,
    sender: mpsc::Sender<io::Result<Bytes>>,
}

impl Write for Pieces {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let taken = data.len().min(PIECE - self.piece.len());
        self.piece.extend_from_slice(&data[..taken]);
        if self.piece.len() == PIECE {
            self.flush()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE));
        let sent = self.sender.blocking_send(Ok(piece.into()));
        sent.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}
