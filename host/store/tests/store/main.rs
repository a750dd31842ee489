//! The store against real files.

mod concurrency;
mod files;
mod life;
mod records;
mod scale;
mod support;
mod wiping;
