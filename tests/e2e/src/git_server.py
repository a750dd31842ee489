"""A git server: `git http-backend` behind HTTP or HTTPS, with a token for what is private.

Arguments: the folder of repositories, the file for a line per request, and a certificate and its key
for HTTPS. The variable TOKEN has the token. Prints its port.
"""

import base64
import http.server
import json
import os
import ssl
import subprocess
import sys

root, log = sys.argv[1:3]
certificate = sys.argv[3:5]
token = os.environ["TOKEN"]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def refuse(self, status, headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def body(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            whole = b""
            while size := int(self.rfile.readline(), 16):
                whole += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return whole
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def user(self):
        given = self.headers.get("Authorization", "")
        if not given.startswith("Basic "):
            return None
        user, _, password = base64.b64decode(given[6:]).decode().partition(":")
        return user if password == token else None

    def serve(self):
        body = self.body()
        path, _, query = self.path.partition("?")
        given = "with" if self.headers.get("Authorization") else "without"
        with open(log, "a") as file:
            file.write(f"{self.command} {path} {query or '-'} {given}\n")
        user = self.user()
        if path.startswith("/private/") and user is None:
            return self.refuse(401, [("WWW-Authenticate", 'Basic realm="git"')])
        if path.startswith("/moved/"):
            return self.refuse(301, [("Location", self.path.replace("/moved/", "/"))])
        if path.startswith("/broken/"):
            self.connection.close()
            return None
        repository, is_lfs, rest = path.partition("/info/lfs/")
        if is_lfs:
            return self.serve_lfs(root + repository, rest, body)
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": root,
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "REMOTE_USER": user or "",
            "GIT_CONFIG_COUNT": "2",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
            "GIT_CONFIG_KEY_1": "uploadpack.allowReachableSHA1InWant",
            "GIT_CONFIG_VALUE_1": "true",
        }
        done = subprocess.run(
            ["git", "http-backend"], input=body, env=environment, stdout=subprocess.PIPE
        )
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        status, headers = 200, []
        for line in head.decode().splitlines():
            name, _, value = line.partition(": ")
            if name == "Status":
                status = int(value.split()[0])
            else:
                headers.append((name, value))
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        return None

    def serve_lfs(self, repository, rest, body):
        """The batch interface of Git LFS, for downloads, and the files themselves."""

        def stored(name):
            return os.path.join(repository, "lfs/objects", name[:2], name[2:4], name)

        def described(wanted):
            if not os.path.exists(stored(wanted["oid"])):
                return {**wanted, "error": {"code": 404, "message": "not here"}}
            scheme = "https" if certificate else "http"
            href = f"{scheme}://{self.headers['Host']}{self.path[: -len('batch')]}{wanted['oid']}"
            given = {"Authorization": self.headers.get("Authorization", "")}
            return {**wanted, "actions": {"download": {"href": href, "header": given}}}

        if rest == "objects/batch":
            objects = [described(wanted) for wanted in json.loads(body)["objects"]]
            kind, content = "application/vnd.git-lfs+json", json.dumps({"objects": objects}).encode()
        elif rest.startswith("objects/") and os.path.exists(stored(rest[8:])):
            with open(stored(rest[8:]), "rb") as file:
                kind, content = "application/octet-stream", file.read()
        else:
            return self.refuse(404)
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        return None

    do_GET = do_POST = serve


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
if certificate:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
print(server.server_address[1], flush=True)
server.serve_forever()
