"""flannel's Kubernetes subnet manager: annotations, leases and events as data, and the manager against a small apiserver."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.errors import BootError, UsageError
from lab.flannel import flags, kube, kubemanager
from lab.flannel.lease import Attrs, Lease, LeaseEvent
from lab.flannel.registry import Stop
from lab.master.client import ApiClient, Unreachable
from tests.fakeapi import FakeApi
from tests.waiting import until

VXLAN = Attrs(IPv4Address("10.229.53.146"), "vxlan", '{"VtepMAC":"82:4b:b6:2f:54:4e"}')
PUBLISHED = {
    "flannel.alpha.coreos.com/backend-data": '{"VtepMAC":"82:4b:b6:2f:54:4e"}',
    "flannel.alpha.coreos.com/backend-type": "vxlan",
    "flannel.alpha.coreos.com/kube-subnet-manager": "true",
    "flannel.alpha.coreos.com/public-ip": "10.229.53.146",
}
NET_CONF = '{"Network":"10.244.0.0/16","Backend":{"Type":"vxlan"}}'


def node(name: str, cidr: str = "", annotations: dict[str, str] | None = None) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name}
    if annotations is not None:
        metadata["annotations"] = annotations
    return {"kind": "Node", "metadata": metadata, "spec": {"podCIDR": cidr} if cidr else {}}


# --- pure -------------------------------------------------------------------------------------------------------------------------


def test_what_a_node_publishes_is_what_others_read() -> None:
    assert kube.wanted(node("zenlinnode1", "10.244.1.0/24"), VXLAN) == PUBLISHED
    assert kube.lease_of(node("zenlinnode1", "10.244.1.0/24", PUBLISHED)) == Lease(IPv4Network("10.244.1.0/24"), VXLAN)
    assert kube.lease_of(node("zenlinnode1", "10.244.1.0/24", PUBLISHED)).reserved, "nothing to renew"


def test_udp_publishes_no_type_and_null() -> None:
    given = kube.wanted(node("a", "10.244.1.0/24"), Attrs(IPv4Address("10.0.0.1")))
    assert (given[kube.TYPE], given[kube.DATA]) == ("", "null")
    assert kube.lease_of(node("a", "10.244.1.0/24", given)).attrs == Attrs(IPv4Address("10.0.0.1"))


def test_a_restart_that_changes_nothing_writes_nothing() -> None:
    assert kube.missing(node("a", "10.244.1.0/24", PUBLISHED), VXLAN) == {}
    assert kube.missing(node("a", "10.244.1.0/24", PUBLISHED | {kube.TYPE: "udp"}), VXLAN) == {kube.TYPE: "vxlan"}


def test_an_operators_public_ip_goes_before_flannelds() -> None:
    there = node("a", "10.244.1.0/24", {kube.OVERWRITE: "203.0.113.7"})
    assert kube.wanted(there, VXLAN)[kube.PUBLIC_IP] == "203.0.113.7"
    with pytest.raises(kube.NodeTrouble, match="public-ip-overwrite is no IPv4 address: here"):
        kube.wanted(node("a", "10.244.1.0/24", {kube.OVERWRITE: "here"}), VXLAN)


@pytest.mark.parametrize("cidr, text", [("", 'node "a" pod cidr not assigned'), ("x/24", 'node "a": invalid CIDR address: x/24')])
def test_a_node_without_subnet(cidr: str, text: str) -> None:
    with pytest.raises(kube.NodeTrouble, match=text):
        kube.subnet_of(node("a", cidr))


def test_where_the_nodes_name_comes_from() -> None:
    assert kube.pod_of({"POD_NAME": "p", "POD_NAMESPACE": "kube-system"}) == ("kube-system", "p")
    with pytest.raises(UsageError, match="POD_NAME and POD_NAMESPACE must be set"):
        kube.pod_of({"POD_NAME": "p"})


def test_events_of_other_nodes() -> None:
    others = kube.OtherNodes("own")
    one = node("one", "10.244.1.0/24", PUBLISHED)
    lease = kube.lease_of(one)
    assert others.follow("ADDED", node("own", "10.244.0.0/24", PUBLISHED)) == ()
    assert others.follow("ADDED", node("one", "10.244.1.0/24")) == (), "no flanneld yet"
    assert others.follow("MODIFIED", one) == (LeaseEvent("added", lease),)
    assert others.follow("MODIFIED", one | {"status": {"heartbeat": 2}}) == ()
    moved = node("one", "10.244.9.0/24", PUBLISHED)
    assert others.follow("MODIFIED", moved) == (LeaseEvent("removed", lease), LeaseEvent("added", kube.lease_of(moved)))
    assert others.follow("DELETED", moved) == (LeaseEvent("removed", kube.lease_of(moved)),)
    assert others.follow("DELETED", moved) == ()


@given(st.dictionaries(st.sampled_from([kube.DATA, kube.TYPE, kube.PUBLIC_IP, kube.MANAGED]), st.text() | st.just("true") | st.none()), st.text())
def test_whatever_stands_at_a_node_is_a_lease_or_a_line_for_the_log(annotations: dict[str, Any], cidr: str) -> None:
    try:
        kube.OtherNodes("own").follow("ADDED", node("one", cidr, annotations))
    except kube.NodeTrouble as error:
        assert "one" in str(error)


def test_the_flags() -> None:
    plain = flags.parse([], {})
    assert (plain.kube_subnet_mgr, plain.kube_api_url, str(plain.net_config_path)) == (False, "", "/etc/kube-flannel/net-conf.json")
    given = flags.parse(["--kube-subnet-mgr", "-kube-api-url=http://a:8080"], {"FLANNELD_NET_CONFIG_PATH": "/x"})
    assert (given.kube_subnet_mgr, given.kube_api_url, str(given.net_config_path)) == (True, "http://a:8080", "/x")


# --- the manager ------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def api() -> Iterator[FakeApi]:
    with FakeApi() as made:
        made.put("nodes", node("zenlin", "10.244.0.0/24"))
        made.put("nodes", node("zenlinnode1", "10.244.1.0/24", PUBLISHED))
        yield made


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "net-conf.json"
    made.write_text(NET_CONF)
    return made


def manager(api: FakeApi, path: Path, name: str = "zenlin", lines: list[str] | None = None) -> kubemanager.KubeSubnetManager:
    log = (lines if lines is not None else []).append
    made = kubemanager.KubeSubnetManager(ApiClient(api.url), path, {"NODE_NAME": name}, log, log)
    made.start()
    until(lambda: made.synced, "the first list of nodes")
    return made


def test_acquiring_publishes_the_annotations_once(api: FakeApi, path: Path) -> None:
    lines: list[str] = []
    made = manager(api, path, lines=lines)
    attrs = Attrs(IPv4Address("10.229.43.65"), "vxlan", '{"VtepMAC":"02:00:00:00:00:01"}')
    assert str(made) == "Kubernetes Subnet Manager - zenlin"
    assert made.acquire(made.config(), attrs) == Lease(IPv4Network("10.244.0.0/24"), attrs)
    assert (api.find("nodes", "zenlin") or {})["metadata"]["annotations"] == kube.wanted(node("zenlin"), attrs)
    again = manager(api, path)
    again.acquire(again.config(), attrs)
    assert [where for where, _ in api.patches] == ["/api/v1/nodes/zenlin/status"]
    for one in (made, again):
        one.close()


def test_the_overwrite_is_what_the_others_see(api: FakeApi, path: Path) -> None:
    api.put("nodes", node("zenlin", "10.244.0.0/24", {kube.OVERWRITE: "203.0.113.7"}))
    lines: list[str] = []
    made = manager(api, path, lines=lines)
    assert made.acquire(made.config(), VXLAN).attrs.public_ip == IPv4Address("203.0.113.7")
    assert "Overriding public ip with '203.0.113.7' from node annotation 'flannel.alpha.coreos.com/public-ip-overwrite'" in lines
    made.close()


@pytest.mark.parametrize("name, text", [("bare", 'node "bare" pod cidr not assigned'), ("nobody", 'node "nobody" not found; NODE_NAME')])
def test_nodes_that_get_no_subnet(api: FakeApi, path: Path, name: str, text: str) -> None:
    api.put("nodes", node("bare"))
    made = manager(api, path, name)
    with pytest.raises(kube.NodeTrouble, match=text):
        made.acquire(made.config(), VXLAN)
    made.close()


def test_what_other_nodes_do_becomes_events_until_the_end(api: FakeApi, path: Path) -> None:
    lines: list[str] = []
    made, stop, batches = manager(api, path, lines=lines), Stop(), []
    made.acquire(made.config(), Attrs(IPv4Address("10.229.43.65")))

    def follow() -> None:
        batches.extend(made.watch(stop))

    thread = threading.Thread(target=follow)
    thread.start()
    api.put("nodes", node("two", "10.244.2.0/24", PUBLISHED))
    api.put("nodes", node("thief", "10.244.0.0/24", PUBLISHED))
    api.put("nodes", node("broken", "10.244.3.0/24", PUBLISHED | {kube.PUBLIC_IP: "here"}))
    api.delete("nodes", "zenlinnode1")
    until(lambda: any("Error turning node \"broken\"" in line for line in lines), "the line about the broken node")
    api.put("nodes", node("last", "10.244.5.0/24", PUBLISHED))
    until(lambda: any("10.244.0.0/24" in line and "Ignoring" in line for line in lines), "the line about the thief")
    api.delete("nodes", "last")
    stop.request()
    thread.join(5)
    assert not thread.is_alive()
    told = [(event.kind, str(event.lease.subnet)) for batch in batches for event in batch]
    assert told[:3] == [("added", "10.244.1.0/24"), ("added", "10.244.2.0/24"), ("removed", "10.244.1.0/24")]
    assert "10.244.0.0/24" not in {subnet for _, subnet in told}


def test_the_pod_says_which_node_it_is(api: FakeApi, path: Path) -> None:
    pod = {"metadata": {"name": "p", "namespace": "kube-system"}, "spec": {"nodeName": "zenlin"}}
    api.put("pods", pod)
    environ = {"POD_NAME": "p", "POD_NAMESPACE": "kube-system"}
    assert str(kubemanager.connect(api.url, path, print, print, environ)) == "Kubernetes Subnet Manager - zenlin"
    api.put("pods", pod | {"spec": {}})
    with pytest.raises(BootError, match="node name not present in pod spec 'kube-system/p'"):
        kubemanager.connect(api.url, path, print, print, environ)
    with pytest.raises(BootError, match="error retrieving pod spec for 'kube-system/q'"):
        kubemanager.connect(api.url, path, print, print, environ | {"POD_NAME": "q"})


@pytest.mark.parametrize(
    "text, trouble", [(None, "failed to read net conf: open .*No such file"), ("{", "error parsing subnet config: .*is not JSON")]
)
def test_wrong_config_files(api: FakeApi, tmp_path: Path, text: str | None, trouble: str) -> None:
    path = tmp_path / "net-conf.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises((BootError, UsageError), match=trouble):
        kubemanager.connect(api.url, path, print, print, {"NODE_NAME": "zenlin"})


def test_no_apiserver(path: Path) -> None:
    with pytest.raises(UsageError, match="give --kube-api-url"):
        kubemanager.connect("", path, print, print, {"NODE_NAME": "zenlin"})
    with pytest.raises(UsageError, match="is no apiserver's address"):
        kubemanager.connect("https://10.96.0.1", path, print, print, {"NODE_NAME": "zenlin"})


def test_an_apiserver_that_goes_away_is_a_reason_to_try_again(api: FakeApi, path: Path) -> None:
    made = manager(api, path)
    api.__exit__()
    with pytest.raises(Unreachable):
        made.acquire(made.config(), VXLAN)
    made.close()
