"""Controllers and scheduler with the real etcd, the lab's apiserver and the real kubectl. Pods are only said to run: no kubelet is needed."""

from __future__ import annotations

import json
import signal
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.e2e.flannel_sandbox import Sandbox
from tests.e2e.master_sandbox import Kubelets, Master, manifest
from tests.unit.small_cluster import a_deployment, a_service
from tests.waiting import until

pytestmark = pytest.mark.e2e


@pytest.fixture
def master(sandbox: Sandbox) -> Iterator[Master]:
    yield Master(sandbox).start("--node-monitor-grace-period", "1s")


def _service() -> dict[str, object]:
    return a_service(clusterIP=None)


def test_kubectl_creates_scales_rolls_undoes_and_deletes(master: Master) -> None:
    with Kubelets(master, "n1", "n2"):
        master.kubectl("apply", "--validate=false", given=manifest(a_deployment(replicas=2), _service()))
        assert "successfully rolled out" in master.kubectl("rollout", "status", "deployment/web", "--timeout=15s")
        until(lambda: len(master.ready_ips("web")) == 2, "two endpoints")
        pods = master.client.list("pods")["items"]
        assert Counter(pod["spec"]["nodeName"] for pod in pods) == {"n1": 1, "n2": 1}
        assert sorted(node["spec"]["podCIDR"] for node in master.client.list("nodes")["items"]) == ["10.244.0.0/24", "10.244.1.0/24"]
        master.kubectl("scale", "deployment/web", "--replicas=4")
        until(lambda: len(master.ready_ips("web")) == 4, "four endpoints")
        (kept,) = master.client.list("endpointslices", labels="kubernetes.io/service-name=web")["items"]
        until(lambda: len(master.client.get("endpointslices", kept["metadata"]["name"], "default")["endpoints"]) == 4, "four in the slice")
        master.kubectl("set", "image", "deployment/web", "c=nginx:1.9")
        assert "successfully rolled out" in master.kubectl("rollout", "status", "deployment/web", "--timeout=15s")
        images = [pod["spec"]["containers"][0]["image"] for pod in master.client.list("pods")["items"] if "deletionTimestamp" not in pod["metadata"]]
        assert images == ["nginx:1.9"] * 4
        master.kubectl("rollout", "undo", "deployment/web")
        assert "successfully rolled out" in master.kubectl("rollout", "status", "deployment/web", "--timeout=15s")
        assert "3" in master.kubectl("rollout", "history", "deployment/web")
        until(lambda: "Scaled up replica set web-" in master.kubectl("describe", "deployment/web"), "the events of the deployment")
        one = master.client.list("pods", labels="app=web")["items"][0]["metadata"]["name"]
        assert "Successfully assigned" in master.kubectl("describe", "pod", one)
        master.kubectl("delete", "deployment/web", "--timeout=15s")
        until(lambda: not master.client.list("replicasets")["items"] and not master.client.list("pods")["items"], "the end of the pods")
        until(lambda: master.ready_ips("web") == [], "no endpoints")
        master.kubectl("delete", "service/web", "--timeout=15s")
        until(lambda: master.client.find("endpoints", "web", "default") is None, "the end of the endpoints")


def test_a_silent_node_loses_its_endpoints_until_it_speaks_again(master: Master) -> None:
    with Kubelets(master, "n1", "n2") as kubelets:
        master.kubectl("apply", "--validate=false", given=manifest(a_deployment(replicas=2), _service()))
        until(lambda: len(master.ready_ips("web")) == 2, "two endpoints")
        before = master.ready_ips("web")
        kubelets.silent.add("n2")
        until(lambda: len(master.ready_ips("web")) == 1, "the loss of an endpoint")
        told = {one["type"]: one["status"] for one in master.client.get("nodes", "n2")["status"]["conditions"]}
        assert told["Ready"] == "Unknown" and "NotReady" in master.kubectl("get", "nodes")
        assert len(master.client.list("pods")["items"]) == 2, "nobody is evicted"
        until(lambda: "NodeNotReady" in master.kubectl("get", "events"), "the event")
        kubelets.silent.clear()
        until(lambda: master.ready_ips("web") == before, "the endpoint's return")


