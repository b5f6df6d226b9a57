"""Buyers who place orders at any node of a cluster, keep a ledger of every answer, and check it at the end.

    buyers.py SECONDS ADDRESS... [--drop ID]

Each order has an idempotency key and is sent with it until its outcome is known: to the leader that a node names (307), or to
the next node if a connection breaks, a node does not answer within three seconds, or the outcome is unknown. In the end every
acknowledged order must be there at each node that answers, and the drop must have as many units more as there are orders.
Exit code 1 if an order is lost or took stock twice. Python's standard library is all that it needs.
"""

import http.client
import itertools
import json
import secrets
import sys
import threading
import time
from urllib.parse import urlsplit

BUYERS = 8
PAUSE_SECONDS = 0.02  # of a buyer between two orders: the proof needs faults, not load
ANSWER_SECONDS_MAX = 3
DECIDED_SECONDS_MAX = 60


class Client:
    """One connection, to the node that answered last."""

    def __init__(self, addresses, first):
        self.addresses = addresses
        self.turn = itertools.cycle(addresses[first % len(addresses) :] + addresses[: first % len(addresses)])
        self.connection = None
        self.use(next(self.turn))

    def use(self, address):
        self.close()
        self.address = address
        self.connection = http.client.HTTPConnection(address, timeout=ANSWER_SECONDS_MAX)

    def next(self):
        self.use(next(self.turn))

    def close(self):
        if self.connection:
            self.connection.close()

    def ask(self, method, path, body=None, headers=None):
        """The status, headers and JSON of an answer; raises if there is none."""
        self.connection.request(method, path, body and json.dumps(body), headers or {})
        answer = self.connection.getresponse()
        text = answer.read()
        return answer.status, answer.headers, json.loads(text or b"null")


class Order:
    def __init__(self, key):
        self.key, self.id, self.seq, self.unknown, self.ids = key, None, 0, False, set()


class Ledger:
    def __init__(self, drop):
        self.drop, self.run = drop, secrets.token_hex(4)
        self.orders, self.accepted_at, self.refused = [], [], {}
        self.lock, self.stop = threading.Lock(), threading.Event()

    def order(self, client, order):
        """Sends an order until its outcome is known. Returns whether it was accepted."""
        until = time.monotonic() + DECIDED_SECONDS_MAX
        body = {"buyer": order.key, "quantity": 1}
        headers = {"Idempotency-Key": order.key, "Content-Type": "application/json"}
        while time.monotonic() < until:
            try:
                status, found, answer = client.ask("POST", f"/v1/drops/{self.drop}/orders", body, headers)
            except (OSError, http.client.HTTPException, ValueError):
                order.unknown = True
                time.sleep(PAUSE_SECONDS)
                client.next()
                continue
            if status in (200, 201):
                order.ids.add(answer["id"])
                order.id, order.seq = answer["id"], int(found["Firstcome-Seq"])
                return True
            if status == 307:
                client.use(urlsplit(found["Location"]).netloc)
                continue
            if status == 503:
                order.unknown = order.unknown or answer.get("code") == "outcome-unknown"
                time.sleep(PAUSE_SECONDS)
                client.next()
                continue
            with self.lock:
                code = answer.get("code", status)
                self.refused[code] = self.refused.get(code, 0) + 1
            return False
        raise SystemExit(f"the outcome of {order.key} is not known after {DECIDED_SECONDS_MAX} s")

    def buy(self, client, buyer):
        for number in itertools.count():
            if self.stop.is_set():
                return
            order = Order(f"{self.run}-b{buyer}-o{number}")
            with self.lock:
                self.orders.append(order)
            if self.order(client, order):
                with self.lock:
                    self.accepted_at.append(time.monotonic())
            time.sleep(PAUSE_SECONDS)

    def longest_gap(self):
        return max((after - before for before, after in itertools.pairwise(self.accepted_at)), default=0.0)


def units_of(client, drop, seq):
    """Held and sold units of a drop, once a node has an event."""
    until = time.monotonic() + DECIDED_SECONDS_MAX
    while True:
        status, _, answer = client.ask("GET", f"/v1/drops/{drop}", headers={"Firstcome-Min-Seq": str(seq)})
        if status == 200:
            return answer["held"] + answer["sold"]
        if status != 503 or time.monotonic() > until:
            raise SystemExit(f"{client.address}: the drop {drop}: {status} {answer}")


def check(ledger, addresses, before):
    """What is wrong, line by line, and the number of nodes that were asked."""
    accepted = [order for order in ledger.orders if order.id]
    seq = max((order.seq for order in accepted), default=0)
    wrong, asked = [], 0
    for address in addresses:
        client = Client([address], 0)
        try:
            units = units_of(client, ledger.drop, seq) - before
        except OSError:
            print(f"  {address} does not answer, and was not asked")
            continue
        asked += 1
        lost = 0
        for order in accepted:
            status, _, answer = client.ask("GET", f"/v1/orders/{order.id}")
            if status != 200 or answer["state"] != "reserved":
                lost += 1
        print(f"  {address} has {len(accepted) - lost} of {len(accepted)} acknowledged orders, and {units} units for them")
        if lost:
            wrong.append(f"{address}: {lost} acknowledged orders are lost")
        if units != len(accepted):
            wrong.append(f"{address}: {units} units are held or sold by {len(accepted)} orders")
        client.close()
    # The same key again must be the same order. One at a time: those whose answer was in doubt.
    client = Client(addresses, 0)
    for order in accepted:
        if order.unknown:
            ledger.order(client, order)
    twice = [order for order in accepted if len(order.ids) != 1]
    wrong += [f"{order.key} is several orders: {sorted(order.ids)}" for order in twice]
    ids = [order.id for order in accepted]
    if len(set(ids)) != len(ids):
        wrong.append(f"{len(ids) - len(set(ids))} orders have the id of another")
    return wrong, asked


def main(arguments):
    drop = "1"
    if "--drop" in arguments:
        at = arguments.index("--drop")
        drop = arguments[at + 1]
        del arguments[at : at + 2]
    if len(arguments) < 2:
        print(__doc__, file=sys.stderr)
        return 64
    seconds, addresses = float(arguments[0]), arguments[1:]
    ledger = Ledger(drop)
    before = units_of(Client(addresses, 0), drop, 0)
    clients = [Client(addresses, buyer) for buyer in range(BUYERS)]
    threads = [threading.Thread(target=ledger.buy, args=(client, buyer)) for buyer, client in enumerate(clients)]
    for thread in threads:
        thread.start()
    time.sleep(seconds)
    ledger.stop.set()
    for thread in threads:
        thread.join()
    wrong, asked = check(ledger, addresses, before)
    accepted = sum(1 for order in ledger.orders if order.id)
    unknown = sum(1 for order in ledger.orders if order.unknown)
    undecided = len(ledger.orders) - accepted - sum(ledger.refused.values())
    if undecided:
        wrong.append(f"{undecided} orders have no outcome")
    if not accepted or not asked:
        wrong.append("no order was accepted, or no node could be asked")
    print(f"{accepted} orders acknowledged, of which {unknown} were in doubt for a time; refused: {ledger.refused or 'none'}")
    print(f"no order was accepted for {ledger.longest_gap():.1f} s at most")
    print("\n".join(wrong) if wrong else f"0 lost, 0 twice, by {asked} nodes")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
