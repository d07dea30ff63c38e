"""Which topologies need a cloud, and what the cloud needs: light enough for the command line to ask before anything is made."""

from __future__ import annotations

import importlib.util

from lab.errors import MachineError
from lab.model.topology import Topology

KINDS = ("aws-vpc", "gce")
"""flannel's backends that leave the packets to a cloud."""

_EXTRA = {"aws-vpc": ("boto3", "moto", "flask", "flask_cors")}
"""Modules that `pip install 'kubernetes-network-lab[cloud]'` brings."""


def is_needed(topology: Topology) -> bool:
    """Whether the topology's backend leaves the packets to a cloud."""
    return topology.flannel.backend.type in KINDS


def require(topology: Topology) -> None:
    """Raise MachineError when the Python packages that the topology's cloud needs are not installed."""
    missing = [name for name in _EXTRA.get(topology.flannel.backend.type, ()) if importlib.util.find_spec(name) is None]
    if missing:
        text = f"the aws-vpc backend needs a stand-in for EC2, and this Python lacks {', '.join(missing)}"
        raise MachineError(f"{text}: pip install 'kubernetes-network-lab[cloud]', or run ./lab.sh, which does it")
