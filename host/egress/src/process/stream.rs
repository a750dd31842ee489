//! Connections to servers.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::{Connected, Connection};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::room::{ConnectionGuard, at_once};

/// A connection, over TLS or without.
pub(super) struct Stream {
    kind: Kind,
    _guard: ConnectionGuard,
}

enum Kind {
    Plain(TcpStream),
    Secured(Box<Secured>),
}

/// A connection over TLS that is read by as many records at once as there are.
///
/// One record after the other is what TLS itself reads. Each would be passed on to the client for
/// itself, and most of what that costs is the number of pieces.
struct Secured {
    stream: TlsStream<TcpStream>,
    /// What has ended it, where that came behind what was read.
    error: Option<io::Error>,
}

impl Stream {
    pub(super) fn plain(stream: TcpStream) -> Self {
        Self::new(Kind::Plain(stream))
    }

    pub(super) fn secured(stream: TlsStream<TcpStream>) -> Self {
        let error = None;
        Self::new(Kind::Secured(Box::new(Secured { stream, error })))
    }

    fn new(kind: Kind) -> Self {
        let _guard = ConnectionGuard::take();
        Self { kind, _guard }
    }

    fn writer(self: Pin<&mut Self>) -> Pin<&mut (dyn AsyncWrite + Unpin)> {
        match &mut self.get_mut().kind {
            Kind::Plain(stream) => Pin::new(stream),
            Kind::Secured(secured) => Pin::new(&mut secured.stream),
        }
    }
}

impl Secured {
    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(error) = self.error.take() {
            return Poll::Ready(Err(error));
        }
        let begin = buffer.filled().len();
        loop {
            let had = buffer.filled().len();
            let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
            let has_more = buffer.filled().len() > had;
            match polled {
                Poll::Ready(Ok(())) if has_more && buffer.remaining() > 0 => {}
                Poll::Ready(Err(error)) if had > begin => {
                    self.error = Some(error);
                    return Poll::Ready(Ok(()));
                }
                Poll::Pending if had > begin => return Poll::Ready(Ok(())),
                // It is the end that comes without more, and it comes again.
                _ => return polled,
            }
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut part = buffer.take(at_once());
        let polled = match &mut self.get_mut().kind {
            Kind::Plain(stream) => Pin::new(stream).poll_read(context, &mut part),
            Kind::Secured(secured) => secured.poll_read(context, &mut part),
        };
        let read = part.filled().len();
        // SAFETY: so much of the same memory is filled.
        unsafe { buffer.assume_init(read) };
        buffer.advance(read);
        polled
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.writer().poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writer().poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writer().poll_shutdown(context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.writer().poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        // Both of them are.
        true
    }
}

/// For clients of HTTP.
impl Connection for Stream {
    fn connected(&self) -> Connected {
        match &self.kind {
            Kind::Plain(stream) => stream.connected(),
            Kind::Secured(secured) => secured.stream.get_ref().0.connected(),
        }
    }
}
