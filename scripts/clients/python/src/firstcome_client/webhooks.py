"""Verification of the outbox's webhooks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

if TYPE_CHECKING:
    from .schema import WebhookEvent

__all__ = ["WebhookVerificationError", "verify_webhook"]


def verify_webhook(secret: str, body: bytes | str, headers: Mapping[str, str]) -> WebhookEvent:
    """Checks a webhook's signature and age, and returns its message.

    Drop a `webhook-id` that you have seen: a message may come more than once.

    `secret` is the endpoint's (`whsec_…`), `body` the body as it was received, before any parsing.
    Raises `WebhookVerificationError` if it is not the server's, or older than five minutes.
    """
    names = {name.lower(): value for name, value in headers.items()}
    return cast("WebhookEvent", Webhook(secret).verify(body, names))
