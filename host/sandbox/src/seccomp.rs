//! The filter over system calls.
