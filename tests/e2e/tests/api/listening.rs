//! The server's socket while the server is not there.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use aod_e2e::{DEADLINE, Runtimes, Server, ServerOptions, serve_until_exit};

/// Sends a request, which may wait in the socket's queue.
fn ask(listener: &TcpListener) -> TcpStream {
    let mut connection = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    connection.set_read_timeout(Some(DEADLINE)).unwrap();
    let request = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    connection.write_all(request).unwrap();
    connection
}

fn answer(mut connection: TcpStream) -> String {
    let mut text = String::new();
    connection.read_to_string(&mut text).unwrap();
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_a_service_manager_holds_outlives_the_server() {
    let listener = Arc::new(TcpListener::bind("127.0.0.1:0").unwrap());
    let before = ask(&listener);
    let options = ServerOptions::new(Runtimes::demo()).listening_on(listener.clone());
    let mut server = Server::start(options).await;
    let port = listener.local_addr().unwrap().port();
    assert!(server.client().base().ends_with(&format!(":{port}")));
    assert!(answer(before).starts_with("HTTP/1.1 200"));

    server.kill();
    let meanwhile = ask(&listener);
    // Nobody else can have the port while there is no server.
    let taken = TcpListener::bind(("127.0.0.1", port)).unwrap_err();
    assert_eq!(taken.kind(), std::io::ErrorKind::AddrInUse);
    server.start_again().await;
    assert!(answer(meanwhile).starts_with("HTTP/1.1 200"));
}

#[tokio::test(flavor = "multi_thread")]
async fn localhost_is_not_shared_with_somebody_else() {
    let Ok(other) = TcpListener::bind("[::1]:0") else {
        println!("skipped: there is no [::1] here");
        return;
    };
    let port = other.local_addr().unwrap().port();
    let (success, said) = serve_until_exit(&["--listen", &format!("127.0.0.1:{port}")]).await;
    assert!(!success, "{said}");
    assert!(
        said.contains("[::1]") && said.contains("localhost"),
        "{said}"
    );
}
