//! What a CLI writes is what the log has.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use aod_log::{Flags, Kind};
use aod_supervisor::{Fragment, Reason, Request, Stdin};
use common::{Case, text};

#[test]
fn two_hundred_thousand_lines_in_order() {
    let case = Case::sh("seq 200000; echo done >&2");
    case.start();
    let (exited, entries) = case.end();
    assert_eq!((exited.code, exited.reason), (Some(0), Reason::Exit));
    let out: Vec<_> = entries
        .iter()
        .filter(|entry| entry.kind == Kind::Stdout)
        .collect();
    assert_eq!(out.len(), 200_000);
    for (n, entry) in out.iter().enumerate() {
        assert_eq!(entry.payload, format!("{}\n", n + 1).as_bytes());
    }
    assert_eq!(text(&entries, Kind::Stderr), "done\n");
    let first: Vec<_> = entries
        .iter()
        .filter(|entry| entry.flags.contains(Flags::FIRST))
        .collect();
    assert_eq!(first.len(), 1);
    assert_eq!(first[0].id, 1);
    assert_eq!(
        exited.output_bytes,
        out.iter().map(|e| e.payload.len() as u64).sum::<u64>() + 5
    );
}

#[test]
fn a_line_of_one_character_costs_little_more_on_disk() {
    let lines = 1_000_000;
    let case = Case::sh(&format!("yes | head -n {lines}"));
    case.start();
    let (exited, entries) = case.end();
    assert_eq!(exited.output_bytes, 2 * lines);
    let output: Vec<_> = entries
        .iter()
        .filter(|entry| entry.kind == Kind::Stdout)
        .collect();
    assert_eq!(output.len() as u64, lines);
    assert!(output.iter().all(|entry| entry.payload == b"y\n"));
    let folder = std::fs::read_dir(&case.spec.log_dir).unwrap();
    let on_disk: u64 = folder
        .map(|file| file.unwrap())
        // What is kept back for a turn's end is not the lines'.
        .filter(|file| file.file_name() != "reserve")
        .map(|file| file.metadata().unwrap().len())
        .sum();
    let of = |kind| {
        entries
            .iter()
            .find(|entry| entry.kind == kind)
            .unwrap()
            .time
    };
    let millis = (of(Kind::Exited) - of(Kind::Begin)) / 1000;
    println!("{lines} lines of one character: {on_disk} bytes on disk, {millis} ms to the log");
    assert!(on_disk < 2 * exited.output_bytes, "{on_disk}");
}

#[test]
fn a_line_of_a_hundred_megabytes() {
    let case = Case::sh("head -c 100000000 /dev/zero | tr '\\0' x; echo; echo after");
    let started = case.start();
    let mut peak = 0;
    common::until("the end", || {
        peak = private_kib(started.supervisor_pid).unwrap_or(0).max(peak);
        !aod_log::is_locked(&case.spec.log_dir).unwrap()
    });
    println!("a 100 MB line: {peak} KiB private at the most that was seen");
    assert!(peak < 128 << 10);
    let (exited, entries) = case.end();
    assert_eq!(exited.output_bytes, 100_000_007);
    let out: Vec<_> = entries
        .iter()
        .filter(|entry| entry.kind == Kind::Stdout)
        .collect();
    let (last, line) = out.split_last().unwrap();
    assert_eq!(last.payload, b"after\n");
    let (end, pieces) = line.split_last().unwrap();
    assert!(
        pieces
            .iter()
            .all(|piece| piece.flags.contains(Flags::CONTINUED))
    );
    assert!(!end.flags.contains(Flags::CONTINUED));
    assert_eq!(
        line.iter().map(|piece| piece.payload.len()).sum::<usize>(),
        100_000_001
    );
    assert!(line.iter().all(|piece| piece.payload.len() <= 16 << 20));
}

#[test]
fn rubbish_is_replaced_and_counted() {
    let case = Case::sh("printf 'a\\377b\\303\\nok\\n\\342\\202'; head -c 3000000 /dev/urandom");
    case.start();
    let (exited, entries) = case.end();
    assert_eq!(exited.code, Some(0));
    assert_eq!(exited.output_bytes, 3_000_010);
    assert!(exited.replaced_bytes > 100_000);
    let out: Vec<_> = entries
        .iter()
        .filter(|entry| entry.kind == Kind::Stdout)
        .collect();
    assert_eq!(out[0].payload, "a\u{fffd}b\u{fffd}\n".as_bytes());
    assert!(out[0].flags.contains(Flags::REPLACED));
    assert_eq!(
        (&out[1].payload[..], out[1].flags),
        (&b"ok\n"[..], Flags::NONE)
    );
    assert!(
        out.iter()
            .all(|entry| std::str::from_utf8(&entry.payload).is_ok())
    );
}

