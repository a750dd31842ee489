//! Pages are held against the whole list of events, read from its beginning.

use std::path::Path;

use aod_resources::Timestamp;
use aod_resources::event::{Event, EventBody, Message, MessageDelta, Role, Unparsed};
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::events::EventWriter;

fn event(id: (u64, u32), turn: u32, ordinal: u32, body: EventBody) -> Event {
    Event {
        id: EventId {
            entry: id.0,
            index: id.1,
        },
        turn: Some(turn),
        ordinal,
        inside: None,
        at: Timestamp::from_micros(0),
        truncated: Vec::new(),
        body,
    }
}

fn delta(message: u32) -> EventBody {
    EventBody::MessageDelta(MessageDelta {
        message,
        text: "x".to_owned(),
    })
}

fn whole() -> EventBody {
    EventBody::Message(Message {
        role: Role::Assistant,
        text: "xx".to_owned(),
        parts: Vec::new(),
        aborted: false,
    })
}

fn unparsed(text: &str) -> EventBody {
    EventBody::Unparsed(Unparsed {
        data: text.to_owned(),
    })
}

/// Stores events, and flushes after each whose bit is set.
fn store(dir: &Path, events: &[Event], flushes: u64) {
    let mut writer: Option<(u32, EventWriter)> = None;
    for (at, event) in events.iter().enumerate() {
        let turn = event.turn.unwrap();
        if writer.as_ref().is_none_or(|(of, _)| *of != turn) {
            if let Some((_, mut last)) = writer.take() {
                last.sync().unwrap();
            }
            writer = Some((
                turn,
                EventWriter::open(dir, turn, u64::MAX, |_| {}).unwrap(),
            ));
        }
        let (_, writer) = writer.as_mut().unwrap();
        writer.push(event).unwrap();
        if flushes >> (at % 64) & 1 == 1 {
            writer.flush().unwrap();
        }
    }
    if let Some((_, mut last)) = writer {
        last.sync().unwrap();
    }
}

fn ids(page: &EventPage) -> Vec<EventId> {
    let events: Vec<Value> = serde_json::from_slice(&page.data).unwrap();
    let ids = events.iter().map(|event| event["id"].as_str().unwrap());
    ids.map(|id| id.parse().unwrap()).collect()
}

/// Reads pages from a place until there are no more, and returns the ids in order.
fn all(dir: &Path, start: PageStart, limit: usize, deltas: bool) -> Vec<EventId> {
    let mut request = PageRequest {
        start,
        limit,
        deltas,
    };
    let mut found = Vec::new();
    loop {
        let page = EventPage::read(dir, &request).unwrap();
        let ids = ids(&page);
        assert!(ids.len() <= limit);
        match start {
            PageStart::Before(_) | PageStart::Tail => {
                found.splice(0..0, ids);
                let Some(prev) = page.prev else { return found };
                request.start = PageStart::Before(prev);
            }
            PageStart::After(_) | PageStart::Turn(_) => {
                found.extend(ids);
                let Some(next) = page.next else { return found };
                request.start = PageStart::After(next);
            }
        }
    }
}

