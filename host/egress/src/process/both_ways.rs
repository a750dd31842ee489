//! Bytes that are passed on both ways between two connections.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf, split};
use tokio::sync::watch;

/// When one side has said all that it has to say, the other may be silent for so long. Programs that
/// died without a word leave such connections behind, and not every server ends its own then.
const PATIENCE: Duration = Duration::from_secs(300);
/// So much is read at once, and kept of each direction while its other side takes no more.
const BUFFER: usize = 8 << 10;

thread_local! {
    /// What is being passed on: a connection that is silent needs no buffer of its own.
    static PASSING: RefCell<[u8; BUFFER]> = const { RefCell::new([0; BUFFER]) };
}

/// Passes bytes on until both sides have said all, or one of them is gone.
pub(super) async fn pass_both_ways(
    inside: impl AsyncRead + AsyncWrite + Unpin,
    outside: impl AsyncRead + AsyncWrite + Unpin,
) {
    pass(inside, outside, PATIENCE).await;
}

async fn pass(
    inside: impl AsyncRead + AsyncWrite + Unpin,
    outside: impl AsyncRead + AsyncWrite + Unpin,
    patience: Duration,
) {
    let (half, _) = watch::channel(false);
    let (inside_reads, inside_writes) = split(inside);
    let (outside_reads, outside_writes) = split(outside);
    // An end that is no error is one for its own direction alone.
    let _ = tokio::try_join!(
        one_way(inside_reads, outside_writes, &half, patience),
        one_way(outside_reads, inside_writes, &half, patience),
    );
}

async fn one_way(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    half: &watch::Sender<bool>,
    patience: Duration,
) -> io::Result<()> {
    let mut other = half.subscribe();
    loop {
        let silence = async {
            let _ = other.wait_for(|is_half| *is_half).await;
            tokio::time::sleep(patience).await;
        };
        let passing = poll_fn(|context| poll_pass(&mut from, &mut to, context));
        let passed = tokio::select! {
            biased;
            passed = passing => passed?,
            () = silence => return Err(io::ErrorKind::TimedOut.into()),
        };
        let Some(rest) = passed else {
            half.send_replace(true);
            return to.shutdown().await;
        };
        to.write_all(&rest).await?;
        to.flush().await?;
    }
}

/// Reads, and writes as much of that as is taken at once. Gives what is left of it; none at the end.
fn poll_pass(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    context: &mut Context<'_>,
) -> Poll<io::Result<Option<Vec<u8>>>> {
    PASSING.with_borrow_mut(|buffer| {
        let mut buffer = ReadBuf::new(buffer);
        ready!(Pin::new(from).poll_read(context, &mut buffer))?;
        let read = buffer.filled();
        if read.is_empty() {
            return Poll::Ready(Ok(None));
        }
        let written = match Pin::new(to).poll_write(context, read) {
            Poll::Ready(written) => written?,
            Poll::Pending => 0,
        };
        Poll::Ready(Ok(Some(read[written..].to_vec())))
    })
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, duplex};

    use super::*;

    /// Two ends, and what lies between them.
    fn between(patience: Duration) -> (tokio::io::DuplexStream, tokio::io::DuplexStream) {
        let (inside, near) = duplex(64);
        let (outside, far) = duplex(64);
        tokio::spawn(pass(near, far, patience));
        (inside, outside)
    }

    #[tokio::test]
    async fn what_both_say_arrives_and_so_does_that_it_was_all() {
        let (mut inside, mut outside) = between(PATIENCE);
        let long = vec![b'x'; 100_000];
        let told = long.clone();
        let saying = tokio::spawn(async move {
            inside.write_all(&told).await.unwrap();
            inside.shutdown().await.unwrap();
            let mut answer = Vec::new();
            inside.read_to_end(&mut answer).await.unwrap();
            answer
        });
        let mut heard = Vec::new();
        outside.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, long);
        outside.write_all(b"answer").await.unwrap();
        drop(outside);
        assert_eq!(saying.await.unwrap(), b"answer");
    }

    #[tokio::test]
    async fn when_one_side_has_said_all_the_other_may_be_slow_but_not_silent_for_ever() {
        let patience = Duration::from_millis(500);
        let (mut inside, mut outside) = between(patience);
        inside.shutdown().await.unwrap();
        let mut buffer = [0; 10];
        assert_eq!(outside.read(&mut buffer).await.unwrap(), 0);
        let started = tokio::time::Instant::now();
        while started.elapsed() < patience * 2 {
            outside.write_all(b"more").await.unwrap();
            assert!(inside.read(&mut buffer).await.unwrap() > 0);
            tokio::time::sleep(patience / 10).await;
        }
        // Silent from now on: both are let go.
        let mut rest = Vec::new();
        inside.read_to_end(&mut rest).await.unwrap();
        assert!(outside.write_all(b"more").await.is_err());
    }

    #[tokio::test]
    async fn while_nobody_has_said_all_both_may_be_silent() {
        let (mut inside, mut outside) = between(Duration::from_millis(1));
        tokio::time::sleep(Duration::from_millis(50)).await;
        outside.write_all(b"late").await.unwrap();
        let mut buffer = [0; 4];
        inside.read_exact(&mut buffer).await.unwrap();
        assert_eq!(&buffer, b"late");
    }
}
