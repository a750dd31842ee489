//! A session's streams.

use std::collections::VecDeque;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use reqwest::Method;
use reqwest::header::ACCEPT;
use uuid::Uuid;

use super::Client;

/// Which of a session's streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamKind {
    /// The CLI's own lines, and stages of provisioning.
    Native,
    /// Normalized events.
    Events,
}

impl StreamKind {
    const fn segment(self) -> &'static str {
        match self {
            Self::Native => "stream",
            Self::Events => "events",
        }
    }
}

/// A connection that streams.
pub(crate) struct Messages {
    chunks: BoxStream<'static, reqwest::Result<Bytes>>,
    decoder: Decoder,
    ready: VecDeque<Message>,
}

/// One message of a stream.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Message {
    /// What a stream is resumed after; none for what has no place of its own.
    pub(crate) id: Option<String>,
    /// A line of JSON.
    pub(crate) data: String,
}

impl Client {
    /// Connects to a stream, after what has this id; with `follow`, it goes on as long as there is
    /// something to come.
    pub(crate) async fn stream(
        &self,
        session: Uuid,
        kind: StreamKind,
        after: Option<&str>,
        follow: bool,
    ) -> Result<Messages> {
        let path = format!("/sessions/{session}/{}?follow={follow}", kind.segment());
        let mut request = self
            .request(Method::GET, &path)
            .header(ACCEPT, "text/event-stream");
        if let Some(after) = after {
            request = request.header("last-event-id", after);
        }
        let response = self.accept(request).await?;
        Ok(Messages {
            chunks: response.bytes_stream().boxed(),
            decoder: Decoder::default(),
            ready: VecDeque::new(),
        })
    }
}

impl Messages {
    /// The next message; none where the server has closed the stream. Nothing is lost where this is
    /// given up before it is done.
    pub(crate) async fn next(&mut self) -> Result<Option<Message>> {
        loop {
            if let Some(message) = self.ready.pop_front() {
                return Ok(Some(message));
            }
            let Some(chunk) = self.chunks.next().await else {
                return Ok(None);
            };
            let chunk = chunk.context("the connection to the server broke off")?;
            self.decoder.take(&chunk, &mut self.ready);
        }
    }
}

/// Reads server-sent events, each byte of them once: a line may have many megabytes, and comes in
/// pieces of some kilobytes.
#[derive(Debug, Default)]
struct Decoder {
    /// The line that has not ended yet.
    line: Vec<u8>,
    message: Message,
}

impl Decoder {
    fn take(&mut self, chunk: &[u8], ready: &mut VecDeque<Message>) {
        for piece in chunk.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                self.take_line(&line, ready);
            }
        }
    }

    fn take_line(&mut self, line: &[u8], ready: &mut VecDeque<Message>) {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let value = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        if line.is_empty() {
            let message = std::mem::take(&mut self.message);
            if !message.data.is_empty() {
                ready.push_back(message);
            }
        } else if let Some(id) = line.strip_prefix(b"id: ") {
            self.message.id = Some(value(id));
        } else if let Some(data) = line.strip_prefix(b"data: ") {
            if !self.message.data.is_empty() {
                self.message.data.push('\n');
            }
            self.message.data.push_str(&value(data));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_the_same_however_they_are_cut() {
        let text = ": heartbeat\n\nid: 1\ndata: {\"a\":\"\u{e4}\"}\n\ndata: {}\r\n\r\nid: 3\n\nid: 4\ndata: x";
        let whole = |pieces: &mut dyn Iterator<Item = &[u8]>| {
            let (mut decoder, mut ready) = (Decoder::default(), VecDeque::new());
            pieces.for_each(|piece| decoder.take(piece, &mut ready));
            ready
        };
        let message = |id: Option<&str>, data: &str| Message {
            id: id.map(str::to_owned),
            data: data.to_owned(),
        };
        let expected = [
            message(Some("1"), "{\"a\":\"\u{e4}\"}"),
            message(None, "{}"),
        ];
        for size in 1..text.len() {
            assert_eq!(whole(&mut text.as_bytes().chunks(size)), expected, "{size}");
        }
    }
}
