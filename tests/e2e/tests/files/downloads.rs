//! Downloads: parts, conditions, types, and that no browser runs them.

use reqwest::Method;

use crate::Lab;

async fn ask(
    lab: &Lab,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
) -> (u16, reqwest::header::HeaderMap, Vec<u8>) {
    let mut request = lab.request(method, path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let reply = request.send().await.unwrap();
    let (status, headers) = (reply.status().as_u16(), reply.headers().clone());
    (status, headers, reply.bytes().await.unwrap().to_vec())
}

#[tokio::test]
async fn parts_of_a_file_are_sent() {
    let lab = Lab::new().await;
    lab.write("digits", "0123456789");
    lab.write("empty", "");
    for (range, status, body, content_range) in [
        ("bytes=0-0", 206, "0", Some("bytes 0-0/10")),
        ("bytes=3-5", 206, "345", Some("bytes 3-5/10")),
        ("bytes=7-", 206, "789", Some("bytes 7-9/10")),
        ("bytes=-2", 206, "89", Some("bytes 8-9/10")),
        ("bytes=-99", 206, "0123456789", Some("bytes 0-9/10")),
        ("bytes=8-99", 206, "89", Some("bytes 8-9/10")),
        ("bytes=0-1,4-5", 200, "0123456789", None),
        ("nonsense", 200, "0123456789", None),
    ] {
        let (found, headers, content) = ask(&lab, Method::GET, "digits", &[("range", range)]).await;
        assert_eq!((found, content), (status, body.into()), "{range}");
        let found = headers.get("content-range").map(|it| it.to_str().unwrap());
        assert_eq!(found, content_range, "{range}");
        assert_eq!(headers["accept-ranges"], "bytes");
        assert_eq!(headers["content-length"], body.len().to_string().as_str());
    }
    for (path, range, length) in [("digits", "bytes=10-", 10), ("empty", "bytes=-1", 0)] {
        let request = lab.request(Method::GET, path).header("range", range);
        let reply = lab.session.client.send(request).await;
        reply.refusal(416);
        assert_eq!(
            reply.headers["content-range"],
            format!("bytes */{length}").as_str()
        );
    }
    assert_eq!(lab.bytes("empty").await, b"");
    // Nothing is read of what is only asked about.
    let (status, headers, body) =
        ask(&lab, Method::HEAD, "digits", &[("range", "bytes=0-0")]).await;
    assert_eq!((status, body.len()), (200, 0));
    assert_eq!(headers["content-length"], "10");
}

#[tokio::test]
async fn what_a_client_has_is_not_sent_again() {
    let lab = Lab::new().await;
    lab.write("file", "first");
    let (_, headers, _) = ask(&lab, Method::GET, "file", &[]).await;
    let etag = headers["etag"].to_str().unwrap().to_owned();
    let modified = headers["last-modified"].to_str().unwrap().to_owned();
    let status = async |headers: &[(&str, &str)]| ask(&lab, Method::GET, "file", headers).await.0;
    assert_eq!(status(&[("if-none-match", &etag)]).await, 304);
    assert_eq!(status(&[("if-none-match", "\"x\", W/\"y\"")]).await, 200);
    assert_eq!(status(&[("if-none-match", "*")]).await, 304);
    assert_eq!(status(&[("if-modified-since", &modified)]).await, 304);
    assert_eq!(status(&[("if-match", &etag)]).await, 200);
    assert_eq!(status(&[("if-match", "\"x\"")]).await, 412);
    let part = ("range", "bytes=0-1");
    assert_eq!(status(&[part, ("if-range", &etag)]).await, 206);
    assert_eq!(status(&[part, ("if-range", "\"x\"")]).await, 200);
    assert_eq!(status(&[part, ("if-range", &modified)]).await, 206);
    // An older file may have taken the place of the one that the client has a part of.
    let later = "Fri, 31 Dec 2049 23:59:59 GMT";
    assert_eq!(status(&[part, ("if-range", later)]).await, 200);
    // A program that sets the time back deceives nobody.
    let file = std::fs::File::options()
        .write(true)
        .open(lab.workspace.join("file"))
        .unwrap();
    let before = file.metadata().unwrap().modified().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(20));
    std::fs::write(lab.workspace.join("file"), "other").unwrap();
    file.set_modified(before).unwrap();
    assert_eq!(status(&[("if-none-match", &etag)]).await, 200);
    assert_eq!(status(&[part, ("if-range", &etag)]).await, 200);
}

#[tokio::test]
async fn no_browser_runs_what_an_agent_wrote() {
    let lab = Lab::new().await;
    let names = [
        ("page.html", "text/html"),
        ("picture.svg", "image/svg+xml"),
        ("data.json", "application/json"),
        ("no-ending", "application/octet-stream"),
        ("a \"b\"\r\nx: y.txt", "text/plain"),
    ];
    for (name, kind) in names {
        lab.write(name, "<script>");
        let encoded: String = name.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let (status, headers, _) = ask(&lab, Method::GET, &encoded, &[]).await;
        assert_eq!(
            (status, headers["content-type"].to_str().unwrap()),
            (200, kind)
        );
        assert_eq!(headers["x-content-type-options"], "nosniff");
        let disposition = headers["content-disposition"].to_str().unwrap();
        assert!(
            disposition.starts_with("attachment; filename=\""),
            "{disposition}"
        );
        assert_eq!(headers.get("x"), None);
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("sandbox"), "{policy}");
        // Held against the description as well.
        lab.get(&encoded).await;
    }
}

#[tokio::test]
async fn links_that_stay_inside_are_followed_by_readers() {
    let lab = Lab::new().await;
    lab.write("builds/3/app", "three");
    lab.link("builds/3", "latest");
    lab.link("../builds/3/app", "builds/app");
    assert_eq!(lab.bytes("latest/app").await, b"three");
    assert_eq!(lab.bytes("builds/app").await, b"three");
    lab.link("nowhere", "dangling");
    lab.get("dangling").await.refused(404);
    // Writers are not: what is in the way is named.
    let refusal = lab.put("latest/new", "x").await.refusal(409);
    assert!(refusal.contains("symbolic link"), "{refusal}");
    // A link in the place of a file is replaced itself.
    lab.put("builds/app", "new").await.expect(200);
    assert_eq!(lab.bytes("builds/3/app").await, b"three");
    assert_eq!(lab.bytes("builds/app").await, b"new");
}
