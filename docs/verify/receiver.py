"""A receiver of the notifier's webhooks, to copy from: it verifies the signature,
refuses what is too old, and takes each delivery once. Python 3.8 or newer, nothing
but the standard library.

    python3 receiver.py 127.0.0.1:9000 secret.txt

The file holds the secret as CONNECTOR_<NAME>_SECRET has it: whsec_ and base64.
"""

import base64
import hashlib
import hmac
import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOLERANCE_SECONDS = 5 * 60
MAX_BODY = 16 << 20
MAX_SEEN = 100_000  # deliveries to remember: a failed one is repeated for three days


class Refused(Exception):
    """The request is not to be trusted."""


def verify(headers, body, key, now=None):
    """Raise Refused unless a holder of the key signed body with these headers within
    the last five minutes. Body has to be the bytes as they came."""
    now = time.time() if now is None else now
    delivery = headers.get("webhook-id", "")
    timestamp = headers.get("webhook-timestamp", "")
    if not delivery or not (timestamp.isascii() and timestamp.isdigit()):
        raise Refused("webhook-id or webhook-timestamp is missing or malformed")
    if abs(now - int(timestamp[:15])) > TOLERANCE_SECONDS:
        raise Refused("too old, or from the future: it may have been recorded")
    signed = delivery.encode() + b"." + timestamp.encode() + b"." + body
    want = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest())
    for one in headers.get("webhook-signature", "").split():  # several while a secret is exchanged
        version, _, got = one.partition(",")
        if version == "v1" and hmac.compare_digest(got.encode(), want):  # in constant time
            return
    raise Refused("no signature matches")


def handle(body):
    """This is where your own code begins. A digest is a list of events."""
    parsed = json.loads(body)
    for event in parsed if isinstance(parsed, list) else [parsed]:
        print(event["type"], event["id"], flush=True)


class Receiver(BaseHTTPRequestHandler):
    """Takes each delivery once. It forgets them when it ends: a database with a unique
    key on webhook-id does not."""

    protocol_version = "HTTP/1.1"
    timeout = 30
    key = b""
    seen = {}  # in the order of arrival
    lock = threading.Lock()

    def do_POST(self):
        try:
            length = int(self.headers["Content-Length"])
        except (TypeError, ValueError):
            self.close_connection = True
            return self.answer(411, "a Content-Length is missing")
        if not 0 <= length <= MAX_BODY:
            self.close_connection = True
            return self.answer(413, "the body is too large")
        body = self.rfile.read(length)
        try:
            verify(self.headers, body, self.key)
            self.take(self.headers["webhook-id"], body)
        except Refused as refused:
            return self.answer(401, str(refused))
        except Exception:
            return self.answer(500, "try again later")
        return self.answer(204)

    def take(self, delivery, body):
        with self.lock:
            if delivery in self.seen:
                return
            handle(body)  # raises: not seen, and it comes again
            self.seen[delivery] = True
            if len(self.seen) > MAX_SEEN:
                del self.seen[next(iter(self.seen))]

    def answer(self, status, text=""):
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *args):
        pass


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: python3 receiver.py <address> <file with the secret>")
    with open(sys.argv[2], encoding="ascii") as file:
        secret = file.read().strip()
    if not secret.startswith("whsec_"):
        sys.exit("the secret is not whsec_ and base64")
    Receiver.key = base64.b64decode(secret[len("whsec_"):], validate=True)
    host, _, port = sys.argv[1].rpartition(":")
    with ThreadingHTTPServer((host, int(port)), Receiver) as server:
        print("listening on %s:%d" % server.server_address[:2], flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
