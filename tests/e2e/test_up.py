"""`lab up` and its company, each from a process of its own as from another terminal."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.fabric import logfiles, registry
from tests.e2e.lab import environment, lab, lab_up, start
from tests.waiting import until

pytestmark = pytest.mark.e2e


@pytest.fixture(name="up")
def _own() -> Iterator[str]:
    """A lab for a test that takes it down."""
    name = f"test-{os.getpid()}"
    with lab_up(name, "nginx-service"):
        yield name


@pytest.fixture(name="shared", scope="module")
def _shared() -> Iterator[str]:
    """A lab for tests that only look at it."""
    name = f"test-{os.getpid()}-shared"
    with lab_up(name, "nginx-service"):
        yield name


def test_life_of_a_lab(up: str) -> None:
    rows = {row["name"]: row for row in json.loads(lab("ps", "--format", "json").stdout)}
    assert rows[up]["state"] == "up" and rows[up]["source"] == "nginx-service"

    ran = lab("exec", "-n", up, "zenlinnode1", "--", "hostname")
    assert (ran.returncode, ran.stdout) == (0, "zenlinnode1\n")
    assert lab("exec", "-n", up, "zenlinnode2", "--", "sh", "-c", "exit 42").returncode == 42
    assert lab("exec", "-n", up, "zenlin", "--", "cat", stdin="through\n").stdout == "through\n"
    assert lab("exec", "-n", up, "zenlin", "--", "no-such-program").returncode == 127

    ran = lab("exec", "-n", up, "ubuntu-zenlinnode1", "--", "curl", "-s", "-m", "5", "10.105.211.16:8000")
    assert "pod: nginx-deployment-1885164871-" in ran.stdout
    assert "10.244.1.53" in lab("inspect", "-n", up).stdout

    drawn = json.loads(lab("graph", "-n", up, "--format", "json").stdout)
    assert drawn["graph"]["live"] and {pod["ready"] for pod in drawn["graph"]["pods"]} == {True}
    assert [node["subnet"] for node in drawn["graph"]["machines"] if node["kind"] == "node"] == ["10.244.0.0/24", "10.244.1.0/24", "10.244.2.0/24"]
    assert "KUBE-SVC-GKN7Y2BSGW4NJTYL" in lab("graph", "-n", up, "--service", "nginx-service").stdout

    ran = lab("down", up)
    assert ran.returncode == 0
    assert up not in lab("ps").stdout


def test_goto_runs_the_steps_up_to_one(up: str) -> None:
    ran = lab("goto", "-n", up, "pods")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "Step 1 of 15" in ran.stdout and "Step 3 of 15" in ran.stdout and "Step 4" not in ran.stdout
    assert [line[0] for line in lab("goto", "-n", up).stdout.splitlines()] == ["✓"] * 3 + [" "] * 12
    assert lab("exec", "-n", up, "zenlinnode1", "--", "ip", "link", "set", "docker0", "down").returncode == 0
    assert lab("goto", "-n", up, "ttl", "--lang", "zh").returncode == 1
    ran = lab("goto", "-n", up, "1")
    assert ran.returncode == 2 and "--fresh" in ran.stderr
    ran = lab("goto", "-n", up, "1", "--fresh")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert lab("goto", "-n", up, "4", "--again").returncode == 0
    assert lab("check", "-n", up).returncode == 2 and lab("goto", "-n", up, "no-such").returncode == 2


def test_who_does_not_wait_has_the_name_back_at_once(up: str) -> None:
    """That nothing is left a moment later, the fixture of every test asserts."""
    ran = lab("down", up, "--no-wait")
    assert ran.returncode == 0 and ran.stdout == f"{up} is killed; the kernel takes away what is left of it\n"
    assert up not in lab("ps").stdout
    assert lab("up", "zenlin", "--name", up).returncode == 0


def test_names(shared: str) -> None:
    assert lab("up", "zenlin", "--name", shared).returncode == 2
    ran = lab("exec", "-n", shared, "zenlinnode3", "--", "true")
    assert ran.returncode == 2 and "did you mean zenlinnode" in ran.stderr
    assert lab("down", "no-such-lab").returncode == 2
    assert lab("up", "zenlin", "--name", "../x").returncode == 2


def test_it_outlives_its_starter_and_pods_see_their_own_files(shared: str) -> None:
    pod = "nginx-deployment-1885164871-dzls7"
    assert lab("exec", "-n", shared, pod, "--", "hostname").stdout.strip() == pod
    assert pod in lab("exec", "-n", shared, pod, "--", "cat", "/etc/hosts").stdout
    assert lab("exec", "-n", shared, "zenlin", "--", "etcdctl", "get", "--prefix", "--keys-only", "/coreos.com/network").stdout.split() == [
        "/coreos.com/network/config",
        "/coreos.com/network/subnets/10.244.0.0-24",
        "/coreos.com/network/subnets/10.244.1.0-24",
        "/coreos.com/network/subnets/10.244.2.0-24",
    ]


def test_a_shell_has_a_terminal_and_the_nodes_prompt(shared: str) -> None:
    master, slave = pty.openpty()
    command = [sys.executable, "-m", "lab", "shell", "-n", shared, "zenlinnode1"]
    shell = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=environment(), start_new_session=True)
    os.close(slave)
    seen = _read_until(master, "root@zenlinnode1:~#")
    os.write(master, b"tty && hostname && exit 7\n")
    seen = _read_until(master, "exit")
    assert "/dev/pts/" in seen + _read_rest(master)
    assert shell.wait(30) == 7
    os.close(master)


def _read_until(master: int, text: str, seconds: float = 10.0) -> str:
    import select

    seen, deadline = "", time.monotonic() + seconds
    while text not in seen:
        assert select.select([master], [], [], max(0.0, deadline - time.monotonic()))[0], f"no {text!r} in {seen!r}"
        seen += os.read(master, 4096).decode(errors="replace")
    return seen


def _read_rest(master: int) -> str:
    seen = ""
    try:
        while chunk := os.read(master, 4096):
            seen += chunk.decode(errors="replace")
    except OSError:
        pass  # the other end is closed
    return seen


@pytest.mark.parametrize("moment", ["machines and wires", "etcd", "flanneld on every node", "pods"])
def test_an_interrupted_boot_leaves_nothing(moment: str) -> None:
    name = f"test-{os.getpid()}-interrupted"
    process = start("up", "nginx-service", "--name", name, start_new_session=True)
    assert process.stdout is not None
    for line in process.stdout:
        if moment in line:
            break
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 130 and "Traceback" not in stderr
    assert name not in lab("ps").stdout


def test_a_starter_that_is_killed_blocks_no_name() -> None:
    name = f"test-{os.getpid()}-killed"
    process = start("up", "zenlin", "--name", name, start_new_session=True)
    until(lambda: (registry.root() / name / "lab.json").exists() or process.poll() is not None, "the lab's entry")
    assert process.poll() is None
    process.kill()
    process.communicate(timeout=30)
    assert lab("up", "zenlin", "--name", name).returncode == 0
    assert lab("down", name).returncode == 0


def test_a_crashed_lab_has_last_words_and_logs_and_its_name_is_free_again(up: str, tmp_path: Path) -> None:
    """Of a lab whose process was killed its PID 1 tells, of one whose PID 1 was killed nobody can; the daemons' logs are there in both cases."""
    entry = registry.pick(up)
    (lab_process,) = [int(pid) for pid in _children(entry.pid) if _name(pid) in ("python", "python3", "lab")]
    os.kill(lab_process, signal.SIGKILL)
    until(lambda: not entry.running, "the lab's end")
    row = next(row for row in json.loads(lab("ps", "--format", "json").stdout) if row["name"] == up)
    assert row["state"] == "crashed" and row["lastWords"] == ["the lab's process was killed by signal 9 (Killed)"]
    assert "killed by signal 9" in lab("ps").stdout
    assert "10.244.1.0/24" in lab("logs", "-n", up, "zenlinnode1", "flanneld").stdout
    assert "==> etcd <==" in lab("logs", "-n", up, "zenlin").stdout or "==> etcd <==" in lab("logs", "-n", up, "zenlin", "--tail", "1").stdout

    kept = tmp_path / "kept"
    assert lab("up", "zenlin", "--name", up, "--keep-logs", str(kept)).returncode == 0
    entry = registry.pick(up)
    os.kill(entry.pid, signal.SIGKILL)
    until(lambda: not entry.running, "the lab's end")
    assert "as after SIGKILL" in lab("ps").stdout
    assert lab("down", up).returncode == 0
    logs = {path.name: path for path in (kept / up).iterdir()}
    assert {"lab.log", "zenlin.etcd.log", "zenlinnode2.flanneld.log", "zenlinnode2.kube-proxy.log"} <= set(logs)
    assert {path.stat().st_mode & 0o077 for path in [kept, kept / up, *logs.values()]} == {0}
    assert "10.244.2.0/24" in logs["zenlinnode2.flanneld.log"].read_text()


