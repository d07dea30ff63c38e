"""kube-proxy's pace and flags."""

from __future__ import annotations

import logging
import queue
from typing import Any

import pytest

from lab.errors import UsageError
from lab.kubeproxy.daemon import Daemon, Inbox, Kept
from lab.kubeproxy.flags import parse
from lab.kubeproxy.pace import Pace
from lab.master.informer import digest


def test_two_syncs_at_once_then_one_each_period() -> None:
    pace = Pace(10, 30, 0)
    for _ in range(2):
        pace.want(0)
        assert pace.wait(0) == 0
        pace.ran(0)
    pace.want(0)
    assert pace.wait(0) == 10 and pace.wait(10) == 0


def test_a_sync_waits_for_calm_but_not_for_ever() -> None:
    pace = Pace(1, 30, 0, quiet=0.25)
    for change in (10.0, 10.125, 10.25):
        pace.want(change)
    assert pace.wait(10.25) == 0.25 and pace.wait(10.5) == 0
    for tenth in range(100, 130):
        pace.want(tenth / 10)
    assert pace.wait(12.0) == 0, "two seconds after the first of changes that never end"
    pace.ran(12.0)
    assert pace.wait(12.0) == 30


def test_without_a_quiet_period_a_change_is_due_at_once() -> None:
    pace = Pace(0, 30, 0)
    pace.want(5.0)
    assert pace.wait(5.0) == 0


def test_a_sync_is_due_after_the_longest_period() -> None:
    pace = Pace(0, 30, 0)
    assert pace.wait(0) == 30 and pace.wait(30) == 0 and pace.overdue(30)


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["--master", "x", "--cluster-cidr", "y"],
        ["--master", "x", "--service-cidr", "10.96.0.1/12"],
        ["--master", "x", "--proxy-mode", "z"],
        ["--master", "x", "--iptables-sync-period", "5"],
        ["--master", "x", "--quiet-period", "soon"],
        ["--cleanup=maybe"],
        ["--master", "x", "--conntrack-max", "1000"],
        ["--master", "x", "--conntrack-min", "-1"],
        ["--master", "x", "--conntrack-tcp-timeout-established", "1d"],
    ],
)
def test_wrong_flags_are_said(argv: list[str]) -> None:
    with pytest.raises(UsageError, match="kube-proxy: "):
        parse(argv)


def test_the_defaults_are_the_real_ones() -> None:
    flags = parse(["--master", "http://10.0.0.1:8080"])
    assert (flags.sync_period, flags.min_sync_period, flags.quiet_period) == (30, 0, 0)
    assert (flags.healthz, flags.metrics) == (("0.0.0.0", 10256), ("127.0.0.1", 10249))
    assert flags.masquerade_bit == 14 and flags.udp_timeout == 0.25 and flags.service_cidr is None and not flags.cleanup


@pytest.mark.parametrize("name", ["--cleanup-iptables", "--cleanup", "--cleanup=true"])
def test_cleaning_up_needs_no_master(name: str) -> None:
    """The flag's names in v1.7 and today."""
    assert parse([name]).cleanup


def _item(name: str, version: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "default", "resourceVersion": version}}


def test_what_is_kept_has_the_digest_of_all_its_versions_whatever_came_before() -> None:
    kept = Kept(lambda item: item["metadata"]["name"], lambda: None, logging.getLogger())
    assert kept.all() == [] and kept.digest == digest({})
    for what, item in (("ADDED", _item("a", "1")), ("ADDED", _item("b", "2")), ("MODIFIED", _item("a", "3")), ("DELETED", _item("b", "4"))):
        kept.handle(what, item)
    kept.handle("ADDED", _item("c", "5"))
    assert kept.all() == ["a", "c"] and kept.digest == digest({("default", "c"): "5", ("default", "a"): "3"})
    kept.handle("DELETED", _item("nobody", "6"))
    kept.all()
    assert kept.digest == digest({("default", "a"): "3", ("default", "c"): "5"}) != digest({("default", "a"): "3"})


def test_many_changes_are_one_message_until_they_are_looked_at() -> None:
    inbox: Inbox = queue.SimpleQueue()
    kube_proxy = Daemon(parse(["--master", "http://127.0.0.1:1", "--hostname-override", "n"]), logging.getLogger("test"), inbox)
    for _ in range(3):
        kube_proxy._change()
    assert inbox.get_nowait() is None and inbox.empty()
