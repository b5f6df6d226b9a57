"""Reads drop 1 through nginx and directly during a sale; prints the share of reads that nginx answered, and their age.

The age of a response is the time for which the server had shown a newer version. Called by scripts/edge.sh.
"""

import http.client
import json
import sys
import threading
import time
import traceback

READERS = 8
# The recipe's bound: one second as nginx counts, which is up to two, and a request to the server on a busy machine.
AGE_MAX = 2.5
# Paths that nginx normalizes to the drop's. firstcome has one spelling of a path.
OTHER_SPELLINGS = ["/v1//drops/1", "/v1/drops/%31", "/v1/./drops/1", "/v1/x/../drops/1", "//v1/drops/1?x", "/v1/drops/1%0a"]
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
        self.orders = self.misspelled = 0
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

    def attempt(self, work):
        try:
            work()
        except Exception as error:
            at = traceback.extract_tb(error.__traceback__)[-1]
            self.failures.append(f"{work.__name__}, line {at.lineno}: {type(error).__name__}: {error}")

    def run(self):
        work = [self.watch, self.buy, self.misspell, *[self.read] * READERS]
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


def stream_begins(edge):
    host, port = edge.split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    connection.request("GET", "/v1/drops/1/stream")
    line = connection.getresponse().readline()
    connection.close()
    return line


def main():
    direct, edge, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3])
    first = stream_begins(edge)
    assert first.startswith((b"event:", b"retry:", b"id:", b":")), first
    sale = Sale(direct, edge, time.monotonic() + seconds)
    sale.run()
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
    assert sale.misspelled >= len(OTHER_SPELLINGS), "a thread has failed"
    assert sale.orders > 0 and len(sale.first_seen) > 1, "nothing was sold, so no response can be stale"
    return 0 if share >= HIT_SHARE_MIN and oldest < AGE_MAX else 1


sys.exit(main())