def _children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def _name(pid: str) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()


def test_logs_of_a_lab_that_is_up(shared: str) -> None:
    assert lab("logs", "-n", shared, "zenlinnode1", "flanneld", "--tail", "2").stdout.count("\n") == 2
    ran = lab("logs", "-n", shared, "zenlinnode1", "no-such")
    assert ran.returncode == 2 and "there are: flanneld" in ran.stderr
    assert lab("logs", "-n", shared, "../x").returncode == 2 and lab("logs", "-n", shared, "zenlin", "--tail", "-3").returncode == 2
    following = start("logs", "-n", shared, "zenlinnode1", "-f", "--tail", "0", start_new_session=True)
    assert lab("daemon", "-n", shared, "zenlinnode1", "kube-proxy", "restart").returncode == 0
    assert following.stdout is not None and following.stdout.readline() == "==> kube-proxy <==\n"
    following.send_signal(signal.SIGINT)
    following.communicate(timeout=30)
    ran = lab("run", "nginx-service", "--keep-logs", "/tmp")
    assert ran.returncode == 2 and "nobody else may write to" in ran.stderr


def test_a_log_that_grows_is_put_aside_and_whoever_follows_it_misses_nothing(shared: str, tmp_path: Path) -> None:
    """The daemon's file, in which a stranger writes like the daemon itself: up to the limit, one line over it, and some when it has begun anew."""
    path = registry.pick(shared).log_folder / "zenlinnode2.flanneld.log"
    heard = tmp_path / "heard"
    with heard.open("w") as sink:
        following = start("logs", "-n", shared, "zenlinnode2", "flanneld", "-f", "--tail", "1", start_new_session=True, stdout=sink)
    until(heard.read_text, "the line from which on it follows")
    room = (logfiles.LIMIT - path.stat().st_size) // 100
    lines = [f"line {number:<94}\n" for number in range(room + 12)]
    with path.open("a", buffering=1 << 21) as log:
        for some in (lines[:room], lines[room : room + 2]):
            log.writelines(some)
            log.flush()
        until(lambda: logfiles.aside(path).exists(), "the putting aside of a log that has grown over the limit")
        log.writelines(lines[room + 2 :])
    until(lambda: heard.read_text().endswith(lines[-1]), "the last line")
    assert [line for line in heard.read_text().splitlines(keepends=True) if line.startswith("line ")] == lines
    following.send_signal(signal.SIGINT)
    following.communicate(timeout=30)
    assert path.stat().st_size < 10_000 and logfiles.aside(path).stat().st_size > logfiles.LIMIT
    whole = lab("logs", "-n", shared, "zenlinnode2", "flanneld").stdout
    assert "10.244.2.0/24" in whole and whole.count("line ") == len(lines)


