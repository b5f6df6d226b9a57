"""Buys drops that demand a proof of work, with challenges that ALTCHA's package solves.

    challenges.py URL ADMIN_URL
"""

import sys
import time
import uuid

import altcha
from client import ask, check, checks

URL, ADMIN = sys.argv[1:]
# Loopback is exempt; the address of a client that a proxy forwards is not.
CLIENT = {"X-Forwarded-For": "192.0.2.1"}


def new_drop(challenge):
    drop = {
        "sku": "S", "name": "N", "currency": "EUR", "unit_price": 100, "total": 100, "per_buyer_limit": 9,
        "starts_at": "2020-01-01T00:00:00Z", "challenge": challenge,
    }
    status, made = ask("POST", f"{ADMIN}/v1/drops", drop, {"Idempotency-Key": str(uuid.uuid4())})
    check("a drop is made", status, 201)
    return made["id"]


def order(drop, solution, key=None):
    headers = {"Idempotency-Key": key or str(uuid.uuid4()), **CLIENT}
    if solution:
        headers["Firstcome-Challenge"] = solution
    return ask("POST", f"{URL}/v1/drops/{drop}/orders", {"buyer": "ann", "quantity": 1}, headers)


def solved(drop):
    """Solves a challenge of the drop with the package alone."""
    status, made = ask("GET", f"{URL}/v1/drops/{drop}/challenge", headers=CLIENT)
    check("a challenge is made", status, 200)
    challenge = altcha.ChallengeV1(
        made["algorithm"], made["challenge"], made["maxnumber"], made["salt"], made["signature"])
    solution = altcha.solve_challenge_v1(challenge)
    payload = altcha.PayloadV1(
        challenge.algorithm, challenge.challenge, solution.number, challenge.salt, challenge.signature)
    # The package finds the expiry where its own challenges have it.
    expires = int(altcha.extract_params_v1(payload.to_dict())["expires"][0])
    check("it expires in five minutes", 290 < expires - time.time() < 310, True)
    return payload


drop = new_drop("proof_of_work")
status, problem = order(drop, None)
check("an order without a solution", (status, problem["code"], problem["reason"]), (428, "challenge-required", "missing"))
check("it is told where", problem["challenge"]["url"].endswith(f"/v1/drops/{drop}/challenge"), True)

for _ in range(5):
    payload = solved(drop).to_base64()
    key = str(uuid.uuid4())
    status, made = order(drop, payload, key)
    check("a solution passes", status, 201)
    status, again = order(drop, payload, key)
    check("a repeat is the same order", (status, again["id"]), (201, made["id"]))
    status, problem = order(drop, payload)
    check("another order with it", (status, problem["reason"]), (428, "replayed"))

payload = solved(drop)
payload.number += 1
status, problem = order(drop, payload.to_base64())
check("a wrong number", (status, problem["reason"]), (428, "wrong"))
# A challenge that the package makes itself, with a key of its own.
own = altcha.create_challenge_v1(altcha.ChallengeOptionsV1(hmac_key="guessed", max_number=1000, number=7))
forged = altcha.PayloadV1(own.algorithm, own.challenge, 7, own.salt, own.signature)
check("the package believes it", altcha.verify_solution_v1(forged.to_base64(), "guessed")[0], True)
status, problem = order(drop, forged.to_base64())
check("a forged challenge", (status, problem["reason"]), (428, "wrong"))
status, problem = order(new_drop("proof_of_work"), solved(drop).to_base64())
check("another drop's challenge", (status, problem["reason"]), (428, "another_drop"))
print(f"{checks()} checks with altcha's package hold")
