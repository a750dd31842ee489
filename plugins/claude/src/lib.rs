//! Runtime adapter for Claude Code.
