"""Every challenge in both directions: what is broken fails its checks, and the intended repair passes them. And the command line around."""

from __future__ import annotations

import csv
import io
import json
import os
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from lab.challenge.grade import grade
from lab.challenge.prepare import load_challenge, prepared
from lab.challenge.workshop import Workshop
from lab.model import catalog
from tests.e2e.lab import lab
from tests.sandboxed import sandboxed

pytestmark = pytest.mark.e2e

SEED = "ada"


def _missing_route(lab: Workshop) -> None:
    for node in lab.given.workers:
        if "dev flannel0" not in lab.do(node, "ip route show ${podNetwork}"):
            lab.do(node, "ip route add ${podNetwork} dev flannel0")


def _on_workers(command: str) -> Callable[[Workshop], None]:
    def repair(lab: Workshop) -> None:
        for node in lab.given.workers:
            lab.do(node, command)

    return repair


def _restart(daemon: str) -> Callable[[Workshop], None]:
    def repair(lab: Workshop) -> None:
        for node in lab.given.workers:
            lab.units.act(node, daemon, "restart")
        lab.settle()

    return repair


def _service(change: dict[str, Any]) -> Callable[[Workshop], None]:
    def repair(lab: Workshop) -> None:
        lab.patch("services", lab.given.app, {"spec": change | ({"selector": {"app": lab.given.app}} if "selector" in change else {})})
        lab.await_endpoints(2)
        lab.settle()

    return repair


def _probe(lab: Workshop) -> None:
    probe = {"httpGet": {"path": "/", "port": 80}, "periodSeconds": 1}
    template = {"spec": {"containers": [{"name": "web", "image": "nginx", "readinessProbe": probe}]}}
    lab.patch("deployments", lab.given.app, {"spec": {"template": template}})
    lab.await_endpoints(2)
    lab.settle()


def _interface(lab: Workshop) -> None:
    for node in lab.given.workers:
        lab.do(node, "rm -f /run/lab/flags/flanneld")
        lab.units.act(node, "flanneld", "restart")


def _subnet(lab: Workshop) -> None:
    for node in lab.given.workers:
        right = lab.do(node, "sed -n s/FLANNEL_SUBNET=//p /run/flannel/subnet.env").strip()
        if f" {right} " not in lab.do(node, "ip -o -4 address show docker0"):
            lab.do(node, f"ip address flush dev docker0 && ip address add {right} dev docker0")
            lab.units.act(node, "kubelet", "restart")
            lab.await_node(node)
            lab.replace_pod(lab.pod_on(node))
    lab.settle()


REPAIRS: dict[str, Callable[[Workshop], None]] = {
    "missing-route": _missing_route,
    "ip-forward": _on_workers("sysctl -w net.ipv4.ip_forward=1"),
    "forward-drop": _on_workers("iptables -P FORWARD ACCEPT"),
    "wrong-port": _service({"ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}]}),
    "wrong-selector": _service({"selector": {}}),
    "not-ready": _probe,
    "stale-endpoint": _restart("kube-proxy"),
    "loaded-dice": _restart("kube-proxy"),
    "wrong-interface": _interface,
    "big-packets": _on_workers("ip link set flannel0 mtu 1472"),
    "same-subnet": _subnet,
    "one-in-two": _on_workers("sysctl -w net.bridge.bridge-nf-call-iptables=1"),
}
"""What a learner would do."""


def test_each_has_a_repair() -> None:
    assert set(REPAIRS) == {folder.name for folder in catalog.list_challenges()}


def test_broken_fails_and_repaired_passes() -> None:
    """One lab for all of them: the repair of one leaves a whole cluster for the next."""

    def body() -> None:
        from lab.cluster.boot import boot

        first = load_challenge(catalog.find_challenge("missing-route"))
        given, what = prepared(first, SEED)
        cluster = boot(what)
        Workshop(cluster, given).unpin()
        rows = grade(first, Workshop(cluster, given))
        assert all(row["ok"] for row in rows), _told("the whole cluster", rows)
        for name in sorted(REPAIRS, key=lambda name: name == "big-packets"):  # last: its router drops fragments from then on
            challenge = load_challenge(catalog.find_challenge(name))
            workshop = Workshop(cluster, replace(given, dice=random.Random(name)))
            challenge.broken_by(workshop)  # type: ignore[misc]
            rows = grade(challenge, workshop)
            assert not all(row["ok"] for row in rows), f"{name}: broken, and every check holds"
            REPAIRS[name](workshop)
            for _ in range(3):  # what the kernel still asks for by ARP takes it a second more
                rows = grade(challenge, workshop)
                if all(row["ok"] for row in rows):
                    break
            assert all(row["ok"] for row in rows), _told(name, rows)

    sandboxed(body)


def _told(name: str, rows: list[dict[str, Any]]) -> str:
    return f"{name}: " + json.dumps([row for row in rows if not row["ok"]], indent=1, ensure_ascii=False)


def test_on_the_command_line() -> None:
    name = f"test-challenge-{os.getpid()}"
    ran = lab("challenge", "ip-forward", "--seed", "=bob@school", "--name", name)
    assert ran.returncode == 2 and "no name for a student" in ran.stderr
    ran = lab("challenge", "ip-forward", "--seed", "bob@school", "--name", name)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    try:
        assert "ip-forward" in ran.stdout and "bob@school" in ran.stdout and "hardened" in ran.stdout
        assert "zenlinnode1" not in ran.stdout and "ip_forward=0" not in ran.stdout
        _solve(name)
    finally:
        lab("down", name)


def _solve(name: str) -> None:
    ran = lab("check", "-n", name, "--lang", "zh")
    assert ran.returncode == 1 and "✗ 每个访客都能按地址打开每个 Pod 的页面" in ran.stdout
    for number in (1, 2, 3, 3):
        assert f"Hint {number} of 3" in lab("check", "-n", name, "--hint", "--lang", "en").stdout
    names = [one["name"] for one in json.loads(lab("inspect", "-n", name, "--format", "json").stdout)["machines"] if one["kind"] == "node"]
    assert len(names) == 3 and not any(one.startswith("zenlin") for one in names)

    ran = lab("daemon", "-n", name, names[1], "flanneld", "restart")
    assert ran.returncode == 0 and "flanneld" in ran.stdout and "runs as process" in ran.stdout
    assert lab("daemon", "-n", name, names[1], "flanneld", "start").returncode == 2
    assert lab("daemon", "-n", name, names[1], "kube-apiserver").returncode == 2
    for node in names[1:]:
        assert lab("exec", "-n", name, node, "--", "sysctl", "-qw", "net.ipv4.ip_forward=1").returncode == 0
    ran = lab("check", "-n", name, "--csv")
    assert ran.returncode == 0, lab("check", "-n", name).stdout
    (row,) = csv.DictReader(io.StringIO(ran.stdout))
    assert (row["lab"], row["student"], row["challenge"], row["solved"], row["hints"], row["attempts"]) == (
        name, "bob@school", "ip-forward", "yes", "3", "2",
    )  # fmt: skip
    assert lab("check", "-n", name, "--csv", "--hint").returncode == 2
