"""The two listeners of a server."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast

import httpx

from .problems import error_of
from .retry import RetryOptions, RetryTransport
from .stream import StreamEvent, follow

if TYPE_CHECKING:
    from . import schema


class _Listener:
    """What both listeners share: `request` makes any operation of the OpenAPI document."""

    def __init__(
        self,
        base_url: str,
        *,
        token: str | None = None,
        retry: RetryOptions | None = None,
        timeout: float = 30.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        inner = httpx.HTTPTransport() if transport is None else transport
        retrying = RetryTransport(inner, retry or RetryOptions())
        self._client = httpx.Client(
            base_url=base_url, headers=headers, timeout=timeout, transport=retrying, follow_redirects=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Closes all connections."""
        self._client.close()

    def request(
        self,
        method: str,
        path: str,
        body: object | None = None,
        *,
        query: dict[str, str | int] | None = None,
        headers: dict[str, str] | None = None,
    ) -> Any:
        """Makes a request, and returns the JSON of its answer. Raises `ProblemError` for anything but success."""
        response = self._client.request(method, path, json=body, params=query, headers=headers)
        if not response.is_success:
            raise error_of(response)
        return response.json() if response.content else None

    def _create(self, path: str, body: object, key: str | None, challenge: str | None = None) -> Any:
        """Makes what a repeat with the same key finds."""
        headers = {"Idempotency-Key": key or str(uuid.uuid4())}
        if challenge is not None:
            headers["Firstcome-Challenge"] = challenge
        return self.request("POST", path, body, headers=headers)


class Firstcome(_Listener):
    """What buyers do, on the public listener."""

    def drop(self, drop_id: int) -> schema.Drop:
        return cast("schema.Drop", self.request("GET", f"/v1/drops/{drop_id:d}"))

    def place_order(
        self, drop_id: int, order: schema.NewOrder, *, idempotency_key: str | None = None, challenge: str | None = None
    ) -> schema.Order:
        """Reserves units. A refusal, such as `sold-out`, is a `ProblemError`.

        Give a key that you keep, if the call may be made again after a crash of your program.
        """
        made = self._create(f"/v1/drops/{drop_id:d}/orders", order, idempotency_key, challenge)
        return cast("schema.Order", made)

    def order(self, order_id: str) -> schema.Order:
        return cast("schema.Order", self.request("GET", f"/v1/orders/{uuid.UUID(order_id)}"))

    def check_out(self, order_id: str, contact: schema.Contact) -> schema.Order:
        """Gives the contact of a reserved order, which awaits payment then. Repeated, it has no further effect."""
        path = f"/v1/orders/{uuid.UUID(order_id)}/checkout"
        return cast("schema.Order", self.request("POST", path, {"contact": contact}))

    def cancel_order(self, order_id: str) -> schema.Order:
        return cast("schema.Order", self.request("POST", f"/v1/orders/{uuid.UUID(order_id)}/cancel"))

    def auction(self, auction_id: int) -> schema.Auction:
        return cast("schema.Auction", self.request("GET", f"/v1/auctions/{auction_id:d}"))

    def place_bid(self, auction_id: int, bid: schema.NewBid, *, idempotency_key: str | None = None) -> schema.Bid:
        return cast("schema.Bid", self._create(f"/v1/auctions/{auction_id:d}/bids", bid, idempotency_key))

    def follow_drop(self, drop_id: int) -> Iterator[StreamEvent[schema.Drop]]:
        """Yields the drop's state, and again on each change. Close the iterator to end it."""
        return follow(self._client, f"/v1/drops/{drop_id:d}/stream")

    def follow_auction(self, auction_id: int) -> Iterator[StreamEvent[schema.Auction]]:
        return follow(self._client, f"/v1/auctions/{auction_id:d}/stream")


class FirstcomeAdmin(_Listener):
    """What operators do, on the admin listener."""

    def create_drop(self, drop: schema.NewDrop, *, idempotency_key: str | None = None) -> schema.Drop:
        return cast("schema.Drop", self._create("/v1/drops", drop, idempotency_key))

    def create_auction(self, auction: schema.NewAuction, *, idempotency_key: str | None = None) -> schema.Auction:
        return cast("schema.Auction", self._create("/v1/auctions", auction, idempotency_key))

    def record_payment(self, order_id: str, payment: schema.Payment) -> schema.Order:
        """Records a payment that was received by hand. Repeated with its reference, it has no further effect."""
        return cast("schema.Order", self.request("POST", f"/v1/orders/{uuid.UUID(order_id)}/payments", payment))

    def refund(self, order_id: str, refund: schema.Refund, *, idempotency_key: str | None = None) -> schema.Order:
        return cast("schema.Order", self._create(f"/v1/orders/{uuid.UUID(order_id)}/refund", refund, idempotency_key))

    def create_endpoint(
        self, endpoint: schema.NewWebhookEndpoint, *, idempotency_key: str | None = None
    ) -> schema.WebhookEndpoint:
        """Creates an endpoint; only this answer has its secret."""
        return cast("schema.WebhookEndpoint", self._create("/v1/webhook-endpoints", endpoint, idempotency_key))

    def orders(self, drop_id: int) -> Iterator[schema.Order]:
        """Yields all orders of a drop, page by page."""
        query: dict[str, str | int] = {"drop_id": drop_id}
        while True:
            page = cast("schema.OrderPage", self.request("GET", "/v1/orders", query=query))
            yield from page["data"]
            if "next_after" not in page:
                return
            query["after"] = page["next_after"]