def test_kubectl_and_the_tables_without_it(shared: str) -> None:
    """The same pods in both, in v1.7's columns; kubectl on a node finds the cluster by itself and gets all of its words."""
    ran = lab("get", "-n", shared, "pods", "--wide")
    assert ran.stdout.splitlines()[0].split() == ["NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP", "NODE"]
    assert "nginx-deployment-1885164871-dzls7   1/1       Running   0" in ran.stdout
    pods = {line.split()[0] for line in ran.stdout.splitlines()[1:]}
    assert {line.split()[0] for line in lab("kubectl", f"--lab={shared}", "get", "po", "--no-headers").stdout.splitlines()} == pods
    words = ("kubectl", "get", "node", "zenlinnode1", "-o", "jsonpath={.spec.podCIDR}")
    assert lab("exec", "-n", shared, "zenlin", "--", *words).stdout == "10.244.1.0/24"
    assert "No resources found" in lab("kubectl", "--lab", shared, "-n", "kube-public", "get", "pods").stderr
    assert lab("kubectl", "--lab", shared, "get", "pod", "nobody").returncode == 1
    assert lab("get", "-n", shared, "gizmos").returncode == 2
    assert lab("get", "-n", shared, "svc", "--all-namespaces").stdout.split()[:2] == ["NAMESPACE", "NAME"]
