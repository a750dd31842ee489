//! The documents as a book, with search, in the program.
//!
//! `docs/SUMMARY.md` says what is in it. All of it is HTML without a script: the search is a form
//! that the server answers.

mod page;
mod search;

include!(concat!(env!("OUT_DIR"), "/book.rs"));

pub use page::{not_found, render, results};
pub use search::{Hit, search};

/// How its pages look.
pub const STYLE: &str = include_str!("style.css");

/// A page of the book.
#[derive(Debug)]
pub struct Page {
    /// Its name in URLs.
    pub slug: &'static str,
    /// What it is called in the contents.
    pub title: &'static str,
    /// The part of the book that it is in.
    pub part: &'static str,
    /// Its content.
    pub(crate) html: &'static str,
    /// What can be found in it.
    pub(crate) sections: &'static [Section],
}

/// A heading and what stands below it.
#[derive(Debug)]
pub(crate) struct Section {
    pub(crate) anchor: &'static str,
    pub(crate) title: &'static str,
    pub(crate) text: &'static str,
}

/// All pages, in order; the first is where readers begin.
pub fn pages() -> &'static [Page] {
    PAGES
}

/// The page of this name.
pub fn page(slug: &str) -> Option<&'static Page> {
    PAGES.iter().find(|page| page.slug == slug)
}

/// A file that pages refer to.
pub fn file(name: &str) -> Option<&'static str> {
    let found = FILES.iter().find(|(known, _)| *known == name);
    found.map(|(_, text)| *text)
}

#[cfg(test)]
mod tests;
