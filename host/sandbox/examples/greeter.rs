//! Serves one socket for tests: says what it was told to everybody who connects, until a connection
//! sends `end`.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::fd::{FromRawFd as _, OwnedFd};

fn main() -> std::io::Result<()> {
    let mut greeting = String::new();
    std::io::stdin().read_to_string(&mut greeting)?;
    // SAFETY: the starter gives the socket under this number, and nobody else here owns it.
    let socket = unsafe { OwnedFd::from_raw_fd(aod_launch::FIRST_SOCKET) };
    let listener = TcpListener::from(socket);
    listener.set_nonblocking(false)?;
    println!("started as {}", std::process::id());
    loop {
        let (mut stream, _) = listener.accept()?;
        stream.set_nonblocking(false)?;
        stream.write_all(greeting.as_bytes())?;
        stream.shutdown(std::net::Shutdown::Write)?;
        let mut said = String::new();
        stream.read_to_string(&mut said)?;
        if said == "end" {
            return Ok(());
        }
    }
}
