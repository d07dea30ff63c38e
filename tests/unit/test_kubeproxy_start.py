"""What kube-proxy sets in the kernel at its start, and the annotations of v1.7 that it reads."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from lab.cluster.facade import Cluster
from lab.errors import MachineError, UsageError
from lab.kubeproxy import modes, sysctls
from lab.kubeproxy.beta import service_of
from lab.kubeproxy.flags import Conntrack, parse
from lab.model.catalog import find_topology
from lab.model.load import read_topology

LOG = logging.getLogger("test")
NAMES = ("nf_conntrack_max", "nf_conntrack_tcp_timeout_established", "nf_conntrack_tcp_timeout_close_wait")


@pytest.mark.parametrize(
    ("flags", "cores", "limit"),
    [
        ([], 2, 131072),
        ([], 8, 262144),
        (["--conntrack-min", "0"], 2, 65536),
        (["--conntrack-max-per-core", "0"], 2, 0),
        (["--conntrack-max", "1000", "--conntrack-max-per-core", "0"], 64, 1000),
    ],
)
def test_the_limit_of_conntrack(flags: list[str], cores: int, limit: int) -> None:
    assert parse(["--master", "x", *flags]).conntrack.limit(cores) == limit


def _settings(root: Path, *values: int) -> list[Path]:
    (root / "netfilter").mkdir()
    files = [root / "netfilter" / name for name in NAMES]
    for file, value in zip(files, values, strict=True):
        file.write_text(f"{value}\n")
    return files


@pytest.mark.parametrize(("modern", "after"), [(False, [131072, 86400, 3600]), (True, [262144, 432000, 3600])])
def test_v17_sets_and_todays_only_raises(tmp_path: Path, modern: bool, after: list[int]) -> None:
    files = _settings(tmp_path, 262144, 432000, 60)
    sysctls.conntrack(Conntrack(), 2, LOG, modern, tmp_path)
    assert [int(file.read_text()) for file in files] == after


def test_zero_leaves_a_setting_alone(tmp_path: Path) -> None:
    files = _settings(tmp_path, 1, 2, 3)
    sysctls.conntrack(Conntrack(0, 0, 0, 0.0, 0.0), 2, LOG, False, tmp_path)
    assert [int(file.read_text()) for file in files] == [1, 2, 3]


def test_what_cannot_be_set_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        sysctls.conntrack(Conntrack(), 2, LOG, False, tmp_path / "nowhere")
        sysctls.route_localnet(LOG, tmp_path / "nowhere")
    for name in NAMES:
        assert f"can't set sysctl net/netfilter/{name}: No such file or directory" in caplog.text
    assert "route_localnet: No such file" in caplog.text and sysctls.NO_BRIDGE in caplog.text


def test_ipvs_is_refused_as_the_machines_lack_or_as_the_labs() -> None:
    for has, refusal in ((False, MachineError), (True, UsageError)):
        with pytest.raises(refusal, match="does not offer kube-proxy's ipvs mode; use iptables, userspace or nftables"):
            modes.make("ipvs", lambda argv, stdin: "", modes.ModeConfig(has_ipvs=has))
    with pytest.raises(UsageError, match="no proxy mode 'magic'"):
        modes.make("magic", lambda argv, stdin: "", modes.ModeConfig())


def test_a_lab_knows_the_modes_it_can_start() -> None:
    cluster = Cluster(read_topology(find_topology("flat")), None)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="kube-proxy has no mode 'ipvs' here; there are iptables, userspace, nftables"):
        cluster.start_kube_proxy("node1", mode="ipvs")
    with pytest.raises(UsageError, match="is not up yet"):
        cluster.start_kube_proxy("node1", mode="nftables")


def _service(kind: str, annotations: dict[str, str], **spec: Any) -> dict[str, Any]:
    ports = [{"port": 80, "nodePort": 30080}]
    return {"metadata": {"name": "web", "annotations": annotations}, "spec": {"type": kind, "clusterIP": "10.96.0.9", "ports": ports, **spec}}


TRAFFIC, PORT = "service.beta.kubernetes.io/external-traffic", "service.beta.kubernetes.io/healthcheck-nodeport"


@pytest.mark.parametrize(
    ("item", "policy", "port", "said"),
    [
        (_service("LoadBalancer", {TRAFFIC: "OnlyLocal", PORT: "30001"}), "Local", 30001, ""),
        (_service("NodePort", {TRAFFIC: "Global"}, externalTrafficPolicy="Local"), "Cluster", 0, ""),
        (_service("NodePort", {TRAFFIC: "Mine"}, externalTrafficPolicy="Local"), "Local", 0, "Invalid value for annotation"),
        (_service("LoadBalancer", {PORT: "no"}, healthCheckNodePort=30002), "Cluster", 30002, "Failed to parse annotation"),
        (_service("ClusterIP", {TRAFFIC: "OnlyLocal"}), "Cluster", 0, ""),
        (_service("LoadBalancer", {}), "Cluster", 0, ""),
    ],
)
def test_annotations_of_v17_come_before_the_fields(item: dict[str, Any], policy: str, port: int, said: str) -> None:
    heard: list[str] = []
    service = service_of(item, heard.append)
    assert (service.external_traffic_policy, service.health_check_node_port) == (policy, port)
    assert "".join(heard).startswith(said) and bool(heard) == bool(said)
