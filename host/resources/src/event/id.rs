//! Ids of events.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::ToSchema;

/// Where an event stands among a session's events, written `ENTRY.INDEX`.
///
/// Ids rise strictly, over all turns. As the place to resume after, `ENTRY` alone stands behind
/// everything that came from that entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId {
    /// The number of the log's entry that the event came from.
    pub entry: u64,
    /// Counts the events of one entry, from 0.
    pub index: u32,
}

impl EventId {
    /// Before every event.
    pub const START: Self = Self { entry: 0, index: 0 };
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.entry, self.index)
    }
}

/// A text is no [`EventId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event's id is ENTRY.INDEX, or ENTRY alone, in digits")]
pub struct InvalidEventId;

impl FromStr for EventId {
    type Err = InvalidEventId;

    fn from_str(text: &str) -> Result<Self, InvalidEventId> {
        fn number<T: FromStr>(digits: &str) -> Result<T, InvalidEventId> {
            // `parse` would take a sign, too.
            let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
            plain
                .then(|| digits.parse().ok())
                .flatten()
                .ok_or(InvalidEventId)
        }
        Ok(match text.split_once('.') {
            Some((entry, index)) => Self {
                entry: number(entry)?,
                index: number(index)?,
            },
            None => Self {
                entry: number(text)?,
                index: u32::MAX,
            },
        })
    }
}

impl Serialize for EventId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EventId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl utoipa::PartialSchema for EventId {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .pattern(Some("^[0-9]+\\.[0-9]+$"))
            .description(Some(
                "The number of the log's entry that the event came from, and an index. Ids rise \
                 strictly.",
            ))
            .into()
    }
}

impl ToSchema for EventId {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_two_numbers_or_one() {
        let id = EventId {
            entry: 12,
            index: 3,
        };
        assert_eq!("12.3".parse(), Ok(id));
        assert_eq!(id.to_string(), "12.3");
        let behind: EventId = "12".parse().unwrap();
        assert!(id < behind);
        assert!(behind < "13.0".parse().unwrap());
        assert!("0".parse::<EventId>().unwrap() < "1.0".parse().unwrap());
        for bad in [
            "",
            ".",
            "1.",
            ".1",
            "-1",
            "+1",
            "1.+1",
            "1.2.3",
            " 1",
            "1 ",
            "x",
            "0x1",
            "1.x",
            "١",
            "18446744073709551616",
            "1.4294967296",
        ] {
            assert_eq!(bad.parse::<EventId>(), Err(InvalidEventId), "{bad:?}");
        }
    }
}
