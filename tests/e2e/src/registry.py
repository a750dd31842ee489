"""A registry of Python and npm packages, Go modules and crates: every name that begins with `sample` is
one, at version 1.0.0, and so is every name that begins with `held`, but it is given out only once the file `open` is there.

What is in the folder `gems` beside this file is one of gems, as `gem generate_index` makes it.

Arguments: a folder, in which each request becomes a line of `requests`. Prints its port.
"""

import gzip
import hashlib
import http.server
import io
import json
import os
import sys
import tarfile
import time
import zipfile

folder = sys.argv[1]
log = os.path.join(folder, "requests")

PROBE = """
const fs = require("fs");
const prefix = process.env.PREFIX_OF_TEST || "/opt/aod/packages/node";
const seen = {env: process.env, paths: {}};
for (const path of ["/root", "/work", "/var/lib/dpkg/status", "/etc/apt", "/etc/shadow"])
    seen.paths[path] = fs.existsSync(path);
seen.writable = [];
for (const path of ["/usr/evil", "/etc/evil", "/evil", "/opt/evil"])
    try { fs.writeFileSync(path, ""); seen.writable.push(path); } catch {}
fs.mkdirSync(prefix + "/lib", {recursive: true});
fs.writeFileSync(prefix + "/lib/seen.json", JSON.stringify(seen));
fs.symlinkSync("/etc/shadow", prefix + "/lib/link");
"""


def wheel(name):
    module = name.replace("-", "_")
    info = f"{module}-1.0.0.dist-info"
    files = {
        f"{module}.py": f"def main():\n    print('python {name}')\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{name}-py = {module}:main\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return whole.getvalue()


def description(name):
    return {
        "name": name,
        "version": "1.0.0",
        "main": "index.js",
        "bin": {f"{name}-js": "cli.js"},
        "scripts": {"postinstall": "node probe.js"} if "probe" in name else {},
    }


def tarball(name):
    files = {
        "package.json": json.dumps(description(name)),
        "index.js": f"module.exports = 'node {name}';\n",
        "cli.js": "#!/usr/bin/env node\nconsole.log(require('./index.js'));\n",
        "probe.js": PROBE,
    }
    return gzip.compress(tar("package", files, 0o755))


def tar(folder, files, mode):
    """An archive of texts in a folder."""
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as archive:
        for path, text in files.items():
            member = tarfile.TarInfo(f"{folder}/{path}")
            member.size, member.mode = len(text), mode
            archive.addfile(member, io.BytesIO(text.encode()))
    return whole.getvalue()


def go_module(name):
    """A Go module with one program."""
    files = {
        "go.mod": f"module {name}\n\ngo 1.16\n",
        "main.go": f'package main\n\nfunc main() {{\n\tprint("go {name}")\n}}\n',
    }
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        for path, text in files.items():
            archive.writestr(f"{name}@v1.0.0/{path}", text)
    return files["go.mod"].encode(), whole.getvalue()


def crate(name):
    """A crate with one program, packed as cargo does."""
    files = {
        "Cargo.toml": f'[package]\nname = "{name}"\nversion = "1.0.0"\nedition = "2021"\n',
        "Cargo.lock": f'version = 3\n\n[[package]]\nname = "{name}"\nversion = "1.0.0"\n',
        "src/main.rs": f'fn main() {{\n    println!("rust {name}");\n}}\n',
    }
    # Its hash is in the index.
    return gzip.compress(tar(f"{name}-1.0.0", files, 0o644), mtime=0)


def gem_file(path):
    """A file of the registry of gems, if there is one of that path."""
    root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "gems")
    path = os.path.abspath(os.path.join(root, path))
    if not path.startswith(root + os.sep) or not os.path.isfile(path):
        return None
    with open(path, "rb") as file:
        return file.read()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def reply(self, status, kind="text/plain", body=b""):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        with open(log, "a") as file:
            file.write(self.path + "\n")
        kind, _, name = self.path.strip("/").partition("/")
        name = name.strip("/")
        if kind == "gem":
            found = gem_file(name)
            return self.reply(404) if found is None else self.reply(200, "application/octet-stream", found)
        if kind == "cargo" and name == "config.json":
            base = f"http://{self.headers['Host']}"
            about = {"dl": f"{base}/crates/{{crate}}", "api": None}
            return self.reply(200, "application/json", json.dumps(about).encode())
        # Folders of an index have parts of the name.
        name = name.removeprefix("sa/mp/").removeprefix("he/ld/")
        if not name.startswith(("sample", "held")):
            return self.reply(404)
        if name.startswith("held"):
            while not os.path.exists(os.path.join(folder, "open")):
                time.sleep(0.05)
        if kind == "simple":
            file = f"{name.replace('-', '_')}-1.0.0-py3-none-any.whl"
            link = f'<a href="/wheels/{name}/{file}">{file}</a>'
            return self.reply(200, "text/html", link.encode())
        if kind == "wheels":
            return self.reply(200, "application/zip", wheel(name.partition("/")[0]))
        if kind == "npm":
            base = f"http://{self.headers['Host']}"
            dist = {"tarball": f"{base}/tarballs/{name}"}
            version = {**description(name), "dist": dist}
            about = {"name": name, "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": version}}
            return self.reply(200, "application/json", json.dumps(about).encode())
        if kind == "cargo":
            entry = {"name": name, "vers": "1.0.0", "deps": [], "features": {}, "yanked": False}
            entry["cksum"] = hashlib.sha256(crate(name)).hexdigest()
            return self.reply(200, "text/plain", json.dumps(entry).encode() + b"\n")
        if kind == "crates":
            return self.reply(200, "application/gzip", crate(name))
        if kind == "go":
            name, _, file = name.partition("/@")
            mod, archive = go_module(name)
            about = json.dumps({"Version": "v1.0.0", "Time": "2020-01-01T00:00:00Z"}).encode()
            known = {"v/list": b"v1.0.0\n", "latest": about, "v/v1.0.0.info": about}
            known |= {"v/v1.0.0.mod": mod, "v/v1.0.0.zip": archive}
            found = known.get(file)
            return self.reply(404) if found is None else self.reply(200, "text/plain", found)
        if kind == "tarballs":
            return self.reply(200, "application/gzip", tarball(name))
        return self.reply(404)


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
