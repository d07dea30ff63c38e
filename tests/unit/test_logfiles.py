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


def _append(path: Path, text: bytes) -> None:
    with path.open("ab") as file:
        file.write(text)


def test_a_log_that_has_grown_is_put_aside_and_stays_the_file_that_its_writer_has_open(tmp_path: Path) -> None:
    path = tmp_path / "zenlin.etcd.log"
    with path.open("ab", buffering=0) as writer:
        writer.write(b"one\ntwo\n")
        logfiles.bound(tmp_path, 8)
        assert not logfiles.aside(path).exists(), "it has not grown over the limit"
        writer.write(b"three\n")
        logfiles.bound(tmp_path, 8)
        writer.write(b"four\n")
    assert (path.read_bytes(), logfiles.aside(path).read_bytes()) == (b"four\n", b"one\ntwo\nthree\n")
    assert logfiles.aside(path).stat().st_mode & 0o777 == 0o600
    _append(path, b"five\nsix\n")
    logfiles.bound(tmp_path, 8)
    assert (path.read_bytes(), logfiles.aside(path).read_bytes()) == (b"", b"four\nfive\nsix\n")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["zenlin.etcd.log", "zenlin.etcd.log.1"]
    assert list(logfiles.files(tmp_path)) == [("zenlin", "etcd")]


LINES = st.binary(max_size=30).map(lambda line: line.replace(b"\n", b"").replace(b"\r", b"") + b"\n")


@given(st.lists(st.tuples(LINES, st.booleans()), max_size=20), st.integers(-1, 6))
def test_whoever_follows_misses_nothing_when_a_log_begins_anew(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[bytes, bool]], number: int
) -> None:
    folder = tmp_path_factory.mktemp("follow")
    path = folder / "a.b.log"
    path.write_bytes(b"begin\n")
    follower, heard = logfiles.Follower({"b": (path, 0)}), b""
    for text, look in steps:
        _append(path, text)
        if look:
            heard += b"".join(data for _, data in follower.more())
            _append(path, b"x\n")
            logfiles.bound(folder, 10)
    heard += b"".join(data for _, data in follower.more())
    assert heard == b"begin\n" + b"".join(text + b"x\n" * look for text, look in steps)
    written = heard if not logfiles.aside(path).exists() else logfiles.aside(path).read_bytes() + path.read_bytes()
    lines = written.splitlines(keepends=True)
    assert b"".join(lines[-number:] if number > 0 else lines if number else []) == logfiles.tail(path, number)[0]


def test_a_log_for_whose_copy_there_is_no_room_is_given_up(tmp_path: Path) -> None:
    path = tmp_path / "a.b.log"
    path.write_bytes(b"0123456789")
    logfiles.aside(path).write_bytes(b"older")
    (tmp_path / "a.b.log.part").mkdir()  # in the place of the copy, which cannot be made then
    follower = logfiles.Follower({"b": (path, 10)})
    logfiles.bound(tmp_path, 4)
    assert path.read_bytes() == b"" and not logfiles.aside(path).exists()
    _append(path, b"more than there was\n")
    assert list(follower.more()) == [("b", b"more than there was\n")]


def test_a_mark_in_a_log_leads_to_what_came_after_it_also_when_it_has_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.b.log"
    path.write_bytes(b"old\nnew\n")
    assert logfiles.since(path, 4) == (b"new\n", 8)
    logfiles.bound(tmp_path, 4)
    assert logfiles.since(path, 4) == (b"new\n", 0)
    _append(path, b"x\n")
    assert logfiles.since(path, 4) == (b"new\nx\n", 2)
    assert logfiles.since(tmp_path / "missing.log", 4) == (b"", 0)
