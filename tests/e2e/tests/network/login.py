"""A login's server behind TLS: `POST /token` renews tokens (RFC 6749, section 6), each of which is
good once; `/whoami` says whether the token that came with it is the newest. `/revoke` has the newest
token taken no more; `/strict` is 401 to a token that is not taken, and repeats what it was sent to
any other. A file `revoke` in the folder does what `/revoke` does.

Arguments: a certificate, its key, and a folder. What the folder's file `mode` says is done: `refuse`,
`fail`, else what is asked for. Each renewal is a line of `renewals`, and each 401 one of `refusals`.
Prints its port.
"""

import http.server
import json
import os
import ssl
import sys
import threading
import urllib.parse

certificate, key, folder = sys.argv[1:4]
state = {"number": 0, "revoked": False}
lock = threading.Lock()


def mode():
    try:
        with open(os.path.join(folder, "mode")) as file:
            return file.read()
    except OSError:
        return ""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def reply(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def is_newest(self):
        return self.headers.get("authorization") == f"Bearer opens-the-door-{state['number']}"

    def strict(self, body):
        with lock:
            revoke = os.path.join(folder, "revoke")
            if os.path.exists(revoke):
                os.remove(revoke)
                state["revoked"] = True
            if self.is_newest() and not state["revoked"]:
                return self.reply(200, {"taken": body})
            with open(os.path.join(folder, "refusals"), "a") as file:
                file.write("refused\n")
        self.reply(401, {"error": "token_revoked"})

    def do_POST(self):
        length = int(self.headers["content-length"])
        body = self.rfile.read(length).decode()
        if self.path == "/strict":
            return self.strict(body)
        form = dict(urllib.parse.parse_qsl(body))
        with lock:
            with open(os.path.join(folder, "renewals"), "a") as file:
                file.write(f"{form.get('client_id')} {form.get('grant_type')}\n")
            if mode() == "fail":
                return self.reply(503, {"error": "temporarily_unavailable"})
            if mode() == "refuse" or form.get("refresh_token") != f"renews-the-login-{state['number']}":
                return self.reply(400, {"error": "invalid_grant", "error_description": str(form)})
            state["number"] += 1
            state["revoked"] = False
            number = state["number"]
        self.reply(200, {
            "access_token": f"opens-the-door-{number}",
            "refresh_token": f"renews-the-login-{number}",
            "token_type": "Bearer",
            "expires_in": 7200,
        })

    def do_GET(self):
        if self.path == "/strict":
            return self.strict("")
        if self.path == "/revoke":
            state["revoked"] = True
        self.reply(200, {"newest": self.is_newest()})

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_address[1], flush=True)
server.serve_forever()
