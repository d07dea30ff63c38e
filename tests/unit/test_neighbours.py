"""Words about the machine's table of neighbours."""

from __future__ import annotations

import pytest

from lab.cli import main
from lab.errors import BootError
from lab.fabric import neighbours
from lab.fabric.neighbours import Table

STATISTICS = """\
entries  allocs   destroys hash_grows lookups  hits     res_failed periodic_gc_runs forced_gc_runs unresolved_discards table_fulls
00000056 000204d4 00022168 00000009   0007a138 0000daf1 000001f3   000002f9         00002f05       00000757            0000000a
00000056 0001e5d3 0001c8e9 00000002   00084852 0000d976 00000265   00000000         000032ca       00000cc5            00000010
"""


def test_overflows_are_those_of_all_processors() -> None:
    assert neighbours.overflows(STATISTICS) == 26


@pytest.mark.parametrize("text", ["", "entries allocs\n0 0\n", "table_fulls\nx\n"])
def test_another_text_is_no_table(text: str) -> None:
    with pytest.raises(ValueError):
        neighbours.overflows(text)


@pytest.mark.parametrize("before, after", [(None, None), (None, Table(3, 1024)), (Table(3, 1024), None), (Table(3, 1024), Table(3, 1024))])
def test_nothing_to_say(before: Table | None, after: Table | None) -> None:
    assert neighbours.words(before, after) == ""


def test_the_words_name_number_limit_and_remedy() -> None:
    said = neighbours.words(Table(3, 1024), Table(10, 1024))
    assert "meanwhile 7 found no room beside 1024 others" in said and "gc_thresh3=16384" in said


class _Filling:
    """A table that finds no room for one more at every look."""

    def __init__(self) -> None:
        self.looks = 0

    def __call__(self) -> Table:
        self.looks += 1
        return Table(self.looks, 1024)


@pytest.mark.parametrize("verb, told", [("run", True), ("list", False)])
def test_a_failing_command_tells_of_it(
    verb: str, told: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise BootError("node2: no answer")

    monkeypatch.setattr(neighbours, "look", _Filling())
    monkeypatch.setattr(f"lab.cli.{verb}.run", refuse)
    assert main.main([verb, *(["nginx-service"] if verb == "run" else [])]) == 1
    said = capsys.readouterr().err
    assert said.startswith("lab: node2: no answer\n") and ("table of neighbours" in said) == told


def test_a_command_that_succeeds_says_nothing(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "look", _Filling())
    monkeypatch.setattr("lab.cli.run.run", lambda args: 0)
    assert main.main(["run", "nginx-service"]) == 0
    assert capsys.readouterr().err == ""
