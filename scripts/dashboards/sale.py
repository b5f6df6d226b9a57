"""Runs a sale with failures, so that every panel of the dashboards has data: buyers that pay, pay twice, cancel, let orders
expire and order too much; valid and forged webhooks; endpoints that answer, fail and refuse connections; an auction;
malformed frames; slow clients.

    sale.py PUBLIC ADMIN WIRE SECRETS SECONDS STUB_PORT

It lasts SECONDS, and then until the file `enough` is in SECRETS.
The stub (an endpoint of the outbox, and a payment provider's API) must run before the server starts: `sale.py stub PORT`.
"""

import base64
import hashlib
import hmac
import http.client
import http.server
import itertools
import json
import socket
import struct
import sys
import threading
import time
import traceback
from datetime import datetime, timedelta, timezone
from pathlib import Path

numbers = itertools.count(1)

# Behaviors of buyers; the buyer's number, modulo this, selects one.
KINDS = 10
# Runs of each kind, even on a slow machine: a rate needs more than one event.
EACH_KIND = 8
# Seconds after its time at which the sale ends all the same.
PATIENCE = 120


class Stub(http.server.BaseHTTPRequestHandler):
    """POST /good: 200. /bad: 500. Anything else is Stripe's API, which fails every fourth time."""

    protocol_version = "HTTP/1.1"
    sessions = itertools.count(1)

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        number = next(self.sessions)
        failed = self.path == "/bad" or (self.path.startswith("/v1") and number % 4 == 0)
        body = {"error": {"type": "api_error"}} if failed else {"id": f"cs_{number}", "url": f"https://pay.example/{number}"}
        text = json.dumps(body).encode()
        self.send_response(500 if failed else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


class StubServer(http.server.ThreadingHTTPServer):
    request_queue_size = 128

    def handle_error(self, request, client_address):
        # A server that ends closes its connections.
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class Sale:
    def __init__(self, public, admin, wire, secrets, seconds, stub):
        self.public, self.admin = public, admin
        self.wire = (wire.split(":")[0], int(wire.split(":")[1]))
        self.secret = base64.b64decode((Path(secrets) / "sandbox").read_text().strip().removeprefix("whsec_"))
        self.until = time.monotonic() + float(seconds)
        self.enough = Path(secrets) / "enough"
        self.stub = stub
        self.buyers = itertools.count(1)
        self.served = [0] * KINDS
        self.failures = []  # what ended a thread before its time

    def goes_on(self):
        now = time.monotonic()
        is_enough = min(self.served) >= EACH_KIND and self.enough.exists()
        return now < self.until or (not is_enough and now < self.until + PATIENCE)

    def ask(self, address, method, path, body=None, headers=()):
        connection = http.client.HTTPConnection(address, timeout=10)
        sent = {"Content-Type": "application/json", "Idempotency-Key": f"sale-{next(numbers)}", **dict(headers)}
        try:
            connection.request(method, path, body if isinstance(body, (bytes, type(None))) else json.dumps(body), sent)
            answer = connection.getresponse()
            text = answer.read()
            return answer.status, json.loads(text) if text.startswith(b"{") else {}
        except OSError:  # the limit of connections is low
            return 0, {}
        finally:
            connection.close()

    def prepare(self):
        made = {"sku": "S", "currency": "EUR", "unit_price": 100, "starts_at": "2020-01-01T00:00:00Z"}
        soon = datetime.now(timezone.utc) - timedelta(seconds=1)
        drop = {**made, "name": "shoe", "total": 400, "per_buyer_limit": 2, "reservation_seconds": 3,
                "starts_at": soon.isoformat().replace("+00:00", "Z")}
        self.drop = self.created("/v1/drops", drop)
        self.few = self.created("/v1/drops", {**made, "name": "few", "total": 1})
        auction = {"sku": "A", "name": "one", "currency": "EUR", "start_price": 100, "starts_at": "2020-01-01T00:00:00Z",
                   "ends_at": "2999-01-01T00:00:00Z", "buy_now": 900}
        self.auction = self.created("/v1/auctions", auction)
        self.sold_at_once = [self.created("/v1/auctions", auction) for _ in range(10)]
        self.next_purchase = 0.0
        for url in (f"http://127.0.0.1:{self.stub}/good", f"http://127.0.0.1:{self.stub}/bad", "http://127.0.0.1:1/"):
            self.created("/v1/webhook-endpoints", {"url": url, "events": ["*"]})

    def created(self, path, body):
        status, made = self.ask(self.admin, "POST", path, body)
        if status != 201:
            sys.exit(f"POST {path}: {status} {made}")
        return made["id"]

    def webhook(self, kind, order, reference, forged=False):
        body = json.dumps({
            "type": kind,
            "timestamp": datetime.now(timezone.utc).isoformat(),
            "data": {"order_id": order["id"], "reference": reference, "amount": order["amount"], "currency": "EUR"},
        }).encode()
        event, at = f"evt-{reference}-{kind}".replace(".", "-"), str(int(time.time()))
        signed = hmac.new(b"forged" if forged else self.secret, f"{event}.{at}.".encode() + body, hashlib.sha256).digest()
        headers = {"webhook-id": event, "webhook-timestamp": at, "webhook-signature": "v1," + base64.b64encode(signed).decode()}
        return self.ask(self.public, "POST", "/v1/payments/sandbox", body, headers)

    def buyer(self, _):
        """One buyer. The number of the buyer selects the kind, so that every kind occurs."""
        number = next(self.buyers)
        path, buyer = f"/v1/drops/{self.drop}/orders", f"buyer-{number}"
        body = {"buyer": buyer, "quantity": 1}
        kind = number % KINDS
        if kind != 0:  # kind 0 does not check out, and the order expires
            body["contact"] = {"email": f"{buyer}@example.org"}
        status, order = self.ask(self.public, "POST", path, body)
        if status != 201:
            return
        mine = f"/v1/orders/{order['id']}"
        self.ask(self.public, "GET", mine)
        if kind == 1:
            self.ask(self.public, "POST", f"{mine}/cancel")
        elif kind in (2, 3, 4, 5):
            self.webhook("payment.succeeded", order, f"r{number}")
            if kind == 3:  # a second payment, which is owed back
                self.webhook("payment.succeeded", order, f"r{number}-again")
            if kind == 4:
                refund = {"amount": 50, "reason": "scratched"}
                self.ask(self.admin, "POST", f"{mine}/refund", refund)
        elif kind == 6:
            payment = {"reference": f"cash-{number}", "amount": order["amount"], "currency": "EUR", "reason": "at the door"}
            self.ask(self.admin, "POST", f"{mine}/payments", payment)
        elif kind == 7:
            self.webhook("payment.failed", order, f"r{number}")
        elif kind == 8:
            self.webhook("payment.succeeded", order, f"r{number}", forged=True)
        elif kind == 9:
            self.ask(self.public, "POST", f"{mine}/checkout", {"contact": {"phone": "1"}})
        self.served[kind] += 1

    def mistakes(self, number):
        orders = f"/v1/drops/{self.drop}/orders"
        one = {"buyer": f"m-{number}", "quantity": 1}
        self.ask(self.public, "POST", f"/v1/drops/{self.few}/orders", one)
        self.ask(self.public, "POST", orders, {**one, "quantity": 9})
        self.ask(self.public, "POST", orders, b"{")
        self.ask(self.public, "POST", orders, {**one, "colour": "red"})
        self.ask(self.public, "POST", orders, one, {"Idempotency-Key": ""})
        self.ask(self.public, "GET", "/v1/drops/4000000")
        self.webhook("payment.succeeded", {"id": "nobody", "amount": 1}, f"m{number}", forged=True)
        self.ask(self.public, "PUT", orders)

    def bids(self, number):
        path = f"/v1/auctions/{self.auction}"
        now = self.ask(self.public, "GET", path)[1]
        for amount in (now.get("minimum_next", 100), 1):
            self.ask(self.public, "POST", f"{path}/bids", {"buyer": str(number % 7 + 1), "amount": amount})
        if self.sold_at_once and time.monotonic() > self.next_purchase:
            self.next_purchase = time.monotonic() + 2
            self.ask(self.public, "POST", f"/v1/auctions/{self.sold_at_once.pop()}/buy-now", {"buyer": "rich"})

    def frames(self, number):
        with socket.create_connection(self.wire, timeout=5) as peer:
            subscribe = struct.pack(">BBIQ", 6, 12, self.auction, 0)
            bid = struct.pack(">BBIIQ", 1, 16, self.auction, 7, 100)
            peer.sendall(subscribe + bid + b"\x07\x00")
            peer.recv(4096)
            if number % 5 == 0:
                peer.sendall(b"\xff\x03abc")
                peer.recv(4096)
            time.sleep(0.5)

    def follow(self, path, address=None):
        """Opens a stream and reads it until the end of the sale."""
        host, port = (address or self.public).split(":")
        with socket.create_connection((host, int(port)), timeout=1) as stream:
            stream.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            while self.goes_on():
                try:
                    if not stream.recv(65536):
                        time.sleep(0.1)  # over the limit of connections
                        return
                except TimeoutError:
                    pass

    def slow(self, _):
        host, port = self.public.split(":")
        with socket.create_connection((host, int(port)), timeout=10) as client:
            client.sendall(b"GET /v1/dr")
            client.recv(100)

    def crowd(self, _):
        """Opens more connections than the limit for a moment."""
        time.sleep(5)
        host, port = self.public.split(":")
        open_ones = [socket.create_connection((host, int(port)), timeout=5) for _ in range(300)]
        time.sleep(1)
        for one in open_ones:
            one.close()

    def repeat(self, what, *arguments):
        while self.goes_on():
            try:
                what(*(arguments or (next(numbers),)))
            except OSError:  # connections over the limit, and slow ones, are closed
                time.sleep(0.1)
            except Exception as error:
                at = traceback.extract_tb(error.__traceback__)[-1]
                self.failures.append(f"{what.__name__}, line {at.lineno}: {type(error).__name__}: {error}")
                return

    def run(self):
        self.prepare()
        work = [self.buyer, self.buyer, self.mistakes, self.bids, self.frames, self.slow, self.crowd]
        threads = [threading.Thread(target=self.repeat, args=(what,)) for what in work]
        for path, address in ((f"/v1/drops/{self.drop}/stream", None), (f"/v1/auctions/{self.auction}/stream", None),
                              ("/v1/audit?follow=true", self.admin)):
            threads.append(threading.Thread(target=self.repeat, args=(self.follow, path, address)))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(f"buyers by kind: {self.served}")
        if self.failures:
            sys.exit("\n".join(self.failures))


if __name__ == "__main__":
    if sys.argv[1] == "stub":
        StubServer(("127.0.0.1", int(sys.argv[2])), Stub).serve_forever()
    Sale(*sys.argv[1:]).run()
