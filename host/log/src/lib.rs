//! The append-only session log: records, one writer, many readers.
//!
//! A log is a folder of segment files. Every record is framed by its length and a CRC-32C, so a
//! torn tail is told from damage; what clients may see is numbered 1, 2, 3 … without gaps, what
//! only recovery needs stands between, unnumbered. [`Writer`] holds a kernel lock that ends with
//! its holder; [`Reader`] needs no lock, never blocks, and goes on where it stopped once the log
//! has grown.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let dir = folder.path().join("log");
//! use aod_log::{Batch, Kind, Meta, Options, Reader, Writer};
//!
//! let mut writer = Writer::open(&dir, Options::default())?;
//! let mut batch = Batch::new();
//! batch.push(Meta::new(Kind::Stdout, 1, 1_700_000_000_000_000), b"hello\n")?;
//! writer.append(&mut batch)?;
//!
//! let mut reader = Reader::open(&dir)?;
//! let record = reader.next()?.ok_or("nothing there")?;
//! assert_eq!((record.id, record.payload), (1, &b"hello\n"[..]));
//! # Ok(())
//! # }
//! ```

mod copy;
mod cursor;
mod error;
mod frame;
mod lock;
mod newest;
mod pace;
mod pack;
mod purge;
mod reader;
mod record;
mod reserve;
mod segment;
mod syncer;
mod writer;

pub use copy::{check_format, copy};
pub use error::{Error, Result};
pub use frame::{Scan, ScanEnd, scan};
pub use lock::is_locked;
pub use pace::Pace;
pub use purge::{PurgePolicy, Purged, purge};
pub use reader::{Reader, Tail, tail};
pub use record::{Batch, Flags, Kind, MAX_PAYLOAD, Meta, Record};
pub use segment::FORMAT_VERSION;
pub use writer::{Fsync, Options, Writer};
