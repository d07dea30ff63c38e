"""Volumes, init containers, hooks, Secrets and service accounts in a whole lab, asked for with kubectl."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from lab.cluster.wanted import wanted
from lab.model import catalog, load
from lab.model.manifests import load_manifests
from tests.sandboxed import sandboxed
from tests.waiting import until

pytestmark = pytest.mark.e2e

FILES = """
apiVersion: v1
kind: ConfigMap
metadata: {name: page}
data: {index.html: "first\\n", other: "x"}
---
apiVersion: v1
kind: Secret
metadata: {name: pass}
stringData: {word: open sesame}
---
apiVersion: v1
kind: Pod
metadata: {name: full, labels: {app: full}}
spec:
  nodeName: zenlinnode1
  volumes:
  - {name: page, configMap: {name: page}}
  - {name: pass, secret: {secretName: pass, defaultMode: 0400}}
  - {name: shared, emptyDir: {}}
  - {name: about, downwardAPI: {items: [{path: labels, fieldRef: {fieldPath: metadata.labels}}]}}
  - {name: node, hostPath: {path: /run/lab, type: Directory}}
  initContainers:
  - {name: first, image: busybox, command: [sh, -c, "until test -e /run/node/go-on; do sleep 0.05; done; echo one >/work/order"],
     volumeMounts: [{name: shared, mountPath: /work}, {name: node, mountPath: /run/node}]}
  - {name: second, image: busybox, command: [sh, -c, "cat /work/order && echo two >>/work/order"],
     volumeMounts: [{name: shared, mountPath: /work}]}
  containers:
  - name: main
    image: ubuntu
    command: [sh, -c, "trap 'exit 0' TERM; cat /work/order; while :; do sleep 0.1; done"]
    env:
    - {name: WORD, valueFrom: {secretKeyRef: {name: pass, key: word}}}
    volumeMounts:
    - {name: page, mountPath: /site/pages}
    - {name: page, mountPath: /etc/only/other, subPath: other}
    - {name: pass, mountPath: /etc/pass}
    - {name: shared, mountPath: /work}
    - {name: about, mountPath: /about}
    lifecycle:
      postStart: {exec: {command: [sh, -c, "echo hello $WORD >/work/greeting"]}}
      preStop: {exec: {command: [sh, -c, "echo bye >/run/node/parting"]}}
"""

ACCOUNT = """
apiVersion: v1
kind: ServiceAccount
metadata: {name: bot}
---
apiVersion: v1
kind: Pod
metadata: {name: asker}
spec:
  serviceAccountName: bot
  nodeName: zenlinnode2
  containers: [{name: c, image: ubuntu}]
---
apiVersion: v1
kind: Pod
metadata: {name: bare}
spec:
  automountServiceAccountToken: false
  nodeName: zenlinnode2
  containers: [{name: c, image: ubuntu}]
---
apiVersion: v1
kind: Pod
metadata: {name: wrong}
spec:
  nodeName: zenlinnode2
  volumes: [{name: disk, hostPath: {path: /etc}}]
  containers: [{name: c, image: ubuntu}]
---
apiVersion: v1
kind: Pod
metadata: {name: waits}
spec:
  nodeName: zenlinnode2
  volumes: [{name: cm, configMap: {name: later}}]
  containers: [{name: c, image: ubuntu, volumeMounts: [{name: cm, mountPath: /etc/later}]}]
"""

BOOTED = """
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {COLOUR: green, page.html: "from the manifest\\n"}
---
apiVersion: v1
kind: Pod
metadata: {name: NAME, labels: {app: declared}}
spec:
  nodeName: zenlinnode2
  restartPolicy: OnFailure
  terminationGracePeriodSeconds: 1
  volumes:
  - {name: settings, configMap: {name: settings, defaultMode: 0400}}
  - {name: shared, emptyDir: {}}
  initContainers:
  - {name: first, image: busybox, command: [sh, -c, "echo made by init >/work/order"], volumeMounts: [{name: shared, mountPath: /work}]}
  containers:
  - name: main
    image: ubuntu
    envFrom: [{prefix: SET_, configMapRef: {name: settings}}]
    env: [{name: WHERE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}]
    volumeMounts: [{name: settings, mountPath: /etc/settings}, {name: shared, mountPath: /work}]
    lifecycle: {postStart: {exec: {command: [sh, -c, "echo hello $SET_COLOUR >/work/greeting"]}}}
    readinessProbe: {exec: {command: [cat, /work/greeting]}, periodSeconds: 1}
