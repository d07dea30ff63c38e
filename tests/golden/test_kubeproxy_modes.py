"""The inputs of kubeproxy/*.yaml in the other two modes: the nftables transaction in the .nft, the portals in the .portals beside them."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import kubeproxy_inputs
import pytest

from lab.errors import UsageError
from lab.kubeproxy import explain_nft, nft_rules, nft_text, portals, tables
from lab.kubeproxy.backends import view

Golden = Callable[[Path, str], None]

SERVICE_CIDR = IPv4Network("10.96.0.0/12")
HOST = IPv4Address("10.229.53.146")


@pytest.mark.parametrize("path", kubeproxy_inputs.FILES, ids=lambda path: path.stem)
def test_services_become_an_nftables_transaction(path: Path, golden: Golden) -> None:
    given = kubeproxy_inputs.read(path)
    golden(path.with_suffix(".nft"), nft_text.whole(nft_rules.generate(given.services, given.endpoints, given.config, SERVICE_CIDR)))


def _rules(path: Path) -> list[tuple[str, str]]:
    """Chain and rule, for every rule of an input's table."""
    given = kubeproxy_inputs.read(path)
    table = nft_rules.generate(given.services, given.endpoints, given.config, SERVICE_CIDR)
    return [(chain, rule) for chain, rules in table.chains.items() for rule in rules]


@pytest.mark.parametrize("path", kubeproxy_inputs.FILES, ids=lambda path: path.stem)
def test_every_nftables_rule_is_explained(path: Path) -> None:
    for chain, rule in _rules(path):
        text = explain_nft.explain(chain, rule)
        for said in (text.en, text.zh):
            assert said and "{" not in said, rule
            assert "  " not in said and " ," not in said and "()" not in said, f"a value is missing: {said}"
        assert text.en.isascii() and not text.zh.isascii()


def test_every_nftables_explanation_has_its_rule_and_foreign_rules_have_none() -> None:
    met = {explain_nft.kind_of(chain, rule) for path in kubeproxy_inputs.FILES for chain, rule in _rules(path)}
    assert [kind for kind in explain_nft.KINDS if kind not in met] == []
    with pytest.raises(UsageError, match="is no rule of kube-proxy's"):
        explain_nft.explain("input", "tcp dport 22 accept")


@pytest.mark.parametrize("path", kubeproxy_inputs.FILES, ids=lambda path: path.stem)
def test_services_become_portals(path: Path, golden: Golden) -> None:
    given = kubeproxy_inputs.read(path)
    views = view(given.services, given.endpoints)
    ports = {(one.name, one.protocol): 40001 + index for index, one in enumerate(views)}
    wanted = portals.generate(views, ports, HOST, claimed=[(one.port.node_port, one.protocol) for one in views if one.port.node_port])
    golden(path.with_suffix(".portals"), tables.restore_text(portals.with_appended(wanted, {}), {}, ()))
