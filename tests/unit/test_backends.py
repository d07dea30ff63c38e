"""flannel's backends in the model: which options each has, and what becomes of them when another backend is asked for."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from lab.cluster.nodes import flannel_config
from lab.flannel.backends import base
from lab.model.catalog import find_topology
from lab.model.load import read_topology
from lab.model.topology import BACKEND_OPTIONS, Backend, Flannel, Networks


def test_another_backend_keeps_the_options_that_it_reads_and_drops_the_others() -> None:
    flat = read_topology(find_topology("flat"))
    backend = Backend(type="vxlan", port=4789, vni=7, direct_routing=True)
    topology = replace(flat, flannel=replace(flat.flannel, backend=backend))
    assert topology.with_backend("udp").flannel.backend == Backend(type="udp", port=4789)
    assert topology.with_backend("host-gw").flannel.backend == Backend(type="host-gw")
    assert topology.with_backend("vxlan") == topology
    assert topology.with_backend("udp").flannel.ip_masq == topology.flannel.ip_masq
    assert topology.flannel.backend == backend, "the old one is as it was"


@pytest.mark.parametrize("kind", BACKEND_OPTIONS)
def test_every_backend_and_every_option_of_it_reaches_flannel(kind: str) -> None:
    values: dict[str, Any] = {"port": 4789, "vni": 7, "direct_routing": True, "l3miss": True, "route_table_id": "rtb-1"}
    backend = Backend(type=kind, **{option: values[option] for option in BACKEND_OPTIONS[kind]})
    assert backend.foreign_options == ()
    written = json.loads(flannel_config(Networks(), Flannel(backend=backend)))["Backend"]
    assert len(written) == 1 + len(BACKEND_OPTIONS[kind])
    assert written["Type"] == kind
    assert base.maker(kind) is not None
    for option in set(values) - set(BACKEND_OPTIONS[kind]):
        assert Backend(type=kind, **{option: values[option]}).foreign_options == (option,)
