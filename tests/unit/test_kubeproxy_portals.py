"""lab.kubeproxy.portals and what of the userspace mode needs no kernel."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from lab.errors import UsageError
from lab.kubeproxy import portals, rules, tables
from lab.kubeproxy.backends import view
from lab.kubeproxy.tables import Saved
from lab.kubeproxy.userspace import UserspaceProxy
from tests.unit.test_kubeproxy_iptables import CONFIG, TWO, _service

HOST = IPv4Address("10.229.53.146")
HEAD = '-m comment --comment "default/nginx-service:" -p tcp -m tcp --dport'
NODE_PORT = _service(type="NodePort", ports=(replace(_service().ports[0], node_port=30080),))
KEY = ("default/nginx-service:", "tcp")


def _nat(service: object = NODE_PORT, bind: IPv4Address = portals.ANY, claimed: tuple[tuple[int, str], ...] = ((30080, "tcp"),)) -> list[str]:
    return list(portals.generate(view([service], [TWO]), {KEY: 40000}, HOST, bind, claimed)[1].rules)


def test_a_portal_leads_to_the_proxys_port() -> None:
    assert _nat(_service()) == [
        f"-A KUBE-PORTALS-CONTAINER {HEAD} 8000 -d 10.105.211.16/32 -j REDIRECT --to-ports 40000",
        f"-A KUBE-PORTALS-HOST {HEAD} 8000 -d 10.105.211.16/32 -j DNAT --to-destination 10.229.53.146:40000",
    ]


def test_a_proxy_on_one_address_is_no_redirect() -> None:
    targets = {rule.rsplit("-j ", 1)[1] for rule in _nat(bind=IPv4Address("10.229.53.146"))}
    assert targets == {"DNAT --to-destination 10.229.53.146:40000"}


def test_a_node_port_that_another_program_has_is_not_redirected() -> None:
    assert sum("--dport 30080" in rule for rule in _nat()) == 2
    assert not [rule for rule in _nat(claimed=()) if "30080" in rule]


def test_a_service_without_a_socket_has_no_portal() -> None:
    filter_table, nat = portals.generate(view([NODE_PORT], [TWO]), {}, HOST)
    assert list(nat.rules) == list(filter_table.rules) == []


def _kernel(wanted: tuple[tables.Table, tables.Table]) -> dict[str, Saved]:
    """What iptables-save would say once the kernel has them."""
    found = {}
    for table in portals.removable(wanted):
        lines = {rules.saved(rules.parse(rule)) for rule in table.rules} | {jump.saved for jump in table.jumps}
        found[table.name] = Saved({chain: f":{chain} - [0:0]" for chain in table.chains}, frozenset(lines))
    return found


def test_what_is_in_place_is_not_written_again() -> None:
    wanted = portals.generate(view([NODE_PORT], [TWO]), {KEY: 40000}, HOST, claimed=[(30080, "tcp")])
    saved = _kernel(wanted)
    assert portals.in_place(wanted, saved)
    assert not portals.in_place(wanted, {})
    for lost in saved["nat"].rules:
        assert not portals.in_place(wanted, saved | {"nat": Saved(saved["nat"].chains, saved["nat"].rules - {lost})}), lost
    stray = saved["nat"].rules | {"-A KUBE-PORTALS-HOST -d 10.96.0.9/32 -j DNAT --to-destination 10.229.53.146:1"}
    assert not portals.in_place(wanted, saved | {"nat": Saved(saved["nat"].chains, stray)})


def test_the_jumps_of_node_ports_are_appended_once() -> None:
    wanted = portals.generate([], {}, HOST)
    (nat,) = (table for table in portals.with_appended(wanted, {}) if table.name == "nat")
    assert [line.split()[1] for line in nat.last] == ["PREROUTING", "OUTPUT"]
    (nat,) = (table for table in portals.with_appended(wanted, _kernel(wanted)) if table.name == "nat")
    assert list(nat.last) == []


@pytest.mark.parametrize("changes, said", [({"bind": IPv4Address("127.0.0.1")}, "cannot proxy on localhost"), ({}, "none is known")])
def test_addresses_that_cannot_work_are_refused(changes: dict[str, IPv4Address], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        UserspaceProxy(lambda argv, stdin: "", replace(CONFIG, node_ips=()), **changes)
