"""The inputs of kubeproxy/*.yaml in the other two modes: the nftables transaction in the .nft, the portals in the .portals beside them."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import kubeproxy_inputs
import pytest

from lab.kubeproxy import nft_rules, nft_text, portals, tables
from lab.kubeproxy.backends import view

Golden = Callable[[Path, str], None]

SERVICE_CIDR = IPv4Network("10.96.0.0/12")
HOST = IPv4Address("10.229.53.146")


@pytest.mark.parametrize("path", kubeproxy_inputs.FILES, ids=lambda path: path.stem)
def test_services_become_an_nftables_transaction(path: Path, golden: Golden) -> None:
    given = kubeproxy_inputs.read(path)
    golden(path.with_suffix(".nft"), nft_text.whole(nft_rules.generate(given.services, given.endpoints, given.config, SERVICE_CIDR)))


@pytest.mark.parametrize("path", kubeproxy_inputs.FILES, ids=lambda path: path.stem)
def test_services_become_portals(path: Path, golden: Golden) -> None:
    given = kubeproxy_inputs.read(path)
    views = view(given.services, given.endpoints)
    ports = {(one.name, one.protocol): 40001 + index for index, one in enumerate(views)}
    wanted = portals.generate(views, ports, HOST, claimed=[(one.port.node_port, one.protocol) for one in views if one.port.node_port])
    golden(path.with_suffix(".portals"), tables.restore_text(portals.with_appended(wanted, {}), {}, ()))
