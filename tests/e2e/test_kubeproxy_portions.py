"""Many services in the real kernel: written in portions, changed bit by bit, found again by the next kube-proxy; both variants of iptables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from lab.kubeproxy.iptables import IptablesProxy
from lab.kubeproxy.modes import ModeConfig
from tests.e2e.test_kubeproxy_kernel import Node
from tests.sandboxed import sandboxed
from tests.tablekernel import TableKernel
from tests.unit.test_kubeproxy_incremental import many
from tests.unit.test_kubeproxy_iptables import CONFIG

pytestmark = pytest.mark.e2e
COUNT, PORTION = 150, 200


@pytest.mark.parametrize("version", ["1.7", "1.33"])
@pytest.mark.parametrize("variant", ["nft", "legacy"])
def test_the_kernel_ends_with_what_was_foretold_and_a_restart_finds_it(variant: str, version: str) -> None:
    services, endpoints = (list(some) for some in zip(*many(COUNT), strict=True))

    def check() -> None:
        node, foretold = Node(variant), TableKernel()
        restores: list[str] = []

        def run(argv: Sequence[str], stdin: str) -> str:
            if stdin:
                restores.append(stdin)
            return node.proxy.run(argv, stdin)

        def proxy(runner: object) -> IptablesProxy:
            return IptablesProxy(runner, ModeConfig(CONFIG, rules_version=version, hold_ports=False), PORTION)  # type: ignore[arg-type]

        def rules() -> list[str]:
            return sorted(line for line in node.saved("-A ").splitlines())

        def expected() -> list[str]:
            return sorted(line for line in foretold.saved().splitlines() if line.startswith("-A "))

        real, model = proxy(run), proxy(foretold.run)
        for one in (real, model):
            one.sync(services, endpoints)
        assert (len(restores) > 5) == (variant == "nft") and rules() == expected()
        changed = [*endpoints[:7], replace(endpoints[7], subsets=()), *endpoints[8:]]
        restores.clear()
        for one in (real, model):
            one.sync(services[1:], changed[1:])
        assert len(restores) == 1 and len(restores[0].splitlines()) < 40 and rules() == expected()
        proxy(run).sync(services[1:], changed[1:])
        assert rules() == expected()
        restores.clear()
        proxy(run).sync(services[1:], changed[1:])
        assert not restores, "all is there already"

    sandboxed(check)
