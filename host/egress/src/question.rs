//! Questions for the addresses of names, and their answers (RFC 1035).
//!
//! Names are resolved by the machine's own resolver and not by whoever the sandbox would choose;
//! this is the little of the protocol that it takes to pass a question and its answer on.

use std::net::IpAddr;

/// So long is an answer at most, in bytes: what arrives over any link in one piece.
const MAX_ANSWER: usize = 1232;
/// How long an answer may be kept, in seconds.
const KEPT: u32 = 10;
const HEADER: usize = 12;
/// The class of the internet.
const INTERNET: u16 = 1;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Addresses of IPv4.
    V4,
    /// Addresses of IPv6.
    V6,
    /// Something else, which there never is.
    Other,
}

/// How a question was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// With what there is.
    Done,
    /// It cannot be said now.
    Failed,
    /// There is no such name.
    NoName,
    /// It is not said.
    Refused,
}

/// A question for one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    id: [u8; 2],
    /// The name as it was asked for, without the root's dot.
    pub name: String,
    /// What is asked for.
    pub kind: Kind,
    /// The question's bytes, which an answer repeats.
    asked: Vec<u8>,
    /// Whether the asker wants the answer to be looked for elsewhere.
    recursion: u8,
}

impl Question {
    /// Reads a message; none where it is not one question.
    #[must_use]
    pub fn read(message: &[u8]) -> Option<Self> {
        let header = message.get(..HEADER)?;
        // A query, of the usual kind, with one question.
        if header[2] & 0xf8 != 0 || header[4..6] != [0, 1] {
            return None;
        }
        let mut labels: Vec<&str> = Vec::new();
        let mut at = HEADER;
        loop {
            let length = usize::from(*message.get(at)?);
            at += 1;
            match length {
                0 => break,
                1..=63 => {
                    let label = message.get(at..at + length)?;
                    labels.push(std::str::from_utf8(label).ok()?);
                    at += length;
                }
                // A pointer to elsewhere: there is nothing that one could point to.
                _ => return None,
            }
            if at - HEADER > 255 {
                return None;
            }
        }
        let end = message.get(at..at + 4)?;
        let kind = match (u16::from_be_bytes([end[0], end[1]]), &end[2..]) {
            (1, [0, 1]) => Kind::V4,
            (28, [0, 1]) => Kind::V6,
            _ => Kind::Other,
        };
        Some(Self {
            id: [header[0], header[1]],
            name: labels.join("."),
            kind,
            asked: message[HEADER..at + 4].to_vec(),
            recursion: header[2] & 1,
        })
    }

    /// The message that answers it with those of the addresses that it asks for.
    #[must_use]
    pub fn answer(&self, code: Code, addresses: &[IpAddr]) -> Vec<u8> {
        let code = match code {
            Code::Done => 0,
            Code::Failed => 2,
            Code::NoName => 3,
            Code::Refused => 5,
        };
        let mut message = vec![self.id[0], self.id[1], 0x80 | self.recursion, 0x80 | code];
        message.extend_from_slice(&[0, 1, 0, 0, 0, 0, 0, 0]);
        message.extend_from_slice(&self.asked);
        let mut count: u16 = 0;
        for address in addresses {
            let (kind, data) = match (address, self.kind) {
                (IpAddr::V4(address), Kind::V4) => (1_u16, address.octets().to_vec()),
                (IpAddr::V6(address), Kind::V6) => (28, address.octets().to_vec()),
                _ => continue,
            };
            // A pointer to the question's name, kind, class, and how long it holds.
            let mut record = vec![0xc0, 12];
            record.extend_from_slice(&kind.to_be_bytes());
            record.extend_from_slice(&INTERNET.to_be_bytes());
            record.extend_from_slice(&KEPT.to_be_bytes());
            let length = u16::try_from(data.len()).unwrap_or_default();
            record.extend_from_slice(&length.to_be_bytes());
            record.extend_from_slice(&data);
            if message.len() + record.len() > MAX_ANSWER {
                break;
            }
            message.extend_from_slice(&record);
            count += 1;
        }
        message[6..8].copy_from_slice(&count.to_be_bytes());
        message
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(name: &str, kind: u16) -> Vec<u8> {
        let mut message = vec![0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            message.push(u8::try_from(label.len()).unwrap());
            message.extend_from_slice(label.as_bytes());
        }
        message.push(0);
        message.extend_from_slice(&kind.to_be_bytes());
        message.extend_from_slice(&[0, 1]);
        message
    }

    #[test]
    fn a_question_is_read_and_answered_with_what_it_asks_for() {
        let question = Question::read(&message("api.Example.com", 1)).unwrap();
        assert_eq!(question.name, "api.Example.com");
        assert_eq!(question.kind, Kind::V4);
        let addresses = ["1.2.3.4".parse().unwrap(), "2001:db8::1".parse().unwrap()];
        let answer = question.answer(Code::Done, &addresses);
        let mut wanted = message("api.Example.com", 1);
        wanted[2..8].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 1]);
        wanted.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 10, 0, 4, 1, 2, 3, 4]);
        assert_eq!(answer, wanted);
        let question = Question::read(&message("a", 28)).unwrap();
        let answer = question.answer(Code::Refused, &[]);
        assert_eq!(answer[3] & 0xf, 5);
        assert_eq!(Question::read(&message("a", 16)).unwrap().kind, Kind::Other);
    }

    #[test]
    fn an_answer_fits_whatever_there_is() {
        let question = Question::read(&message("a", 28)).unwrap();
        let many = vec!["2001:db8::1".parse().unwrap(); 1000];
        assert!(question.answer(Code::Done, &many).len() <= MAX_ANSWER);
    }

    #[test]
    fn what_is_no_question_is_not_answered() {
        let good = message("a.b", 1);
        let with = |at: usize, value: u8| {
            let mut bad = good.clone();
            bad[at] = value;
            bad
        };
        for bad in [
            with(2, 0x80),
            with(2, 0x28),
            with(5, 2),
            with(12, 0xc0),
            with(12, 64),
            with(13, 0xff),
            good[..good.len() - 1].to_vec(),
            good[..11].to_vec(),
            message(&vec!["abcdefgh"; 40].join("."), 1),
        ] {
            assert_eq!(Question::read(&bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn no_message_breaks_anything(mut bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Some(header) = bytes.get_mut(..12) {
                header[2] = 1;
                header[4..6].copy_from_slice(&[0, 1]);
            }
            if let Some(question) = Question::read(&bytes) {
                prop_assert!(question.name.len() <= 255);
                prop_assert!(question.answer(Code::Done, &[[1, 2, 3, 4].into()]).len() <= MAX_ANSWER);
            }
        }
    }
}
