//! Any line as a request to a supervisor, as its reply, and as the specification of a turn: what
//! can be read is written as what reads back the same, and no error quotes a secret's bytes.

#![no_main]

use aod_supervisor::{Reply, Request, TurnSpec};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|line: &[u8]| {
    if let Ok(request) = serde_json::from_slice::<Request>(line) {
        let json = serde_json::to_vec(&request).expect("a request is JSON");
        let again: Request = serde_json::from_slice(&json).expect("it was written by us");
        assert!(request == again, "{request:?} came back as {again:?}");
    }
    if let Ok(reply) = serde_json::from_slice::<Reply>(line) {
        let json = serde_json::to_vec(&reply).expect("a reply is JSON");
        let again: Reply = serde_json::from_slice(&json).expect("it was written by us");
        assert_eq!(reply, again);
    }
    if let Ok(spec) = serde_json::from_slice::<TurnSpec>(line) {
        let json = serde_json::to_vec(&spec).expect("a specification is JSON");
        let again: TurnSpec = serde_json::from_slice(&json).expect("it was written by us");
        assert_eq!(format!("{spec:?}"), format!("{again:?}"));
    }
});
