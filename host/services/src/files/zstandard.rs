//! Zstandard, for archives: frames that are made and read within bounds of memory.

use std::io::{self, Chain, Cursor, Read, Write};

use ruzstd::decoding::{FrameDecoder, StreamingDecoder};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

/// What a frame begins with.
pub(super) const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// So much is compressed as one frame; a reader takes them one after another. The library has no
/// way to be told of an error while it compresses, so it works in memory.
const FRAME: usize = 4 << 20;

/// How much a decoder may have to remember, as its frame says: enough for all but the levels of
/// compression that say `--ultra`. The library takes whatever memory a frame asks for.
const WINDOW: u64 = 16 << 20;

/// The longest head of a frame: the magic number, a descriptor, and at most 1, 4 and 8 bytes.
const HEAD: u64 = 18;

/// Compresses what is written.
pub(super) struct Compressor<W> {
    to: W,
    frame: Vec<u8>,
}

impl<W: Write> Compressor<W> {
    pub(super) const fn new(to: W) -> Self {
        Self {
            to,
            frame: Vec::new(),
        }
    }

    /// Writes what is left.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.frame()?;
        Ok(self.to)
    }

    fn frame(&mut self) -> io::Result<()> {
        if !self.frame.is_empty() {
            let compressed = compress_to_vec(&self.frame[..], CompressionLevel::Fastest);
            self.to.write_all(&compressed)?;
            self.frame.clear();
        }
        Ok(())
    }
}

impl<W: Write> Write for Compressor<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let taken = data.len().min(FRAME - self.frame.len());
        self.frame.extend_from_slice(&data[..taken]);
        if self.frame.len() == FRAME {
            self.frame()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

type Decoder<R> = StreamingDecoder<Chain<Cursor<Vec<u8>>, R>, FrameDecoder>;

/// Reads frames, one after another.
pub(super) struct Decompressor<R: Read> {
    frame: Option<Decoder<R>>,
    /// What comes behind a frame.
    rest: Option<(Vec<u8>, R)>,
}

impl<R: Read> Decompressor<R> {
    pub(super) const fn new(from: R) -> Self {
        Self {
            frame: None,
            rest: Some((Vec::new(), from)),
        }
    }

    /// Begins the next frame, if there is one.
    fn next(&mut self) -> io::Result<bool> {
        let Some((mut head, mut from)) = self.rest.take() else {
            return Ok(false);
        };
        let missing = HEAD.saturating_sub(head.len() as u64);
        (&mut from).take(missing).read_to_end(&mut head)?;
        if head.is_empty() {
            return Ok(false);
        }
        if window(&head).is_none_or(|window| window > WINDOW) {
            let problem = format!(
                "a Zstandard frame that asks for more than {WINDOW} bytes of memory, or none at all"
            );
            return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
        }
        let from = Cursor::new(head).chain(from);
        let frame = StreamingDecoder::new(from);
        self.frame = Some(frame.map_err(io::Error::other)?);
        Ok(true)
    }
}

impl<R: Read> Read for Decompressor<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if to.is_empty() {
            return Ok(0);
        }
        loop {
            if let Some(mut frame) = self.frame.take() {
                let read = frame.read(to)?;
                if read > 0 {
                    self.frame = Some(frame);
                    return Ok(read);
                }
                let (head, from) = frame.into_inner().into_inner();
                let position = usize::try_from(head.position()).unwrap_or(usize::MAX);
                let head = head.into_inner();
                // A frame may be shorter than the longest head.
                let left = head.get(position..).unwrap_or_default().to_vec();
                self.rest = Some((left, from));
            }
            if !self.next()? {
                return Ok(0);
            }
        }
    }
}

/// How much a decoder of a frame has to remember, as its head says (RFC 8878, 3.1.1.1); none where
/// this is no head.
fn window(head: &[u8]) -> Option<u64> {
    let rest = head.strip_prefix(&MAGIC)?;
    let (descriptor, rest) = rest.split_first()?;
    let is_single = descriptor & 0x20 != 0;
    if !is_single {
        let window = rest.first()?;
        let base = 1u64 << (10 + (window >> 3));
        return Some(base + base / 8 * u64::from(window & 7));
    }
    // All of it: its length, behind the id of a dictionary.
    let dictionary = [0, 1, 2, 4][usize::from(descriptor & 3)];
    let (length, more) = [(1, 0), (2, 256), (4, 0), (8, 0)][usize::from(descriptor >> 6)];
    let length = rest.get(dictionary..dictionary + length)?;
    let mut bytes = [0; 8];
    bytes[..length.len()].copy_from_slice(length);
    Some(u64::from_le_bytes(bytes).saturating_add(more))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compressed(content: &[u8]) -> Vec<u8> {
        let mut compressor = Compressor::new(Vec::new());
        compressor.write_all(content).unwrap();
        compressor.finish().unwrap()
    }

    #[test]
    fn what_is_compressed_is_read_whatever_its_length() {
        for length in [0, 1, 1000, FRAME, FRAME + 1, 2 * FRAME + 17] {
            let content: Vec<u8> = (0..length).map(|n| (n / 100) as u8).collect();
            let compressed = compressed(&content);
            let mut read = Vec::new();
            let mut decompressor = Decompressor::new(&compressed[..]);
            decompressor.read_to_end(&mut read).unwrap();
            assert!(read == content, "{length}");
        }
    }

    #[test]
    fn no_frame_gets_more_memory_than_it_may_have() {
        for (head, wanted) in [
            (&[0x00, 0x00][..], Some(1 << 10)),
            (&[0x00, 0xff], Some((1 << 41) / 8 * 15)),
            (&[0x20, 9], Some(9)),
            (&[0x61, 1, 0, 1], Some(512)),
            (
                &[0xe0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
                Some(u64::MAX),
            ),
            (&[0xe0, 1], None),
            (&[], None),
        ] {
            let frame = [&MAGIC[..], head].concat();
            assert_eq!(window(&frame), wanted, "{head:?}");
            if wanted.is_none_or(|wanted| wanted > WINDOW) {
                let mut decompressor = Decompressor::new(&frame[..]);
                assert!(decompressor.read_to_end(&mut Vec::new()).is_err());
            }
        }
        assert_eq!(window(b"no frame"), None);
        let cut = &compressed(b"some content that is cut off")[..12];
        assert!(Decompressor::new(cut).read_to_end(&mut Vec::new()).is_err());
    }
}
