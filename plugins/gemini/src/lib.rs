//! Runtime adapter.
