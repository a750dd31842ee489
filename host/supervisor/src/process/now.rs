//! The wall clock, as records have it.

use std::time::SystemTime;

/// Microseconds since the Unix epoch.
pub fn now_micros() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    // A clock before 1970 reads as 1970.
    i64::try_from(now.unwrap_or_default().as_micros()).unwrap_or(i64::MAX)
}
