"""lab.fabric.logfiles: which logs there are, their ends, and which folders may hold them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.errors import UsageError
from lab.fabric import logfiles


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    for name in ("lab", "zenlin.etcd", "zenlin.flanneld", "zenlinnode1.kube-proxy", "zenlinnode2.kube-proxy"):
        (tmp_path / f"{name}.log").write_text(name + "\n")
    return tmp_path


def test_a_machine_by_its_name_or_the_beginning_of_one(folder: Path) -> None:
    assert list(logfiles.chosen(folder, "zenlin", None)) == ["etcd", "flanneld"]
    assert list(logfiles.chosen(folder, "zenlinnode1", None)) == ["kube-proxy"]
    assert logfiles.chosen(folder, "zenlin", "etcd") == {"etcd": folder / "zenlin.etcd.log"}
    for wrong in ("zenlinnode", "", "..", "lab", "x/y"):
        with pytest.raises(UsageError, match="there are: zenlin, zenlinnode1"):
            logfiles.chosen(folder, wrong, None)
    with pytest.raises(UsageError, match="there are: etcd, flanneld"):
        logfiles.chosen(folder, "zenlin", "../../etc/passwd")


@given(st.lists(st.binary(max_size=30).map(lambda line: line.replace(b"\n", b"").replace(b"\r", b"")), max_size=30), st.integers(0, 40))
def test_the_tail_is_the_last_lines(tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], number: int) -> None:
    path = tmp_path_factory.getbasetemp() / "tail.log"
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    text, end = logfiles.tail(path, number)
    assert end == path.stat().st_size
    assert logfiles.tail(path, -1)[0] == path.read_bytes()
    assert text == b"".join(line + b"\n" for line in (lines[-number:] if number else []))


def test_a_tail_longer_than_one_piece(tmp_path: Path) -> None:
    path = tmp_path / "long.log"
    path.write_bytes(b"".join(b"%099d\n" % number for number in range(5000)))
    assert logfiles.tail(path, 3000)[0].splitlines()[0] == b"%099d" % 2000
    assert logfiles.tail(tmp_path / "missing.log", 3) == (b"", 0)


def test_what_is_added_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_text("old\n")
    follower = logfiles.Follower({"a": (path, 4), "b": (tmp_path / "later.log", 0)})
    assert list(follower.more()) == []
    (tmp_path / "later.log").write_text("born\n")
    with path.open("a") as file:
        file.write("new\n")
    assert list(follower.more()) == [("a", b"new\n"), ("b", b"born\n")]
    assert list(follower.more()) == []


def test_last_words_cannot_move_the_cursor(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"one\ntwo\n\x1b[2Jthree\x07\n\xff\n")
    assert logfiles.last_words(path) == ["two", " [2Jthree", "\ufffd"]


def test_logs_are_kept_in_a_private_folder(tmp_path: Path) -> None:
    kept = logfiles.kept_in(str(tmp_path / "a" / "b"), "mine")
    assert kept == tmp_path / "a" / "b" / "mine" and kept.stat().st_mode & 0o777 == 0o700
    assert logfiles.kept_in(str(tmp_path / "a" / "b"), "mine") == kept


def test_a_folder_in_which_others_write_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(UsageError, match="nobody else may write to"):
        logfiles.kept_in(str(tmp_path), "mine")
    tmp_path.chmod(0o700)
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="file: File exists"):
        logfiles.kept_in(str(tmp_path / "file"), "mine")


def test_a_link_in_the_place_of_the_labs_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    os.symlink(tmp_path / "elsewhere", tmp_path / "mine")
    with pytest.raises(UsageError, match="must be a directory of yours"):
        logfiles.kept_in(str(tmp_path), "mine")
