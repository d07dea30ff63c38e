"""What a lab with a cloud shows from outside."""

from __future__ import annotations

import json

import pytest

from tests.e2e.lab import lab

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("backend", ["aws-vpc", "gce"])
def test_nodes_on_one_switch_have_a_cloud_too(backend: str) -> None:
    """On `flat` the router has all nodes behind one interface."""
    up = lab("up", "flat", "--backend", backend)
    assert up.returncode == 0, up.stdout + up.stderr
    try:
        routes = lab("exec", "router", "--", "ip", "route", "show", "root", "10.244.0.0/16").stdout.split("\n")[:-1]
        assert len(routes) == 3 and all(" dev eth0 " in route for route in routes)
        there = routes[2].split(".0/24")[0] + ".1"
        assert ", 0% packet loss" in lab("exec", "node1", "--", "ping", "-c", "2", "-W", "2", there).stdout
        machines = json.loads(lab("inspect", "--name", "flat", "--format", "json").stdout)["machines"]
        assert [machine["name"] for machine in machines if "cloud" in machine["daemons"]] == ["router"]
    finally:
        assert lab("down", "flat").returncode == 0
