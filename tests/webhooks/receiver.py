"""Receives webhooks: verifies them with the published library, and writes down what came."""

import argparse
import itertools
import json
import ssl
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--port", type=int, default=0)
parser.add_argument("--secret", action="append", default=[], help="one to verify with; repeatable")
parser.add_argument("--answers", default="200", help="statuses in order; the last one stays")
parser.add_argument("--location", default="/elsewhere", help="where redirects lead")
parser.add_argument("--body", type=int, default=2, help="bytes of each answer's body")
parser.add_argument("--certificate", help="serves TLS with this certificate and key, in PEM")
arguments = parser.parse_args()

answers = [int(status) for status in arguments.answers.split(",")]
telling = threading.Lock()
upcoming = itertools.chain(answers, itertools.repeat(answers[-1]))


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        status = next(upcoming)
        said = {
            "path": self.path,
            "headers": headers,
            "body": json.loads(body),
            "verified": [verifies(secret, body, headers) for secret in arguments.secret],
            "answered": status,
        }
        tell(said)
        answer = b"x" * arguments.body
        self.send_response(status)
        if 300 <= status < 400:
            self.send_header("location", arguments.location)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    # A client that follows a redirect may ask otherwise.
    do_GET = do_POST

    def log_message(self, *_):
        pass


def tell(said):
    # In one write: `print` writes the end of a line apart, and another thread's line gets between.
    with telling:
        sys.stdout.write(json.dumps(said) + "\n")
        sys.stdout.flush()


def verifies(secret, body, headers):
    try:
        Webhook(secret).verify(body, headers)
        return True
    except WebhookVerificationError:
        return False


server = ThreadingHTTPServer(("127.0.0.1", arguments.port), Receiver)
if arguments.certificate:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(arguments.certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
tell({"port": server.server_address[1]})
sys.stdin.close()
server.serve_forever()
