"""What schemathesis must know of firstcome that the OpenAPI document cannot say (scripts/contract.sh)."""

import datetime
import itertools
import json
import os
import re
import urllib.request

import schemathesis
from hypothesis import strategies as st

ORDERS = os.environ["CONTRACT_ORDERS"].split(",")
DROPS = os.environ["CONTRACT_DROPS"].split(",")
AUCTIONS = os.environ["CONTRACT_AUCTIONS"].split(",")
ENDPOINTS = os.environ["CONTRACT_ENDPOINTS"].split(",")
# Nobody listens there, and no name server need be asked for it.
ENDPOINT_URL = os.environ["CONTRACT_ENDPOINT_URL"]
PUBLIC = os.environ["CONTRACT_PUBLIC"]
# These may be closed: else soon every drop would be, and nothing else could be tried on them.
CLOSABLE = os.environ["CONTRACT_CLOSABLE"].split(",")
ORDER_ID = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")

# One worker asks in one order, so what goes round goes round in the same way in each run.
orders, drops, closable = itertools.cycle(ORDERS), itertools.cycle(DROPS), itertools.cycle(CLOSABLE)
auctions, endpoints = itertools.cycle(AUCTIONS), itertools.cycle(ENDPOINTS)
turn = itertools.count()

# The instants that the server keeps.
schemathesis.openapi.format(
    "date-time",
    st.builds(
        lambda at, offset: at.isoformat("T", "milliseconds") + offset,
        st.datetimes(min_value=datetime.datetime(1970, 1, 2), max_value=datetime.datetime(9998, 12, 31)),
        st.sampled_from(["Z", "+01:00", "-23:59"]),
    ),
)


def fits(case):
    return case.meta is not None and case.meta.generation.mode.is_positive


@schemathesis.hook
def before_call(context, case, kwargs):
    """Leads good requests to things that exist and are as the request needs them, three times of four."""
    query = case.query or {}
    if str(query.get("follow")).lower() in ("true", "['true']", "[true]"):
        # Who follows the audit never gets to an end.
        query["follow"] = "false"
    # A link that schemathesis guessed may put a number into a header.
    for header, value in list((case.headers or {}).items()):
        case.headers[header] = str(value)
    name = case.operation.definition.raw.get("operationId")
    if not fits(case):
        return
    if name == "GetAuctionOrder":
        # Needed where no token says who asks, and here none does.
        query.setdefault("buyer", "buyer-7")
        case.query = query
    if name == "ListOrders" and (str(query.get("contacts")).lower() == "true" or int(query.get("limit", 0)) > 100):
        case.headers["Accept"] = "text/csv"
    if name in ("CreateEndpoint", "PatchEndpoint") and isinstance(case.body, dict) and "url" in case.body:
        case.body["url"] = ENDPOINT_URL
    if next(turn) % 4 == 0:
        return
    path = case.path_parameters or {}
    if "order_id" in path and ORDER_ID.fullmatch(str(path["order_id"])):
        path["order_id"] = next(orders)
    if "drop_id" in path:
        path["drop_id"] = next(closable if name == "CloseDrop" else drops)
    if "endpoint_id" in path and name != "DeleteEndpoint":
        path["endpoint_id"] = next(endpoints)
    if "auction_id" in path:
        path["auction_id"] = next(auctions)
    if isinstance(case.body, dict):
        change = CHANGES.get(name)
        if change is not None:
            case.body.update(change(path, case.body))


def drop_now(path, member):
    with urllib.request.urlopen(f"http://{PUBLIC}/v1/drops/{path['drop_id']}", timeout=5) as answer:
        return json.load(answer)[member]


CHANGES = {
    "PatchDrop": lambda path, body: {"expected_revision": drop_now(path, "revision")},
    "AdjustStock": lambda path, body: {"expected_total": drop_now(path, "total")},
    "RecordPayment": lambda path, body: {"amount": 100, "currency": "EUR"},
    # Low, so that the next can be higher.
    "PlaceBid": lambda path, body: {"amount": body["amount"] % 1000 + 100, "maximum": body["amount"] % 5000 + 1100},
    "CreateAuction": lambda path, body: {
        "ends_at": "9000-01-01T00:00:00Z",
        "hard_end_at": "9000-01-02T00:00:00Z",
        "starts_at": "2020-01-01T00:00:00Z",
        "increments": [[0, 1]],
        "buy_now": body["start_price"],
    },
    "PlaceOrder": lambda path, body: {"quantity": body["quantity"] % 9 + 1},
}


def texts(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner)


@schemathesis.hook
def filter_body(context, body):
    """Lengths are bytes (x-bytes-max), and JSON Schema counts characters: long texts stay ASCII. The shortest bound is 40."""
    return all(len(text) <= 10 or text.isascii() for text in texts(body))


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """A request can fit its schema and still be refused by the state, or be larger than a body may be."""
    if type(failure).__name__ != "RejectedPositiveData":
        return True
    name = case.operation.definition.raw.get("operationId")
    if name in ("PlaceOrder", "PlaceBid", "BuyNow") and "buyer" not in case.body:
        # Only a buyer's token can make up for it, and there are none here.
        return False
    if name in ("PlaceBid", "CreateAuction"):
        # What one member must be to another, a schema cannot say: at least the amount, ascending, after the start.
        pointers = {error["pointer"] for error in response.json().get("errors", [])}
        if pointers and pointers <= {"/maximum", "/increments", "/ends_at", "/hard_end_at", "/buy_now"}:
            return False
    if response.status_code == 413:
        return int(response.request.headers["Content-Length"]) <= 8192
    return "as_of_seq" not in response.json()
