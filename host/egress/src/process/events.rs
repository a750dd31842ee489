//! The data of server-sent events, in pieces of any size.

use aod_launch::TokenCounts;

use super::figures::Figures;

/// What lines with data begin with.
const DATA: &[u8] = b"data:";

/// Reads figures out of the data of events.
pub(super) struct Events {
    figures: Figures,
    line: Line,
    /// Whether a carriage return was last: a line feed behind it ends no further line.
    after_return: bool,
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
    pub(super) const fn new(figures: Figures) -> Self {
        Self {
            figures,
            line: Line::Start(0),
            after_return: false,
        }
    }

    pub(super) const fn counts(&self) -> TokenCounts {
        self.figures.counts()
    }

    pub(super) fn take(&mut self, mut bytes: &[u8]) {
        while let Some((&byte, rest)) = bytes.split_first() {
            let after_return = std::mem::replace(&mut self.after_return, byte == b'\r');
            bytes = match (self.line, byte) {
                (_, b'\n') if after_return => rest,
                // An empty line ends an event.
                (Line::Start(0), b'\n' | b'\r') => {
                    self.figures.begin_anew();
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
                    self.line = match read + 1 {
                        _ if DATA[read] != byte => Line::Other,
                        read if read == DATA.len() => Line::Data,
                        read => Line::Start(read),
                    };
                    rest
                }
                (line, _) => {
                    let end = memchr::memchr2(b'\n', b'\r', bytes).unwrap_or(bytes.len());
                    if line == Line::Data {
                        self.figures.take(&bytes[..end]);
                    }
                    &bytes[end..]
                }
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use aod_egress::UsageFields;
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str, size: usize) -> TokenCounts {
        let mut events = Events::new(Figures::new(Arc::new(UsageFields::common())));
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

    proptest! {
        #[test]
        fn any_pieces_give_the_same(text in "(data: ?|\\{\"usage\":|\\{\"output_tokens\":|[0-9}\\]\"\r\n ,]){0,30}", size in 1_usize..9) {
            prop_assert_eq!(read(&text, size), read(&text, 1000));
        }
    }
}
