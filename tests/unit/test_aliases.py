"""What a scenario wrote and what a cluster says instead: translations that undo each other."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.model.aliases import NONE, Aliases

WORDS = st.sampled_from(["10.0.0.1", "10.0.0.2", "10.0.0.3", "web", "web-1", "nginx-a", "nginx-b", "10.0.0.10", "a.b"])
TEXTS = st.lists(st.one_of(WORDS, st.sampled_from([" ", ":80", "/", "\n", ", ", "x", "-"])), max_size=12).map("".join)


@settings(deadline=None)
@given(st.lists(st.tuples(WORDS, WORDS), max_size=6), TEXTS)
def test_there_and_back_is_where_it_began(pairs: list[tuple[str, str]], text: str) -> None:
    aliases = Aliases(pairs)
    assert aliases.written(aliases.real(text)) == text
    assert aliases.real(aliases.written(text)) == text


@pytest.mark.parametrize(
    ("written", "real"),
    [
        ("curl http://10.0.0.1:80/", "curl http://10.9.9.9:80/"),
        ("to 10.0.0.1.", "to 10.9.9.9."),
        ("10.0.0.12 110.0.0.1 10.0.0.1.5", "10.0.0.12 110.0.0.1 10.0.0.1.5"),
        (r"src=10\.0\.0\.1 dst", r"src=10\.9\.9\.9 dst"),
        ("pod: web", "pod: web-7d9f"),
        ("web-1 my-web webs", "web-1 my-web webs"),
        ("default/web:", "ns/web:"),
        ("web.default.svc.cluster.local", "web-7d9f.ns.svc.cluster.local"),
    ],
)
def test_a_word_is_a_whole_name_or_address(written: str, real: str) -> None:
    aliases = Aliases([("10.0.0.1", "10.9.9.9"), ("web", "web-7d9f"), ("default/web", "ns/web"), ("default.svc", "ns.svc")])
    assert aliases.real(written) == real
    assert aliases.written(real) == written


def test_an_address_that_the_cluster_gave_to_another() -> None:
    aliases = Aliases([("10.0.0.1", "10.0.0.2"), ("10.0.0.2", "10.0.0.3")])
    assert aliases.real("10.0.0.1 10.0.0.2") == "10.0.0.2 10.0.0.3"
    assert aliases.written("10.0.0.1") != "10.0.0.1", "in the cluster's mouth this is not the first pod"


def test_nothing_to_say() -> None:
    assert NONE.real("10.0.0.1") == NONE.written("10.0.0.1") == "10.0.0.1"
    assert Aliases([("a", ""), ("", "b"), ("c", "c")]).real("a b c") == "a b c"


def test_data_keeps_its_keys() -> None:
    aliases = Aliases([("web", "web-7d9f")])
    assert aliases.written_data({"web-7d9f": ["web-7d9f", 1, None, {"a": "x web-7d9f"}]}) == {"web-7d9f": ["web", 1, None, {"a": "x web"}]}
