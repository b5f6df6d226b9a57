"""A refund that the server makes, and the same one with Stripe's package: both send the same request to a stand-in of
Stripe's API, and the package reads the stand-in's answers."""

import http.server
import json
import threading
import time
import uuid
from urllib.parse import parse_qsl, urlsplit

import stripe
from client import ask, check


class Books:
    """The requests of each caller, and the refunds."""

    def __init__(self):
        self.requests, self.refunds = [], []

    def add(self, form, key):
        metadata = {name[len("metadata["):-1]: value for name, value in form.items() if name.startswith("metadata[")}
        refund = {
            "id": f"re_{len(self.refunds) + 1}", "object": "refund", "amount": int(form["amount"]), "currency": "eur",
            "payment_intent": form["payment_intent"], "charge": "ch_1", "created": int(time.time()),
            "balance_transaction": "txn_1", "metadata": metadata, "reason": form["reason"], "status": "succeeded",
        }
        self.refunds.append(refund)
        return refund

    def list(self, payment):
        data = [refund for refund in reversed(self.refunds) if refund["payment_intent"] == payment]
        return {"object": "list", "url": "/v1/refunds", "has_more": False, "data": data}


def stand_in(books, port):
    class Stripe(http.server.BaseHTTPRequestHandler):
        def answer(self, body):
            text = json.dumps(body).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def noted(self, text):
            address = urlsplit(self.path)
            form = dict(parse_qsl(text or address.query))
            key = self.headers.get("Idempotency-Key")
            books.requests.append((self.command, address.path, form, key, self.headers["Authorization"]))
            return form, key

        def do_GET(self):
            form, _ = self.noted("")
            self.answer(books.list(form["payment_intent"]))

        def do_POST(self):
            form, key = self.noted(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.answer(books.add(form, key))

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Stripe)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def refunds(public, admin, port, new_order, send_stripe):
    """Pays for an order and refunds a part of it; `send_stripe` signs and sends an event."""
    books = Books()
    server = stand_in(books, port)
    order = new_order()
    check("paid", send_stripe(order, "evt_refunds"), "applied")
    body = {"amount": 100, "reason": "came back"}
    status, _ = ask("POST", f"{admin}/v1/orders/{order['id']}/refund", body, {"Idempotency-Key": str(uuid.uuid4())})
    check("a refund is requested", status, 200)
    deadline = time.monotonic() + 30
    while ask("GET", f"{admin}/v1/orders/{order['id']}/payments")[1]["data"][0]["refund_due_amount"]:
        assert time.monotonic() < deadline, f"the refund is not made: {books.requests}"
        time.sleep(0.02)
    listed, made = books.requests
    stripe.api_key, stripe.api_base, stripe.max_network_retries = "sk_test_stand_in", f"http://127.0.0.1:{port}", 0
    books.requests.clear()
    payment, key = made[2]["payment_intent"], made[3]
    page = stripe.Refund.list(payment_intent=payment, limit=100)
    metadata = {"firstcome_order": order["id"], "firstcome_refund": key}
    again = stripe.Refund.create(
        payment_intent=payment, amount=100, reason="requested_by_customer", metadata=metadata, idempotency_key=key
    )
    check("the package asks for the list as the server does", books.requests[0], listed[:3] + (None,) + listed[4:])
    check("the package requests a refund as the server does", books.requests[1], made)
    (refund,) = page.data
    check("the package reads it", (refund.id, refund.status, refund.amount, refund.payment_intent),
          ("re_1", "succeeded", 100, payment))
    check("the package reads the answer", (again.object, again.metadata["firstcome_refund"]), ("refund", key))
    history = ask("GET", f"{admin}/v1/orders/{order['id']}/history")[1]
    check("the history names it", "re_1" in json.dumps(history), True)
    server.shutdown()
