"""`lab run --jobs`: at most so many at a time, told in their order, ended together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lab.cli.jobs import Jobs, Work
from lab.cli.main import main
from tests.hearing import HEARING
from tests.waiting import until, wait_until_gone


def _meets(folder: Path, number: int, others: int) -> int:
    """A work that ends only when so many others run at the same time."""
    (folder / str(number)).touch()
    until(lambda: len(list(folder.iterdir())) >= others, "the others")
    return number


def test_several_run_at_a_time(tmp_path: Path) -> None:
    told: list[int] = []
    assert Jobs([lambda number=number: _meets(tmp_path, number, 3) for number in range(3)], 3).run(told.append) == [0, 1, 2]  # type: ignore[misc]
    assert told == [0, 1, 2]


class Counted(Jobs):
    """Notes how many run whenever one has begun."""

    def __init__(self, works: list[Work], most: int) -> None:
        super().__init__(works, most)
        self.seen: list[int] = []

    def _begin(self, mask: set[int | signal.Signals]) -> None:
        super()._begin(mask)
        self.seen.append(len(self._running))


def test_never_more_than_allowed() -> None:
    jobs = Counted([lambda: 5] * 12, 2)
    assert jobs.run(lambda number: None) == [5] * 12
    assert len(jobs.seen) == 12 and max(jobs.seen) == 2


def test_a_later_one_waits_for_its_turn_to_be_told(tmp_path: Path) -> None:
    """The second ends first: only then does the first."""
    told: list[int] = []

    def first() -> int:
        until((tmp_path / "second").exists, "the second")
        return 0

    def second() -> int:
        (tmp_path / "second").touch()
        return 7

    assert Jobs([first, second], 2).run(told.append) == [0, 7]
    assert told == [0, 1]


def test_a_work_that_breaks_is_no_success(capfd: pytest.CaptureFixture[str]) -> None:
    def broken() -> int:
        raise RuntimeError("a defect")

    def killed() -> int:
        os.kill(os.getpid(), signal.SIGKILL)
        return 0

    assert Jobs([broken, killed, lambda: 3], 2).run(lambda number: None) == [70, 128 + signal.SIGKILL, 3]
    assert "a defect" in capfd.readouterr().err


_PROGRAM = """
import os, pathlib, signal, sys
from lab.cli.jobs import Jobs
folder = pathlib.Path(sys.argv[1])
def work(number):
    (folder / f"{number}.pid").write_text(str(os.getpid()))
    (folder / f"{number}.pid").rename(folder / str(number))
    signal.pause()
    return 0
jobs = Jobs([lambda: work(0), lambda: work(1), lambda: work(2)], 2)
print(jobs.run(lambda number: print("told", number, flush=True)), jobs.told_to_end.name)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL])
def test_who_runs_ends_with_the_front_and_nothing_more_is_begun(number: signal.Signals, tmp_path: Path) -> None:
    argv = [*HEARING, sys.executable, "-c", _PROGRAM, str(tmp_path)]
    front = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": os.getcwd()}, start_new_session=True)
    until(lambda: (tmp_path / "0").exists() and (tmp_path / "1").exists(), "two that run")
    handles = [os.pidfd_open(int((tmp_path / name).read_text())) for name in ("0", "1")]
    front.send_signal(number)
    said, _ = front.communicate(timeout=20)
    wait_until_gone(handles, "a work outlived its front")
    assert not (tmp_path / "2").exists()
    if number != signal.SIGKILL:
        status = 130 if number == signal.SIGINT else 128 + number
        assert said.splitlines() == ["told 0", "told 1", f"[{status}, {status}] {number.name}"]


@pytest.mark.parametrize("words", [["--jobs", "0"], ["--jobs", "-1"], ["--jobs", "2", "--step"], ["--jobs", "2", "--keep"], ["--jobs", "2", "--web"]])
def test_what_does_not_go_together(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "nginx-service", *words]) == 2
    assert "--jobs" in capsys.readouterr().err
