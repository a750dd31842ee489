//! Files of sessions' workspaces, while agents shape them.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod agents;
mod archives;
mod attacks;
mod big;
mod downloads;
mod evil;
mod lists;
mod races;
mod raw;
mod uploads;

use std::path::PathBuf;

use aod_e2e::{Reply, Server, Session};
use reqwest::{Method, RequestBuilder};

/// A session whose first turn has ended, and where its workspace is.
struct Lab {
    server: Server,
    session: Session,
    workspace: PathBuf,
}

impl Lab {
    async fn new() -> Self {
        Self::of(Server::demo().await).await
    }

    async fn of(server: Server) -> Self {
        let session = server.client().demo_session("hello").await;
        session.ended().await.completed();
        let workspace = server.session_files(&session.id).join("workspace");
        Self {
            server,
            session,
            workspace,
        }
    }

    /// The path of the API for something in the workspace, or for all of it.
    fn at(&self, path: &str) -> String {
        match path.starts_with('?') || path.is_empty() {
            true => format!("/sessions/{}/files{path}", self.session.id),
            false => format!("/sessions/{}/files/{path}", self.session.id),
        }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.session.client.request(method, &self.at(path))
    }

    async fn get(&self, path: &str) -> Reply {
        self.session.client.get(&self.at(path)).await
    }

    async fn put(&self, path: &str, content: impl Into<reqwest::Body>) -> Reply {
        let request = self.request(Method::PUT, path).body(content);
        self.session.client.send(request).await
    }

    /// The body of a download as bytes.
    async fn bytes(&self, path: &str) -> Vec<u8> {
        let reply = self.request(Method::GET, path).send().await.unwrap();
        assert_eq!(reply.status(), 200, "{path}");
        reply.bytes().await.unwrap().to_vec()
    }

    /// The paths of a list.
    async fn paths(&self, query: &str) -> Vec<String> {
        let reply = self.get(query).await.expect(200);
        let entries = reply["data"].as_array().unwrap();
        let path = |entry: &serde_json::Value| entry["path"].as_str().unwrap().to_owned();
        entries.iter().map(path).collect()
    }

    fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.workspace.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    fn link(&self, target: impl AsRef<std::path::Path>, path: &str) {
        std::os::unix::fs::symlink(target, self.workspace.join(path)).unwrap();
    }
}
