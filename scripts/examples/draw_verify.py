#!/usr/bin/env python3
"""Recomputes a draw from the JSON of GET /v1/drops/{drop_id}/draw?ticket=N: python3 draw_verify.py FILE"""
import hashlib
import hmac
import json
import sys

TICKETS_MAX = 8_000_000  # of a room


def sha(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def check(holds, words):
    if not holds:
        sys.exit("rejected: " + words)


draw = json.load(open(sys.argv[1]))
check(draw["state"] != "cancelled", "the drop ended before its draw: nothing was drawn")
seed, beacon = bytes.fromhex(draw["seed"]), bytes.fromhex(draw.get("beacon", ""))
count, root = draw["tickets"]["count"], bytes.fromhex(draw["tickets"]["root"])
rule, is_missed = draw["beacon_rule"], draw["beacon_missed"]
check(type(count) is int and 0 <= count <= TICKETS_MAX, "no room has so many tickets")
check((rule == "required") == (beacon != b"" or is_missed), "the beacon is not as the rule says")
number = [n.to_bytes(8, "big") for n in range(count + 1)]
check(sha(seed).hex() == draw["commitment"], "the seed is not the one that was committed to")
order = sorted(range(1, count + 1), key=lambda n: hmac.digest(seed + beacon, number[n], "sha256"))
result = sha(b"\3", seed, bytes([len(beacon)]), beacon, root, *[number[n] for n in order])
check(result.hex() == draw["result"], "seed, beacon and tickets give another order")
proved = "NO ticket was proved: the document has none"
if ticket := draw.get("ticket"):
    check(1 <= ticket["number"] <= count, "the ticket is not among those of the draw")
    check(order.index(ticket["number"]) == ticket["position"], "the ticket has another position")
    at, last = ticket["number"] - 1, count - 1
    node = sha(b"\0", number[ticket["number"]], bytes.fromhex(ticket["digest"]))
    for sibling in map(bytes.fromhex, ticket["path"]):  # RFC 9162, 2.1.3.2
        check(last > 0, "the path is too long")
        if at % 2 or at == last:
            node = sha(b"\1", sibling, node)
            while at and at % 2 == 0:
                at, last = at // 2, last // 2
        else:
            node = sha(b"\1", node, sibling)
        at, last = at // 2, last // 2
    check(last == 0 and sha(b"\2", number[-1], node) == root, "the ticket is not under the root")
    proved = f"ticket {ticket['number']} with the digest {ticket['digest']} was drawn at position {ticket['position']}"
missed = "MISSED: the room required one, and the seed alone decided"
print("beacon:", beacon.hex() or (missed if is_missed else "none, as the room required none"))
print(f"{proved}\nverified: {count} tickets, result {result.hex()}")
