"""Client of firstcome, an inventory engine for limited drops."""

from .client import Firstcome, FirstcomeAdmin
from .problems import ProblemError, UnexpectedResponseError
from .retry import RetryOptions
from .stream import StreamEvent
from .webhooks import WebhookVerificationError, verify_webhook

__all__ = [
    "Firstcome",
    "FirstcomeAdmin",
    "ProblemError",
    "RetryOptions",
    "StreamEvent",
    "UnexpectedResponseError",
    "WebhookVerificationError",
    "verify_webhook",
]
