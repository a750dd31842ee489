//! Sessions whose files are in a file system image each: what is held, what survives, and what is
//! left. Where images cannot be had (root, a loop device) these are skipped, and say so.

use std::fs;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;

use aod_e2e::{DEADLINE, Gate, Runtimes, Server, ServerOptions, Session, eventually};
use aod_sandbox::DiskBy;
use serde_json::{Value, json};

const MIB: u64 = 1 << 20;
/// Writes as much as there is room for.
const FILL: &str = "head -c 200000000 /dev/urandom >big || echo refused";

/// None, with the reason printed, where sessions cannot have images.
fn options() -> Option<ServerOptions> {
    let folder = tempfile::tempdir().unwrap();
    match DiskBy::Image.check(folder.path()) {
        Ok(()) => Some(
            ServerOptions::new(Runtimes::demo())
                .set("AOD_SANDBOX__DISK_BY", "image")
                .set("AOD_SANDBOX__DISK", "64MiB"),
        ),
        Err(why) => {
            println!("skipped: {why}");
            None
        }
    }
}

/// The files that loop devices have in a folder.
fn attached(folder: &Path) -> Vec<String> {
    let folder = folder.to_str().unwrap();
    let devices = fs::read_dir("/sys/block").unwrap().flatten();
    devices
        .filter_map(|entry| fs::read_to_string(entry.path().join("loop/backing_file")).ok())
        .filter(|file| file.starts_with(folder))
        .collect()
}

/// Nothing stays mounted on this machine, and no loop device has a file of the server's.
async fn nothing_is_left(data: &Path) {
    eventually("no loop device is left", DEADLINE, async || {
        attached(data).is_empty().then_some(())
    })
    .await;
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(data.to_str().unwrap()), "{mounts}");
}

async fn delete(session: &Session) {
    let path = format!("/sessions/{}/delete", session.id);
    session.client.delete(&path).await.expect(200);
}

#[tokio::test]
async fn a_turn_outlives_the_server_on_one_disk_and_nothing_is_left_of_it() {
    let Some(options) = options() else {
        return;
    };
    let mut server = Server::start(options).await;
    let gates = ["first", "second"].map(Gate::new);
    let prompt = format!(
        "$ echo one >1.txt\n{}\n$ echo two >2.txt\n{}\n$ cat ?.txt",
        gates[0].step(),
        gates[1].step()
    );
    let session = server.client().demo_session(&prompt).await;
    gates[0].reached(&server, &session).await;
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(
        !mounts.contains(&session.id),
        "it is mounted for all to see"
    );
    server.kill();
    // The sandbox goes on with the disk, and whoever starts now finds its device.
    assert_eq!(attached(&server.data()).len(), 1);
    gates[0].open(&server, &session);
    server.start_again().await;
    let session = session.at(server.client());
    gates[1].reached(&server, &session).await;
    let file = format!("/sessions/{}/files/2.txt", session.id);
    let read = session.client.request(reqwest::Method::GET, &file).send();
    assert_eq!(read.await.unwrap().text().await.unwrap(), "two\n");
    assert_eq!(
        attached(&server.data()).len(),
        1,
        "{:?}",
        attached(&server.data())
    );
    assert!(
        server.start_another().await.contains("process"),
        "two servers"
    );
    // The server writes, and the sandbox reads.
    let file = format!("/sessions/{}/files/3.txt", session.id);
    let put = session
        .client
        .request(reqwest::Method::PUT, &file)
        .body("three\n");
    session.client.send(put).await.expect(201);
    gates[1].open(&server, &session);
    let ended = session.ended().await.completed();
    assert!(
        ended.stdout().contains("one\\ntwo\\nthree"),
        "{}",
        ended.stdout()
    );

    // Copies of it are on disks of their own, and it goes back to what it was.
    session.prompt("$ rm ?.txt; echo four >4.txt").await;
    session.ended().await.completed();
    let copy = session.fork(&json!({"turn": 1, "prompt": "$ ls"})).await;
    let said = copy.ended().await.completed().stdout();
    assert!(said.contains("3.txt") && !said.contains("4.txt"), "{said}");
    assert_eq!(
        server.workspace_file(&copy.id, "2.txt").as_deref(),
        Some("two\n")
    );
    session.restore(1).await;
    session.prompt("$ echo five >5.txt; ls").await;
    let said = session.ended().await.completed().last_stdout();
    assert!(said.contains("5.txt") && !said.contains("4.txt"), "{said}");
    assert_eq!(server.workspace_file(&copy.id, "5.txt"), None);
    let sizes = &session.read().await["sizes"];
    assert!(sizes["workspace"].as_u64().unwrap() > 0, "{sizes}");
    assert!(server.session_folder(&copy.id).join("disk.img").exists());

    delete(&session).await;
    let (gone, trash) = (
        server.session_folder(&session.id),
        server.data().join("trash"),
    );
    eventually("it is removed", DEADLINE, async || {
        let is_empty = fs::read_dir(&trash).unwrap().next().is_none();
        (!gone.exists() && is_empty).then_some(())
    })
    .await;
    eventually("its device is free", DEADLINE, async || {
        (attached(&server.data()).len() <= 1).then_some(())
    })
    .await;
    server.kill();
    nothing_is_left(&server.data()).await;
    server.start_again().await;
    let copy = copy.at(server.client());
    copy.prompt("$ ls").await;
    assert!(copy.ended().await.completed().stdout().contains("3.txt"));
    server.stop().await;
    nothing_is_left(&server.data()).await;
}

