"""A registry of container images that wants tokens, and the server that gives them, behind TLS.

The registry is Debian's `docker-registry`; tokens are those of the distribution specification: a
user's password for one at `https://auth.test/token`, that for an image.

Arguments: a folder with `server.pem` and `server.key`, in which all else is kept. The variable
REGISTRY_TOKEN has the password of `robot`. Prints the ports of the registry and of the tokens.
"""

import base64
import http.server
import json
import os
import socket
import ssl
import subprocess
import sys
import time
import urllib.parse

folder = sys.argv[1]
password = os.environ["REGISTRY_TOKEN"]
SERVICE, ISSUER = "registry.test", "auth.test"


def path(name):
    return os.path.join(folder, name)


subprocess.run(
    ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=auth"]
    + ["-keyout", path("token.key"), "-out", path("token.pem")],
    check=True,
    stderr=subprocess.DEVNULL,
)
with open(path("token.pem")) as file:
    SHOWN = "".join(line.strip() for line in file if "-----" not in line)


def part(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def token(scopes):
    now = int(time.time())
    access = []
    for scope in scopes:
        kind, name, actions = scope.split(":")
        access.append({"type": kind, "name": name, "actions": actions.split(",")})
    claims = {"iss": ISSUER, "sub": "robot", "aud": SERVICE, "access": access}
    claims |= {"iat": now, "nbf": now - 10, "exp": now + 300, "jti": str(now)}
    header = {"typ": "JWT", "alg": "RS256", "x5c": [SHOWN]}
    text = b".".join(part(json.dumps(it).encode()) for it in (header, claims))
    sign = ["openssl", "dgst", "-sha256", "-sign", path("token.key")]
    return (text + b"." + part(subprocess.run(sign, input=text, check=True, capture_output=True).stdout)).decode()


class Tokens(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        given = self.headers.get("Authorization", "")
        wanted = "Basic " + base64.b64encode(f"robot:{password}".encode()).decode()
        with open(path("requests"), "a") as file:
            file.write(f"{self.path} {'password' if given == wanted else 'nothing'}\n")
        if given != wanted:
            return self.answer(401, {"errors": [{"code": "UNAUTHORIZED"}]})
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        scopes = [scope for it in query.get("scope", []) for scope in it.split(" ")]
        self.answer(200, {"token": token(scopes), "expires_in": 300})

    def answer(self, status, body):
        body = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
config = {
    "version": 0.1,
    "log": {"level": "warn"},
    "storage": {"filesystem": {"rootdirectory": path("images")}},
    "http": {
        "addr": f"127.0.0.1:{port}",
        "relativeurls": True,
        "tls": {"certificate": path("server.pem"), "key": path("server.key")},
    },
    "auth": {
        "token": {
            "realm": "https://auth.test/token",
            "service": SERVICE,
            "issuer": ISSUER,
            "rootcertbundle": path("token.pem"),
        }
    },
}
with open(path("registry.yml"), "w") as file:
    # All JSON is YAML.
    json.dump(config, file)
with open(path("registry.log"), "w") as log:
    command = ["setpriv", "--pdeathsig", "KILL", "docker-registry", "serve", path("registry.yml")]
    registry = subprocess.Popen(command, stdout=log, stderr=log)
while registry.poll() is None:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        break
    except OSError:
        time.sleep(0.02)
assert registry.poll() is None, open(path("registry.log")).read()
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Tokens)
server.handle_error = lambda *_: None
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(path("server.pem"), path("server.key"))
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
print(port, server.server_port, flush=True)
server.serve_forever()
