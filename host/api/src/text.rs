//! Files as replies of plain text, read while they are sent.

use std::fs::File;
use std::io;

use axum::body::Body;
use bytes::Bytes;
use futures::stream;
use tokio::io::{AsyncRead, AsyncReadExt as _, Take};

/// So much is read at once.
const PIECE: usize = 64 << 10;

/// The first `length` bytes of a file; what is no UTF-8 is replaced as
/// [`String::from_utf8_lossy`] does.
pub(crate) fn body(file: File, length: u64) -> Body {
    let text = Text::new(tokio::fs::File::from_std(file).take(length));
    Body::from_stream(stream::try_unfold(text, |mut text| async move {
        Ok::<_, io::Error>(text.next().await?.map(|piece| (piece, text)))
    }))
}

struct Text<R> {
    file: Take<R>,
    /// The beginning of a character whose rest is still to be read.
    begun: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Text<R> {
    fn new(file: Take<R>) -> Self {
        Self {
            file,
            begun: Vec::new(),
        }
    }

    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            let mut piece = std::mem::take(&mut self.begun);
            piece.reserve(PIECE);
            if self.file.read_buf(&mut piece).await? == 0 {
                let rest = String::from_utf8_lossy(&piece).into_owned();
                return Ok((!rest.is_empty()).then(|| rest.into()));
            }
            self.begun = piece.split_off(whole(&piece));
            if !piece.is_empty() {
                return Ok(Some(String::from_utf8_lossy(&piece).into_owned().into()));
            }
        }
    }
}

/// How much of a text comes before a character that it has only the beginning of.
fn whole(text: &[u8]) -> usize {
    // A character has four bytes at most.
    let last = text.len().saturating_sub(3);
    match std::str::from_utf8(&text[last..]) {
        Err(error) if error.error_len().is_none() => last + error.valid_up_to(),
        // What comes before may end in the middle of this: only its last part counts.
        Err(_) => (last..text.len())
            .find(|&at| {
                matches!(std::str::from_utf8(&text[at..]),
                    Err(error) if error.error_len().is_none() && error.valid_up_to() == 0)
            })
            .unwrap_or(text.len()),
        Ok(_) => text.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn pieces_together_are_what_the_whole_would_be() {
        for text in [
            "plain".as_bytes(),
            "".as_bytes(),
            "äö€😀 and on".as_bytes(),
            b"\xff\xfe\xe2\x82 broken \xe2\x82",
            b"\xf0\x9f\x98\x80\xf0\x9f",
        ] {
            for size in 1..6 {
                let pieces = text
                    .chunks(size)
                    .map(|it| io::Result::Ok(Bytes::copy_from_slice(it)));
                let reader = tokio_util::io::StreamReader::new(stream::iter(pieces));
                let mut reader = Text::new(reader.take(u64::MAX));
                let mut read = Vec::new();
                while let Some(piece) = reader.next().await.unwrap() {
                    read.extend_from_slice(&piece);
                }
                let read = String::from_utf8(read).unwrap();
                assert_eq!(read, String::from_utf8_lossy(text), "{size}");
            }
        }
    }
}