#[tokio::test]
async fn a_full_disk_is_refused_at_once_cleared_up_and_given_back() {
    let Some(options) = options() else {
        return;
    };
    let server = Server::start(options).await;
    let client = server.client();
    let session = client.demo_session(&format!("$ {FILL}; sync")).await;
    let ended = session.ended().await.completed();
    assert!(ended.stdout().contains("refused"), "{}", ended.stdout());
    let image = server.session_folder(&session.id).join("disk.img");
    let taken = || image.metadata().unwrap().blocks() * 512;
    assert!((50 * MIB..100 * MIB).contains(&taken()), "{}", taken());
    // What is deleted and open counts.
    session
        .prompt(&format!("$ exec 3<big; rm big; {FILL}"))
        .await;
    let ended = session.ended().await.completed();
    assert!(
        ended.last_stdout().contains("refused"),
        "{}",
        ended.stdout()
    );
    // The user clears up, too.
    let file = format!("/sessions/{}/files/big", session.id);
    client.delete(&file).await.expect(200);
    session
        .prompt("$ head -c 30000000 /dev/zero >more && rm more && sync && echo written")
        .await;
    let ended = session.ended().await.completed();
    assert!(
        ended.last_stdout().contains("written"),
        "{}",
        ended.stdout()
    );
    eventually("it is given back", DEADLINE, async || {
        (taken() < 30 * MIB).then_some(())
    })
    .await;
    // Others have room of their own.
    let other = client
        .demo_session("$ head -c 40000000 /dev/zero >most && echo fits")
        .await;
    assert!(other.ended().await.completed().stdout().contains("fits"));
    let doctor = server.command(&["doctor", "--json"]).output().unwrap();
    let doctor: Vec<Value> = serde_json::from_slice(&doctor.stdout).unwrap();
    let disk = doctor.iter().find(|it| it["what"] == "disk").unwrap();
    assert_eq!(disk["state"], "ok", "{disk}");
    assert!(disk["detail"].as_str().unwrap().contains("image"), "{disk}");
}

