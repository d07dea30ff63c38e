"""Nothing of whoever starts a lab is in it: neither in the environment of nodes and pods, nor in their files."""

from __future__ import annotations

from typing import Any

import pytest

from lab.cluster.wanted import wanted
from lab.model import catalog, load
from lab.model.manifests import load_manifests
from tests.sandboxed import sandboxed

pytestmark = pytest.mark.e2e

PODS = """
apiVersion: v1
kind: Service
metadata: {name: my-web}
spec: {clusterIP: 10.96.7.7, selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  nodeName: zenlinnode1
  containers: [{name: nginx, image: nginx, ports: [{containerPort: 80}], env: [{name: OWN, value: "1"}]}]
---
apiVersion: v1
kind: Pod
metadata: {name: outside}
spec:
  nodeName: zenlinnode1
  dnsPolicy: Default
  containers: [{name: c, image: ubuntu, command: [sh, -c, "env; sleep 100"]}]
"""

LOGIN = {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LC_ALL", "KUBECONFIG", "KUBECACHEDIR"}
MASTER = ("KUBERNETES_SERVICE_", "KUBERNETES_PORT")


def _variables(text: str) -> dict[str, str]:
    pairs = (line.partition("=") for line in text.splitlines())
    return {name: value for name, _, value in pairs if name not in ("PWD", "SHLVL", "_", "OLDPWD")}


def test_commands_find_a_clean_environment_and_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "theirs")
    monkeypatch.delenv("TERM", raising=False)

    def body() -> None:
        from lab.cluster.boot import boot

        _check(boot(wanted(load.read_topology(catalog.find_topology("zenlin")), load_manifests(PODS, "test.yaml"))))

    sandboxed(body)


def _check(lab: Any) -> None:
    node = lab.node("zenlinnode1")
    assert set(_variables(node.run("env").stdout)) == LOGIN
    assert set(_variables(node.cmd("env"))) - LOGIN <= {"PS1", "COLUMNS", "LINES", "TERM"}
    assert "nameserver" not in node.run("cat /etc/resolv.conf").stdout
    assert node.run("getent hosts example.com", timeout=5).status == 2, "at once"
    found = _variables(lab.pod("web").run("env").stdout)
    links = {name: value for name, value in found.items() if name.startswith(("MY_WEB_", *MASTER))}
    assert set(found) - set(links) == {"PATH", "HOME", "HOSTNAME", "OWN"}
    assert (links["KUBERNETES_SERVICE_HOST"], links["KUBERNETES_SERVICE_PORT"]) == ("10.96.0.1", "443")
    assert (links["MY_WEB_SERVICE_HOST"], links["MY_WEB_PORT_80_TCP"]) == ("10.96.7.7", "tcp://10.96.7.7:80")
    own = lab.master.run("kubectl logs outside").stdout
    assert "SECRET" not in own and set(_variables(own)) >= {"PATH", "HOME", "HOSTNAME", "KUBERNETES_SERVICE_HOST"}
    assert _variables(lab.master.run("kubectl exec web -- env").stdout) == found, "exec finds what the container does"
    assert "TERM=xterm" in lab.master.run(["script", "-qec", "kubectl exec -it web -- env", "/dev/null"], timeout=20).stdout
    outside = lab.pod("outside").run("cat /etc/resolv.conf").stdout
    assert outside == node.run("cat /etc/resolv.conf").stdout, "dnsPolicy Default: the node's"
