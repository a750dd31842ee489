//! Folders as archives, and archives into folders.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt;

use aod_e2e::{Runtimes, Server, ServerOptions};
use reqwest::Method;
use serde_json::Value;

use crate::Lab;
use crate::evil::Tar;

/// The entries of an archive by their paths: kind, mode, and content or target.
fn read(archive: &[u8]) -> BTreeMap<String, (tar::EntryType, u32, String)> {
    let mut archive = tar::Archive::new(archive);
    let mut read = BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry
            .path()
            .unwrap()
            .to_string_lossy()
            .trim_end_matches('/')
            .to_owned();
        let mut content = match entry.link_name().unwrap() {
            Some(target) => target.to_string_lossy().into_owned(),
            None => String::new(),
        };
        entry.read_to_string(&mut content).unwrap();
        let header = entry.header();
        read.insert(path, (header.entry_type(), header.mode().unwrap(), content));
    }
    read
}

pub(crate) fn compressed(content: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(content, ruzstd::encoding::CompressionLevel::Fastest)
}

fn decompressed(content: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    let mut decoder = ruzstd::decoding::StreamingDecoder::new(content).unwrap();
    decoder.read_to_end(&mut all).unwrap();
    all
}

impl Lab {
    async fn unpack(&self, path: &str, kind: &str, archive: Vec<u8>) -> aod_e2e::Reply {
        let request = self.request(Method::PUT, path);
        let request = request.header("content-type", kind).body(archive);
        self.session.client.send(request).await
    }
}

#[tokio::test]
async fn what_is_packed_can_be_unpacked_again() {
    let lab = Lab::new().await;
    let long = format!("{}/{}", "l".repeat(200), "n".repeat(200));
    lab.write("tree/file", "content");
    lab.write("tree/run.sh", "#!/bin/sh");
    lab.write(&format!("tree/{long}"), "long");
    std::fs::create_dir(lab.workspace.join("tree/empty")).unwrap();
    lab.link("file", "tree/link");
    let run = lab.workspace.join("tree/run.sh");
    std::fs::set_permissions(run, PermissionsExt::from_mode(0o4755)).unwrap();
    std::process::Command::new("mkfifo")
        .arg(lab.workspace.join("tree/fifo"))
        .status()
        .unwrap();

    let plain = lab.bytes("tree").await;
    let entries = read(&plain);
    assert_eq!(entries["file"].2, "content");
    assert_eq!(entries["run.sh"].1, 0o755, "no more than permissions");
    assert_eq!(entries[&long].2, "long");
    assert_eq!(
        (entries["link"].0, &*entries["link"].2),
        (tar::EntryType::Symlink, "file")
    );
    assert!(
        entries["empty"].0.is_dir() && !entries.contains_key("fifo"),
        "{entries:?}"
    );
    let packed = lab.bytes("tree?format=tar.zst").await;
    let unpacked = decompressed(&packed);
    assert_eq!(read(&unpacked), entries);
    let whole = read(&lab.bytes("?format=tar").await);
    assert_eq!(whole["tree/file"].2, "content");

    for (folder, kind, archive) in [
        ("plain", "application/x-tar", &plain),
        ("by/type", "application/zstd", &packed),
        ("by-content", "application/x-tar", &packed),
    ] {
        let reply = lab.unpack(folder, kind, archive.clone()).await.expect(200);
        assert_eq!(
            (&reply["path"], &reply["type"]),
            (&folder.into(), &"folder".into())
        );
        let made: u64 = reply["unpacked"]["entries"].as_u64().unwrap();
        assert_eq!(made, entries.len() as u64);
        assert_eq!(read(&lab.bytes(folder).await), entries);
    }
    // Into the workspace itself, over what is there.
    lab.write("file", "before");
    lab.unpack("", "application/x-tar", plain.clone())
        .await
        .expect(200);
    assert_eq!(lab.bytes("file").await, b"content");
    // As a file.
    lab.unpack("kept.tar?unpack=false", "application/x-tar", plain.clone())
        .await
        .expect(201);
    assert_eq!(lab.bytes("kept.tar").await, plain);
    lab.unpack("asked?unpack=true", "application/octet-stream", plain)
        .await
        .expect(200);
    assert_eq!(lab.bytes("asked/file").await, b"content");
}

