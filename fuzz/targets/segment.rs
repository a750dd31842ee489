//! Any bytes as a segment of a session's log: what a scan calls valid is a whole segment by
//! itself, with the same records.

#![no_main]

use aod_log::{Scan, ScanEnd, scan};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let found = scan(bytes);
    let valid = usize::try_from(found.valid).expect("it is an offset in `bytes`");
    assert!(valid <= bytes.len(), "{found:?} of {} bytes", bytes.len());
    if found.end == ScanEnd::Clean {
        assert_eq!(valid, bytes.len(), "{found:?}");
    }
    if valid > 0 {
        let again = scan(&bytes[..valid]);
        let end = ScanEnd::Clean;
        assert_eq!(again, Scan { end, ..found });
    }
});
