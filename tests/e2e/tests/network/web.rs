//! A small web server outside of all sandboxes.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Answers every request with its own name, and those for `/to?URL` with a redirect there.
pub(crate) struct Web {
    pub(crate) port: u16,
    hits: Arc<AtomicUsize>,
}

impl Web {
    pub(crate) fn start(name: &'static str) -> Self {
        let listener = TcpListener::bind("0.0.0.0:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let hits = Arc::new(AtomicUsize::new(0));
        let counted = hits.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                counted.fetch_add(1, Ordering::SeqCst);
                std::thread::spawn(move || {
                    let mut head = Vec::new();
                    let mut byte = [0];
                    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) > 0 {
                        head.push(byte[0]);
                    }
                    let head = String::from_utf8_lossy(&head);
                    let target = head.split(' ').nth(1).unwrap_or_default();
                    let more = match target.split_once("/to?") {
                        Some((_, url)) => format!("location: {url}\r\n"),
                        None => String::new(),
                    };
                    let status = if more.is_empty() {
                        "200 OK"
                    } else {
                        "302 Found"
                    };
                    let _ = write!(
                        stream,
                        "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n{more}\r\n{name}",
                        name.len(),
                    );
                });
            }
        });
        Self { port, hits }
    }

    /// How many connections it has had.
    pub(crate) fn hits(&self) -> usize {
        self.hits.load(Ordering::SeqCst)
    }
}