#[tokio::test]
async fn archives_of_other_programs_are_unpacked() {
    let lab = Lab::new().await;
    let folder = tempfile::tempdir().unwrap();
    let long = "x".repeat(150);
    std::fs::create_dir_all(folder.path().join(&long)).unwrap();
    std::fs::write(folder.path().join(&long).join("file"), "content").unwrap();
    std::fs::hard_link(
        folder.path().join(&long).join("file"),
        folder.path().join("hard"),
    )
    .unwrap();
    std::os::unix::fs::symlink(format!("{long}/file"), folder.path().join("soft")).unwrap();
    for format in ["gnu", "pax", "ustar", "v7"] {
        let has_room = matches!(format, "gnu" | "pax");
        if format == "ustar" {
            // It has no room for long names, and neither has v7.
            std::fs::remove_dir_all(folder.path().join(&long)).unwrap();
            std::fs::remove_file(folder.path().join("soft")).unwrap();
        }
        let output = std::process::Command::new("tar")
            .args(["--create", "--format", format, "--directory"])
            .arg(folder.path())
            .arg(".")
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        lab.unpack(format, "application/x-tar", output.stdout)
            .await
            .expect(200);
        assert_eq!(lab.bytes(&format!("{format}/hard")).await, b"content");
        if has_room {
            assert_eq!(lab.bytes(&format!("{format}/soft")).await, b"content");
        }
    }
}

#[tokio::test]
async fn archives_have_bounds() {
    let options = ServerOptions::new(Runtimes::demo())
        .set("AOD_LIMITS__UPLOAD", "1MiB")
        .set("AOD_LIMITS__UPLOAD_ENTRIES", "100");
    let lab = Lab::of(Server::start(options).await).await;
    let of = |count: usize, size: usize| {
        let mut tar = Tar::new();
        for n in 0..count {
            tar.file(&format!("many/{n}"), &vec![b'x'; size]);
        }
        tar.finish()
    };
    lab.unpack("fits", "application/x-tar", of(100, 1))
        .await
        .expect(200);
    let refusal = lab
        .unpack("many", "application/x-tar", of(101, 1))
        .await
        .refusal(422);
    assert!(refusal.contains("limits.upload_entries"), "{refusal}");
    lab.unpack("much", "application/x-tar", of(3, 500 << 10))
        .await
        .refused(413);
    // Little of it is sent, and much would come out.
    let bomb = compressed(&of(1, 8 << 20));
    assert!(bomb.len() < 100 << 10, "{}", bomb.len());
    lab.unpack("bomb", "application/zstd", bomb)
        .await
        .refused(413);
    assert!(!lab.workspace.join("bomb/many/0").exists());
    // A name that is longer than any.
    let mut tar = Tar::new();
    tar.described(b'L', &vec![b'n'; 200 << 10]).file("x", b"x");
    let long = lab
        .unpack("long", "application/x-tar", tar.finish())
        .await
        .refusal(422);
    assert!(long.contains("bytes"), "{long}");
    for (name, archive) in [
        (
            "none",
            b"this is no archive, and as long as a header would be at the least".repeat(20),
        ),
        ("cut", of(3, 3000)[..4000].to_vec()),
        (
            "frame",
            [&[0x28, 0xb5, 0x2f, 0xfd][..], &[0xff; 100]].concat(),
        ),
        ("gzip", [&[0x1f, 0x8b, 0x08][..], &[0; 600]].concat()),
        (
            // 3.75 TiB, by its own word.
            "window",
            [&[0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xff][..], &[0; 100]].concat(),
        ),
    ] {
        let refusal = lab
            .unpack(name, "application/x-tar", archive)
            .await
            .refusal(422);
        assert!(refusal.contains("cannot be unpacked"), "{name}: {refusal}");
        assert_eq!(name == "gzip", refusal.contains("gzip"), "{refusal}");
    }
    let empty = lab
        .unpack("empty", "application/x-tar", Vec::new())
        .await
        .expect(200);
    assert_eq!(empty["unpacked"]["entries"], Value::from(0));
}