#[tokio::test]
async fn a_backup_has_what_is_on_disks_and_becomes_sessions_that_go_on() {
    let Some(options) = options() else {
        return;
    };
    let mut server = Server::start(options).await;
    let session = server.client().demo_session("$ echo kept >kept.txt").await;
    session.ended().await.completed();
    let damaged = server.client().demo_session("$ echo x >x.txt").await;
    damaged.ended().await.completed();
    let folder = tempfile::tempdir().unwrap();
    let take = |name: &str, server: &Server| {
        let into = folder.path().join(name);
        server.run(&[
            "backup",
            into.to_str().unwrap(),
            "--workspaces",
            "--identity",
        ]);
        let tar = into.join(format!("sessions/{}/workspace.tar", session.id));
        let tar = fs::read(tar).unwrap();
        assert!(tar.windows(8).any(|bytes| bytes == b"kept.txt"));
        into
    };
    take("beside", &server);
    server.kill();
    nothing_is_left(&server.data()).await;
    damage(&server, &damaged);
    let backup = take("alone", &server);
    nothing_is_left(&server.data()).await;
    let manifest = fs::read_to_string(backup.join("backup.json")).unwrap();
    assert!(
        manifest.contains(&damaged.id),
        "it is not all there: {manifest}"
    );

    fs::remove_dir_all(server.data()).unwrap();
    server.run(&["restore", backup.to_str().unwrap()]);
    server.start_again().await;
    let session = session.at(server.client());
    session.prompt("$ cat kept.txt").await;
    let said = session.ended().await.completed().last_stdout();
    assert!(said.contains("kept"), "{said}");
    // No file system comes from elsewhere.
    assert!(!server.session_folder(&session.id).join("disk.img").exists());
}

/// Writes over a session's file system.
fn damage(server: &Server, session: &Session) {
    let image = server.session_folder(&session.id).join("disk.img");
    let image = fs::File::options().write(true).open(image).unwrap();
    image.write_all_at(&[0xAA; 256 << 10], 0).unwrap();
}

#[tokio::test]
async fn a_damaged_disk_fails_its_session_alone_which_can_be_deleted() {
    let Some(options) = options() else {
        return;
    };
    let mut server = Server::start(options).await;
    let session = server.client().demo_session("$ echo x >x.txt").await;
    session.ended().await.completed();
    let other = server.client().demo_session("$ echo x >x.txt").await;
    other.ended().await.completed();
    server.stop().await;
    nothing_is_left(&server.data()).await;
    damage(&server, &session);
    server.start_again().await;
    let session = session.at(server.client());
    session.prompt("$ ls").await;
    let error = session.ended().await.failed();
    assert!(
        error.contains("the session's disk cannot be used"),
        "{error}"
    );
    let files = format!("/sessions/{}/files", session.id);
    let refused = session.client.get(&files).await.refusal(409);
    assert!(
        refused.contains("the session's disk cannot be used"),
        "{refused}"
    );
    let other = other.at(server.client());
    other.prompt("$ ls").await;
    assert!(other.ended().await.completed().stdout().contains("x.txt"));
    let terminate = format!("/sessions/{}/terminate", session.id);
    session.client.post_empty(&terminate).await;
    delete(&session).await;
    assert!(!server.session_folder(&session.id).exists());
}

/// What is written to an image when the disk around it is full cannot be kept: the session's file
/// system stops, and goes on when there is room and it was mounted anew.
#[tokio::test]
async fn a_full_disk_around_it_stops_a_session_until_there_is_room() {
    let Some(options) = options().and_then(|options| options.on_a_disk_of("size=64m")) else {
        return;
    };
    let server = Server::start(options).await;
    let session = server
        .client()
        .demo_session("$ echo kept >kept.txt; sync")
        .await;
    session.ended().await.completed();
    let gate = Gate::new("gate");
    let prompt = format!("{}\n$ {FILL}; sync; ls", gate.step());
    session.prompt(&prompt).await;
    gate.reached(&server, &session).await;
    let ballast = server.data().join("ballast");
    let mut file = fs::File::create(&ballast).unwrap();
    while std::io::Write::write_all(&mut file, &[0; 4096]).is_ok() {}
    gate.open(&server, &session);
    // It may be over in any way.
    session.ended().await;
    drop(file);
    fs::remove_file(ballast).unwrap();
    eventually("it goes on", DEADLINE, async || {
        session
            .prompt("$ rm -f big; echo on >on.txt && cat kept.txt on.txt")
            .await;
        let ended = session.ended().await;
        let said = ended.last_stdout();
        (said.contains("kept") && said.contains("on")).then_some(())
    })
    .await;
    assert_eq!(
        server.workspace_file(&session.id, "on.txt").as_deref(),
        Some("on\n")
    );
}
