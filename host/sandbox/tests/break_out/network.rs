//! A network namespace of its own, and the one way out of it.

use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::PathBuf;

use aod_sandbox::{Egress, Network, SandboxSpec};

use crate::Session;

const PORT: u16 = 61_080;

/// What serves the sandbox: an example of this crate, which Cargo builds for tests.
pub(crate) fn greeter() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    tests.parent().unwrap().with_file_name("examples/greeter")
}

fn served(spec: &mut SandboxSpec) {
    spec.network = Network::Egress(Egress {
        listen: vec![format!("127.0.0.1:{PORT}").parse().unwrap()],
        tunnel: None,
        program: greeter(),
        config: b"hello from outside".to_vec().into(),
    });
}

/// A script that prints what it reads from an address.
fn read_from(address: &str, port: u16) -> String {
    format!("(exec 3<>/dev/tcp/{address}/{port} && cat <&3) 2>/dev/null; echo;")
}

#[test]
fn what_listens_inside_is_served_from_outside() {
    let session = Session::new();
    let script = read_from("127.0.0.1", PORT).repeat(2);
    let (ended, output) = session.run_with(&script, served);
    assert!(ended.success(), "{output}");
    assert_eq!(output.matches("hello from outside").count(), 2, "{output}");
    // One program for both, whose report is in the output.
    assert_eq!(
        output.matches("[network] started as").count(),
        1,
        "{output}"
    );
}

#[test]
fn a_program_that_ends_is_started_anew_and_one_that_nobody_wants_is_not() {
    let session = Session::new();
    let once = format!(
        "(exec 3<>/dev/tcp/127.0.0.1/{PORT}; read -r -N 5 x <&3; printf end >&3; echo $x); sleep 0.2;"
    );
    let (_, output) = session.run_with(&once.repeat(3), served);
    assert_eq!(output.matches("hello").count(), 3, "{output}");
    assert!(output.matches("started as").count() >= 2, "{output}");
    let (_, output) = session.run_with("echo done", served);
    assert_eq!(output, "done\n");
}

#[test]
fn what_never_serves_is_given_up_and_nobody_waits_for_it() {
    let session = Session::new();
    let script = format!(
        "timeout 50 bash -c 'exec 3<>/dev/tcp/127.0.0.1/{PORT} && cat <&3' 2>/dev/null
         [ $? = 124 ] || echo over"
    );
    let (_, output) = session.run_with(&script, |spec| {
        served(spec);
        if let Network::Egress(egress) = &mut spec.network {
            egress.program = "/bin/false".into();
        }
    });
    assert_eq!(output, "over\n");
}

#[test]
fn nothing_else_is_reached() {
    let session = Session::new();
    let tcp = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = tcp.local_addr().unwrap().port();
    let name = format!("aod-test-{}", uuid());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let _abstract = UnixListener::bind_addr(&address).unwrap();
    let script = format!(
        "for at in 127.0.0.1 127.0.0.2 localhost ::1 $(cat addresses); do
           (exec 3<>/dev/tcp/$at/{port}) 2>/dev/null && echo reached $at
         done
         python3 -c 'import socket; socket.socket(socket.AF_UNIX).connect(\"\\0{name}\"); print(\"reached\")' 2>/dev/null
         python3 -c 'import socket; socket.create_connection((\"169.254.169.254\", 80), 2); print(\"reached\")' 2>/dev/null
         python3 -c 'import socket; socket.create_connection((\"192.0.2.1\", 80), 2); print(\"reached\")' 2>/dev/null
         ls /sys/class/net 2>/dev/null; cut -d: -f1 /proc/net/dev | tail -n +3 | tr -d ' '; tail -n +2 /proc/net/route
         echo over"
    );
    // Every address of this machine.
    let own = std::process::Command::new("hostname")
        .arg("-I")
        .output()
        .unwrap();
    std::fs::write(session.workspace().join("addresses"), &own.stdout).unwrap();
    let (_, inside) = session.run_with(&script, served);
    assert_eq!(inside, "lo\nover\n");
    // With the host's network the same script finds what it looks for.
    let (_, outside) = session.run_with(&script, |spec| spec.network = Network::Host);
    assert!(outside.matches("reached").count() >= 3, "{outside}");
}

#[test]
fn two_sandboxes_do_not_reach_each_other() {
    let (one, two) = (Session::new(), Session::new());
    let server = "python3 -m http.server 8000 --bind 0.0.0.0 >/dev/null 2>&1 & \
                  until (exec 3<>/dev/tcp/127.0.0.1/8000) 2>/dev/null; do :; done; \
                  touch ready; until [ -e stop ]; do sleep 0.02; done";
    std::thread::scope(|scope| {
        let running = scope.spawn(|| one.run_with(server, served));
        let ready = one.workspace().join("ready");
        crate::eventually("the server inside listens", || ready.exists());
        let (_, output) = two.run_with(&read_from("127.0.0.1", 8000), served);
        assert_eq!(output.trim(), "");
        std::fs::write(one.workspace().join("stop"), "").unwrap();
        running.join().unwrap();
    });
}

#[test]
fn a_launcher_that_fails_says_why() {
    let session = Session::new();
    let mut spec = session.spec("true");
    served(&mut spec);
    let mut launch = session.launch(&spec);
    launch.args.splice(0..0, ["--no-such-option".to_owned()]);
    let error = aod_sandbox::run(&launch, &Default::default(), &mut |_| {}).unwrap_err();
    let causes = format!("{error} {:?}", std::error::Error::source(&error));
    assert!(causes.contains("no-such-option"), "{causes}");
}

fn uuid() -> u128 {
    let now = std::time::SystemTime::now();
    now.duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_nanos()
}
