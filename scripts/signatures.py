"""Signs events with the packages of Stripe and of Standard Webhooks, and tells the server of them.

    signatures.py URL DIRECTORY_OF_SECRETS ADMIN_URL

And takes what the server tells an endpoint, which the package verifies.
"""

import http.server
import json
import queue
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid
from datetime import datetime, timedelta, timezone
from pathlib import Path

import stripe
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

URL, SECRETS, ADMIN = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
checks = 0


def secret(name):
    return (SECRETS / name).read_text().strip()


def ask(method, path, headers=None, body=b"", at=URL):
    request = urllib.request.Request(at + path, data=body or None, headers=headers or {}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def is_so(what, found, expected):
    global checks
    checks += 1
    if found != expected:
        sys.exit(f"{what}: {found}, not {expected}")


def new_order():
    headers = {"Content-Type": "application/json", "Idempotency-Key": str(uuid.uuid4())}
    body = {"buyer": str(uuid.uuid4()), "quantity": 1, "contact": {"email": "ann@example.org"}}
    status, order = ask("POST", "/v1/drops/1/orders", headers, json.dumps(body).encode())
    is_so("an order", status, 201)
    return order


def state(order):
    return ask("GET", f"/v1/orders/{order['id']}")[1]["state"]


def told(provider, headers, body):
    status, answer = ask("POST", f"/v1/payments/{provider}", headers, body)
    return answer.get("result") or (status, answer["code"])


def standard_body(order, reference):
    # Spaces, escapes and an emoji: what is signed are the bytes, not what they mean.
    event = {
        "type": "payment.succeeded",
        "timestamp": datetime.now(timezone.utc).isoformat(),
        "note": "größer \U0001f642",
        "data": {
            "order_id": order["id"], "reference": reference, "amount": order["amount"], "currency": order["currency"],
        },
    }
    return json.dumps(event, indent=3)


def standard_headers(name, event_id, at, body):
    signature = Webhook(secret(name)).sign(event_id, at, body)
    headers = {"webhook-id": event_id, "webhook-timestamp": str(int(at.timestamp())), "webhook-signature": signature}
    return {"Content-Type": "application/json", **headers}


def standard_webhooks(provider, names):
    now = datetime.now(timezone.utc)
    for name in names:
        order = new_order()
        body = standard_body(order, f"pay_{name}")
        headers = standard_headers(name, f"msg_{uuid.uuid4()}", now, body)
        Webhook(secret(name)).verify(body, headers)
        is_so(f"{provider}, {name}", told(provider, headers, body.encode()), "applied")
        is_so("again", told(provider, headers, body.encode()), "duplicate")
        is_so("paid", state(order), "paid")
    order = new_order()
    body = standard_body(order, "pay_bad")
    good = standard_headers(names[0], "msg_bad", now, body)
    tampered = body.replace("pay_bad", "pay_good")
    try:
        Webhook(secret(names[0])).verify(tampered, good)
        sys.exit("the package takes a body that was changed")
    except WebhookVerificationError:
        is_so("changed", told(provider, good, tampered.encode()), (401, "unauthorized"))
    for minutes, code in [(-6, "validation"), (6, "validation")]:
        late = standard_headers(names[0], "msg_bad", now + timedelta(minutes=minutes), body)
        is_so(f"{minutes} minutes", told(provider, late, body.encode()), (400, code))
    both = dict(good)
    other = standard_headers("sandbox" if names[0] != "sandbox" else "standard", "msg_bad", now, body)
    both["webhook-signature"] = f"{other['webhook-signature']} {good['webhook-signature']}"
    is_so("another's signature alone", told(provider, other, body.encode()), (401, "unauthorized"))
    is_so("ours beside another's", told(provider, both, body.encode()), "applied")
    is_so("paid", state(order), "paid")


def stripe_header(name, body, at):
    signature = stripe.WebhookSignature._compute_signature(f"{at}.{body}", secret(name))
    return f"t={at},v1={signature}"


def stripe_body(order, event_id):
    session = {
        "id": "cs_1", "object": "checkout.session", "payment_status": "paid", "payment_intent": f"pi_{event_id}",
        "amount_total": order["amount"], "currency": order["currency"].lower(),
        "client_reference_id": order["id"], "metadata": {"order_id": order["id"]},
    }
    event = {
        "id": event_id, "object": "event", "type": "checkout.session.completed", "created": int(time.time()),
        "livemode": False, "data": {"object": session},
    }
    return json.dumps(event, indent=2)


def stripes():
    for name in ["stripe", "stripe-next"]:
        order, event_id = new_order(), f"evt_{uuid.uuid4().hex}"
        body = stripe_body(order, event_id)
        header = stripe_header(name, body, int(time.time()))
        is_so("Stripe's own check", stripe.Webhook.construct_event(body, header, secret(name)).id, event_id)
        headers = {"Stripe-Signature": header, "Content-Type": "application/json; charset=utf-8"}
        is_so(f"stripe, {name}", told("stripe", headers, body.encode()), "applied")
        is_so("again", told("stripe", headers, body.encode()), "duplicate")
        is_so("paid", state(order), "paid")
        changed = body.replace("pi_evt", "pi_xvt")
        try:
            stripe.Webhook.construct_event(changed, header, secret(name))
            sys.exit("the package takes a body that was changed")
        except stripe.SignatureVerificationError:
            is_so("changed", told("stripe", headers, changed.encode()), (401, "unauthorized"))
        old = stripe_header(name, body, int(time.time()) - 310)
        try:
            stripe.Webhook.construct_event(body, old, secret(name))
            sys.exit("the package takes what was signed five minutes ago")
        except stripe.SignatureVerificationError:
            is_so("stale", told("stripe", {"Stripe-Signature": old}, body.encode()), (400, "validation"))


def outgoing():
    """What an endpoint is told: verified by the package, with both secrets while one follows another."""
    deliveries = queue.Queue()

    class Sink(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            deliveries.put(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    sink = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Sink)
    threading.Thread(target=sink.serve_forever, daemon=True).start()
    headers = {"Content-Type": "application/json", "Idempotency-Key": str(uuid.uuid4())}
    endpoint = {"url": f"http://127.0.0.1:{sink.server_address[1]}/hooks", "events": ["order.reserved"]}
    status, made = ask("POST", "/v1/webhook-endpoints", headers, json.dumps(endpoint).encode(), ADMIN)
    is_so("an endpoint", status, 201)
    order = new_order()
    told_headers, body = deliveries.get(timeout=30)
    event = Webhook(made["secret"]).verify(body, told_headers)
    is_so("what it tells", (event["type"], event["data"]["order_id"]), ("order.reserved", order["id"]))
    try:
        Webhook(made["secret"]).verify(body.replace(b"reserved", b"cancelled"), told_headers)
        sys.exit("the package takes a delivery that was changed")
    except WebhookVerificationError:
        pass
    path = f"/v1/webhook-endpoints/{made['id']}/rotate-secret"
    status, rotated = ask("POST", path, headers, b'{"reason":"it is time"}', ADMIN)
    is_so("another secret", status, 200)
    new_order()
    told_headers, body = deliveries.get(timeout=30)
    for secret_of in (made, rotated):
        Webhook(secret_of["secret"]).verify(body, told_headers)
    sink.shutdown()


standard_webhooks("standard-webhooks", ["standard", "standard-next"])
standard_webhooks("sandbox", ["sandbox"])
stripes()
outgoing()
print(f"{checks} checks of signatures by stripe {stripe.VERSION} and standardwebhooks: all good")
