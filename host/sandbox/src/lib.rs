//! Sandbox drivers: how a command is run in isolation.
