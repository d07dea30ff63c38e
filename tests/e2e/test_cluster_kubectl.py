"""kubectl on the master of a whole lab: what the apiserver passes on to the kubelets, and what it says when it cannot."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lab.cluster.wanted import wanted
from lab.model import catalog, load
from lab.model.manifests import load_manifests
from tests.sandboxed import sandboxed
from tests.waiting import until

pytestmark = pytest.mark.e2e

PODS = """
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  nodeName: zenlinnode1
  containers: [{name: nginx, image: nginx, ports: [{containerPort: 80}]}]
---
apiVersion: v1
kind: Pod
metadata: {name: two}
spec:
  nodeName: zenlinnode2
  restartPolicy: Never
  containers:
  - {name: a, image: ubuntu, stdin: true, stdinOnce: true, command: [sh, -c, "echo begin; while read l; do echo got $l; done; echo end"]}
  - {name: b, image: ubuntu}
"""
BIG = 3_000_000


def _with(check: Callable[[Any], None]) -> None:
    def body() -> None:
        from lab.cluster.boot import boot

        check(boot(wanted(load.read_topology(catalog.find_topology("zenlin")), load_manifests(PODS, "test.yaml"))))

    sandboxed(body)


def _kubectl(lab: Any, words: str, stdin: str | None = None) -> Any:
    return lab.master.run(f"kubectl {words}", timeout=30, stdin=stdin)


def _refused(lab: Any, words: str) -> str:
    """The last line of what a command says that has to fail."""
    ran = _kubectl(lab, words)
    assert ran.status == 1, f"{ran}"
    return str(ran.stderr.strip().splitlines()[-1])


def test_logs_and_attach() -> None:
    def check(lab: Any) -> None:
        assert _kubectl(lab, "logs two -c a").stdout == "begin\n"
        assert _kubectl(lab, "logs two --all-containers --prefix").stdout == "[pod/two/a] begin\n"
        assert _kubectl(lab, "logs web --tail 0").stdout == ""
        left = lab.master.run("timeout 3 kubectl logs -f two -c a")
        assert (left.status, left.stdout) == (124, "begin\n"), "a log that goes on does not end"
        until(lambda: lab.master.run("ss -Htn state established 'dport = :10250'").stdout == "", "that the apiserver lets go of the kubelet")
        both = "logs -f two -c a >/run/followed & kubectl attach -i -q two -c a; wait $!; cat /run/followed"
        assert _kubectl(lab, both, "one\n").stdout == "got one\nend\nbegin\ngot one\nend\n", "the log ends with the container"
        assert _refused(lab, "logs two -c zz") == "error: container zz is not valid for pod two"
        assert 'pods "none" not found' in _refused(lab, "logs none")
        raw = "get --raw /api/v1/namespaces/default/pods/two/log"
        assert _refused(lab, raw) == "Error from server (BadRequest): a container name must be specified for pod two, choose one of: [a b]"
        before = 'Error from server (BadRequest): previous terminated container "b" in pod "two" not found'
        assert _refused(lab, "logs two -c b -p") == before

    _with(check)


def test_exec_and_a_terminal() -> None:
    def check(lab: Any) -> None:
        ran = _kubectl(lab, "exec web -- sh -c 'hostname; echo oops >&2; exit 7'")
        assert (ran.status, ran.stdout, ran.stderr) == (7, "web\n", "oops\ncommand terminated with exit code 7\n")
        assert _kubectl(lab, "exec two -c b -- hostname").stdout == "two\n"
        assert _kubectl(lab, "exec -i web -- wc -c", "x" * BIG).stdout == f"{BIG}\n"
        assert _kubectl(lab, f"exec web -- head -c {BIG} /dev/zero | wc -c").stdout == f"{BIG}\n"
        assert _kubectl(lab, "exec -i web -- cat | sha1sum", "y" * BIG).stdout == lab.master.run("sha1sum", stdin="y" * BIG).stdout
        sized = "until stty size | grep -q 33; do :; done; tty; stty size; exit 3"
        typed = f"stty rows 33 cols 99; kubectl exec -it web -- sh -c '{sized}'"
        terminal = lab.master.run(["script", "-qec", typed, "/dev/null"], timeout=20)
        assert "/dev/pts/" in terminal.stdout and "33 99" in terminal.stdout and terminal.status == 3
        assert "executable file not found" in _refused(lab, "exec web -- nosuchprogram")
        old = lab.master.run("KUBECTL_REMOTE_COMMAND_WEBSOCKETS=false kubectl exec web -- true")
        assert "use kubectl 1.31 or later, or set KUBECTL_REMOTE_COMMAND_WEBSOCKETS=true" in old.stderr, "as kubectl before 1.31 does it"
        assert _refused(lab, "exec two -c q -- true") == "Error from server (BadRequest): container q is not valid for pod two"
        assert _refused(lab, "exec none -- true") == 'Error from server (NotFound): pods "none" not found'
        lab.daemon("zenlinnode1", "kubelet").stop()
        refused = "Error from server: error dialing backend: dial tcp 10.229.53.146:10250: connect: connection refused"
        assert _refused(lab, "exec web -- true") == refused
        assert _refused(lab, "logs web") == refused

    _with(check)


def test_port_forward_and_describe() -> None:
    def check(lab: Any) -> None:
        forward = "port-forward pod/web 8888:80 8889:81 >/run/said & until curl -s -m 2 127.0.0.1:8888/; do :; done; "
        both = _kubectl(lab, forward + "curl -s 127.0.0.1:8888/; curl -s 127.0.0.1:8889; echo $?; kill $!")
        assert both.stdout.count("pod: web") == 2 and both.stdout.splitlines()[-1] != "0", "nothing listens on port 81"
        assert "failed to connect to" in both.stderr and "connection refused" in both.stderr.lower()
        until(lambda: lab.master.run("ss -Htn state established 'dport = :10250'").stdout == "", "the end of the forwarding")
        short = _kubectl(lab, "get deploy,rs,ev --field-selector metadata.name=none")
        assert short.stderr == "No resources found in default namespace.\n", "no warning that a name means two resources"
        told = _kubectl(lab, "describe pod web").stdout
        assert "Node: zenlinnode1/10.229.53.146" in " ".join(told.split()) and "Started container nginx" in told

    _with(check)


def test_https_from_a_pod_and_with_the_authoritys_certificate() -> None:
    def check(lab: Any) -> None:
        pod = lab.pod("two").run("curl -sk -m 10 https://10.96.0.1/version", timeout=15)
        assert '"gitVersion": "v1.7.3"' in pod.stdout, f"{pod}"
        trusting = "curl -s -m 5 --cacert /var/run/kubernetes/ca.crt"
        for url in ("https://10.96.0.1/healthz", "https://10.229.43.65:6443/healthz", "https://127.0.0.1:6443/healthz"):
            assert lab.master.run(f"{trusting} {url}").stdout == "ok", url
        for name in ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"):
            assert lab.master.run(f"{trusting} --resolve {name}:443:10.96.0.1 https://{name}/healthz").stdout == "ok", name
        assert lab.master.run(f"{trusting} --resolve other:443:10.96.0.1 https://other/healthz").status == 60, "not a name of the certificate"
        secure = "--server https://10.96.0.1 --certificate-authority /var/run/kubernetes/ca.crt --token $(kubectl create token default)"
        assert _kubectl(lab, f"{secure} exec -i web -- wc -c", "x" * BIG).stdout == f"{BIG}\n"
        assert _kubectl(lab, f"{secure} get --raw /healthz").stdout == "ok"
        assert lab.master.run("curl -s -m 5 http://127.0.0.1:6443/").status != 0
        assert lab.master.run("curl -s -m 5 http://127.0.0.1:8080/healthz").stdout == "ok"

    _with(check)
