"""Errors of answers that are not successful."""

from __future__ import annotations

import re
from typing import Any

import httpx


class ProblemError(Exception):
    """The server answered with a problem (RFC 9457): nothing was done, unless the code is `outcome-unknown`."""

    def __init__(self, problem: dict[str, Any], retry_after: int | None) -> None:
        super().__init__(f"{problem.get('title')}: {problem.get('detail')} (request {problem.get('request_id')})")
        self.problem = problem
        self.code: str = problem["code"]
        self.status: int = problem["status"]
        self.retry_after = retry_after
        """Seconds after which the server may answer otherwise; None if it did not say."""


class UnexpectedResponseError(Exception):
    """The answer was no problem document: something between the client and the server answered."""

    def __init__(self, status: int, body: str) -> None:
        super().__init__(f"status {status} without a problem document")
        self.status = status
        self.body = body


def retry_after_of(response: httpx.Response) -> int | None:
    """Returns the seconds of a `Retry-After` header; None without one, or with a date."""
    text = response.headers.get("Retry-After", "")
    return int(text) if re.fullmatch(r"[0-9]{1,9}", text) else None


def problem_of(response: httpx.Response) -> dict[str, Any] | None:
    """Returns the problem document of a response that has been read; None if it has none."""
    try:
        body = response.json()
    except ValueError:
        return None
    is_problem = isinstance(body, dict) and isinstance(body.get("code"), str) and isinstance(body.get("status"), int)
    return body if is_problem else None


def error_of(response: httpx.Response) -> ProblemError | UnexpectedResponseError:
    """Returns the error of a response that is not successful."""
    problem = problem_of(response)
    if problem is None:
        return UnexpectedResponseError(response.status_code, response.text)
    return ProblemError(problem, retry_after_of(response))
