"""Signs events with the packages of Stripe and Standard Webhooks and sends them to the server; verifies the server's own
webhooks with the package.

    signatures.py URL DIRECTORY_OF_SECRETS ADMIN_URL PORT_OF_STRIPES_STAND_IN
"""

import http.server
import json
import queue
import sys
import threading
import time
import uuid
from datetime import datetime, timedelta, timezone
from pathlib import Path

import stripe
from client import ask, check, checks
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from stripe_refunds import refunds

URL, SECRETS, ADMIN, STRIPE_PORT = sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])


def secret(name):
    return (SECRETS / name).read_text().strip()


def new_order():
    body = {"buyer": str(uuid.uuid4()), "quantity": 1, "contact": {"email": "ann@example.org"}}
    status, order = ask("POST", f"{URL}/v1/drops/1/orders", body, {"Idempotency-Key": str(uuid.uuid4())})
    check("an order", status, 201)
    return order


def state(order):
    return ask("GET", f"{URL}/v1/orders/{order['id']}")[1]["state"]


def send(provider, headers, body):
    status, answer = ask("POST", f"{URL}/v1/payments/{provider}", body, headers)
    return answer.get("result") or (status, answer["code"])


def standard_body(order, reference):
    # Spaces, escapes and an emoji: the signature covers the bytes, not their meaning.
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
        check(f"{provider}, {name}", send(provider, headers, body.encode()), "applied")
        check("again", send(provider, headers, body.encode()), "duplicate")
        check("paid", state(order), "paid")
    order = new_order()
    body = standard_body(order, "pay_bad")
    good = standard_headers(names[0], "msg_bad", now, body)
    tampered = body.replace("pay_bad", "pay_good")
    try:
        Webhook(secret(names[0])).verify(tampered, good)
        sys.exit("the package accepts a changed body")
    except WebhookVerificationError:
        check("changed", send(provider, good, tampered.encode()), (401, "unauthorized"))
    for minutes, code in [(-6, "validation"), (6, "validation")]:
        late = standard_headers(names[0], "msg_bad", now + timedelta(minutes=minutes), body)
        check(f"{minutes} minutes", send(provider, late, body.encode()), (400, code))
    both = dict(good)
    other = standard_headers("sandbox" if names[0] != "sandbox" else "standard", "msg_bad", now, body)
    both["webhook-signature"] = f"{other['webhook-signature']} {good['webhook-signature']}"
    check("another sender's signature", send(provider, other, body.encode()), (401, "unauthorized"))
    check("a valid signature beside another", send(provider, both, body.encode()), "applied")
    check("paid", state(order), "paid")


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


def stripe_webhooks():
    for name in ["stripe", "stripe-next"]:
        order, event_id = new_order(), f"evt_{uuid.uuid4().hex}"
        body = stripe_body(order, event_id)
        header = stripe_header(name, body, int(time.time()))
        check("Stripe's own check", stripe.Webhook.construct_event(body, header, secret(name)).id, event_id)
        headers = {"Stripe-Signature": header, "Content-Type": "application/json; charset=utf-8"}
        check(f"stripe, {name}", send("stripe", headers, body.encode()), "applied")
        check("again", send("stripe", headers, body.encode()), "duplicate")
        check("paid", state(order), "paid")
        changed = body.replace("pi_evt", "pi_xvt")
        try:
            stripe.Webhook.construct_event(changed, header, secret(name))
            sys.exit("the package accepts a changed body")
        except stripe.SignatureVerificationError:
            check("changed", send("stripe", headers, changed.encode()), (401, "unauthorized"))
        old = stripe_header(name, body, int(time.time()) - 310)
        try:
            stripe.Webhook.construct_event(body, old, secret(name))
            sys.exit("the package accepts a stale signature")
        except stripe.SignatureVerificationError:
            check("stale", send("stripe", {"Stripe-Signature": old}, body.encode()), (400, "validation"))


def send_stripe(order, event_id):
    body = stripe_body(order, event_id)
    headers = {"Stripe-Signature": stripe_header("stripe", body, int(time.time()))}
    return send("stripe", headers, body.encode())


def server_webhooks():
    """Verifies the server's webhooks with the package, with both secrets during a rotation."""
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
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    endpoint = {"url": f"http://127.0.0.1:{sink.server_address[1]}/hooks", "events": ["order.reserved"]}
    status, made = ask("POST", f"{ADMIN}/v1/webhook-endpoints", endpoint, headers)
    check("an endpoint", status, 201)
    order = new_order()
    received_headers, body = deliveries.get(timeout=30)
    event = Webhook(made["secret"]).verify(body, received_headers)
    check("the event", (event["type"], event["data"]["order_id"]), ("order.reserved", order["id"]))
    try:
        Webhook(made["secret"]).verify(body.replace(b"reserved", b"cancelled"), received_headers)
        sys.exit("the package accepts a changed delivery")
    except WebhookVerificationError:
        pass
    path = f"/v1/webhook-endpoints/{made['id']}/rotate-secret"
    status, rotated = ask("POST", f"{ADMIN}{path}", {"reason": "rotation"}, headers)
    check("another secret", status, 200)
    new_order()
    received_headers, body = deliveries.get(timeout=30)
    for secret_of in (made, rotated):
        Webhook(secret_of["secret"]).verify(body, received_headers)
    sink.shutdown()


standard_webhooks("standard-webhooks", ["standard", "standard-next"])
standard_webhooks("sandbox", ["sandbox"])
stripe_webhooks()
server_webhooks()
refunds(URL, ADMIN, STRIPE_PORT, new_order, send_stripe)
print(f"{checks()} signature checks with stripe {stripe.VERSION} and standardwebhooks passed")
