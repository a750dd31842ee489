//! What a guest may take.

use std::time::Duration;

/// The most memory that `runtimes.toml` may grant to one instance, in bytes.
pub const MAX_MEMORY: usize = 1 << 30;

/// The longest deadline that `runtimes.toml` may grant to a call.
pub const MAX_CALL_DEADLINE: Duration = Duration::from_secs(30);

/// The longest time that `runtimes.toml` may grant to the compiler.
pub const MAX_COMPILE_DEADLINE: Duration = Duration::from_secs(600);

/// The most bytes that one reply of an adapter may hold.
pub const MAX_REPLY_BYTES: usize = 16 << 20;

/// The most actions in one reply.
pub const MAX_REPLY_ITEMS: usize = 65_536;

/// The most bytes that [`Conversation::feed`](crate::Conversation::feed) takes at once, chosen so that a guest
/// can hold them, what it makes of them, and its reply within the default memory limit.
pub const MAX_FEED_BYTES: usize = 8 << 20;

/// The most bytes of a conversation's state that are kept.
pub const MAX_STATE_BYTES: usize = 64 << 10;

/// The largest component that is compiled, in bytes.
pub const MAX_COMPONENT_BYTES: u64 = 64 << 20;

/// The most memory that the process may take which compiles a component, in bytes. Small adapters
/// take some 200 MiB; those that bring an interpreter along take many times that.
pub const MAX_COMPILE_MEMORY: u64 = 4 << 30;

/// The most bytes of code that a component may be compiled to.
pub const MAX_CODE_BYTES: u64 = 1 << 30;

/// How deep JSON values in replies may be nested.
pub const MAX_JSON_DEPTH: usize = 100;

/// What one adapter may take: the `limits` table of `runtimes.toml`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Limits {
    /// Linear memory of one instance, in bytes.
    pub memory: usize,
    /// How long a call may run.
    pub call_deadline: Duration,
    /// How long the compiler may take over the component.
    pub compile_deadline: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 64 << 20,
            call_deadline: Duration::from_millis(250),
            compile_deadline: Duration::from_secs(60),
        }
    }
}