/// Events from steps: what kind, and whether a turn, an entry or an index follows.
fn events(steps: &[(u8, u8)]) -> Vec<Event> {
    let (mut turn, mut entry, mut index, mut ordinal, mut message) = (1, 1, 0, 0, 0);
    let mut events = Vec::new();
    for (kind, step) in steps {
        match step {
            0 => {
                turn += 1;
                entry += 1;
                (index, ordinal, message) = (0, 0, 0);
            }
            1 => index += 1,
            2 => {
                entry += 2;
                index = 0;
            }
            _ => {
                entry += 1;
                index = 0;
            }
        }
        ordinal += 1;
        let (number, body) = match kind {
            0..=4 => {
                if message == 0 {
                    message = 1000 + ordinal;
                }
                (ordinal, delta(message))
            }
            // The message is whole, or is given up.
            5 if message > 0 => (std::mem::take(&mut message), whole()),
            6 => {
                message = 0;
                (ordinal, unparsed("given up"))
            }
            _ => (ordinal, unparsed("y")),
        };
        events.push(event((entry, index), turn, number, body));
    }
    events
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// From every place, in pages of any size, with and without pieces, forwards and backwards:
    /// nothing is missing, doubled or out of order.
    #[test]
    fn pages_hold_all_that_there_is(
        steps in prop::collection::vec((0..9_u8, 0..12_u8), 0..60),
        flushes: u64,
        limit in 1..9_usize,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        let events = events(&steps);
        store(dir, &events, flushes);
        let is_repeated = |event: &Event| match &event.body {
            EventBody::MessageDelta(delta) => events.iter().any(|other| {
                other.turn == event.turn && other.ordinal == delta.message
            }),
            _ => false,
        };
        for deltas in [true, false] {
            let kept: Vec<&Event> =
                events.iter().filter(|event| deltas || !is_repeated(event)).collect();
            let after = |id| kept.iter().map(|it| it.id).filter(|it| *it > id).collect::<Vec<_>>();
            let before = |id| kept.iter().map(|it| it.id).filter(|it| *it < id).collect::<Vec<_>>();
            let everything = after(EventId::START);
            prop_assert_eq!(&all(dir, PageStart::Tail, limit, deltas), &everything);
            for id in events.iter().map(|event| event.id) {
                prop_assert_eq!(all(dir, PageStart::After(id), limit, deltas), after(id));
                prop_assert_eq!(all(dir, PageStart::Before(id), limit, deltas), before(id));
            }
            let last = EventId { entry: u64::MAX, index: u32::MAX };
            prop_assert_eq!(&all(dir, PageStart::Before(last), limit, deltas), &everything);
            for turn in 1..=events.last().and_then(|event| event.turn).unwrap_or(1) + 1 {
                let of: Vec<EventId> =
                    kept.iter().filter(|it| it.turn >= Some(turn)).map(|it| it.id).collect();
                let found = all(dir, PageStart::Turn(turn), limit, deltas);
                prop_assert_eq!(found, of, "turn {}", turn);
            }
        }
        for event in &events {
            let read = read_event(dir, event.id).unwrap().unwrap();
            prop_assert_eq!(id_of(&read), Some(event.id));
            let none = EventId { index: event.id.index + 100, ..event.id };
            prop_assert_eq!(read_event(dir, none).unwrap(), None);
        }
    }
}

#[test]
fn the_end_of_many_events_costs_little_and_so_does_the_middle() {
    let folder = tempfile::tempdir().unwrap();
    let events: Vec<Event> = (1..=100_000_u32)
        .map(|entry| {
            let body = unparsed(&format!("{entry:0>200}"));
            event((u64::from(entry), 0), 1, entry, body)
        })
        .collect();
    store(folder.path(), &events, 0);
    for before in [
        None,
        Some(EventId {
            entry: 50_000,
            index: 0,
        }),
    ] {
        let mut reader = BackReader::open(folder.path(), before).unwrap();
        for _ in 0..200 {
            reader.line().unwrap().unwrap();
        }
        assert!(reader.bytes_read() < 256 << 10, "{}", reader.bytes_read());
    }
    let begun = std::time::Instant::now();
    let request = PageRequest {
        start: PageStart::Tail,
        limit: 200,
        deltas: false,
    };
    let page = EventPage::read(folder.path(), &request).unwrap();
    println!("the last 200 of 100,000 events: {:?}", begun.elapsed());
    assert_eq!(ids(&page).last().unwrap().entry, 100_000);
    assert_eq!(
        page.prev,
        Some(EventId {
            entry: 99_801,
            index: 0
        })
    );
}

#[test]
fn a_large_event_is_cut_in_a_page_and_whole_by_its_id() {
    let folder = tempfile::tempdir().unwrap();
    let long = "z".repeat(3 << 20);
    let events = [
        event((1, 0), 1, 1, unparsed("a")),
        event((2, 0), 1, 2, unparsed(&long)),
        event((3, 0), 1, 3, unparsed("b")),
    ];
    store(folder.path(), &events, 0);
    for start in [PageStart::After(EventId::START), PageStart::Tail] {
        let request = PageRequest {
            start,
            limit: 10,
            deltas: true,
        };
        let page = EventPage::read(folder.path(), &request).unwrap();
        let events: Vec<Value> = serde_json::from_slice(&page.data).unwrap();
        assert_eq!(events.len(), 3);
        assert_eq!(events[0].get("truncated"), None);
        assert_eq!(events[1]["truncated"], serde_json::json!(["data"]));
        assert_eq!(events[1]["data"].as_str().unwrap().len(), 64 << 10);
    }
    let whole = read_event(folder.path(), events[1].id).unwrap().unwrap();
    let whole: Value = serde_json::from_slice(&whole).unwrap();
    assert_eq!(whole["data"], long);
    assert_eq!(whole.get("truncated"), None);
}