def test_what_fits_nowhere_waits_and_pins_are_kept(master: Master) -> None:
    pins = [{"name": "web-1885164871-dzls7", "node": "n2", "ip": "10.244.1.53"}]
    notes = {"lab.network/pins": json.dumps(pins), "lab.network/replicaset-hash": "1885164871"}
    with Kubelets(master, "n1", "n2"):
        master.kubectl("taint", "node", "n1", "node-role.kubernetes.io/master=:NoSchedule")
        master.kubectl("apply", "--validate=false", given=manifest(a_deployment(replicas=2, annotations=notes)))
        until(lambda: len(master.client.list("pods", fields="spec.nodeName=n2")["items"]) == 2, "the pods on the only worker")
        pinned = master.client.get("pods", "web-1885164871-dzls7", "default")
        assert pinned["metadata"]["annotations"]["lab.network/pod-ip"] == "10.244.1.53"
        master.kubectl("cordon", "n2")
        master.kubectl("scale", "deployment/web", "--replicas=3")
        until(lambda: "1 node(s) were unschedulable" in master.kubectl("get", "events"), "the event about a pod that fits nowhere")
        (waiting,) = master.client.list("pods", fields="spec.nodeName=")["items"]
        assert [one["reason"] for one in waiting["status"]["conditions"]] == ["Unschedulable"]
        master.kubectl("uncordon", "n2")
        assert "successfully rolled out" in master.kubectl("rollout", "status", "deployment/web", "--timeout=15s")


def test_deletion_in_the_foreground_orphans_and_namespaces(master: Master) -> None:
    with Kubelets(master, "n1"):
        master.kubectl("apply", "--validate=false", given=manifest(a_deployment(replicas=1)))
        until(lambda: len(master.client.list("pods")["items"]) == 1, "the pod")
        master.kubectl("delete", "deployment/web", "--cascade=orphan", "--timeout=15s")
        until(lambda: master.client.find("deployments", "web", "default") is None, "the end of the deployment")
        assert len(master.client.list("replicasets")["items"]) == len(master.client.list("pods")["items"]) == 1
        master.kubectl("apply", "--validate=false", given=manifest(a_deployment(replicas=1)))
        assert "successfully rolled out" in master.kubectl("rollout", "status", "deployment/web", "--timeout=15s")
        assert len(master.client.list("replicasets")["items"]) == len(master.client.list("pods")["items"]) == 1, "adopted"
        master.kubectl("delete", "deployment/web", "--cascade=foreground", "--timeout=15s")
        assert master.client.list("replicasets")["items"] == master.client.list("pods")["items"] == []
        master.kubectl("apply", "--validate=false", given=manifest(a_deployment(replicas=1)))
        until(lambda: master.client.list("pods")["items"], "the next pod")
        master.kubectl("delete", "deployment/web", "--timeout=15s")
        until(lambda: master.client.list("replicasets")["items"] == master.client.list("pods")["items"] == [], "that what it had goes after it")
        master.kubectl("apply", "--validate=false", given=manifest({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "play"}}))
        until(lambda: master.client.find("serviceaccounts", "default", "play"), "the ServiceAccount")
        there = a_deployment()
        there["metadata"]["namespace"] = "play"
        master.kubectl("apply", "--validate=false", given=manifest(there))
        until(lambda: master.client.list("pods", "play")["items"], "a pod there")
        master.kubectl("-n", "play", "create", "secret", "generic", "s")
        master.kubectl("delete", "namespace", "play", "--timeout=15s")
        assert master.client.list("pods", "play")["items"] == [] and master.client.find("namespaces", "play") is None


def test_killed_daemons_go_on_where_they_were(master: Master) -> None:
    with Kubelets(master, "n1"):
        master.kubectl("apply", "--validate=false", given=manifest(a_deployment(replicas=3), _service()))
        until(lambda: master.client.list("pods")["items"], "the first pod")
        for name in ("controllers", "apiserver"):
            master.kill(name)
        master.start_apiserver()
        master.start_daemon("controllers")
        assert "successfully rolled out" in master.kubectl("rollout", "status", "deployment/web", "--timeout=15s")
        until(lambda: len(master.ready_ips("web")) == 3, "three endpoints")
        assert len(master.client.list("pods")["items"]) == 3 and len(master.client.list("replicasets")["items"]) == 1
        for name in ("controllers", "scheduler"):
            master.daemons[name].signal(signal.SIGTERM)
            assert master.daemons[name].wait() == 0
        assert not master.daemons["scheduler"].said("Traceback") and not master.daemons["controllers"].said("Traceback")
