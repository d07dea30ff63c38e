"""Flags that are read before a daemon is forked: the daemon does what its command line would have made it do."""

from __future__ import annotations

import pytest

from lab.cluster import units
from lab.errors import UsageError
from lab.kubelet import flags as kubelet
from lab.kubeproxy import flags as kube_proxy


def _main(argv: list[str]) -> int:
    raise AssertionError(f"main was called with {argv}")


def test_flags_are_read_at_once_and_run_later() -> None:
    start = units.ready(["--master", "http://10.0.0.1:8080"], kube_proxy.parse, lambda flags: len(flags.master), _main)
    assert start() == len("http://10.0.0.1:8080")


@pytest.mark.parametrize("argv", [["--no-such-flag"], [], ["--help"]])
def test_what_main_has_words_for_main_is_told(argv: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    """Of wrong flags and of --help nothing is said here: the daemon's log is where it belongs."""
    told: list[list[str]] = []

    def main(argv: list[str]) -> int:
        told.append(argv)
        return UsageError.status

    start = units.ready(argv, kubelet.parse, lambda flags: 0, main)
    assert not told and start() == UsageError.status and told == [argv]
    assert capfd.readouterr() == ("", "")


def test_one_parser_reads_many_command_lines() -> None:
    """It is kept; what it read before is not."""
    assert kube_proxy.parse(["--master", "x", "--masquerade-all"]).masquerade_all
    assert not kube_proxy.parse(["--master", "x"]).masquerade_all
