//! Any text as the id after which a reader wants to go on: an id that is taken is written as what
//! reads back the same, and only digits and one dot are taken.

#![no_main]

use aod_resources::event::EventId;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(id) = text.parse::<EventId>() {
        let again: EventId = id.to_string().parse().expect("it was written by us");
        assert_eq!(id, again);
        assert!(
            text.bytes()
                .all(|byte| byte.is_ascii_digit() || byte == b'.'),
            "{text:?} was taken for {id}"
        );
    }
});
