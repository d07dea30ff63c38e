"""What the kubelet reads and writes as bytes: logs and SPDY."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.fabric import logfiles
from lab.kubelet import logs, spdy
from lab.kubelet.logs import LONGEST, Reader, Wish, Writer, stamp
from lab.kubelet.records import Run, Sandbox
from lab.kubelet.runtime_container import Container


def read(path: Path, wish: Wish | None = None) -> bytes:
    reader = Reader(path, wish or Wish())
    try:
        return reader.first()
    finally:
        reader.close()


def test_a_log_has_the_form_of_the_container_runtime_interface(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "c" / "0.log")
    writer.write("stdout", b"one\ntw")
    writer.write("stderr", b"oops\n")
    writer.write("stdout", b"o\nrest")
    writer.close()
    lines = (tmp_path / "c" / "0.log").read_text().splitlines()
    assert [line.split(" ", 1)[1] for line in lines] == ["stdout F one", "stderr F oops", "stdout F two", "stdout F rest"]
    assert read(tmp_path / "c" / "0.log") == b"one\noops\ntwo\nrest\n"


@pytest.mark.parametrize(("tail", "expected"), [(-1, b"1\n2\n3\n"), (0, b""), (2, b"2\n3\n"), (9, b"1\n2\n3\n")])
def test_the_last_lines(tmp_path: Path, tail: int, expected: bytes) -> None:
    writer = Writer(tmp_path / "0.log")
    writer.write("stdout", b"1\n2\n3\n")
    writer.close()
    assert read(tmp_path / "0.log", Wish(tail)) == expected


def test_lines_since_and_with_times(tmp_path: Path) -> None:
    (tmp_path / "0.log").write_text(f"{stamp(10.0)} stdout F old\n{stamp(20.5)} stdout F new\n")
    assert read(tmp_path / "0.log", Wish(since=20.0, timestamps=True)) == b"1970-01-01T00:00:20.500000000Z new\n"


def test_a_log_stays_bounded_and_its_reader_follows(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    writer = Writer(path, limit=1000)
    writer.write("stdout", b"first\n")
    reader = Reader(path, Wish())
    seen = reader.first()
    for number in range(100):
        writer.write("stdout", b"line %d\n" % number)
        seen += reader.more()
    reader.close()
    writer.close()
    assert seen == b"first\n" + b"".join(b"line %d\n" % number for number in range(100))
    assert path.stat().st_size + Path(f"{path}.1").stat().st_size <= 2000
    assert read(path).endswith(b"line 99\n")


@given(st.lists(st.binary(max_size=40000).map(lambda raw: raw.replace(b"\n", b".")), max_size=3))
def test_long_lines_come_back_whole(tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]) -> None:
    path = tmp_path_factory.mktemp("log") / "0.log"
    writer = Writer(path)
    said = b"".join(line + b"\n" for line in lines)
    for begin in range(0, len(said), 7000):
        writer.write("stdout", said[begin : begin + 7000])
    writer.close()
    assert read(path) == said
    assert all(len(line) <= LONGEST + 60 for line in path.read_bytes().split(b"\n"))


def test_the_dictionary_is_that_of_the_protocol() -> None:
    assert (len(spdy.DICTIONARY), zlib.adler32(spdy.DICTIONARY)) == (1423, 0xE3C6A7C2)


@given(st.lists(st.tuples(st.text(max_size=20), st.text(max_size=20)), max_size=4), st.integers(1, 50))
def test_headers_and_data_come_through_in_any_pieces(pairs: list[tuple[str, str]], size: int) -> None:
    client, server = spdy.Codec(), spdy.Codec()
    headers = {name.lower(): value for name, value in pairs}
    raw = client.open(1, headers) + client.open(3, {"port": "80"}) + spdy.data(3, b"hello", fin=True) + spdy.ping(7)
    frames = [frame for begin in range(0, len(raw), size) for frame in server.feed(raw[begin : begin + size])]
    assert [(one.kind, one.stream) for one in frames] == [(spdy.SYN_STREAM, 1), (spdy.SYN_STREAM, 3), (0, 3), (spdy.PING, 7)]
    assert frames[0].headers == {name.lower(): value for name, value in headers.items()}
    assert (frames[2].data, frames[2].fin) == (b"hello", True)
    assert [one.kind for one in client.feed(server.reply(1))] == [spdy.SYN_REPLY]


@given(st.binary(max_size=200))
def test_nonsense_is_refused_in_words(raw: bytes) -> None:
    try:
        list(spdy.Codec().feed(raw))
        list(spdy.Codec().feed(b"\x80\x03\x00\x01\x00" + len(raw).to_bytes(3, "big") + raw))
    except spdy.SpdyTrouble:
        return


def test_log_files_of_a_program_itself_are_bounded_while_it_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As those of nginx, by way of the process's own root; this process stands for it."""
    monkeypatch.setattr(logs, "LIMIT", 10)
    container, path = Container(Sandbox("u", "default", "web", "web"), "nginx"), tmp_path / "access.log"
    container._private = (str(tmp_path),)
    path.write_bytes(b"GET / 200\nGET / 200\n")
    container.bound_logs()
    assert path.stat().st_size == 20, "it does not run yet"
    container.runs = (Run(0, 0.0, os.getpid()),)
    container.bound_logs()
    assert (path.stat().st_size, logfiles.aside(path).stat().st_size) == (0, 20)
