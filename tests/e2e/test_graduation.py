"""`lab run --kubeconfig`: a lab that is up plays the cluster elsewhere, reached over its network alone, from the machine outside it.

The runs know nothing but a kubeconfig file: the apiserver's address, its authority's certificate, a token.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.e2e.lab import environment, lab, lab_up
from tests.waiting import until

pytestmark = pytest.mark.e2e

NAME = f"graduation-{os.getpid()}"
LAB = ("env", f"PYTHONPATH={environment()['PYTHONPATH']}", sys.executable, "-m", "lab")
"""The machines of a lab have an environment of their own."""

SERVER = "https://10.229.43.65:6443"
TINY = """
from lab.scenario import Scenario, Text

scenario = Scenario(title=Text("t", "t"), topology="zenlin", manifests=["pod.yaml"])


@scenario.step(en="a pod answers", zh="t")
def answers(lab):
    pod = lab.pod("idler")
    pod.run("echo hé; echo aside >&2; exit 3").expect_lines(["hé"]).expect_status(3)
    pod.run(["hostname"]).expect_lines(["idler"])


@scenario.step(en="it is busy", zh="t")
def busy(lab):
    lab.pod("idler").run("WAIT", timeout=60).expect_status()
"""
POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: idler}\nspec:\n  nodeName: zenlinnode1\n  containers: [{name: c, image: IMAGE}]\n"


@pytest.fixture(scope="module", name="kubeconfig")
def _kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with lab_up(NAME, "service-dns"):
        inside("client", "curl", "-sk", f"{SERVER}/healthz")  # the certificate is made for the first who asks
        authority = inside("zenlin", "cat", "/var/run/kubernetes/ca.crt").stdout.encode()
        token = inside("zenlin", "kubectl", "create", "token", "default").stdout.strip()
        assert token, "the apiserver gives tokens to service accounts"
        cluster = {"server": SERVER, "certificate-authority-data": base64.b64encode(authority).decode()}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "elsewhere",
            "clusters": [{"name": "elsewhere", "cluster": cluster}],
            "users": [{"name": "me", "user": {"token": token}}],
            "contexts": [{"name": "elsewhere", "context": {"cluster": "elsewhere", "user": "me"}}],
        }
        file = tmp_path_factory.mktemp("graduation") / "kubeconfig"
        file.write_text(json.dumps(document))
        yield file


def inside(where: str, *words: str, timeout: float = 300.0) -> subprocess.CompletedProcess[str]:
    return lab("exec", "-n", NAME, where, "--", *words, timeout=timeout)


def run(kubeconfig: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return inside("client", *LAB, "run", "--kubeconfig", str(kubeconfig), *words)


def namespaces() -> set[str]:
    items = json.loads(inside("zenlin", "kubectl", "get", "namespaces", "-o", "json").stdout)["items"]
    return {item["metadata"]["name"] for item in items} - {"default", "kube-public", "kube-system"}


def statuses(ran: dict[str, Any]) -> dict[str, str]:
    return {step["key"]: step["status"] + (" in part" if step["status"] == "passed" and step["reason"] else "") for step in ran["steps"]}


@pytest.fixture(name="tiny")
def _tiny(tmp_path: Path) -> Path:
    folder = tmp_path / "tiny"
    folder.mkdir()
    (folder / "scenario.py").write_text(TINY.replace("WAIT", "true"))
    (folder / "pod.yaml").write_text(POD.replace("IMAGE", "ubuntu"))
    return folder


def test_scenarios_run_by_the_api_and_in_pods_alone(kubeconfig: Path, tmp_path: Path) -> None:
    words = ("session-affinity", "service-dns", "bookinfo", "nodeport")
    ran = run(kubeconfig, *words, "--format", "json", "--junit", str(tmp_path / "r.xml"))
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr
    affinity, dns, bookinfo, nodeport = json.loads(ran.stdout)["runs"]
    out, part, passed = "left_out", "passed in part", "passed"
    assert statuses(affinity) == {"rules": out, "sticky": passed, "remembered": out, "others": out, "off": passed}
    expected = {"resolver": part, "name": passed, "service": out, "search": out, "headless": part, "comes": part, "away": out}
    assert statuses(dns) == expected
    assert statuses(bookinfo) == {"services": passed, "request": passed, "entries": out, "rules": out, "versions": passed, "missing": passed}
    assert statuses(nodeport) == {"everywhere": part, "rules": out, "seen": out, "local": out}
    cases = ElementTree.parse(tmp_path / "r.xml").iter("testcase")
    skipped = {case.get("name"): one.get("message", "") for case in cases for one in case.iter("skipped")}
    assert skipped["away"].startswith("left out: ") and "entries" in skipped
    assert namespaces() == set()


def test_what_is_pinned_is_the_clusters_own_and_nodes_are_entered_when_that_is_allowed(kubeconfig: Path) -> None:
    ran = run(kubeconfig, "nginx-service", "--node-access", "--format", "json")
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr
    (nginx,) = json.loads(ran.stdout)["runs"]
    held = {key for key, status in statuses(nginx).items() if status.startswith("passed")}
    assert held == {"ttl", "access", "split", "sources", "hairpin", "direct", "nobody", "restarted"}
    access = next(step for step in nginx["steps"] if step["key"] == "access")
    assert access["reason"] is None
    assert [one["where"] for one in access["commands"][3:]] == ["zenlin", "zenlinnode1", "zenlinnode2"]
    told = json.dumps([step["commands"] + step["checks"] for step in nginx["steps"]])
    assert "10.105.211.16" not in told and "nginx-deployment-1885164871" not in told, "these are taken by the lab's own service and pods"
    assert namespaces() == set()


def test_kept_and_in_the_way_of_the_next(kubeconfig: Path, tiny: Path) -> None:
    ran = run(kubeconfig, str(tiny), "--keep")
    (kept,) = namespaces()
    try:
        assert ran.returncode == 0 and f"everything stays in the namespace {kept}" in ran.stderr
        ran = run(kubeconfig, str(tiny), "--namespace", kept)
        assert ran.returncode == 2 and f"the namespace {kept} has a Pod named idler already" in ran.stderr
        assert namespaces() == {kept}
        assert inside("zenlin", "kubectl", "get", "pod", "idler", "-n", kept).returncode == 0
    finally:
        inside("zenlin", "kubectl", "delete", "namespace", kept)


def test_pods_that_do_not_come_up_are_told_with_their_reason(kubeconfig: Path, tiny: Path, tmp_path: Path) -> None:
    (tiny / "pod.yaml").write_text(POD.replace("IMAGE", "registry.invalid/nothing:1"))
    ran = run(kubeconfig, str(tiny), "--wait", "1", "--junit", str(tmp_path / "r.xml"))
    assert ran.returncode == 1
    assert "not ready after 1 s" in ran.stderr and "ImagePull" in ran.stderr and "registry.invalid/nothing:1" in ran.stderr
    assert [one.get("name") for one in ElementTree.parse(tmp_path / "r.xml").iter("testcase")] == ["aborted"]
    assert namespaces() == set()


def test_ctrl_c_takes_everything_away_but_a_namespace_that_was_there(kubeconfig: Path, tiny: Path, tmp_path: Path) -> None:
    (tiny / "scenario.py").write_text(TINY.replace("WAIT", "sleep 50"))
    assert inside("zenlin", "kubectl", "create", "namespace", "mine").returncode == 0
    report = tmp_path / "ended"
    script = f'"$@" >{tmp_path}/out 2>&1 & echo $! >{tmp_path}/pid; wait $!; echo $? >{report}'
    command = [*LAB, "run", "--kubeconfig", str(kubeconfig), str(tiny), "--namespace", "mine"]
    words = [sys.executable, "-m", "lab", "exec", "-n", NAME, "client", "--", "bash", "-c", script, "bash", *command]
    going = subprocess.Popen(words, stdin=subprocess.DEVNULL)
    try:
        until(lambda: (tmp_path / "out").exists() and "# sleep 50" in (tmp_path / "out").read_text(), "the second step")
        assert "idler" in inside("zenlin", "kubectl", "get", "pods", "-n", "mine").stdout
        pid = (tmp_path / "pid").read_text().strip()
        assert inside("client", "kill", "-INT", pid).returncode == 0
        assert going.wait(120) == 0
        assert report.read_text() == "130\n", (tmp_path / "out").read_text()
        assert "No resources found" in inside("zenlin", "kubectl", "get", "all", "-n", "mine").stderr
        assert namespaces() == {"mine"}
    finally:
        going.kill()
        inside("zenlin", "kubectl", "delete", "namespace", "mine")
