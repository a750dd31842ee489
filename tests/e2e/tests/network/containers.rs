//! Images of a private registry, pushed and pulled with a password that the sandbox does not have.

use std::fs;
use std::process::{Child, Command};

use aod_e2e::{Runtimes, Server, ServerOptions, files_with, start};
use serde_json::json;

/// `docker-registry` and the server of its tokens; killed when dropped.
struct Images {
    folder: tempfile::TempDir,
    process: Child,
    registry: String,
    tokens: String,
    password: String,
}

impl Images {
    /// None where this machine lacks a program.
    fn start() -> Option<Self> {
        for program in ["docker-registry", "skopeo", "openssl"] {
            let found = Command::new(program).arg("--help").output();
            if found.is_err() {
                eprintln!("skipped: {program} is not installed");
                return None;
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let names = ["registry.test".to_owned(), "auth.test".to_owned()];
        let own = rcgen::generate_simple_self_signed(names).unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("server.pem"), own.cert.pem()).unwrap();
        fs::write(path("server.key"), own.signing_key.serialize_pem()).unwrap();
        let password = format!("registry-password-{}", uuid::Uuid::new_v4());
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/network/containers.py");
        let mut command = Command::new("python3");
        command
            .arg(script)
            .arg(folder.path())
            .env("REGISTRY_TOKEN", &password);
        let (process, ports) = start(command);
        let (registry, tokens) = ports.split_once(' ').unwrap();
        Some(Self {
            registry: registry.to_owned(),
            tokens: tokens.to_owned(),
            folder,
            process,
            password,
        })
    }

    fn file(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }
}

impl Drop for Images {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Makes an image, pushes it and pulls it again.
const SCRIPT: &str = r#"exec bash <<'ALL'
python3 - <<'END'
import gzip, hashlib, io, json, os, tarfile
os.makedirs("image/blobs/sha256")
def blob(data, kind):
    digest = hashlib.sha256(data).hexdigest()
    open(f"image/blobs/sha256/{digest}", "wb").write(data)
    return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{digest}", "size": len(data)}
tar = io.BytesIO()
with tarfile.open(fileobj=tar, mode="w") as archive:
    text = b"from the registry\n"
    info = tarfile.TarInfo("said")
    info.size = len(text)
    archive.addfile(info, io.BytesIO(text))
layer = blob(gzip.compress(tar.getvalue()), "layer.v1.tar+gzip")
config = {"architecture": "amd64", "os": "linux", "config": {}}
config["rootfs"] = {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(tar.getvalue()).hexdigest()]}
config = blob(json.dumps(config).encode(), "config.v1+json")
manifest = {"schemaVersion": 2, "config": config, "layers": [layer]}
manifest["mediaType"] = "application/vnd.oci.image.manifest.v1+json"
manifest = blob(json.dumps(manifest).encode(), "manifest.v1+json")
json.dump({"schemaVersion": 2, "manifests": [manifest]}, open("image/index.json", "w"))
json.dump({"imageLayoutVersion": "1.0.0"}, open("image/oci-layout", "w"))
END
auth="--authfile $HOME/auth.json"
image=docker://registry.test/private/thing:1
skopeo inspect $image >/dev/null 2>&1 && echo "without: got in"
skopeo login $auth -u robot -p "$REGISTRY_TOKEN" registry.test
skopeo --insecure-policy copy -q --dest-authfile $HOME/auth.json oci:image $image && echo "push: done"
skopeo --insecure-policy copy -q --src-creds "robot:$REGISTRY_TOKEN" $image dir:pulled
echo "pull: $(for f in pulled/*; do tar xzOf $f said 2>/dev/null; done)"
ALL"#;

#[tokio::test]
async fn images_are_pushed_and_pulled_with_a_password_that_the_sandbox_does_not_have() {
    let Some(images) = Images::start() else {
        return;
    };
    let hosts = format!(
        "registry.test=127.0.0.1:{},auth.test=127.0.0.1:{}",
        images.registry, images.tokens
    );
    let authority = images.folder.path().join("server.pem");
    let options = ServerOptions::new(Runtimes::demo().with_raw())
        .set("AOD_EGRESS__HOSTS", hosts)
        .set("AOD_EGRESS__CA_FILE", authority.display());
    let server = Server::start(options).await;
    let client = server.client();
    let body = json!({"value": images.password, "hosts": ["registry.test", "auth.test"]});
    let set = client.put("/credentials/env:REGISTRY_TOKEN", &body).await;
    set.expect(200);
    let body = json!({"name": "raw", "runtime": "raw", "model": aod_e2e::DEMO_MODEL});
    let agent = client.create_agent(&body).await;
    let body = json!({"agent_id": agent, "prompt": SCRIPT});
    let ended = client.create_session(&body).await.ended().await;
    let (output, requests) = (ended.stdout(), images.file("requests"));
    let said = format!("{output}{requests}{}", images.file("registry.log"));
    for wanted in ["Login Succeeded!", "push: done", "from the registry"] {
        assert!(output.contains(wanted), "{wanted}: {said}");
    }
    assert!(!output.contains("without: got in"), "{said}");
    let pull = "thing%3Apull&service=registry.test password";
    assert!(requests.contains(pull), "{said}");
    let everywhere = files_with(&server.data(), &images.password, &|_| false);
    assert!(everywhere.is_empty(), "{everywhere:?}");
}
