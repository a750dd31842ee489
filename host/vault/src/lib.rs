//! Sealing of secrets with age.
