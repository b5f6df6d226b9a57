"""The journey of a shop and its buyers against a real server. scripts/clients.sh starts it and sets the addresses."""

from __future__ import annotations

import os
import threading
import unittest
import uuid
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import httpx

from firstcome_client import Firstcome, FirstcomeAdmin, ProblemError, RetryOptions, WebhookVerificationError, verify_webhook

PUBLIC = os.environ["FIRSTCOME_PUBLIC"]
ADMIN = os.environ["FIRSTCOME_ADMIN"]


class Shop(HTTPServer):
    """An endpoint that keeps what arrives."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), ShopHandler)
        self.arrived = threading.Condition()
        self.received: list[tuple[bytes, dict[str, str]]] = []

    def wait_for(self, kind: str) -> tuple[bytes, dict[str, str]]:
        def found() -> tuple[bytes, dict[str, str]] | None:
            return next((one for one in self.received if f'"type":"{kind}"'.encode() in one[0]), None)

        with self.arrived:
            self.arrived.wait_for(found, timeout=60)
            one = found()
        assert one is not None, f"no {kind} in 60 s"
        return one


class ShopHandler(BaseHTTPRequestHandler):
    server: Shop

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with self.server.arrived:
            self.server.received.append((body, dict(self.headers.items())))
            self.server.arrived.notify_all()
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


def new_drop(total: int) -> int:
    with FirstcomeAdmin(ADMIN) as admin:
        drop = admin.create_drop(
            {
                "sku": "PY-1",
                "name": "A drop of the client's tests",
                "currency": "EUR",
                "unit_price": 12_900,
                "total": total,
                "per_buyer_limit": 2,
                "starts_at": "2020-01-01T00:00:00Z",
            }
        )
    return drop["id"]


class Journey(unittest.TestCase):
    def setUp(self) -> None:
        self.buyers = Firstcome(PUBLIC)
        self.admin = FirstcomeAdmin(ADMIN)
        self.addCleanup(self.buyers.close)
        self.addCleanup(self.admin.close)

    def test_a_buyer_reserves_checks_out_and_has_paid_and_the_shop_hears_of_it(self) -> None:
        shop = Shop()
        thread = threading.Thread(target=shop.serve_forever)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(shop.server_close)
        self.addCleanup(shop.shutdown)
        endpoint = self.admin.create_endpoint({"url": f"http://127.0.0.1:{shop.server_port}/hooks"})
        drop = new_drop(5)
        order = self.buyers.place_order(drop, {"buyer": "ann", "quantity": 2})
        self.assertEqual((order["state"], order["amount"]), ("reserved", 25_800))
        self.assertEqual(self.buyers.check_out(order["id"], {"email": "ann@mail.example"})["state"], "awaiting_payment")
        self.admin.record_payment(
            order["id"], {"reference": "bank-1", "amount": 25_800, "currency": "EUR", "reason": "bank transfer"}
        )
        self.assertEqual(self.buyers.order(order["id"])["state"], "paid")
        self.assertEqual(self.buyers.drop(drop)["sold"], 2)

        body, headers = shop.wait_for("order.paid")
        event = verify_webhook(endpoint["secret"], body, headers)
        assert event["type"] == "order.paid"
        self.assertEqual((event["data"]["order_id"], event["data"]["amount"]), (order["id"], 25_800))
        with self.assertRaises(WebhookVerificationError):
            verify_webhook(endpoint["secret"], body.replace(b"25800", b"1"), headers)

        refunded = self.admin.refund(order["id"], {"amount": 25_800, "restock_quantity": 2, "reason": "returned"})
        self.assertEqual(refunded["state"], "refunded")
        self.assertEqual([one["id"] for one in self.admin.orders(drop)], [order["id"]])

    def test_an_order_with_the_same_key_is_one_order_and_with_other_members_a_problem(self) -> None:
        drop, key = new_drop(5), str(uuid.uuid4())
        first = self.buyers.place_order(drop, {"buyer": "ben", "quantity": 1}, idempotency_key=key)
        again = self.buyers.place_order(drop, {"buyer": "ben", "quantity": 1}, idempotency_key=key)
        self.assertEqual(first["id"], again["id"])
        with self.assertRaises(ProblemError) as caught:
            self.buyers.place_order(drop, {"buyer": "ben", "quantity": 2}, idempotency_key=key)
        self.assertEqual(caught.exception.code, "idempotency-key-reused")

    def test_a_refusal_is_an_error_with_the_members_of_its_problem(self) -> None:
        drop = new_drop(1)
        self.buyers.place_order(drop, {"buyer": "cat", "quantity": 1})
        with self.assertRaises(ProblemError) as caught:
            self.buyers.place_order(drop, {"buyer": "dan", "quantity": 1})
        error = caught.exception
        self.assertEqual((error.code, error.status, error.problem["available"], error.problem["held"]), ("sold-out", 409, 0, 1))

    def test_a_stream_gives_the_state_first_and_each_change_after_it(self) -> None:
        drop = new_drop(3)
        seen = []
        for event in self.buyers.follow_drop(drop):
            seen.append((event.event, event.data["available"]))
            if len(seen) == 2:
                break
            self.buyers.place_order(drop, {"buyer": "eve", "quantity": 1})
        self.assertEqual(seen, [("snapshot", 3), ("update", 2)])

    def test_a_stream_of_an_unknown_drop_is_refused(self) -> None:
        with self.assertRaises(ProblemError) as caught:
            next(self.buyers.follow_drop(4_000_000))
        self.assertEqual(caught.exception.code, "not-found")

    def test_auctions_take_bids_and_refuse_those_that_are_too_low(self) -> None:
        auction = self.admin.create_auction(
            {
                "sku": "PY-2",
                "name": "One of one",
                "currency": "EUR",
                "start_price": 1_000,
                "starts_at": "2020-01-01T00:00:00Z",
                "ends_at": "9000-01-01T00:00:00Z",
            }
        )
        self.assertTrue(self.buyers.place_bid(auction["id"], {"buyer": "fay", "amount": 2_000})["leading"])
        with self.assertRaises(ProblemError) as caught:
            self.buyers.place_bid(auction["id"], {"buyer": "gus", "amount": 1})
        self.assertEqual(caught.exception.code, "bid-too-low")


class LosesTheAnswer:
    """The server does it, and the connection breaks."""

    def __call__(self, network: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
        network.handle_request(request).read()
        raise httpx.ReadError("the connection broke", request=request)


class Says:
    """Something answers in the server's place."""

    def __init__(self, status: int, code: str, headers: dict[str, str] | None = None, **members: object) -> None:
        self.status, self.headers = status, headers or {}
        self.problem = {"code": code, "title": code, "status": status, "detail": "made up", "request_id": "r", **members}

    def __call__(self, network: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
        return httpx.Response(self.status, headers=self.headers, json=self.problem, request=request)


class BrokenNetwork(httpx.BaseTransport):
    """Has one fault per attempt, then none. Keeps the keys of all attempts."""

    def __init__(self, *faults: LosesTheAnswer | Says) -> None:
        self.network = httpx.HTTPTransport()
        self.faults = list(faults)
        self.keys: list[str | None] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.keys.append(request.headers.get("Idempotency-Key"))
        if self.faults:
            return self.faults.pop(0)(self.network, request)
        return self.network.handle_request(request)

    def close(self) -> None:
        self.network.close()


class Repeats(unittest.TestCase):
    def broken(self, *faults: LosesTheAnswer | Says) -> tuple[Firstcome, BrokenNetwork, list[float]]:
        network, waits = BrokenNetwork(*faults), list[float]()
        client = Firstcome(PUBLIC, transport=network, retry=RetryOptions(sleep=waits.append))
        self.addCleanup(client.close)
        return client, network, waits

    def test_an_order_whose_answer_is_lost_is_sent_again_with_its_key_and_is_one_order(self) -> None:
        drop = new_drop(10)
        client, network, _ = self.broken(LosesTheAnswer(), LosesTheAnswer())
        self.assertEqual(client.place_order(drop, {"buyer": "ann", "quantity": 1})["state"], "reserved")
        self.assertEqual((len(network.keys), len(set(network.keys))), (3, 1))
        self.assertEqual(client.drop(drop)["held"], 1)

    def test_retry_after_is_waited_for_to_the_second(self) -> None:
        drop = new_drop(10)
        limited = Says(429, "rate-limited", {"Retry-After": "7"}, violated_policies=["address-writes"])
        client, _, waits = self.broken(limited, Says(503, "overloaded", {"Retry-After": "2"}, applied="no"))
        client.place_order(drop, {"buyer": "ann", "quantity": 1})
        self.assertEqual(waits, [7.0, 2.0])

    def test_decisions_pauses_and_long_waits_are_not_repeated_and_attempts_end(self) -> None:
        drop = new_drop(10)
        for fault in (
            Says(409, "sold-out"),
            Says(503, "drop-paused", {"Retry-After": "1"}, applied="no"),
            Says(429, "rate-limited", {"Retry-After": "3600"}),
        ):
            client, network, _ = self.broken(fault)
            with self.assertRaises(ProblemError) as caught:
                client.place_order(drop, {"buyer": "ann", "quantity": 1})
            self.assertEqual((caught.exception.code, len(network.keys)), (fault.problem["code"], 1))
        client, network, waits = self.broken(*[Says(503, "read-only", applied="no") for _ in range(9)])
        with self.assertRaises(ProblemError):
            client.drop(drop)
        self.assertEqual((len(network.keys), len(waits)), (6, 5))


if __name__ == "__main__":
    unittest.main()
