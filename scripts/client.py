"""Requests and checks of the scripts that ask a server by the packages of others."""

import json
import sys
import urllib.error
import urllib.request

_checks = 0


def ask_whole(method, url, body=None, headers=None):
    """Returns the status, the headers and the JSON of an answer. A body that is not bytes is sent as JSON."""
    headers = dict(headers or {})
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
        headers.setdefault("Content-Type", "application/json")
    request = urllib.request.Request(url, data=body, headers=headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.headers, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, error.headers, json.load(error)


def ask(method, url, body=None, headers=None):
    """Returns the status and the JSON of an answer."""
    status, _, answer = ask_whole(method, url, body, headers)
    return status, answer


def check(what, found, expected):
    """Ends the script unless both are equal."""
    global _checks
    _checks += 1
    if found != expected:
        sys.exit(f"{what}: {found!r} instead of {expected!r}")


def checks():
    """Returns the number of checks so far."""
    return _checks
