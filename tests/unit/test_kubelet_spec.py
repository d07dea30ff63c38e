from __future__ import annotations

import copy
import itertools
import time
from dataclasses import replace
from ipaddress import IPv4Interface
from typing import Any, cast

import pytest

from lab.errors import UsageError
from lab.kubelet import flags, node, podspec, servicelinks, variables
from lab.kubelet.records import PodRecord, Program, Run, Sandbox
from lab.kubelet.variables import Network
from lab.master.client import ApiClient, ApiError
from tests.kubelet_apiserver import merged

NETWORK = Network("node1", "10.9.0.1", "cni0", IPv4Interface("10.244.1.1/24"), 1450, 0, ("10.244.0.0/16",), ("10.96.0.10",))


def pod(spec: dict[str, Any] | None = None, **metadata: Any) -> dict[str, Any]:
    base = {"name": "web-1", "namespace": "shop", "uid": "u1", **metadata}
    return {"kind": "Pod", "metadata": base, "spec": {"containers": [{"name": "c", "image": "busybox"}], **(spec or {})}}


def maps(secrets: dict[str, Any] | None = None, **config_maps: Any) -> Any:
    """Looks up in these ConfigMaps, and in these Secrets."""
    return lambda kind, name: (config_maps if kind == "ConfigMap" else secrets or {}).get(name)


def environment(env: list[dict[str, Any]], lookup: Any = lambda kind, name: None, **more: Any) -> dict[str, str]:
    return variables.of_container(pod(labels={"app": "web"}), {"name": "c", "env": env, **more}, NETWORK, "10.244.1.2", lookup)


def test_a_pod_on_the_bridge() -> None:
    made = podspec.sandbox(pod(), NETWORK, "10.244.1.2")
    assert (made.bridge, made.address, made.gateway, made.mtu, made.routes) == ("cni0", "10.244.1.2/24", "10.244.1.1", 1450, ("10.244.0.0/16",))
    files = dict(made.files)
    assert "10.244.1.2\tweb-1\n" in files["/etc/hosts"]
    assert files["/etc/resolv.conf"] == ("nameserver 10.96.0.10\nsearch shop.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n")


def test_a_pod_in_its_nodes_network_sees_the_nodes_names() -> None:
    made = podspec.sandbox(pod({"hostNetwork": True}), NETWORK, "10.9.0.1")
    assert (made.bridge, made.hostname, made.files) == ("", "node1", ())


def test_dns_as_the_pod_says() -> None:
    own = {"dnsPolicy": "None", "dnsConfig": {"nameservers": ["1.2.3.4"], "searches": ["a.b"], "options": [{"name": "ndots", "value": "2"}]}}
    assert podspec.resolv_conf(pod(own), NETWORK) == "nameserver 1.2.3.4\nsearch a.b\noptions ndots:2\n"
    assert podspec.resolv_conf(pod({"dnsPolicy": "Default"}), NETWORK) == ""
    node = replace(NETWORK, resolver="search lan\n")
    assert podspec.resolv_conf(pod({"dnsPolicy": "Default"}), node) == "search lan\n"
    more = {"dnsPolicy": "Default", "dnsConfig": {"nameservers": ["1.2.3.4"]}}
    assert podspec.resolv_conf(pod(more), node) == "search lan\nnameserver 1.2.3.4\n"


def test_variables_in_order_with_references() -> None:
    env = [{"name": "A", "value": "1"}, {"name": "B", "value": "$(A)2 $(C) $$(A)"}, {"name": "C", "value": "late"}]
    assert environment(env) == {"A": "1", "B": "12 $(C) $(A)", "C": "late"}


