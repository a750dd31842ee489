//! Work on folder trees whose shape an agent decides.
//!
//! A sandbox's home and workspace hold whatever an agent put there: trees nested a hundred
//! thousand levels deep, symbolic links that lead outside, FIFOs, folders without permissions, and
//! processes that rename all of it at the same time. This crate reads, replaces, measures and
//! removes such trees under four rules:
//!
//! - Every step is taken from an open directory to one name in it, and follows no link and crosses
//!   no mount. A whole path is never used: it would be too long, and could lead elsewhere by now.
//! - Nothing is recursive. Memory and open descriptors do not grow with a tree's depth, except for
//!   some 40 bytes a level in [`walk`].
//! - Every operation has a bound on entries, time and, where it matters, depth ([`Limits`]), and
//!   reaching it is an error of its own ([`Error::Bound`]).
//! - A folder that its owner closed (mode 0) is opened up on the way.
//!
//! [`Folder`] reads and writes single files in such a tree, [`remove`] removes a part of it,
//! [`walk`] and [`measure`] look at all of it, [`compare`](compare()) at two of them, and [`Trash`]
//! takes it out of the way at once and removes it in the background. Those who only read find things by [`Folder::find`], which the
//! kernel does in one call and through links that stay inside; what others send is written to a
//! [`Staging`] folder and put in its place when it is whole. [`copy`](copy()) makes cheap copies of
//! all of a tree.

mod access;
mod beneath;
mod compare;
mod copy;
mod error;
mod folder;
mod limits;
mod regular;
mod remove;
mod staging;
mod status;
mod sweeper;
mod trash;
mod walk;

pub use beneath::{Node, link_target};
pub use compare::{Compared, Difference, compare};
pub use copy::{Copied, Copy, Earlier, Known, TreeState, Unpacked, copy, copy_into};
pub use error::{Bound, Error, Result};
pub use folder::{Content, Folder, Listed};
pub use limits::Limits;
pub use regular::{open_regular, read_regular};
pub use remove::{Removed, remove};
pub use staging::{Staged, Staging, rename};
pub use status::Status;
pub use sweeper::Sweeper;
pub use trash::Trash;
pub use walk::{Found, Measure, Step, measure, walk, walk_chosen};

pub use rustix::fs::FileType as Kind;
