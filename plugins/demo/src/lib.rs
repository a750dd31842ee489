//! Runtime adapter for the demo agent, a shell script.
