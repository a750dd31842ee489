//! What a sandbox sends, as a packet, as a question for a name, and as the name of a host: what is
//! passed on can be understood in one way, and no form of a name or address gets around the policy.

#![no_main]

use std::net::IpAddr;

use aod_egress::question::{Code, Question};
use aod_egress::{Policy, Target, host_name, is_public, packet};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some(packet) = packet::read(bytes) {
        assert!(bytes.starts_with(packet.bytes));
        assert_eq!(packet::read(packet.bytes), Some(packet));
        assert_eq!(packet.from.is_ipv4(), packet.to.is_ipv4());
        let refusal = packet::refusal(&packet);
        assert!(refusal.len() <= 1280, "{}", refusal.len());
        assert!(
            packet::read(&refusal).is_none(),
            "it is an error, and no request"
        );
    }
    if let Some(packet) = packet::read_any(bytes) {
        assert!(bytes.starts_with(packet.bytes));
        let refusal = packet::refusal(&packet);
        assert!(!refusal.is_empty() && refusal.len() <= 1280);
        assert!(
            packet::read_any(&refusal).is_none(),
            "what refuses is not refused"
        );
    }
    if let Some(question) = Question::read(bytes) {
        let answer = question.answer(Code::Done, &[IpAddr::from([1, 2, 3, 4])]);
        assert!(answer.len() <= 1232 && answer[..2] == bytes[..2]);
        assert!(
            Question::read(&answer).is_none(),
            "an answer is no question"
        );
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(name) = host_name(text) {
        assert_eq!(host_name(&name).as_ref(), Ok(&name));
        match Policy::default().look_up(text, 80) {
            Ok(Target::Address(address)) => assert!(is_public(address.ip()), "{text:?}"),
            Ok(Target::Name(name)) => assert!(name.parse::<IpAddr>().is_err(), "{text:?}"),
            Err(_) => {}
        }
    }
});
