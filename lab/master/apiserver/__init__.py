"""The apiserver: Kubernetes' REST API on aiohttp, its objects in etcd, and a copy of them in memory that lists and watches come from.

flags      the command line              cache      the copy, its history, and who watches it
store      etcd: writes and the one watch that feeds the copy
registry   what creating, changing and deleting an object means: defaults, validation, addresses, conflicts
patches    the kinds of patches          answers    JSON, Table and Status answers
web        URLs to handlers              watching   the stream of a watch
relay      log, exec and port-forward, passed on to the kubelet of the pod's node
certificates   HTTPS
begin      what is there before anybody has created anything
"""

from __future__ import annotations

from collections.abc import Sequence


def main(argv: Sequence[str]) -> int:
    """Run an apiserver until SIGTERM."""
    from lab.master.apiserver import daemon

    return daemon.main(argv)