def test_variables_from_the_pod_and_from_config_maps() -> None:
    env = [
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "APP", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
        {"name": "K", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "k"}}},
        {"name": "NO", "valueFrom": {"configMapKeyRef": {"name": "gone", "key": "k", "optional": True}}},
    ]
    env += [{"name": "S", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]
    sources = [{"prefix": "P_", "configMapRef": {"name": "cm"}}, {"secretRef": {"name": "s"}}, {"secretRef": {"name": "no", "optional": True}}]
    found = environment(env, maps({"s": {"k": b"secret"}}, cm={"k": b"v"}), envFrom=sources)
    assert found == {"P_k": "v", "k": "secret", "IP": "10.244.1.2", "APP": "web", "K": "v", "S": "secret"}


def test_variables_from_resources() -> None:
    asked = {"resources": {"requests": {"cpu": "250m", "memory": "64Mi"}}}
    refer = lambda what, **more: {"name": what, "valueFrom": {"resourceFieldRef": {"resource": what, **more}}}  # noqa: E731
    env = [refer("requests.cpu"), refer("requests.memory", divisor="1Mi"), refer("limits.cpu")]
    assert environment(env, **asked) == {"requests.cpu": "1", "requests.memory": "64", "limits.cpu": "0"}


@pytest.mark.parametrize(
    ("origin", "text"),
    [
        ({"configMapKeyRef": {"name": "gone", "key": "k"}}, 'configmap "gone" not found'),
        ({"secretKeyRef": {"name": "gone", "key": "k"}}, 'secret "gone" not found'),
        ({"fieldRef": {"fieldPath": "spec.secret"}}, "unsupported fieldPath"),
        ({"resourceFieldRef": {"resource": "limits.disks"}}, "unsupported container resource: limits.disks"),
        ({"fileKeyRef": {}}, "valueFrom.fileKeyRef: the lab has configMapKeyRef"),
    ],
)
def test_a_variable_that_cannot_be_had(origin: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        environment([{"name": "X", "valueFrom": origin}])


def test_a_program_of_the_pods_own_and_one_of_a_known_image() -> None:
    spec = {"name": "c", "image": "mine", "command": ["run", "$(A)"], "env": [{"name": "A", "value": "x"}], "workingDir": "/tmp"}
    made = podspec.program(pod(), spec, 2, NETWORK, "10.244.1.2", {"A": "x"})
    assert (made.argv, made.directory, made.attempt, dict(made.env)) == (("run", "x"), "/tmp", 2, {"HOSTNAME": "web-1", "A": "x"})
    nginx = podspec.program(pod(), {"name": "n", "image": "nginx:1.8"}, 0, NETWORK, "10.244.1.2", {})
    assert nginx.argv[0] == "nginx" and "address: 10.244.1.2\nnode: node1" in dict(nginx.files)["/run/nginx/html/index.html"]
    assert podspec.served_port(pod(), {"name": "n", "image": "nginx:1.8", "ports": [{"containerPort": 9080}]}) == 9080


def test_an_image_that_the_lab_does_not_know_is_answered_with_those_it_does() -> None:
    assert "nginx, echo, ubuntu" in podspec.image_trouble({"name": "c", "image": "redis:3"})
    assert not podspec.image_trouble({"name": "c", "image": "redis:3", "command": ["sleep", "1"]})


def test_a_wished_for_address() -> None:
    assert str(podspec.pinned(pod(annotations={podspec.PIN: "10.244.1.9"}))) == "10.244.1.9"
    with pytest.raises(UsageError, match="not an IPv4 address"):
        podspec.pinned(pod(annotations={podspec.PIN: "nine"}))


def test_records_survive_the_wire() -> None:
    import json

    program = Program("c", 1, ("a",), (("A", "1"),), "/", (("/etc/x", "y"),), ("/var/log",), (("TCP", 8080),), True)
    assert Program.of(json.loads(json.dumps(program.as_json()))) == program
    record = PodRecord(Sandbox("u", "shop", "web", "web", routes=("10.0.0.0/8",), files=(("a", "b"),)), {"c": (Run(0, 1.0, 2),)}, False, 4)
    assert PodRecord.of(json.loads(json.dumps(record.as_json()))) == record


def service(name: str, address: str, *ports: dict[str, Any], namespace: str = "shop") -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": namespace}, "spec": {"clusterIP": address, "ports": list(ports)}}


def test_services_as_variables() -> None:
    there = [
        service("my-web", "10.96.0.7", {"port": 80, "name": "http"}, {"port": 53, "protocol": "UDP", "name": "dns-udp"}),
        service("headless", "None", {"port": 80}),
        service("theirs", "10.96.0.8", {"port": 80}, namespace="other"),
        service("kubernetes", "10.96.0.1", {"port": 443, "name": "https"}, namespace="default"),
    ]
    found = servicelinks.variables(pod(), there)
    assert (found["MY_WEB_SERVICE_HOST"], found["MY_WEB_SERVICE_PORT"], found["MY_WEB_SERVICE_PORT_DNS_UDP"]) == ("10.96.0.7", "80", "53")
    assert (found["MY_WEB_PORT"], found["MY_WEB_PORT_53_UDP"], found["MY_WEB_PORT_80_TCP_ADDR"]) == (
        "tcp://10.96.0.7:80",
        "udp://10.96.0.7:53",
        "10.96.0.7",
    )
    assert found["KUBERNETES_SERVICE_HOST"] == "10.96.0.1" and not [name for name in found if name.startswith(("HEADLESS", "THEIRS"))]
    only = servicelinks.variables(pod({"enableServiceLinks": False}), there)
    assert only["KUBERNETES_SERVICE_PORT_HTTPS"] == "443" and "MY_WEB_SERVICE_HOST" not in only
    assert variables.of_container(pod(), {"env": [{"name": "U", "value": "$(MY_WEB_PORT)"}]}, NETWORK, "", lambda kind, name: None, found)["U"] == "tcp://10.96.0.7:80"


BASE = ["--hostname-override", "node1", "--api-servers", "http://10.9.0.254:8080", "--node-ip", "10.9.0.1"]


def test_flags_with_their_defaults() -> None:
    given = flags.parse(BASE)
    assert (given.name, given.bridge, given.port, given.heartbeat, given.version) == ("node1", "cni0", 10250, 3.0, "v1.7.3")


@pytest.mark.parametrize(
    ("more", "text"),
    [
        (["--node-ip", "x"], "--node-ip 'x'"),
        (["--port", "0"], "--port 0"),
        (["--cluster-dns", "1.2.3"], "--cluster-dns"),
        (["--pod-cidr", "10.0.0.1/24"], "--pod-cidr"),
        (["--node-labels", "x"], "--node-labels"),
        (["--register-with-taints", "x:Never"], "--register-with-taints"),
        (["--node-status-update-frequency", "soon"], "--node-status-update-frequency"),
        (["--hostname-override", "Node/1"], "--hostname-override"),
        (["--no-such-flag"], "unrecognized"),
    ],
)
def test_wrong_flags_are_said_in_words(more: list[str], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        flags.parse([*BASE, *more])


def test_the_node_object() -> None:
    made = node.node_object(flags.parse([*BASE, "--node-labels", "a=b", "--register-with-taints", "k=v:NoSchedule", "--pod-cidr", "10.244.1.0/24"]))
    assert made["metadata"]["labels"]["a"] == "b" and made["metadata"]["labels"]["kubernetes.io/hostname"] == "node1"
    assert made["spec"] == {"podCIDR": "10.244.1.0/24", "taints": [{"key": "k", "value": "v", "effect": "NoSchedule"}]}


def test_a_nodes_conditions_keep_their_times_and_those_of_others() -> None:
    first = node.conditions("no bridge", [{"type": "NetworkUnavailable", "status": "False"}], 0.0)
    again = {one["type"]: one for one in node.conditions("no bridge", first, 60.0)}
    assert (again["Ready"]["status"], again["Ready"]["message"]) == ("False", "no bridge")
    assert again["Ready"]["lastTransitionTime"] == "1970-01-01T00:00:00Z" and again["Ready"]["lastHeartbeatTime"] == "1970-01-01T00:01:00Z"
    assert "NetworkUnavailable" in again
    ready = {one["type"]: one for one in node.conditions("", first, 60.0)}
    assert ready["Ready"]["lastTransitionTime"] == "1970-01-01T00:01:00Z"


class _Nodes:
    """As much of ApiClient as a heartbeat uses: one node, with a version. `asked`: what was asked for."""

    def __init__(self) -> None:
        self.node: dict[str, Any] | None = None
        self.asked: list[str] = []

    def find(self, plural: str, name: str) -> dict[str, Any] | None:
        self.asked.append("get")
        return copy.deepcopy(self.node)

    def create(self, item: dict[str, Any]) -> dict[str, Any]:
        self.asked.append("create")
        return self.write(item)

    def patch(self, plural: str, name: str, namespace: str, patch: dict[str, Any], subresource: str = "") -> dict[str, Any]:
        self.asked.append(f"patch {subresource}: {' '.join(patch['status'])}")
        if self.node is None:
            raise ApiError(404, "gone")
        if self.node["metadata"]["resourceVersion"] != patch["metadata"]["resourceVersion"]:
            raise ApiError(409, "it has been changed")
        return self.write(merged(self.node, {"status": patch["status"]}))

    def write(self, item: dict[str, Any]) -> dict[str, Any]:
        version = str(int((self.node or {"metadata": {"resourceVersion": "0"}})["metadata"]["resourceVersion"]) + 1)
        self.node = merged(item, {"metadata": {"resourceVersion": version}})
        return copy.deepcopy(self.node)


def test_a_beat_is_one_request_unless_somebody_has_written_to_the_node(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes, clock = _Nodes(), itertools.count(1_500_000_000.0, 3.0)
    monkeypatch.setattr(time, "time", lambda: next(clock))
    heart = node.Heartbeat(cast(ApiClient, nodes), flags.parse(BASE), lambda: "", lambda line: None)
    heart._beat()
    heart._beat()
    whole = "patch status: addresses capacity allocatable conditions daemonEndpoints nodeInfo"
    assert nodes.asked == ["get", "create", whole, "patch status: conditions"]
    assert nodes.node is not None
    unknown = [{"type": "Ready", "status": "Unknown", "lastTransitionTime": "2017-07-11T10:00:00Z"}, {"type": "Other", "status": "True"}]
    nodes.write(merged(nodes.node, {"spec": {"unschedulable": True}, "status": {"conditions": unknown}}))
    nodes.asked.clear()
    heart._beat()
    assert nodes.asked == ["patch status: conditions", "get", "patch status: conditions"]
    ready = {one["type"]: one for one in nodes.node["status"]["conditions"]}
    assert ready["Ready"]["status"] == "True" and ready["Ready"]["lastTransitionTime"] != "2017-07-11T10:00:00Z" and "Other" in ready
    assert nodes.node["spec"]["unschedulable"], "what others said stays"
    nodes.node = None
    heart._beat()
    assert nodes.node is not None, "a node that was deleted is registered again"


def test_no_bridge_no_network() -> None:
    from lab.errors import BootError

    with pytest.raises(BootError, match="network plugin is not ready"):
        node.bridge("nosuchbridge0")
