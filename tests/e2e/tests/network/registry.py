"""Package registries behind TLS that want a token: npm's, PyPI's and cargo's, and `/whoami`.

Arguments: a certificate, its key, and the file for a line per request. The variables NPM_TOKEN,
PYPI_TOKEN and CARGO_TOKEN have the tokens. Prints its port.
"""

import base64
import hashlib
import http.server
import io
import json
import os
import ssl
import sys
import tarfile
import zipfile

certificate, key, log = sys.argv[1:4]
npm, pypi, cargo = (os.environ[name] for name in ("NPM_TOKEN", "PYPI_TOKEN", "CARGO_TOKEN"))


def tarball(files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, text in files:
            info = tarfile.TarInfo(name)
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
    return out.getvalue()


def wheel():
    out = io.BytesIO()
    folder = "acme_thing-1.0.dist-info"
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("acme_thing.py", "said = 'from pypi'\n")
        archive.writestr(f"{folder}/METADATA", "Metadata-Version: 2.1\nName: acme-thing\nVersion: 1.0\n")
        archive.writestr(f"{folder}/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{folder}/RECORD", f"acme_thing.py,,\n{folder}/METADATA,,\n{folder}/WHEEL,,\n{folder}/RECORD,,\n")
    return out.getvalue()


TARBALL = tarball([
    ("package/package.json", '{"name": "@acme/thing", "version": "1.0.0"}'),
    ("package/index.js", "module.exports = 'from npm';"),
])
CRATE = tarball([
    ("acme-thing-1.0.0/Cargo.toml", '[package]\nname = "acme-thing"\nversion = "1.0.0"\nedition = "2021"\n'),
    ("acme-thing-1.0.0/src/lib.rs", 'pub const SAID: &str = "from cargo";\n'),
])
CRATE_LINE = {
    "name": "acme-thing",
    "vers": "1.0.0",
    "deps": [],
    "cksum": hashlib.sha256(CRATE).hexdigest(),
    "features": {},
    "yanked": False,
}
CARGO_CONFIG = {"dl": "https://registry.test/cargo/dl", "auth-required": True}
WHEEL = wheel()
PACKUMENT = {
    "name": "@acme/thing",
    "dist-tags": {"latest": "1.0.0"},
    "versions": {
        "1.0.0": {
            "name": "@acme/thing",
            "version": "1.0.0",
            "dist": {
                "tarball": "https://registry.test/npm/thing-1.0.0.tgz",
                "shasum": hashlib.sha1(TARBALL).hexdigest(),
            },
        }
    },
}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def given(self):
        """Which token came, and how."""
        for name, value in self.headers.items():
            if value.lower().startswith("basic "):
                value = base64.b64decode(value[6:]).decode()
            for which, token in [("npm", npm), ("pypi", pypi), ("cargo", cargo)]:
                if token in value:
                    return f"{which} in {name.lower()}"
        return "nothing"

    def do_GET(self):
        given = self.given()
        with open(log, "a") as file:
            file.write(f"{self.headers['Host']} {self.path} {given}\n")
        path = self.path.lower()
        if path == "/whoami":
            return self.answer(200, given.encode())
        if path.startswith(("/npm/", "/@acme")) and not given.startswith("npm"):
            return self.answer(401, b"{}")
        if path.startswith("/pypi/") and given != "pypi in authorization":
            return self.answer(401, b"no", {"WWW-Authenticate": 'Basic realm="pypi"'})
        if path.startswith("/cargo/") and given != "cargo in authorization":
            return self.answer(401, b"", {"WWW-Authenticate": "Cargo"})
        if path == "/cargo/index/config.json":
            return self.answer(200, json.dumps(CARGO_CONFIG).encode())
        if path == "/cargo/index/ac/me/acme-thing":
            return self.answer(200, json.dumps(CRATE_LINE).encode())
        if path == "/cargo/dl/acme-thing/1.0.0/download":
            return self.answer(200, CRATE)
        if path.startswith(("/npm/@acme", "/@acme")):
            return self.answer(200, json.dumps(PACKUMENT).encode(), {"Content-Type": "application/json"})
        if path == "/npm/thing-1.0.0.tgz":
            return self.answer(200, TARBALL)
        if path == "/pypi/simple/acme-thing/":
            link = '<a href="/pypi/acme_thing-1.0-py3-none-any.whl">acme_thing-1.0-py3-none-any.whl</a>'
            return self.answer(200, link.encode(), {"Content-Type": "text/html"})
        if path == "/pypi/acme_thing-1.0-py3-none-any.whl":
            return self.answer(200, WHEEL)
        self.answer(404, b"")

    def answer(self, status, body, headers={}):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        """Clients go away as they like."""


server = Server(("127.0.0.1", 0), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
print(server.server_port, flush=True)
server.serve_forever()
