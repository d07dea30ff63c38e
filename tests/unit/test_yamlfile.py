"""lab.model.yamlfile: lines of every part, Kubernetes' reading of plain words, limits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.errors import InputError, UsageError
from lab.model import yamlfile
from lab.model.yamlfile import load_documents

TEXT = """\
# a comment
name: a
nodes:
  - name: b
    address: 10.0.0.1/24

  - {name: c,
     address: x}
base: &base
  one: 1
copy:
  <<: *base
  two: 2
again: *base
"""


def problems(text: str) -> str:
    with pytest.raises(InputError) as caught:
        load_documents(text, "f")
    return str(caught.value)


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ((), 2),
        (("name",), 2),
        (("nodes",), 3),
        (("nodes", 0), 4),
        (("nodes", 0, "address"), 5),
        (("nodes", 1), 7),
        (("nodes", 1, "address"), 8),
        (("nodes", 1, "gateway"), 7),
        (("nodes", 7, "gateway"), 3),
        (("copy", "one"), 10),
        (("copy", "two"), 13),
        (("again",), 14),
        (("missing",), 2),
    ],
)
def test_line_of(path: yamlfile.Path, line: int) -> None:
    assert load_documents(TEXT, "f")[0].line_of(path) == line


def test_plain_data() -> None:
    plain = load_documents(TEXT, "f")[0].plain()
    assert plain["nodes"] == [{"name": "b", "address": "10.0.0.1/24"}, {"name": "c", "address": "x"}]
    assert plain["copy"] == {"one": 1, "two": 2}
    assert plain["again"] == {"one": 1}


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("yes", True),
        ("off", False),
        ("'yes'", "yes"),
        ("0", 0),
        ("-17", -17),
        ("0x1F", 31),
        ("0644", 420),
        ("0o644", 420),
        ("089", "089"),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        (".", "."),
        ("22:22", "22:22"),
        ("2017-01-01", "2017-01-01"),
        ("1.2.3.4", "1.2.3.4"),
        ("v1.7.3", "v1.7.3"),
        ("1_000", "1_000"),
        ("!!str 5", "5"),
        ("! 5", "5"),
        ("!!int 5", 5),
        ("!!float 5", 5),
        ("=", "="),
    ],
)
def test_scalars(word: str, value: Any) -> None:
    found = load_documents(f"key: {word}\n", "f")[0].plain()["key"]
    assert (found, type(found)) == (value, type(value))


def test_documents_without_content_are_left_out() -> None:
    assert [part.line for part in load_documents("---\n---\na: 1\n---\n# nothing\n---\nb: 2\n", "f")] == [3, 7]


def test_anchors_end_with_their_document() -> None:
    assert "&a" in problems("x: &a 1\n---\ny: *a\n")


def test_a_megabyte_is_enough() -> None:
    assert problems("# " + "x" * yamlfile.MAX_BYTES) == "f: is larger than 1 MiB; split it into several files"


def test_depth_counts_through_aliases() -> None:
    step = "[" * 30 + "1" + "]" * 30
    assert "levels deep" in problems(f"a: &a {step}\nb: {'[' * 20}*a{']' * 20}\n")


def test_a_forbidden_character_has_a_line() -> None:
    assert problems("a: 1\nb: \x01\n").startswith("f:2: ")


def test_read_text_says_why_it_cannot(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="mine: cannot read it: No such file"):
        yamlfile.read_text(tmp_path / "none.yaml", "mine")
    with pytest.raises(UsageError, match="Is a directory"):
        yamlfile.read_text(tmp_path, "mine")


def test_read_text_wants_utf8(tmp_path: Path) -> None:
    path = tmp_path / "latin.yaml"
    path.write_bytes("a: 1\nb: caf\xe9\n".encode("latin-1"))
    with pytest.raises(InputError, match="mine:2: is not UTF-8 text"):
        yamlfile.read_text(path, "mine")


def test_a_byte_order_mark_is_no_content(tmp_path: Path) -> None:
    path = tmp_path / "windows.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\r\n")
    assert load_documents(yamlfile.read_text(path, "mine"), "mine")[0].plain() == {"a": 1}


YAMLISH = st.lists(
    st.sampled_from(
        [*"ab:-[]{}&*!|>%@`'\"#,?\\\t\n 01.~<\x00\x85\ufeff\ud800", "\n  ", "- ", ": ", "---\n", "&a ", "*a", "<<: ", "!!", "? "]
    ),
    max_size=60,
).map("".join)


@given(st.one_of(st.text(), YAMLISH))
def test_any_text_is_read_or_explained(text: str) -> None:
    try:
        documents = load_documents(text, "f")
    except InputError as error:
        assert error.problems
    else:
        for document in documents:
            document.plain()
