"""Which flannel backend a scenario boots with: its own, its topology's or the one asked for; and those that it refuses."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from lab.cli.run import recipe
from lab.errors import UsageError
from lab.scenario.model import Scenario


def scenario(topology: str = "zenlin", backend: str | None = None, backends: Sequence[str] = ()) -> Scenario:
    return Scenario(topology=topology, backend=backend, backends=backends)


@pytest.mark.parametrize(
    "declared, asked, booted",
    [
        (scenario(), None, "udp"),
        (scenario(), "alloc", "alloc"),
        (scenario(backend="vxlan"), None, "vxlan"),
        (scenario(backend="vxlan"), "udp", "udp"),
        (scenario(backends=["udp", "vxlan"]), None, "udp"),
        (scenario(backends=["udp", "vxlan"]), "vxlan", "vxlan"),
    ],
)
def test_the_command_line_wins_over_the_scenario_and_that_over_the_topology(declared: Scenario, asked: str | None, booted: str) -> None:
    assert recipe(declared, backend=asked).topology.flannel.backend.type == booted


def test_a_topologys_options_stay_when_the_scenario_names_the_same_backend() -> None:
    assert recipe(scenario("zenlin-l3miss", "vxlan")).topology.flannel.backend.l3miss


def test_another_backend_is_refused_with_those_that_it_runs_with() -> None:
    with pytest.raises(UsageError, match=r"does not run with flannel's backend alloc, only with udp, vxlan$") as caught:
        recipe(scenario(backends=["udp", "vxlan"]), backend="alloc")
    assert caught.value.status == 2


def test_the_refusal_also_says_what_the_backend_lacks_on_this_topology() -> None:
    with pytest.raises(UsageError, match=r"only with udp; host-gw names other nodes as gateways, so they must be neighbours"):
        recipe(scenario(backends=["udp"]), backend="host-gw")


def test_a_backend_that_comes_with_another_topology_is_refused_too() -> None:
    with pytest.raises(UsageError, match=r"backend vxlan, only with udp$"):
        recipe(scenario(backends=["udp"]), topology="zenlin-l3miss")
