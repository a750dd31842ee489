//! The real CLI of every vendor through the same host, against the stand-in for the models' APIs.
//!
//! One text for all: what differs between the vendors is in [`lab::Vendor`], and a fifth one would
//! be a row there.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

/// Makes a test of each function for each vendor: `each_vendor!(remembers, counts)`.
macro_rules! each_vendor {
    ($($test:ident),+ $(,)?) => {
        each_vendor!(@ claude, CLAUDE: $($test),+);
        each_vendor!(@ codex, CODEX: $($test),+);
        each_vendor!(@ gemini, GEMINI: $($test),+);
        each_vendor!(@ opencode, OPENCODE: $($test),+);
    };
    (@ $module:ident, $vendor:ident: $($test:ident),+) => {
        mod $module {
            $(#[tokio::test]
            async fn $test() {
                super::$test(&$crate::lab::$vendor).await;
            })+
        }
    };
}

mod brokered;
mod credentials;
mod extras;
mod failures;
mod faults;
mod forks;
mod forms;
mod lab;
mod limits;
mod live;
mod permissions;
mod stops;
mod tools;
mod turns;