---
apiVersion: v1
kind: Pod
metadata: {name: NAME-once}
spec: {nodeName: zenlinnode1, hostNetwork: true, restartPolicy: Never, containers: [{name: c, image: busybox, command: [hostname]}]}
"""

SERVICE = "{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {selector: {app: web}, ports: [{port: 80}]}}"

PLACE = "/var/run/secrets/kubernetes.io/serviceaccount"
CURL = f"curl -s -m 10 --cacert {PLACE}/ca.crt"


def _kubectl(lab: Any, words: str, stdin: str | None = None, status: int = 0) -> str:
    ran = lab.master.run(f"kubectl {words}", timeout=30, stdin=stdin)
    assert ran.status == status, f"{ran}"
    return str(ran.stdout if status == 0 else ran.stderr)


def _phase(lab: Any, pod: str) -> str:
    return _kubectl(lab, f"get pod {pod} --no-headers").split()[2]


def test_volumes_init_containers_hooks_and_accounts() -> None:
    def body() -> None:
        from lab.cluster.boot import boot

        declared = f"{SERVICE}\n---{BOOTED.replace('NAME', 'declared')}"
        lab = boot(wanted(load.read_topology(catalog.find_topology("zenlin")), load_manifests(declared, "declared.yaml")))
        _check_declared(lab)
        _kubectl(lab, "apply -f -", FILES + "---" + ACCOUNT)
        _check_files(lab)
        _check_accounts(lab)
        _check_refusals(lab)

    sandboxed(body)


def _check_declared(lab: Any) -> None:
    """A manifest that the lab was booted with makes the pods that kubectl makes of it; both were waited for, also the one that has ended."""
    assert _phase(lab, "declared-once") == "Completed" and _kubectl(lab, "logs declared-once") == "zenlinnode1\n"
    inside = "cat /etc/settings/page.html /work/order /work/greeting; echo $SET_COLOUR $WHERE"
    assert _kubectl(lab, f"exec declared -- sh -c '{inside}'").splitlines() == [
        *["from the manifest", "made by init", "hello green", "green zenlinnode2"],
    ]
    _kubectl(lab, "apply -f -", BOOTED.replace("NAME", "applied"))
    for name in ("", "-once"):
        by_lab, by_kubectl = (json.loads(_kubectl(lab, f"get pod {one}{name} -o json"))["spec"] for one in ("declared", "applied"))
        assert _without_chance(by_lab) == _without_chance(by_kubectl)
    _kubectl(lab, "delete pod declared applied declared-once applied-once")


def _without_chance(spec: dict[str, Any]) -> str:
    """The spec, with the name of the token's volume, whose end is made by chance, cut to what is the same in all."""
    return re.sub(r"(kube-api-access|default-token)-[a-z0-9]+", r"\1", json.dumps(spec, sort_keys=True))


