"""Any text as a topology or a manifest: it is one, or an error says what is wrong. Never anything else."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.cluster.wanted import wanted
from lab.errors import LabError
from lab.model.load import load_topology
from lab.model.manifests import Objects, load_manifests
from tests.e2e.lab import ROOT

TOPOLOGIES = [path.read_text() for path in sorted((ROOT / "topologies").glob("*.yaml"))]
MANIFESTS = [path.read_text() for path in sorted((ROOT / "scenarios").glob("*/*.yaml"))]
SHORT, FULL = 60, 5000

STRANGE = st.sampled_from(
    ["", " ", "\n", "~", "-1", "0", "1e999", ".nan", "99999999999999999999", "0x7fffffffffffffff", "yes", "[]", "{}", "[[[[[[]]]]]]", "&a [*a]"]
    + ["*a", "!!python/object:os.x {}", "<<: {}", "? x", "'", '"', "|", ">", "%", "@", "`", "\t", "\x00", "\x85", "\u2028", "\ufeff", "\ud7ff"]
    + ["\U0001f600", "../../x", "$(id)", "10.0.0.0/0", "0.0.0.0/0", "255.255.255.255/32", "::/0", "fe80::1%eth0/64", "10.0.0.1/33", "10.0.0.1/-1"]
    + ["٣", "2001-01-01", "1:30", "{" * 500, "[" * 2000]
)


@st.composite
def spoilt(draw: st.DrawFn, texts: list[str]) -> str:
    """A shipped file in which some pieces are others: doubled, gone, exchanged for each other, for anything, or for what is known to hurt."""
    text = draw(st.sampled_from(texts))
    for _ in range(draw(st.integers(1, 4))):
        begin = draw(st.integers(0, len(text)))
        end = min(len(text), begin + draw(st.integers(0, 40)))
        piece = draw(st.one_of(STRANGE, st.text(max_size=8), st.just(text[begin:end] * 2), st.just(text[end : end + 20])))
        text = text[:begin] + piece + text[end:]
    return text


@pytest.fixture(name="examples", scope="module")
def _examples(request: pytest.FixtureRequest) -> int:
    return FULL if request.config.getoption("--full") else SHORT


def test_any_text_is_a_topology_or_an_error(examples: int) -> None:
    @settings(max_examples=examples)
    @given(st.one_of(spoilt(TOPOLOGIES), st.text()))
    def judge(text: str) -> None:
        try:
            topology = load_topology(text, "t.yaml")
        except LabError as error:
            assert str(error).startswith("t.yaml")
            return
        wanted(topology, Objects(), ())

    judge()


def test_any_text_is_a_manifest_or_an_error(examples: int) -> None:
    @settings(max_examples=examples)
    @given(st.one_of(spoilt(MANIFESTS), st.text()))
    def judge(text: str) -> None:
        try:
            load_manifests(text, "m.yaml")
        except LabError as error:
            assert str(error).startswith("m.yaml")

    judge()
