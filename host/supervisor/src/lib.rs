//! The small process that owns one running turn and outlives the host.
