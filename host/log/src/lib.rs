//! The append-only session log: records, one writer, many readers.
