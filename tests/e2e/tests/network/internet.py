"""A network's machines in one: web, UDP and names, at all addresses of a network namespace.

Prints a line when it listens. The web server answers with the address that it was reached at. UDP
port 7000 and an abstract socket answer `reached`. At port 3128 of loopback is a proxy that leads
everywhere. Arguments: NAME=ADDRESS for names that are resolved, and ADDRESS for those at which UDP
is served.
"""

import http.server
import json
import socket
import socketserver
import struct
import subprocess
import sys
import threading
import urllib.parse

# Before a network has any address, the kernel takes all of them for broadcasts, and answers do not
# come from the address that a socket is bound to.
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)

NAMES, ADDRESSES = {}, []
for argument in sys.argv[1:]:
    name, _, address = argument.rpartition("=")
    if name:
        NAMES.setdefault(name, []).append(address)
    elif not address.startswith("fe80:"):
        ADDRESSES.append(address)


def udp(address, port):
    """A socket at one address, so that answers come from there."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_DGRAM)
    # IP_FREEBIND and IPV6_FREEBIND: the address may come later.
    bound.setsockopt(*((socket.IPPROTO_IPV6, 78) if ":" in address else (socket.IPPROTO_IP, 15)), 1)
    bound.bind((address, port))
    return bound


PACKAGE = {
    "name": "reached",
    "dist-tags": {"latest": "1.0.0"},
    "versions": {"1.0.0": {"name": "reached", "version": "1.0.0", "dist": {"tarball": "http://x/"}}},
}


def page(path, at):
    """What the web has: a git repository, packages of npm and pip, and something large."""
    if path.endswith("/info/refs"):
        return b"%s\trefs/heads/reached\n" % (b"0" * 39 + b"1")
    if path == "/reached":
        return json.dumps(PACKAGE).encode()
    if path.startswith("/simple/"):
        return b'<a href="reached-1.0-py3-none-any.whl">reached-1.0-py3-none-any.whl</a>'
    if path == "/large":
        return b"x" * 5_000_000
    return f"reached {at}".encode()


class Web(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        path, _, query = self.path.partition("?")
        at = self.request.getsockname()[0].removeprefix("::ffff:")
        body = page(path, at)
        self.send_response(302 if path == "/to" else 200)
        if path == "/to":
            self.send_header("Location", query)
        self.send_header("Content-Type", "text/html" if path.startswith("/simple/") else "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Proxy(http.server.BaseHTTPRequestHandler):
    """A proxy that leads everywhere."""

    def log_message(self, *_):
        pass

    def do_CONNECT(self):
        host, port = self.path.rsplit(":", 1)
        with socket.create_connection((host.strip("[]"), int(port)), 10) as target:
            self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
            back = threading.Thread(target=self.bring, args=[target], daemon=True)
            back.start()
            while piece := self.rfile.read1(1 << 16):
                target.sendall(piece)
            back.join(10)

    def bring(self, target):
        while piece := target.recv(1 << 16):
            self.wfile.write(piece)
        self.connection.shutdown(socket.SHUT_RDWR)

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        path = urllib.parse.urlunsplit(("", "", url.path or "/", url.query, ""))
        with socket.create_connection((url.hostname, url.port or 80), 10) as target:
            target.sendall(f"GET {path} HTTP/1.0\r\nHost: {url.netloc}\r\n\r\n".encode())
            while piece := target.recv(1 << 16):
                self.wfile.write(piece)


class WebServer(socketserver.ThreadingTCPServer):
    address_family = socket.AF_INET6
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 50

    def handle_error(self, *_):
        """Clients go away as they like."""


def echo(bound):
    while True:
        _, client = bound.recvfrom(2000)
        bound.sendto(b"reached", client)


def answer(message):
    at, labels = 12, []
    while message[at]:
        labels.append(message[at + 1 : at + 1 + message[at]].decode().lower())
        at += 1 + message[at]
    question = message[12 : at + 5]
    kind = struct.unpack("!H", message[at + 1 : at + 3])[0]
    # What is below a name leads to where the name leads, unless it is known itself.
    addresses = NAMES.get(".".join(labels)) or NAMES.get(".".join(labels[-2:]))
    family = {1: socket.AF_INET, 28: socket.AF_INET6}.get(kind)
    records = b""
    count = 0
    for address in addresses or []:
        if (":" in address) == (family == socket.AF_INET6) and family:
            data = socket.inet_pton(family, address)
            records += struct.pack("!HHHIH", 0xC00C, kind, 1, 1, len(data)) + data
            count += 1
    flags = 0x8180 if addresses else 0x8183
    return message[:2] + struct.pack("!HHHHH", flags, 1, count, 0, 0) + question + records


def names(bound):
    while True:
        message, client = bound.recvfrom(2000)
        bound.sendto(answer(message), client)


web = WebServer(("::", 80), Web, bind_and_activate=False)
web.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
web.server_bind()
web.server_activate()
def abstract():
    server = socket.socket(socket.AF_UNIX)
    server.bind("\0aod-test-internet")
    server.listen()
    while True:
        client, _ = server.accept()
        client.sendall(b"reached")
        client.close()


proxy = http.server.ThreadingHTTPServer(("127.0.0.1", 3128), Proxy)
proxy.handle_error = lambda *_: None
threading.Thread(target=proxy.serve_forever, daemon=True).start()
threading.Thread(target=abstract, daemon=True).start()
for address in ADDRESSES:
    for port, serve in [(7000, echo), (53, names)]:
        threading.Thread(target=serve, args=[udp(address, port)], daemon=True).start()
print("ready", flush=True)
web.serve_forever()
