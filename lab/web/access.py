"""Who may see the page: one-time tokens, sessions, and where a request may come from. Pure: randomness and the clock are passed in.

A session has two secrets. The cookie lets a browser load the page. Browsers send cookies to every port of 127.0.0.1, so a server of
another user on another port could be sent it; therefore data and commands need a key as well, which the page keeps in its origin's own
storage (an origin includes the port) and sends in a header.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

TOKEN_SECONDS = 900.0
"""How long a link that nobody has opened is good for."""
MOST_TOKENS, MOST_SESSIONS = 8, 16
"""Older ones give way."""
ADDRESS = "127.0.0.1"
KEY_HEADER = "X-Lab-Key"
KEY_PROTOCOL = "lab.key."
"""A WebSocket carries the key as a subprotocol of this beginning: a browser lets no page set headers there."""


@dataclass(frozen=True)
class Session:
    """What one browser holds."""

    cookie: str
    key: str


class Access:
    """The tokens and sessions of one server.

    secret   a new unguessable word of letters, digits, dashes and underscores
    now      seconds of a clock that never goes back
    """

    def __init__(self, port: int, secret: Callable[[], str], now: Callable[[], float]) -> None:
        self._port, self._secret, self._now = port, secret, now
        self._tokens: OrderedDict[str, float] = OrderedDict()
        self._sessions: OrderedDict[str, Session] = OrderedDict()

    @property
    def origin(self) -> str:
        """The only origin whose pages may ask for anything."""
        return f"http://{ADDRESS}:{self._port}"

    @property
    def cookie_name(self) -> str:
        """With the port, so that the pages of two labs do not overwrite each other's cookies."""
        return f"lab-{self._port}"

    def link(self) -> str:
        """A new address that opens the page once."""
        token = self._secret()
        self._tokens[_hash(token)] = self._now() + TOKEN_SECONDS
        while len(self._tokens) > MOST_TOKENS:
            self._tokens.popitem(last=False)
        return f"{self.origin}/?token={token}"

    def redeem(self, token: str) -> Session | None:
        """A session for a token, which is then used up; None for one that is not known, or not any more."""
        until = self._tokens.pop(_hash(token), None)
        if until is None or until < self._now():
            return None
        session = Session(self._secret(), self._secret())
        self._sessions[_hash(session.cookie)] = session
        while len(self._sessions) > MOST_SESSIONS:
            self._sessions.popitem(last=False)
        return session

    def may_load(self, cookie: str | None) -> bool:
        """Whether this browser may load the page's files."""
        return cookie is not None and _hash(cookie) in self._sessions

    def may_ask(self, cookie: str | None, key: str | None) -> bool:
        """Whether this page may have data and give commands."""
        session = self._sessions.get(_hash(cookie)) if cookie is not None else None
        return session is not None and key is not None and _hash(key) == _hash(session.key)

    def known_host(self, host: str | None) -> bool:
        """Whether a request's Host header names this server: a name that somebody else's DNS points here does not."""
        return host == f"{ADDRESS}:{self._port}"

    def own_origin(self, origin: str | None, fetch_site: str | None = None) -> bool:
        """Whether a command comes from a page of this server; browsers always say so with a POST and a WebSocket."""
        return origin == self.origin and fetch_site in (None, "same-origin")


def _hash(secret: str) -> str:
    """Secrets are looked up and compared by their sums, so that how long it takes tells nothing of them."""
    return hashlib.sha256(secret.encode()).hexdigest()


def key_of(protocols: str | None) -> str | None:
    """The key in a WebSocket's Sec-WebSocket-Protocol header."""
    for word in (protocols or "").split(","):
        if word.strip().startswith(KEY_PROTOCOL):
            return word.strip().removeprefix(KEY_PROTOCOL)
    return None
