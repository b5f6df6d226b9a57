"""Uses up every rate limit, reads the headers of what passes and of what is refused with http-sf, and waits as it is told.

    limits.py URL SECRET_FILE
"""

import base64
import hashlib
import hmac
import itertools
import json
import socket
import sys
import time
import uuid
from pathlib import Path

import http_sf
from client import ask_whole, check, checks

URL, SECRET = sys.argv[1], Path(sys.argv[2]).read_bytes().strip()
WINDOW_SECONDS = 60
# As scripts/limits.sh sets them.
QUOTAS = {
    "address-reads": 30, "address-writes": 6, "address-buyers": 2, "address-invalid-tokens": 3, "buyer-reads": 5,
    "buyer-suspected": 1, "buyer-new": 2, "buyer-verified": 3, "buyer-premium": 60, "global-reads": 300, "global-writes": 300,
    "in-flight": 1,
}
numbers = itertools.count()
passed_with, refused_by = set(), set()


def token(buyer, tier, secret=SECRET):
    """Returns a buyer's token (RFC 7519) that is signed with HS256."""
    claims = {"sub": buyer, "aud": "drops", "exp": int(time.time()) + 600, "tier": tier}
    parts = [{"alg": "HS256"}, claims]
    signed = b".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in parts)
    signature = hmac.new(secret, signed, hashlib.sha256).digest()
    return (signed + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()


def new_address():
    return f"2001:db8:0:{next(numbers):x}::1"


def send(method, path, address, bearer=None):
    headers = {"X-Forwarded-For": address, "Idempotency-Key": str(uuid.uuid4())}
    if bearer:
        headers["Authorization"] = f"Bearer {bearer}"
    body = {"quantity": 1} if method == "POST" else None
    return ask_whole(method, URL + path, body, headers)


def read(address, bearer=None):
    return send("GET", "/v1/drops", address, bearer)


def write(address, bearer=None):
    return send("POST", "/v1/drops/1/orders", address, bearer)


def items(headers, name):
    """Returns the parameters of each item of a list by its name; every item is a string of its own."""
    lines = headers.get_all(name)
    listed = http_sf.parse(", ".join(lines).encode("ascii"), tltype="list")
    for value, _ in listed:
        check(f"{name}: {value!r} is a string", type(value), str)
    check(f"{name}: each policy is there once", len({value for value, _ in listed}), len(listed))
    return dict(listed)


def is_integer(value, least, most):
    return type(value) is int and least <= value <= most


def limits(headers):
    """Returns what is left under each policy and the seconds until there is more, after all that the draft demands was checked."""
    policies, states = items(headers, "RateLimit-Policy"), items(headers, "RateLimit")
    check("both lists have the same policies", list(states), list(policies))
    for name, parameters in policies.items():
        check(f"{name}: a known policy", name in QUOTAS, True)
        check(f"{name}: quota", is_integer(parameters["q"], 1, 10**15 - 1) and parameters["q"], QUOTAS[name])
        if name == "in-flight":
            check(f"{name}: no window, and a unit of the draft", sorted(parameters), ["q", "qu"])
            check(f"{name}: unit", (type(parameters["qu"]), parameters["qu"]), (str, "concurrent-requests"))
        else:
            check(f"{name}: parameters of a policy", sorted(parameters), ["q", "w"])
            check(f"{name}: window", is_integer(parameters["w"], 1, 10**15 - 1) and parameters["w"], WINDOW_SECONDS)
        state = states[name]
        check(f"{name}: parameters of a state", sorted(state), ["r", "t"])
        check(f"{name}: remaining {state['r']!r}", is_integer(state["r"], 0, QUOTAS[name]), True)
        check(f"{name}: seconds {state['t']!r}", is_integer(state["t"], 1, WINDOW_SECONDS), True)
    return {name: (state["r"], state["t"]) for name, state in states.items()}


def note_passed(status, headers):
    """Checks the headers of a write that passed."""
    check("it passed", status in (201, 401, 404, 409), True)
    passed_with.update(limits(headers))


def note_refused(answer, policies):
    """Checks an answer to a request without room. Returns the seconds to wait."""
    status, headers, problem = answer
    check(f"{policies}: the status", (status, problem["code"]), (429, "rate-limited"))
    check(f"{policies}: the policies of the body", problem["violated_policies"], policies)
    told = limits(headers)
    check(f"{policies}: those of the headers", list(told), policies)
    check(f"{policies}: nothing is left", [remaining for remaining, _ in told.values()], [0] * len(told))
    wait, _ = http_sf.parse(headers["Retry-After"].encode("ascii"), tltype="item")
    check(f"{policies}: Retry-After is the longest wait", wait, max(seconds for _, seconds in told.values()))
    refused_by.update(policies)
    return wait


def use_up(request, quota, policies, writes):
    """Sends as many requests as a quota has, and one more."""
    for _ in range(quota):
        status, headers, _ = request()
        check(f"{policies}: room", status != 429, True)
        if writes:
            note_passed(status, headers)
        else:
            check("a read that passes has no headers of limits", "RateLimit" in headers, False)
    return note_refused(request(), policies)


address = new_address()
wait = use_up(lambda: read(address), QUOTAS["address-reads"], ["address-reads"], False)
time.sleep(wait)
check("an address that has waited as it was told reads", read(address)[0], 200)

ann = token("ann", "new")
use_up(lambda: read(new_address(), ann), QUOTAS["buyer-reads"], ["buyer-reads"], False)
for tier in ("new", "verified", "premium"):
    of_tier, name = token(f"buyer-{tier}", tier), f"buyer-{tier}"
    wait = use_up(lambda: write(new_address(), of_tier), QUOTAS[name], [name], True)
time.sleep(wait)
check("a buyer who has waited as they were told gets in", write(new_address(), of_tier)[0] != 429, True)

eve = token("eve", "suspected")
use_up(lambda: write(new_address(), eve), QUOTAS["buyer-suspected"], ["buyer-suspected"], True)
address = new_address()
suspects = (token(f"suspect-{number}", "suspected") for number in itertools.count())
use_up(lambda: write(address, next(suspects)), QUOTAS["address-buyers"], ["address-buyers"], True)
# Without a token the write is refused as unauthorized, and charged.
address = new_address()
for _ in range(QUOTAS["address-writes"]):
    check("no token", write(address)[0], 401)
note_refused(write(address), ["address-writes"])
address = new_address()
forged = (token(f"forged-{number}", "new", b"somebody else's secret, 32 bytes or more") for number in itertools.count())
for _ in range(QUOTAS["address-invalid-tokens"]):
    check("a forged token", write(address, next(forged))[0], 401)
note_refused(write(address, next(forged)), ["address-invalid-tokens"])

# A request whose body does not come is in flight.
address, held = new_address(), token("held", "new")
host, port = URL.removeprefix("http://").rsplit(":", 1)
with socket.create_connection((host, int(port)), timeout=20) as connection:
    head = ["POST /v1/drops/1/orders HTTP/1.1", "Host: x", f"X-Forwarded-For: {address}", f"Authorization: Bearer {held}",
            "Idempotency-Key: held", "Content-Type: application/json", "Content-Length: 9", "Expect: 100-continue", "", ""]
    connection.sendall("\r\n".join(head).encode())
    check("it is asked for its body", connection.recv(12), b"HTTP/1.1 100")
    note_refused(write(address, held), ["in-flight"])

# All clients together: each request comes from another address.
for request, policy in ((read, "global-reads"), (lambda address: write(address, token(address, "new")), "global-writes")):
    began = time.monotonic()
    for number in itertools.count():
        answer = request(new_address())
        if answer[0] == 429:
            break
        most = QUOTAS[policy] * (1 + (time.monotonic() - began) / WINDOW_SECONDS)
        check(f"{policy}: {number} requests are at most the quota and what came back", number <= most, True)
    time.sleep(note_refused(answer, [policy]))
    check(f"{policy}: room again", request(new_address())[0] != 429, True)

check("every policy has refused", sorted(refused_by), sorted(QUOTAS))
counted = {name for name in QUOTAS if name.startswith("buyer-") and name != "buyer-reads"}
check("writes that passed tell their policies", sorted(passed_with), sorted(counted | {"address-writes", "global-writes"}))
print(f"{checks()} checks of the headers of {len(QUOTAS)} policies with http-sf hold")
