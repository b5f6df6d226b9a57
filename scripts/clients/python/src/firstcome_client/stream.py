"""Streams of drops and auctions."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import httpx
from httpx_sse import connect_sse

from .problems import error_of

T = TypeVar("T")

# The server sends a comment every 15 s: a stream that says nothing for so long is broken.
_SILENCE_MAX_SECONDS = 45.0
_RECONNECT_SECONDS = 1.0


@dataclass(frozen=True)
class StreamEvent(Generic[T]):
    """The state first (`snapshot`), then the state after each change (`update`)."""

    event: str
    id: str
    """The version of the state, `epoch-seq`."""
    data: T


def follow(client: httpx.Client, path: str) -> Iterator[StreamEvent[Any]]:
    """Yields the events of a stream, and connects again when it ends: each connection begins with a snapshot.

    Raises `ProblemError` if the server refuses the stream, such as `not-found`.
    """
    timeout = httpx.Timeout(10.0, read=_SILENCE_MAX_SECONDS)
    pause = _RECONNECT_SECONDS
    while True:
        try:
            with connect_sse(client, "GET", path, timeout=timeout) as source:
                if source.response.status_code != 200:
                    source.response.read()
                    raise error_of(source.response)
                for event in source.iter_sse():
                    if event.retry is not None:
                        pause = event.retry / 1_000
                    if event.event in ("snapshot", "update"):
                        yield StreamEvent(event.event, event.id, json.loads(event.data))
        except httpx.TransportError:
            pass
        time.sleep(pause)
