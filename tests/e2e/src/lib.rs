//! End-to-end tests: the real server, the real CLIs, real sandboxes.
