//! Sessions: provisioning, turns, recovery.
