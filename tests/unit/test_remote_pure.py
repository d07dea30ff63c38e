"""A scenario's objects for a cluster elsewhere, the commands that pass, the reasons that are told: all without a cluster."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lab.errors import CommandError, NotHere, UsageError
from lab.model import catalog, load
from lab.model.pins import Pin
from lab.remote import api, bundle, images, kubectl, manifests, start, waiting
from lab.scenario import loader
from lab.workloads.images import KNOWN_IMAGES, base_name

SCENARIOS = [path.name for path in catalog.list_scenarios()]


def converted(name: str) -> list[dict[str, Any]]:
    scenario = loader.load_scenario(catalog.find_scenario(name))
    return manifests.documents(load.read_manifests(scenario.manifest_paths), "run-1", scenario.images)


@pytest.mark.parametrize("name", SCENARIOS)
def test_nothing_of_the_lab_is_left_in_a_scenarios_objects(name: str) -> None:
    for item in converted(name):
        assert item["apiVersion"] == ("apps/v1" if item["kind"] == "Deployment" else "v1")
        assert "lab.network/" not in json.dumps({**item, "spec": {}}), item
        assert "namespace" not in item["metadata"] and item["metadata"]["labels"][manifests.RUN] == "run-1"
        spec = item["spec"]
        assert not {"nodeName", "externalIPs"} & set(spec) and spec.get("clusterIP", "None") == "None"
        assert not any("nodePort" in port for port in spec.get("ports", ()))
        if item["kind"] == "Deployment":
            labels = spec["template"]["metadata"]["labels"]
            assert spec["selector"]["matchLabels"].items() <= labels.items() and labels[manifests.RUN] == "run-1"
            assert manifests.RUN not in spec["selector"]["matchLabels"]
        for container in (spec.get("template") or item)["spec"].get("containers", ()):
            assert "/" in container["image"] and ":" in container["image"], "a real image, with its registry and tag"


def test_the_how_to_names_the_scenarios_that_run_elsewhere() -> None:
    text = (Path(__file__).parents[2] / "docs/how-to/graduation.md").read_text()
    scenarios = [loader.load_scenario(catalog.find_scenario(name)) for name in SCENARIOS]
    fit = {one.name for one in scenarios if not all(one.why_lab_only(step).en for step in one.steps)}
    assert {name for name in SCENARIOS if f"| `{name}` | " in text} == fit


def test_objects_of_other_namespaces_are_the_clusters_own() -> None:
    names = {(item["kind"], item["metadata"]["name"]) for item in converted("service-dns")}
    assert ("Service", "nginx-service") in names and not any("dns" in name for _, name in names)


def test_a_selector_from_the_template_and_a_probe_where_there_is_none() -> None:
    (deployment,) = [item for item in converted("nginx-service") if item["kind"] == "Deployment"]
    assert deployment["spec"]["selector"] == {"matchLabels": {"app": "nginx"}}
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["readinessProbe"]["tcpSocket"] == {"port": 80}
    (web,) = [item for item in converted("scale-and-roll") if item["kind"] == "Deployment"]
    assert "httpGet" in web["spec"]["template"]["spec"]["containers"][0]["readinessProbe"]


def test_every_image_of_the_lab_but_dns_has_a_meaning_elsewhere() -> None:
    dns = {"kube-dns", "coredns", "k8s-dns-kube-dns-amd64"}
    assert set(images.TABLE) == set(KNOWN_IMAGES) - dns


@pytest.mark.parametrize(
    ("image", "own", "expected"),
    [
        ("nginx", {}, images.NGINX),
        ("nginx:1.9", {}, images.NGINX_NEXT),
        ("registry:5000/x/nginx@sha256:0", {}, images.NGINX),
        ("ubuntu", {"ubuntu": "mine:1"}, "mine:1"),
        ("nginx:1.9", {"nginx": "mine:1", "nginx:1.9": "mine:2"}, "mine:2"),
        ("somebody/else:3", {}, "somebody/else:3"),
    ],
)
def test_images(image: str, own: dict[str, str], expected: str) -> None:
    assert images.image_of(image, own) == expected


def test_a_container_that_says_what_to_run_keeps_its_command() -> None:
    given = {"name": "c", "image": "nginx", "command": ["sleep", "1"], "args": ["x"]}
    assert images.container(given, {}) == {**given, "image": images.NGINX}
    assert images.container({"name": "c", "image": "docker.io/istio/proxy_debug:0.2.1", "args": ["proxy"]}, {}) == {
        "name": "c",
        "image": images.PAUSE,
    }


def test_what_is_pinned() -> None:
    scenario = loader.load_scenario(catalog.find_scenario("bookinfo"))
    wish = manifests.wish(load.read_manifests(scenario.manifest_paths), scenario.pins)
    assert ("productpage", "10.104.17.86") in wish.services
    assert Pin("details-v1-3006205406-dnm69", "details-v1", "zenlinnode1", "10.244.1.137") in wish.pods
    nodeport = loader.load_scenario(catalog.find_scenario("nodeport"))
    assert manifests.wish(load.read_manifests(nodeport.manifest_paths), nodeport.pins).ports == (("zipkin", 9411, 30305),)


def test_the_labs_servers_start_from_one_argument_alone(tmp_path: Path) -> None:
    for words, status in (((), 2), (("bookinfo", "--help"), 0)):
        command = bundle.command(*words)
        isolated = [sys.executable, "-I", "-S", *command[1:]]
        ran = subprocess.run(isolated, cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False, env={})
        assert ran.returncode == status, ran.stderr
    assert not list(tmp_path.iterdir()) and len("".join(bundle.command())) < 100_000 and "$(" not in command[2]


@pytest.mark.parametrize(
    "command",
    [
        "kubectl get services",
        "kubectl -n kube-system get service kube-dns",
        "kubectl scale deployment web --replicas=5",
        "kubectl rollout status deployment web --timeout=60s",
        "kubectl rollout undo deployment/web",
        "kubectl set image deployment/web nginx=docker.io/library/nginx:1.28",
        """kubectl patch svc hello -p '{"spec": {"sessionAffinity": "None"}}'""",
        "kubectl expose deployment nginx-deployment --name=later --port=80",
        "kubectl delete service later --ignore-not-found",
        "kubectl delete pod/x service/y",
    ],
)
def test_commands_that_pass(command: str) -> None:
    assert ["kubectl", *kubectl.words(command)][:2] == ["kubectl", command.split()[1]]


@pytest.mark.parametrize(
    "command",
    [
        "",
        "kubectl",
        "curl http://10.0.0.1/",
        "kubectl -n kube-system scale deployment kube-dns --replicas=0",
        "kubectl scale deployment coredns --namespace=kube-system --replicas=0",
        "kubectl delete pod -nkube-system x",
        "kubectl delete pods --all -A",
        "kubectl delete node web",
        "kubectl delete node pod",
        "kubectl delete pod/x node/y",
        "kubectl delete pods,nodes --all",
        "kubectl delete namespace default",
        "kubectl delete --all",
        "kubectl delete -f x.yaml",
        "kubectl apply -f x.yaml",
        "kubectl patch node n1 -p {}",
        "kubectl label node n1 a=b",
        "kubectl drain n1",
        "kubectl cordon n1",
        "kubectl exec x -- rm -rf /",
        "kubectl rollout restart daemonset/kube-proxy",
        "kubectl create clusterrolebinding x",
        "kubectl get pods --context other",
        "kubectl get pods --kubeconfig=/x",
        "kubectl get pods | grep x",
        "kubectl get pods ; rm x",
        ["kubectl", "--server", "https://x", "get", "pods"],
    ],
)
def test_commands_that_do_not_pass(command: str | list[str]) -> None:
    with pytest.raises(NotHere):
        kubectl.words(command)


def pod(name: str, address: str = "", owner: str = "", **status: Any) -> dict[str, Any]:
    owners = [{"kind": "ReplicaSet", "name": owner}] if owner else []
    return {"metadata": {"name": name, "ownerReferences": owners}, "status": {"podIP": address, **status}}


def test_which_pod_is_which() -> None:
    pins = [Pin("w-1", "w", "", "10.0.0.1"), Pin("w-2", "w", "", "10.0.0.2"), Pin("c", "", "", "10.0.0.3"), Pin("gone", "", "", "10.0.0.4")]
    pods = [pod("w-9f-b", "10.9.0.2", "w-9f"), pod("c", "10.9.0.3"), pod("w-9f-a", "10.9.0.1", "w-9f"), pod("w-x-9f-a", "10.9.0.9", "w-x-9f")]
    expected = [("w-1", "w-9f-a"), ("10.0.0.1", "10.9.0.1"), ("w-2", "w-9f-b"), ("10.0.0.2", "10.9.0.2"), ("c", "c"), ("10.0.0.3", "10.9.0.3")]
    assert list(waiting.pod_pairs(pins, pods)) == expected


def test_why_a_pod_is_not_ready() -> None:
    waits = {"name": "c", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}}}
    assert waiting.reason(pod("p", containerStatuses=[waits])) == "c ImagePullBackOff: Back-off pulling image"
    unplaced = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes are available"}
    assert waiting.reason(pod("p", conditions=[unplaced])) == "Unschedulable: 0/1 nodes are available"
    assert waiting.reason(pod("p", phase="Pending")) == "Pending"
    assert waiting.reason({"metadata": {}}) == "unknown"


def test_the_clusters_domain() -> None:
    text = "nameserver 10.0.0.10\nsearch ns.svc.example.org svc.example.org example.org cloud.internal\noptions ndots:5\n"
    assert waiting.domain(text.split(), "ns") == "example.org"
    assert waiting.domain(["nameserver", "10.0.0.10"], "ns") == ""


def test_how_a_command_in_a_pod_ended() -> None:
    failed = {"status": "Failure", "reason": "NonZeroExitCode", "details": {"causes": [{"reason": "ExitCode", "message": "7"}]}}
    assert (api._status('{"status":"Success"}', "p"), api._status(json.dumps(failed), "p")) == (0, 7)
    for end, words in (
        ("", "the connection to the pod ended before the command did"),
        ('{"status":"Failure","message":"no such program"}', "p: no such program"),
        ("[]", r"p: \[\]"),
    ):
        with pytest.raises(CommandError, match=words):
            api._status(end, "p")


@pytest.mark.parametrize("name", ["UPPER", "a_b", "-a", "a-", "", "a" * 64, "a\n"])
def test_names_that_no_namespace_has(name: str) -> None:
    with pytest.raises(UsageError, match="--namespace"):
        start.require_namespace(name)
    start.require_namespace("a-1")


def test_the_pod_for_a_node_goes_there_and_nowhere_else() -> None:
    made = manifests.node_pod("lab-node-0", "n1", "run-1", {})
    assert made["spec"]["nodeName"] == "n1" and made["spec"]["hostNetwork"]
    assert made["spec"]["containers"][0]["securityContext"] == {"privileged": True}
    assert base_name(made["spec"]["containers"][0]["image"]) == "netshoot"
