"""Who may see the page: tokens, sessions, names and origins."""

from __future__ import annotations

import itertools

import pytest

from lab.web import access


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture(name="clock")
def _clock() -> Clock:
    return Clock()


@pytest.fixture(name="who")
def _who(clock: Clock) -> access.Access:
    numbers = itertools.count()
    return access.Access(4711, lambda: f"secret{next(numbers)}", clock)


def token(link: str) -> str:
    return link.partition("?token=")[2]


def opened(who: access.Access) -> access.Session:
    session = who.redeem(token(who.link()))
    assert session is not None
    return session


def test_a_link_opens_the_page_once(who: access.Access) -> None:
    link = who.link()
    assert link == "http://127.0.0.1:4711/?token=secret0"
    assert who.redeem("secret0") is not None
    assert who.redeem("secret0") is None


def test_an_unknown_or_old_token_opens_nothing(who: access.Access, clock: Clock) -> None:
    first = token(who.link())
    assert who.redeem("") is None and who.redeem("secret1") is None
    clock.seconds = access.TOKEN_SECONDS + 1
    assert who.redeem(first) is None


def test_only_the_newest_links_are_good(who: access.Access) -> None:
    links = [token(who.link()) for _ in range(access.MOST_TOKENS + 1)]
    assert who.redeem(links[0]) is None
    assert all(who.redeem(one) for one in links[1:])


def test_a_page_needs_the_cookie_and_data_the_key_as_well(who: access.Access) -> None:
    session = opened(who)
    assert who.may_load(session.cookie) and not who.may_load(None) and not who.may_load("secret0") and not who.may_load(session.key)
    assert who.may_ask(session.cookie, session.key)
    assert not any(who.may_ask(*pair) for pair in ((session.cookie, None), (None, session.key), (session.cookie, session.cookie), (session.key,) * 2))


def test_a_key_belongs_to_its_own_cookie(who: access.Access) -> None:
    first, second = opened(who), opened(who)
    assert not who.may_ask(first.cookie, second.key)


def test_sessions_are_bounded(who: access.Access) -> None:
    sessions = [opened(who) for _ in range(access.MOST_SESSIONS + 1)]
    assert not who.may_load(sessions[0].cookie) and who.may_load(sessions[1].cookie)


@pytest.mark.parametrize("host", [None, "", "localhost:4711", "127.0.0.1", "127.0.0.1:80", "evil.example:4711", "127.0.0.1:4711.evil.example"])
def test_other_names_of_the_server_are_refused(who: access.Access, host: str | None) -> None:
    assert who.known_host("127.0.0.1:4711") and not who.known_host(host)


@pytest.mark.parametrize("origin", [None, "null", "", "http://127.0.0.1:4712", "https://127.0.0.1:4711", "http://localhost:4711", "http://evil.example"])
def test_other_origins_are_refused(who: access.Access, origin: str | None) -> None:
    assert who.own_origin("http://127.0.0.1:4711") and not who.own_origin(origin)


def test_what_the_browser_calls_a_foreign_request_is_refused(who: access.Access) -> None:
    assert who.own_origin(who.origin, "same-origin")
    assert not any(who.own_origin(who.origin, site) for site in ("cross-site", "same-site", "none"))


def test_the_key_of_a_websocket() -> None:
    assert access.key_of("lab, lab.key.abc_-9") == "abc_-9"
    assert access.key_of(None) is access.key_of("") is access.key_of("lab") is None
