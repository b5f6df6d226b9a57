"""Reads drop 1 and polls the waiting room of drop 2 through nginx and directly during a sale; prints the share of reads that
nginx answered, their age, and how often the polls reached the server.

The age of a response is the time for which the server had shown a newer version. Called by scripts/edge.sh.
"""

import http.client
import json
import re
import sys
import threading
import time
import traceback
from datetime import datetime, timedelta, timezone

READERS = 8
POLLERS = 4
# The recipe's bound: one second as nginx counts, which is up to two, and a request to the server on a busy machine.
AGE_MAX = 2.5
# Paths that nginx normalizes to the drop's. firstcome has one spelling of a path.
OTHER_SPELLINGS = ["/v1//drops/1", "/v1/drops/%31", "/v1/./drops/1", "/v1/x/../drops/1", "//v1/drops/1?x", "/v1/drops/1%0a", "/v1//drops/2/room", "/v1/drops/2/roo%6d"]
HIT_SHARE_MIN = 0.95


def ask(connection, method, path, body=None, headers=None):
    connection.request(method, path, body, headers or {})
    answer = connection.getresponse()
    return answer, answer.read()


def version_of(body):
    epoch, seq = json.loads(body)["version"].split("-")
    return int(epoch), int(seq)


class Sale:
    """The observations of all threads: the first direct sight of each version, and every response of nginx."""

    def __init__(self, direct, edge, until):
        self.direct, self.edge, self.until = direct, edge, until
        self.first_seen = []  # (time, version), ascending
        self.reads = []  # (time before the read, version, X-Cache)
        self.orders = self.misspelled = self.tickets = 0
        self.polls = []  # status of each poll of the room
        self.servings = []  # what polls saw of `serving`, in their order, of each poller
        self.failures = []  # what ended a thread before its time

    def watch(self):
        connection = http.client.HTTPConnection(self.direct)
        while time.monotonic() < self.until + 0.2:
            _, body = ask(connection, "GET", "/v1/drops/1")
            seen, version = time.monotonic(), version_of(body)
            if not self.first_seen or version > self.first_seen[-1][1]:
                self.first_seen.append((seen, version))
            time.sleep(0.002)

    def read(self):
        connection = http.client.HTTPConnection(self.edge)
        while time.monotonic() < self.until:
            asked = time.monotonic()
            answer, body = ask(connection, "GET", f"/v1/drops/1?{asked}")
            assert answer.status == 200, answer.status
            self.reads.append((asked, version_of(body), answer.getheader("X-Cache")))

    def buy(self):
        connection, number = http.client.HTTPConnection(self.edge), 0
        while time.monotonic() < self.until:
            number += 1
            order = json.dumps({"buyer": f"edge-{number}", "quantity": 1})
            headers = {"Content-Type": "application/json", "Idempotency-Key": f"edge-{number}"}
            first, body = ask(connection, "POST", "/v1/drops/1/orders", order, headers)
            again, repeated = ask(connection, "POST", "/v1/drops/1/orders", order, headers)
            assert (first.status, again.status) == (201, 201), (first.status, again.status, body, repeated)
            assert json.loads(body)["id"] == json.loads(repeated)["id"], "a repetition returned another order"
            assert first.getheader("X-Cache") is None, "an order was cached"
            self.orders += 1
            time.sleep(0.01)

    def misspell(self):
        edge, direct, number = http.client.HTTPConnection(self.edge), http.client.HTTPConnection(self.direct), 0
        while time.monotonic() < self.until:
            path = OTHER_SPELLINGS[number % len(OTHER_SPELLINGS)]
            number += 1
            through, _ = ask(edge, "GET", path)
            straight, _ = ask(direct, "GET", path)
            assert (through.status, straight.status) == (404, 404), (path, through.status, straight.status)
            assert through.getheader("X-Cache") in (None, "BYPASS"), (path, through.getheader("X-Cache"))
            self.misspelled += 1

    def queue_up(self):
        """Buyers who take tickets and never order: the room changes all the time."""
        connection = http.client.HTTPConnection(self.edge)
        while time.monotonic() < self.until:
            body = json.dumps({"buyer": f"waits-{self.tickets}"})
            answer, text = ask(connection, "POST", "/v1/drops/2/tickets", body, {"Content-Type": "application/json"})
            assert answer.status == 201 and answer.getheader("X-Cache") is None, (answer.status, text)
            self.tickets += 1
            time.sleep(0.01)

    def poll(self):
        """A waiting buyer, without a pause between polls."""
        connection, tag, servings = http.client.HTTPConnection(self.edge), None, []
        while time.monotonic() < self.until:
            headers = {"If-None-Match": tag} if tag else {}
            answer, body = ask(connection, "GET", "/v1/drops/2/room", None, headers)
            assert answer.status in (200, 304), answer.status
            self.polls.append(answer.status)
            if answer.status == 200:
                tag = answer.getheader("ETag")
                servings.append(json.loads(body)["serving"])
        assert servings == sorted(servings), "serving went back"
        self.servings.append(servings[-1])

    def attempt(self, work):
        try:
            work()
        except Exception as error:
            at = traceback.extract_tb(error.__traceback__)[-1]
            self.failures.append(f"{work.__name__}, line {at.lineno}: {type(error).__name__}: {error}")

    def run(self):
        work = [self.watch, self.buy, self.misspell, self.queue_up, *[self.read] * READERS, *[self.poll] * POLLERS]
        threads = [threading.Thread(target=self.attempt, args=(work,)) for work in work]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def ages(self):
        """Yields the age of each response: the time since a newer version than its own existed."""
        for asked, version, _ in self.reads:
            newer = next((seen for seen, known in self.first_seen if known > version), None)
            yield max(0.0, asked - newer) if newer is not None else 0.0


