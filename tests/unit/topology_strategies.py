"""Hypothesis strategies that several test modules share."""

from __future__ import annotations

import re
from ipaddress import IPv4Network

from hypothesis import strategies as st


def _is_text(name: str) -> bool:
    """Whether today's YAML takes it for text without quotes, too: what PyYAML writes bare may be a number there, such as 0e0 and 0o7."""
    return re.fullmatch(r"[0-9]+(e[0-9]+)?|0[ox][0-9a-f]+|nan|inf", name) is None


NAME = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?", fullmatch=True).filter(_is_text)


@st.composite
def topologies(draw: st.DrawFn) -> dict[str, object]:
    """A valid topology as it stands in YAML: 1 to 12 nodes on 1 to 5 segments, up to 3 clients, any bridge and MTU."""
    names = draw(
        st.lists(
            NAME.filter(lambda name: name != "router" and not name.startswith("switch")), min_size=1, max_size=15, unique=True
        )
    )
    nodes = names[: min(12, max(1, len(names) - draw(st.integers(0, 3))))]
    segment_count = draw(st.integers(1, 5))
    used: dict[int, int] = {}
    routed = segment_count > 1 or draw(st.booleans())
    master = draw(st.integers(0, len(nodes) - 1))

    def machine(name: str, segment: int) -> dict[str, object]:
        network = IPv4Network(f"10.{10 + segment}.0.0/{16 + segment}")
        used[segment] = used.get(segment, 1) + 1
        made: dict[str, object] = {"name": name, "address": f"{network[used[segment]]}/{network.prefixlen}"}
        return made | ({"gateway": str(network[1])} if routed else {})

    last = segment_count - 1
    topology: dict[str, object] = {
        "name": draw(NAME),
        "nodes": [
            machine(name, draw(st.integers(0, last))) | ({"role": "master"} if index == master else {})
            for index, name in enumerate(nodes)
        ],
        "clients": [machine(name, draw(st.integers(0, last))) for name in names[len(nodes) :]],
        "bridge": draw(st.sampled_from(["docker0", "cni0"])),
        "mtu": draw(st.integers(576, 65535)),
    }
    return topology
