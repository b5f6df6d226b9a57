"""Repeats of requests: those that had no effect, and those that are the same when repeated."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

import httpx

from .problems import problem_of, retry_after_of

_SAFE_TO_REPEAT = {"GET", "HEAD", "PUT", "DELETE", "OPTIONS"}
# Commands whose repeat gets the same answer without a key.
_REPEATABLE_COMMAND = re.compile(r"/(checkout|cancel|pause|resume|close|payments)$")
_FIRST_WAIT_SECONDS = 0.1
_LAST_WAIT_SECONDS = 5.0


@dataclass(frozen=True)
class RetryOptions:
    """How requests are repeated."""

    attempts: int = 6
    """Attempts of one request, the first included."""
    wait_max_seconds: float = 60.0
    """The longest `Retry-After` that is waited for."""
    sleep: Callable[[float], None] = time.sleep
    """Waits; tests give another one."""


def _is_idempotent(request: httpx.Request) -> bool:
    if request.method in _SAFE_TO_REPEAT or "Idempotency-Key" in request.headers:
        return True
    return _REPEATABLE_COMMAND.search(request.url.path) is not None


def _may_repeat(request: httpx.Request, response: httpx.Response) -> bool:
    if response.status_code == 429:
        return True
    if response.status_code in (502, 504):
        return _is_idempotent(request)
    if response.status_code != 503:
        return False
    problem = problem_of(response) or {}
    # A pause is an operator's decision, and may last.
    if problem.get("code") == "drop-paused":
        return False
    return problem.get("applied") == "no" or _is_idempotent(request)


def _backoff(attempt: int) -> float:
    most = min(_LAST_WAIT_SECONDS, _FIRST_WAIT_SECONDS * 2.0 ** (attempt - 1))
    return most / 2 + random.random() * most / 2


class RetryTransport(httpx.BaseTransport):
    """Sends each request through another transport, again where that is safe, with the same `Idempotency-Key`."""

    def __init__(self, inner: httpx.BaseTransport, options: RetryOptions) -> None:
        self._inner = inner
        self._options = options

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.headers.get("Accept") == "text/event-stream":
            # A stream connects again by itself, and its answer has no end to read.
            return self._inner.handle_request(request)
        attempt = 1
        while True:
            is_last = attempt >= self._options.attempts
            try:
                response = self._inner.handle_request(request)
                response.read()
            except httpx.TransportError:
                if is_last or not _is_idempotent(request):
                    raise
                pause = _backoff(attempt)
            else:
                if is_last or not _may_repeat(request, response):
                    return response
                retry_after = retry_after_of(response)
                pause = _backoff(attempt) if retry_after is None else float(retry_after)
                if pause > self._options.wait_max_seconds:
                    return response
            self._options.sleep(pause)
            attempt += 1

    def close(self) -> None:
        self._inner.close()