def room_polls(admin):
    """The number of polls of a room that the server has answered."""
    _, page = ask(http.client.HTTPConnection(admin), "GET", "/metrics")
    counts = re.findall(r'firstcome_http_requests_total\{(.*)\} ([0-9]+)', page.decode())
    return sum(int(count) for labels, count in counts if 'route="/v1/drops/{drop_id}/room"' in labels)


def make_room(admin):
    """Drop 2, whose room is open and whose sale starts in 3 s."""
    at = lambda seconds: (datetime.now(timezone.utc) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
    drop = {"sku": "R", "name": "A room", "currency": "EUR", "unit_price": 1, "total": 1000000, "starts_at": at(3),
            "room": {"opens_at": at(-1), "admit_per_second": 20}}
    headers = {"Content-Type": "application/json", "Idempotency-Key": "edge-room"}
    answer, body = ask(http.client.HTTPConnection(admin), "POST", "/v1/drops", json.dumps(drop), headers)
    assert answer.status == 201 and json.loads(body)["id"] == 2, body


def stream_begins(edge, path):
    host, port = edge.split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    connection.request("GET", path)
    line = connection.getresponse().readline()
    connection.close()
    return line


def main():
    direct, edge, seconds, admin = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
    make_room(admin)
    for path in ("/v1/drops/1/stream", "/v1/drops/2/room/stream"):
        first = stream_begins(edge, path)
        assert first.startswith((b"event:", b"retry:", b"id:", b":")), first
    polls_before, began = room_polls(admin), time.monotonic()
    sale = Sale(direct, edge, time.monotonic() + seconds)
    sale.run()
    took = time.monotonic() - began
    time.sleep(1.5)  # the server's threads add their counts up once a second
    asked = room_polls(admin) - polls_before
    if sale.failures:
        print("\n".join(sorted(set(sale.failures))), f"{len(sale.failures)} threads have failed", sep="\n", file=sys.stderr)
        return 1
    hits = sum(1 for _, _, cache in sale.reads if cache in ("HIT", "UPDATING", "STALE", "REVALIDATED"))
    ages = sorted(sale.ages())
    share, oldest = hits / len(sale.reads), ages[-1]
    print(f"{len(sale.reads)} reads in {seconds} s, {sale.orders} orders and as many repetitions through nginx")
    print(f"answered by nginx: {share:.2%} (at least {HIT_SHARE_MIN:.0%})")
    print(f"age: p50 {ages[len(ages) // 2]:.2f} s, p99 {ages[len(ages) * 99 // 100]:.2f} s, oldest {oldest:.2f} s (below {AGE_MAX} s)")
    print(f"{sale.misspelled} requests with another spelling of the path, each answered like firstcome answers it")
    unchanged, bound = sale.polls.count(304), int(took) + 2
    print(f"{len(sale.polls)} polls of a room by {POLLERS} buyers without a pause, {unchanged} of them 304, beside {sale.tickets} tickets:")
    print(f"  {asked} reached the server in {took:.1f} s (at most {bound}), the others were answered by nginx")
    assert min(sale.servings) > 0 and sale.tickets > 0 and unchanged > 0, "the room did not move"
    assert 2 <= asked <= bound, "nginx asks the server more than once a second, or never"
    assert sale.misspelled >= len(OTHER_SPELLINGS), "a thread has failed"
    assert sale.orders > 0 and len(sale.first_seen) > 1, "nothing was sold, so no response can be stale"
    return 0 if share >= HIT_SHARE_MIN and oldest < AGE_MAX else 1


sys.exit(main())
