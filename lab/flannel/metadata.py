"""What a virtual machine asks its cloud about itself, and other small HTTP errands of the cloud backends. Only http.client: no proxies."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from lab.errors import BootError

HOST = "169.254.169.254"
"""The metadata service, in every cloud."""

_TIMEOUT = 5.0


class HttpError(BootError):
    """An answer that is none of 2xx. `code` is its status."""

    def __init__(self, code: int, text: str) -> None:
        self.code = code
        super().__init__(text)


def call(method: str, url: str, body: Any = None, headers: Mapping[str, str] | None = None) -> str:
    """One request; `body` goes as JSON. Raises HttpError, and BootError when nobody answers."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=_TIMEOUT)
    try:
        text = None if body is None else json.dumps(body)
        kind = {} if body is None else {"Content-Type": "application/json"}
        connection.request(method, parts.path, text, kind | dict(headers or {}))
        response = connection.getresponse()
        answer = response.read().decode("utf-8", "replace")
    except (OSError, http.client.HTTPException) as error:
        raise BootError(f"no answer from {url}: {error}") from error
    finally:
        connection.close()
    if not 200 <= response.status < 300:
        raise HttpError(response.status, f"{method} {url}: {response.status} {_reason(answer)}")
    return answer


def _reason(answer: str) -> str:
    """Google's message in an error document, else what was said."""
    try:
        return str(json.loads(answer)["error"]["message"])
    except (ValueError, LookupError, TypeError):
        return answer.strip()[:200]
