"""The kubelet with its runtime on a node: pods come, are looked after, and go. And kubectl's streams, as kubectl really speaks them."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lab.errors import LabError
from lab.fabric import process
from lab.kubelet.records import Program, Sandbox
from tests.kubelet_apiserver import Apiserver, merged
from tests.kubelet_node import MASTER, NODE, Node
from tests.sandboxed import sandboxed
from tests.waiting import until

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parents[2]
NGINX = {"name": "nginx", "image": "nginx:1.8", "ports": [{"containerPort": 80}]}


def shell(script: str, **more: Any) -> dict[str, Any]:
    return {"name": "sh", "image": "busybox", "command": ["sh", "-c", script], **more}


@contextmanager
def cluster(*flags: str) -> Iterator[tuple[Node, Apiserver]]:
    node = Node()
    running = node.start_kubelet(*flags)
    api = node.start_apiserver()
    try:
        yield node, api
    except BaseException:
        sys.stderr.write(f"{running.last_words()}\n{node.runtime.last_words()}\n")
        raise


def on_node(body: Callable[[Node, Apiserver], None], *flags: str) -> None:
    def inside() -> None:
        with cluster(*flags) as (node, api):
            body(node, api)

    sandboxed(inside)


def kubectl(node: Node, arguments: str, stdin: str | None = None) -> process.Result:
    return process.run(node.master, f"HOME=/run kubectl --server http://127.0.0.1:8080 {arguments}", 20.0, stdin)


def test_a_pod_lives_and_goes_and_its_address_is_free_again() -> None:
    def body(node: Node, api: Apiserver) -> None:
        api.run_pod("web", {"containers": [NGINX, shell("sleep 100")]}, {"lab.network/pod-ip": "10.244.1.77"})
        until(lambda: api.is_ready("web"), "web's being ready")
        status = api.pod("web")["status"]  # type: ignore[index]
        assert (status["podIP"], status["hostIP"], status["phase"]) == ("10.244.1.77", NODE, "Running")
        assert "pod: web\naddress: 10.244.1.77" in node_run(node, "curl -s -m 5 http://10.244.1.77/")
        until(lambda: api.reasons("web").count("Started") == 2, "the events")
        assert {"Pulled", "Created", "Started"} == set(api.reasons("web"))
        record, inside = node.pods.enter("web")
        assert process.run(inside, "hostname; cat /etc/resolv.conf").stdout.splitlines()[:2] == ["web", "nameserver 10.96.0.10"]
        assert record.running() == ["nginx", "sh"]
        inside.close()
        api.delete_pod("web", 30)
        until(lambda: api.pod("web") is None, "web's end")
        assert node.pods.pods() == []
        assert node_run(node, "ip -br link show type veth | grep -c ^veth") == "0\n"
        until(lambda: "Killing" in api.reasons("web"), "the event of its end")
        api.run_pod("next", {"containers": [NGINX]}, {"lab.network/pod-ip": "10.244.1.77"})
        until(lambda: api.is_ready("next"), "the next pod at this address")

    on_node(body, "--cluster-dns", "10.96.0.10")


def node_run(node: Node, command: str) -> str:
    return process.run(node.namespace, command).stdout


def test_a_container_that_ends_starts_again_ever_later_and_its_last_words_are_kept() -> None:
    def body(node: Node, api: Apiserver) -> None:
        api.run_pod("crash", {"containers": [shell("echo life $$$$; exit 3")]})
        until(lambda: "CrashLoopBackOff" in str(api.container("crash").get("state")), "the back-off")
        first = api.container("crash")
        assert (first["restartCount"], first["lastState"]["terminated"]["exitCode"], first["ready"]) == (1, 3, False)
        until(lambda: "BackOff" in api.reasons("crash"), "its event")
        event = next(one for path, one in list(api.objects.items()) if "/events/" in path and one["reason"] == "BackOff")
        assert "a tenth of the time that Kubernetes" in event["message"]
        logs = lambda: {kubectl(node, f"logs crash {flag}").stdout for flag in ("", "-p")}  # noqa: E731
        until(lambda: len({one for one in logs() if one.startswith("life ")}) == 2, "the logs of its last two lives")
        until(lambda: api.container("crash")["restartCount"] >= 2, "a later restart")

    on_node(body)


@pytest.mark.parametrize(("script", "phase"), [("exit 0", "Succeeded"), ("exit 4", "Failed")])
def test_a_pod_that_is_not_to_be_restarted_ends(script: str, phase: str) -> None:
    def body(node: Node, api: Apiserver) -> None:
        api.run_pod("job", {"restartPolicy": "Never", "containers": [shell(f"echo done; {script}")]})
        until(lambda: (api.pod("job") or {})["status"]["phase"] == phase, f"the phase {phase}")
        until(lambda: node.pods.pods()[0].stopped, "the end of its namespaces")
        assert kubectl(node, "logs job").stdout == "done\n"
        api.delete_pod("job", 30)
        until(lambda: api.pod("job") is None and not node.pods.pods(), "its end")

    on_node(body)


def test_probes_decide_who_is_ready_and_who_is_started_again() -> None:
    def body(node: Node, api: Apiserver) -> None:
        ready = {"exec": {"command": ["test", "-e", "/run/ready"]}, "periodSeconds": 1, "failureThreshold": 1}
        alive = {"httpGet": {"port": 80, "path": "/alive"}, "periodSeconds": 1, "failureThreshold": 1}
        api.run_pod("probed", {"containers": [shell("sleep 100", readinessProbe=ready)]})
        api.run_pod("ill", {"containers": [{**NGINX, "livenessProbe": alive}], "terminationGracePeriodSeconds": 1})
        until(lambda: "Unhealthy" in api.reasons("probed"), "the probe's failing")
        assert not api.is_ready("probed")
        _, inside = node.pods.enter("probed")
        process.must(process.run(inside, "touch /run/ready"))
        until(lambda: api.is_ready("probed"), "its being ready")
        process.must(process.run(inside, "rm /run/ready"))
        until(lambda: not api.is_ready("probed"), "its being ready no longer")
        inside.close()
        until(lambda: api.container("ill").get("restartCount", 0) >= 1, "the restart of what does not answer")
        assert {"Unhealthy", "Killing"} <= set(api.reasons("ill"))

    on_node(body)


def test_what_does_not_hear_sigterm_is_killed_after_its_grace_period() -> None:
    def body(node: Node, api: Apiserver) -> None:
        api.run_pod("deaf", {"containers": [shell("trap 'echo heard' TERM; setsid sleep 1234 & while :; do sleep 0.05; done")]})
        until(lambda: api.is_ready("deaf"), "its being ready")
        until(lambda: "sleep 1234" in node_run(node, "ps ax"), "its child")
        api.delete_pod("deaf", 1)
        until(lambda: "heard" in node_run(node, "cat /run/lab/pods/*deaf*/sh/0.log"), "SIGTERM")
        assert api.pod("deaf") is not None, "it has a second to go"
        until(lambda: api.pod("deaf") is None, "its end")
        assert "sleep 1234" not in node_run(node, "ps ax"), "what had left the session is gone, too"
        assert node_run(node, "ls /run/lab/pods") == ""

    on_node(body)


def test_an_unknown_image_and_a_program_that_is_not_there() -> None:
    def body(node: Node, api: Apiserver) -> None:
        api.run_pod("redis", {"containers": [{"name": "r", "image": "redis:3"}, NGINX]})
        api.run_pod("typo", {"containers": [{"name": "t", "image": "busybox", "command": ["nosuchprogram"]}]})
        until(lambda: "ImagePullBackOff" in str(api.pod("redis")), "the waiting for an image")
        by_name = {one["name"]: one for one in api.pod("redis")["status"]["containerStatuses"]}  # type: ignore[index]
        assert "nginx, echo, ubuntu" in by_name["r"]["state"]["waiting"]["message"]
        assert "running" in by_name["nginx"]["state"] and not api.is_ready("redis")
        until(lambda: "ContainerCannotRun" in str(api.container("typo")), "the trouble with its program")
        assert "nosuchprogram" in str(api.container("typo"))

    on_node(body)


def test_a_pod_in_its_nodes_network() -> None:
    def body(node: Node, api: Apiserver) -> None:
        echo = {"name": "e", "image": "echo", "ports": [{"containerPort": 9000}]}
        api.run_pod("host", {"hostNetwork": True, "containers": [echo]})
        until(lambda: api.is_ready("host"), "its being ready")
        assert api.pod("host")["status"]["podIP"] == NODE  # type: ignore[index]
        assert "pod: host" in node_run(node, "curl -s -m 5 http://127.0.0.1:9000/")
        assert "cni0" in node_run(node, "ip -br link"), "the node keeps its network when the pod goes"
        api.delete_pod("host", 5)
        until(lambda: api.pod("host") is None, "its end")
        assert "cni0" in node_run(node, "ip -br link")

    on_node(body)


def test_a_kubelet_that_is_cut_off_keeps_its_pods_running_and_tells_afterwards() -> None:
    def body(node: Node, api: Apiserver) -> None:
        api.run_pod("web", {"containers": [NGINX]})
        until(lambda: api.is_ready("web"), "its being ready")
        process.must(process.run(node.namespace, "ip link set eth0 down"))
        os.kill(node.pods.pods()[0].runs["nginx"][-1].pid, signal.SIGKILL)
        until(lambda: node.pods.pods()[0].runs["nginx"][-1].attempt == 1, "the restart without an apiserver")
        until(lambda: "pod: web" in node_run(node, f"curl -s -m 5 http://{api.pod('web')['status']['podIP']}/"), "its answer")  # type: ignore[index]
        assert api.container("web")["restartCount"] == 0
        process.must(process.run(node.namespace, "ip link set eth0 up"))
        until(lambda: api.container("web")["restartCount"] == 1 and api.is_ready("web"), "the news of the restart")

    on_node(body)


def test_a_status_that_somebody_else_has_written_is_put_right() -> None:
    def body(node: Node, api: Apiserver) -> None:
        api.run_pod("web", {"containers": [NGINX]})
        until(lambda: api.is_ready("web"), "its being ready")
        path = "/api/v1/namespaces/default/pods/web"
        for written in ({"conditions": [{"type": "Ready", "status": "False", "reason": "NodeNotReady"}]}, {"phase": "Unknown"}):
            api.put(path, merged(api.objects[path], {"status": written}))
            until(lambda: api.is_ready("web") and api.objects[path]["status"]["phase"] == "Running", "its being as it is")

    on_node(body)


def test_pods_that_make_no_sense_do_not_hinder_the_others() -> None:
    def body(node: Node, api: Apiserver) -> None:
        api.run_pod("odd", {"containers": [{"image": "busybox"}]})
        api.run_pod("zero", {"containers": [shell("echo a\0b")]})
        api.run_pod("away", {"containers": [shell("true", workingDir="/dev/null/below")]})
        api.run_pod("pinned", {"containers": [NGINX]}, {"lab.network/pod-ip": "10.99.0.1"})
        api.run_pod("web", {"containers": [NGINX]})
        until(lambda: api.is_ready("web"), "the sound pod's being ready")
        until(lambda: "FailedCreatePodSandBox" in api.reasons("pinned"), "the event about its address")
        until(lambda: "null byte" in str(api.container("zero")), "the trouble with a command that cannot be")
        until(lambda: "workingDir" in str(api.container("away")), "the trouble with the directory")
        for name in ("pinned", "zero", "away"):
            api.delete_pod(name, 1)
        until(lambda: not any(api.pod(name) for name in ("pinned", "zero", "away")), "their end")

    on_node(body)


def test_a_kubelet_that_comes_back_finds_its_pods() -> None:
    def body() -> None:
        node = Node()
        with cluster_again(node) as (first, second, api):
            api.run_pod("web", {"containers": [NGINX]})
            api.run_pod("gone", {"containers": [NGINX]})
            until(lambda: api.is_ready("web") and api.is_ready("gone"), "both pods")
            before = api.container("web")
            first("stop")
            del api.objects["/api/v1/namespaces/default/pods/gone"]
            assert "pod: web" in node_run(node, f"curl -s -m 5 http://{api.pod('web')['status']['podIP']}/")  # type: ignore[index]
            second("start")
            until(lambda: [one.sandbox.name for one in node.pods.pods()] == ["web"], "the end of the pod that is not wanted any more")
            api.run_pod("more", {"containers": [NGINX]})
            until(lambda: api.is_ready("more"), "a new pod")
            assert api.container("web") == before
            assert api.pod("more")["status"]["podIP"] != api.pod("web")["status"]["podIP"]  # type: ignore[index]

    sandboxed(body)


@contextmanager
def cluster_again(node: Node) -> Iterator[tuple[Callable[[str], object], Callable[[str], object], Apiserver]]:
    """Two kubelets, forked before there are threads: the second waits until it is told to start."""
    from functools import partial

    from lab.fabric import daemon
    from lab.kubelet import daemon as kubelet

    reader, writer = os.pipe()
    argv = ["--hostname-override", "node1", "--api-servers", f"http://{MASTER}:8080", "--node-ip", NODE]

    def later() -> int:
        os.read(reader, 1)
        return kubelet.main(argv)

    running = daemon.fork(node.namespace, "kubelet", partial(kubelet.main, argv))
    waiting = daemon.fork(node.namespace, "kubelet-again", later, keep=[reader])
    api = node.start_apiserver()
    try:
        yield lambda _: running.stop(), lambda _: os.write(writer, b"x"), api
    except BaseException:
        sys.stderr.write(f"{running.last_words()}\n{waiting.last_words()}\n{node.runtime.last_words()}\n")
        raise
    finally:
        os.close(reader)
        os.close(writer)


def test_kubectls_exec_logs_attach_and_port_forward() -> None:
    def body(node: Node, api: Apiserver) -> None:
        env = [{"name": "A", "value": "1"}, {"name": "B", "value": "$(A)2"}]
        reading = shell("echo begin; while read l; do echo got $l; done; echo read all", stdin=True, stdinOnce=True, env=env)
        spec = {"clusterIP": "10.96.0.7", "ports": [{"port": 80}]}
        api.create("/api/v1/namespaces/default/services", {"metadata": {"name": "my-web"}, "spec": spec})
        api.run_pod("web", {"containers": [NGINX, reading]})
        until(lambda: api.is_ready("web"), "its being ready")
        ran = kubectl(node, "exec web -c sh -- sh -c 'echo $B; echo oops >&2; hostname; exit 7'")
        assert (ran.status, ran.stdout, ran.stderr) == (7, "12\nweb\n", "oops\ncommand terminated with exit code 7\n")
        assert "MY_WEB_SERVICE_HOST=10.96.0.7\n" in kubectl(node, "exec web -- env").stdout
        assert kubectl(node, "exec -i web -c sh -- wc -c", "x" * 1_000_000).stdout == "1000000\n"
        assert kubectl(node, "exec web -c sh -- head -c 2000000 /dev/zero | wc -c").stdout == "2000000\n"
        assert "executable file not found" in kubectl(node, "exec web -c sh -- nosuchprogram").stderr
        sized = "until stty size | grep -q 33; do :; done; tty; stty size; exit 3"
        typed = f"stty rows 33 cols 99; HOME=/run kubectl --server http://127.0.0.1:8080 exec -it web -c sh -- sh -c '{sized}'"
        terminal = process.run(node.master, ["script", "-qec", typed, "/dev/null"], 20.0)
        assert "/dev/pts/" in terminal.stdout and "33 99" in terminal.stdout and terminal.status == 3
        assert kubectl(node, "attach -i web -c sh -q", "line 1\n").stdout == "got line 1\nread all\n"
        until(lambda: "got line 1" in kubectl(node, "logs -p web -c sh").stdout, "what attach sent")
        forwarded = "port-forward pod/web 8888:80 8889:81 >/run/forward & until curl -s -m 2 http://127.0.0.1:8888/; do :; done; "
        both = kubectl(node, forwarded + "curl -s http://127.0.0.1:8888/; kill $!")
        assert both.stdout.count("pod: web") == 2

    on_node(body)


def test_the_servers_answers_to_what_makes_no_sense() -> None:
    def body(node: Node, api: Apiserver) -> None:
        api.run_pod("redis", {"containers": [{"name": "r", "image": "redis:3"}]})
        until(lambda: api.container("redis"), "its status")
        paths = [
            "/healthz",
            "/pods",
            "/containerLogs/default/redis/r",
            "/containerLogs/default/none/r",
            "/containerLogs/default/redis/x?tailLines=many",
            "/containerLogs/default/redis/r?tailLines=many",
            "/exec/default/redis/r?command=ls",
            "/exec/default/redis/r",
            "/attach/default/redis/r",
            "/portForward/default/redis?port=80",
            "/containerLogs/..%2f..%2fetc/passwd/x",
        ]
        codes = [node_run(node, f"curl -s -o /dev/null -w '%{{http_code}}' 'http://{NODE}:10250{path}'") for path in paths]
        assert codes == ["200", "200", "400", "404", "404", "400", "400", "400", "400", "400", "404"]
        assert json.loads(node_run(node, f"curl -s http://{NODE}:10250/pods"))["items"][0]["metadata"]["name"] == "redis"
        node_condition = {one["type"]: one["status"] for one in api.objects["/api/v1/nodes/node1"]["status"]["conditions"]}
        assert node_condition["Ready"] == "True"

    on_node(body)


def test_the_runtime_alone_refuses_in_words() -> None:
    def body() -> None:
        node = Node()
        box = Sandbox("u1", "default", "web", "web", "cni0", "10.244.1.2/24", "10.244.1.1", 1450)
        node.pods.create(box)
        wrong = [
            lambda: node.pods.create(box),
            lambda: node.pods.create(Sandbox("u2", "default", "two", "two", "nobridge", "10.244.1.3/24", "10.244.1.1", 1450)),
            lambda: node.pods.start("nosuchpod", Program("c", 0)),
            lambda: node.pods.enter("nosuchpod"),
            lambda: node.pods.attach("u1", "c"),
        ]
        for attempt in wrong:
            with pytest.raises(LabError, match=r"here already|nobridge|no pod|does not run"):
                attempt()
        assert [one.sandbox.name for one in node.pods.pods()] == ["web"]
        assert node_run(node, "ip -br link show type veth | grep -c ^veth") == "1\n", "a pod that failed leaves no wire"

    sandboxed(body)


def test_runtime_and_kubelet_started_by_hand() -> None:
    def body() -> None:
        node = Node(by_hand=True)
        api = node.start_apiserver()
        runtime = process.spawn(node.namespace, [sys.executable, "-m", "lab.kubelet.runtime"], cwd=ROOT, env=process.environment())
        until(lambda: "runtime.sock" in node_run(node, "ls /run/lab"), "the runtime's socket")
        wrong = process.run(node.namespace, [sys.executable, "-m", "lab.kubelet", "--node-ip", "x"], 10.0)
        flags = ["--hostname-override", "node1", "--api-servers", f"http://{MASTER}:8080", "--node-ip", NODE]
        kubelet = process.spawn(node.namespace, [sys.executable, "-m", "lab.kubelet", *flags], cwd=ROOT, env=process.environment())
        api.run_pod("web", {"containers": [shell("exec sleep 4321")]})
        until(lambda: api.is_ready("web"), "its being ready")
        kubelet.terminate()
        assert kubelet.wait(30) == 0
        assert "sleep 4321" in node_run(node, "ps ax"), "the pod outlives the kubelet"
        runtime.terminate()
        assert runtime.wait(30) == 0
        assert "sleep 4321" not in node_run(node, "ps ax"), "and ends with the runtime"
        assert wrong.status == 2 and "Traceback" not in wrong.stderr

    sandboxed(body)