def _check_files(lab: Any) -> None:
    until(lambda: _phase(lab, "full") == "Init:0/2", "the first init container's work")
    initial = json.loads(_kubectl(lab, "get pod full -o json"))["status"]
    assert initial["phase"] == "Pending" and initial["containerStatuses"][0]["state"] == {"waiting": {"reason": "PodInitializing"}}
    assert {one["type"]: one["status"] for one in initial["conditions"]}["Initialized"] == "False"
    lab.node("zenlinnode1").run("touch /run/lab/go-on")
    _kubectl(lab, "wait --for=condition=Ready pod/full --timeout=20s")
    assert _kubectl(lab, "logs full") == "one\ntwo\n"
    inside = "cat /site/pages/index.html /etc/only/other /about/labels /work/greeting; ls -l /etc/pass/..data/word | cut -c1-10; ls -A /site"
    said = _kubectl(lab, f"exec full -- sh -c '{inside}'").splitlines()
    assert said == ["first", 'xapp="full"hello open sesame', "-r--------", "pages"]
    assert _kubectl(lab, "exec full -- sh -c 'touch /site/pages/new'", status=1).count("Read-only file system") == 1
    assert lab.node("zenlinnode1").run("ls -d /site /about /work/order").stdout == "", "nothing of it is the machine's"
    _kubectl(lab, 'patch cm page -p \'{"data": {"index.html": "second\\n"}}\'')
    until(lambda: _kubectl(lab, "exec full -- cat /site/pages/index.html") == "second\n", "the change in the volume", 20)
    _kubectl(lab, "delete pod full --wait")
    assert lab.node("zenlinnode1").run("cat /run/lab/parting; ls /run/lab/kubelet/pods").stdout == "bye\n"


def _check_accounts(lab: Any) -> None:
    pod = lab.pod("asker")
    assert pod.run(f"cat {PLACE}/namespace").stdout == "default"
    with_token = f'{CURL} -H "Authorization: Bearer $(cat {PLACE}/token)"'
    by_name = "https://kubernetes.default.svc/api --resolve kubernetes.default.svc:443:10.96.0.1"
    assert '"kind": "APIVersions"' in pod.run(f"{with_token} {by_name}").stdout
    wrong = json.loads(pod.run(f'{CURL} -H "Authorization: Bearer nonsense" https://10.96.0.1/api').stdout)
    assert (wrong["code"], wrong["reason"], wrong["message"]) == (401, "Unauthorized", "Unauthorized")
    assert pod.run("kubectl get pod asker -o name").stdout == "pod/asker\n", "kubectl finds its way by what is mounted"
    assert lab.pod("bare").run(f"ls {PLACE}").status != 0
    token = _kubectl(lab, "create token bot --duration 10m").strip()
    secure = f"--server https://10.96.0.1 --certificate-authority /var/run/kubernetes/ca.crt --token {token}"
    assert _kubectl(lab, f"{secure} get sa bot -o name") == "serviceaccount/bot\n"
    _kubectl(lab, "create secret generic made --from-literal=a=b")
    assert _kubectl(lab, "get secret made --no-headers").split()[:3] == ["made", "Opaque", "1"]
    described = _kubectl(lab, "describe pod asker")
    assert "kube-api-access-" in described and "Projected (a volume that contains injected data from multiple sources)" in described
    lab.daemon("zenlin", "kube-apiserver").kill()
    lab.units.act("zenlin", "kube-apiserver", "start")
    until(lambda: pod.run(f"{with_token} https://10.96.0.1/version").stdout.count("v1.7.3"), "its trust in the next apiserver")
    _kubectl(lab, "delete sa bot")
    assert "Unauthorized" in _kubectl(lab, f"{secure} get ns", status=1), "its account is gone"
    refused = _kubectl(lab, "run late --image=nginx --overrides='{\"spec\": {\"serviceAccountName\": \"bot\"}}'", status=1)
    why = 'pods "late" is forbidden: error looking up service account default/bot: serviceaccount "bot" not found'
    assert refused == f"Error from server (Forbidden): {why}\n"


def _check_refusals(lab: Any) -> None:
    until(lambda: _phase(lab, "wrong") == "CreateContainerConfigError", "the refusal of the volume")
    waiting = json.loads(_kubectl(lab, "get pod wrong -o json"))["status"]["containerStatuses"][0]["state"]["waiting"]
    assert "spec.volumes[0].hostPath.path: /etc: only /run is the node's own" in waiting["message"]
    assert _phase(lab, "waits") == "ContainerCreating"
    why = 'MountVolume.SetUp failed for volume "cm" : configmap "later" not found'
    until(lambda: why in _kubectl(lab, "describe pod waits"), "the event")
    _kubectl(lab, "create configmap later --from-literal=k=v")
    _kubectl(lab, "wait --for=condition=Ready pod/waits --timeout=20s")
    assert _kubectl(lab, "exec waits -- cat /etc/later/k") == "v"
