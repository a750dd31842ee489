//! The data of server-sent events, in pieces of any size.

use aod_launch::TokenCounts;
use memchr::{memchr2, memrchr_iter};

use super::figures::Figures;
use super::marks::Marks;

/// What lines with data begin with.
const DATA: &[u8] = b"data:";

/// Reads figures out of the data of events. Those that can have none are passed over.
pub(super) struct Events {
    figures: Figures,
    /// None where any event may have figures.
    marks: Option<Marks>,
    line: Line,
    /// Whether a carriage return was last: a line feed behind it ends no further line.
    after_return: bool,
    /// Whether an event has begun and not ended.
    has_begun: bool,
}

/// Where in a line it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    /// So many bytes of [`DATA`] were read.
    Start(usize),
    Data,
    /// Something else.
    Other,
}

impl Events {
    pub(super) const fn new(figures: Figures, marks: Option<Marks>) -> Self {
        Self {
            figures,
            marks,
            line: Line::Start(0),
            after_return: false,
            has_begun: false,
        }
    }

    pub(super) const fn counts(&self) -> TokenCounts {
        self.figures.counts()
    }

    pub(super) fn take(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let Some(marks) = &self.marks else {
                return self.read(bytes);
            };
            let (front, rest) = bytes.split_at(marks.end_of_first(bytes));
            let front = self.read_begun(front);
            // Events that are whole in front of the mark's own have no figures.
            let passed = end_of_events(front);
            if passed > 0 {
                self.after_return = false;
            }
            self.read(&front[passed..]);
            bytes = self.read_begun(rest);
        }
    }

    fn read(&mut self, mut bytes: &[u8]) {
        while let Some((&byte, rest)) = bytes.split_first() {
            bytes = self.step(byte, bytes, rest);
        }
    }

    /// Reads the event that has begun to its end; gives what follows.
    fn read_begun<'a>(&mut self, mut bytes: &'a [u8]) -> &'a [u8] {
        while let (true, Some((&byte, rest))) = (self.has_begun, bytes.split_first()) {
            bytes = self.step(byte, bytes, rest);
        }
        bytes
    }

    /// Reads the first of these bytes, and what it leads to; gives what follows.
    fn step<'a>(&mut self, byte: u8, bytes: &'a [u8], rest: &'a [u8]) -> &'a [u8] {
        let after_return = std::mem::replace(&mut self.after_return, byte == b'\r');
        match (self.line, byte) {
            (_, b'\n') if after_return => rest,
            // An empty line ends an event.
            (Line::Start(0), b'\n' | b'\r') => {
                self.figures.begin_anew();
                self.has_begun = false;
                rest
            }
            (line, b'\n' | b'\r') => {
                if line == Line::Data {
                    self.figures.take(b"\n");
                }
                self.line = Line::Start(0);
                rest
            }
            (Line::Start(read), byte) => {
                self.has_begun = true;
                self.line = match read + 1 {
                    _ if DATA[read] != byte => Line::Other,
                    read if read == DATA.len() => Line::Data,
                    read => Line::Start(read),
                };
                rest
            }
            (line, _) => {
                let end = memchr2(b'\n', b'\r', bytes).unwrap_or(bytes.len());
                if line == Line::Data {
                    self.figures.take(&bytes[..end]);
                }
                &bytes[end..]
            }
        }
    }
}

/// Where the last event ends that is whole. One that ends in another way is read like the next one.
fn end_of_events(bytes: &[u8]) -> usize {
    let ends_event = |&end: &usize| {
        let front = &bytes[..end];
        front.strip_suffix(b"\r").unwrap_or(front).ends_with(b"\n")
    };
    let last = memrchr_iter(b'\n', bytes).find(ends_event);
    last.map_or(0, |end| end + 1)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use aod_egress::UsageFields;
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str, size: usize) -> TokenCounts {
        let fields = Arc::new(UsageFields::common());
        let marks = Marks::of(&fields);
        assert!(marks.is_some());
        take(text, size, Events::new(Figures::new(fields), marks))
    }

    /// The same, by one that passes nothing over.
    fn read_all(text: &str) -> TokenCounts {
        let figures = Figures::new(Arc::new(UsageFields::common()));
        take(text, usize::MAX, Events::new(figures, None))
    }

    fn take(text: &str, size: usize, mut events: Events) -> TokenCounts {
        text.as_bytes().chunks(size).for_each(|it| events.take(it));
        events.counts()
    }

    /// A message, of which the first event has what was sent and the last one what was received.
    const STREAM: &str = "event: message_start\ndata: {\"message\":{\"usage\":{\"input_tokens\":25,\
        \"cache_read_input_tokens\":5,\"output_tokens\":1}}}\n\n: ping\n\nevent: message_delta\n\
        data: {\"usage\":\ndata: {\"output_tokens\":15}}\n\ndata: [DONE]\n\n";

    #[test]
    fn the_figures_of_a_stream_are_its_largest() {
        for end in ["\n", "\r\n", "\r"] {
            let stream = STREAM.replace('\n', end);
            for size in [1, 2, 7, 1000] {
                let counts = read(&stream, size);
                assert_eq!((counts.requests, counts.input, counts.output), (1, 25, 15));
                assert_eq!(counts.cached_apart, 5, "{end:?} {size}");
            }
        }
    }

    #[test]
    fn what_is_no_data_is_not_read() {
        for text in [
            "event: {\"usage\":{\"input_tokens\":3}}\n\n",
            "datax: {\"usage\":{\"input_tokens\":3}}\n\n",
            "{\"usage\":{\"input_tokens\":3}}\n\n",
            // An event that is not whole does not go on in the next.
            "data: {\"usage\":\n\ndata: {\"input_tokens\":3}}\n\n",
        ] {
            assert_eq!(read(text, 3), TokenCounts::default(), "{text}");
        }
    }

    #[test]
    fn what_is_passed_over_ends_where_an_event_does() {
        let other = "event: x\ndata: {\"text\":\"y\"}\n\n";
        let usage = "data: {\"usage\":{\"input_tokens\":3}}\n\n";
        for end in ["\n", "\r\n", "\r"] {
            for text in [
                format!("{other}{usage}"),
                format!("{other}{other}event: z\n{usage}{other}"),
                format!("\n{other}\n{usage}"),
                format!("{usage}{other}data: {{\"usage\":\n\ndata: {{\"output_tokens\":3}}}}\n\n"),
            ] {
                let text = text.replace('\n', end);
                for size in 1..text.len() + 1 {
                    let counts = read(&text, size);
                    assert_eq!((counts.input, counts.output), (3, 0), "{text:?} {size}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn any_pieces_give_the_same(text in "(data: ?|\\{\"usage\":|\\{\"output_tokens\":|[0-9}\\]\"\r\n ,]){0,30}", size in 1_usize..9) {
            prop_assert_eq!(read(&text, size), read(&text, 1000));
        }

        #[test]
        fn what_is_passed_over_has_no_figures(
            text in "(data: \\{\"usage\":\\{\"output_tokens\":|[0-9]|\\}\\}|data: x|event: usage|\n|\n\n|\r\n|\r\n\r\n|\r){0,30}",
            size in 1_usize..60,
        ) {
            prop_assert_eq!(read(&text, size), read_all(&text));
        }
    }
}
