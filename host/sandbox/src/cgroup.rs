//! Delegated cgroup v2 folders.