#[test]
fn a_last_line_without_a_newline_stays_one() {
    let case = Case::sh("echo whole; printf part");
    case.start();
    let (_, entries) = case.end();
    assert_eq!(text(&entries, Kind::Stdout), "whole\npart");
    assert_eq!(
        entries
            .iter()
            .filter(|entry| entry.kind == Kind::Stdout)
            .count(),
        2
    );
}

#[test]
fn stdin_as_text_of_any_size() {
    let mut case = Case::sh("wc -c");
    case.spec.stdin = Stdin::Text(vec![Fragment::Text("p".repeat(3_000_000))]);
    case.start();
    let (_, entries) = case.end();
    assert_eq!(text(&entries, Kind::Stdout).trim(), "3000000");
}

#[test]
fn data_fds_are_read_where_they_were_wanted() {
    let case = Case::sh("cat <&3 <&9; cat /dev/fd/3 /dev/fd/11; ls /proc/self/fd | tr '\\n' ' '")
        .data(9, "nine\n")
        .data(3, "three\n")
        .data(11, "eleven\n");
    case.start();
    let (_, entries) = case.end();
    let out = text(&entries, Kind::Stdout);
    assert!(out.starts_with("nine\nthree\neleven\n"), "{out}");
    // Nothing else was inherited; ls has one of its own for the folder.
    let open: Vec<&str> = out.lines().last().unwrap().split_whitespace().collect();
    assert_eq!(open.len(), 7, "{open:?}");
}

#[test]
fn secrets_of_a_child_that_prints_its_environment() {
    let pem = "-----BEGIN KEY-----\nMIIEowIBAAKCAQEA7\n-----END KEY-----";
    let mut case = Case::sh(
        "env; env >&2; printf '{\"k\":\"pass\\\\\"word1\"}\\n'; printf sk-01234; sleep 0.1; printf '56789\\n'; \
         head -c 17000000 /dev/zero | tr '\\0' x; for i in $(seq 2000); do printf %s \"$KEY\"; done; echo",
    )
    .secret("KEY", "sk-0123456789")
    .secret("PEM", pem)
    .secret("QUOTED", "pass\"word1")
    .secret("FLAG", "true");
    case.spec.begin = serde_json::json!({ "env": "sk-0123456789" });
    case.start();
    let (exited, entries) = case.end();
    assert_eq!(exited.reason, Reason::Exit, "{exited:?}");
    assert_eq!(exited.code, Some(0), "{exited:?}");
    let out = text(&entries, Kind::Stdout);
    for line in [
        "KEY=[redacted:KEY]\n",
        "PEM=[redacted:PEM]\n",
        "FLAG=true\n",
        "{\"k\":\"[redacted:QUOTED]\"}\n",
        "\n[redacted:KEY]\n",
    ] {
        assert!(out.contains(line), "{line}");
    }
    assert!(text(&entries, Kind::Stderr).contains("QUOTED=[redacted:QUOTED]\n"));
    assert!(!out.contains("sk-0"), "{exited:?}");
    assert_eq!(
        out.matches("[redacted:KEY]").count(),
        2002,
        "{} bytes, {} of x, {exited:?}",
        out.len(),
        out.matches('x').count()
    );
    // In the files themselves nothing is left.
    for entry in std::fs::read_dir(&case.spec.log_dir).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        for secret in ["sk-01234567", "MIIEowI", "pass\"word1", "pass\\\"word1"] {
            assert!(
                memchr::memmem::find(&bytes, secret.as_bytes()).is_none(),
                "{secret}"
            );
        }
    }
}

fn private_kib(pid: u32) -> Option<u64> {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let of = |name: &str| -> Option<u64> {
        let line = rollup.lines().find(|line| line.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse().ok()
    };
    Some(of("Private_Clean:")? + of("Private_Dirty:")?)
}

#[test]
fn an_idle_supervisor_is_small() {
    let case = Case::sh("seq 300000; head -c 20000000 /dev/zero; echo; echo quiet; exec sleep 60")
        .secret("KEY", "sk-0123456789")
        .secret("OTHER", "another secret value");
    let started = case.start();
    case.wait_for_line("quiet");
    let mut kib = u64::MAX;
    common::until("memory to be given back", || {
        kib = private_kib(started.supervisor_pid).unwrap();
        kib <= 1536
    });
    let profile = if cfg!(debug_assertions) {
        "debug"
    } else {
        "release"
    };
    println!("an idle supervisor, after a burst and a huge line: {kib} KiB private ({profile})");
    case.send(Request::Terminate);
    case.end();
}
