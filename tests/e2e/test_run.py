"""`lab run`: the main job, its reports, its exit statuses, and that it always cleans up."""

from __future__ import annotations

import json
import random
import re
import shutil
import signal
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.e2e.folders import SCRIPT, scenario_in
from tests.e2e.lab import environment, lab, read_until, start
from tests.waiting import until

pytestmark = pytest.mark.e2e

RUNS_KILLED = 12
"""Moments tried by the suite; `python -m tests.survival` tries 500 random ones."""


def test_json_stands_alone_on_stdout_and_the_files_have_every_step(tmp_path: Path) -> None:
    report, page = tmp_path / "report.xml", tmp_path / "report.html"
    ran = lab("run", "nginx-service", "--format", "json", "--junit", str(report), "--html", str(page), "--lang", "zh")
    assert ran.returncode == 0, ran.stderr
    summary = json.loads(ran.stdout)["runs"][0]["summary"]
    assert summary["ok"] and summary["failed"] == summary["skipped"] == 0
    assert summary["checks"] > 50
    suite = ElementTree.parse(report).getroot().find("testsuite")
    assert suite is not None
    assert suite.get("failures") == suite.get("errors") == suite.get("skipped") == "0"
    assert len(suite.findall("testcase")) == int(str(suite.get("tests"))) > 10
    assert sorted(tmp_path.iterdir()) == [page, report]
    text = page.read_text(encoding="utf-8")
    assert 'class="verdict good"' in text and 'class="verdict bad"' not in text and '<html lang="zh-CN">' in text
    assert text.count('<article class="step"') == len(suite.findall("testcase"))
    assert "-A KUBE-SVC-GKN7Y2BSGW4NJTYL" in text and 'data-machine="nginx-deployment-1885164871-dzls7"' in text
    assert "kube-controller-manager" in text, "the picture is of the lab that ran"


def test_two_labs_at_once_do_not_notice_each_other() -> None:
    with ThreadPoolExecutor(2) as pool:
        for ran in pool.map(lambda _: lab("run", "nginx-service"), range(2)):
            assert ran.returncode == 0, ran.stdout + ran.stderr


def test_killed_at_any_moment_it_leaves_nothing_and_the_next_run_is_green() -> None:
    dice = random.Random(8285)
    for _ in range(RUNS_KILLED):
        process = start("run", "nginx-service", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(dice.uniform(0.05, 1.8))
        except subprocess.TimeoutExpired:
            process.kill()
        process.wait(30)
    assert lab("run", "nginx-service").returncode == 0


def test_a_killed_run_leaves_a_failed_case(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    process = start("run", "nginx-service", "--junit", str(report))
    read_until(process, "Step 3")
    process.kill()
    process.communicate(timeout=30)
    suite = ElementTree.parse(report).getroot().find("testsuite")
    assert suite is not None and int(str(suite.get("failures"))) >= 1


def test_ctrl_c_ends_it_with_the_report_written(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    process = start("run", "nginx-service", "--junit", str(report), start_new_session=True)
    read_until(process, "Step 2")
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in stderr
    assert "interrupted" in report.read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_run_that_is_told_to_end_begins_no_other_scenario(number: signal.Signals, tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    process = start("run", "then-and-now", "nginx-service", "--junit", str(report), start_new_session=True)
    read_until(process, "Step 2")
    process.send_signal(number)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 128 + number
    assert "nginx-service" not in said
    assert [suite.get("name") for suite in ElementTree.parse(report).getroot().findall("testsuite")] == ["then-and-now"]


def test_keep_leaves_the_learner_in_mininets_cli() -> None:
    ran = lab("run", "nginx-service", "--keep", stdin="nodes\nlinks\nzenlinnode1 route -n\nzenlin ping -c1 -W1 zenlinnode2\nexit\n")
    assert ran.returncode == 0, ran.stderr
    tail = ran.stdout.split("checks held")[-1] + ran.stderr  # Mininet prints to stderr
    assert "available nodes are" in tail
    assert "zenlin-eth0<->router-eth0 (OK OK)" in tail
    assert "flannel0" in tail
    assert "1 received, 0% packet loss" in tail


STAGES = ["machines and wires", "etcd", "flanneld on every node", "pod bridges", "apiserver, kubelets, kube-proxies", "pods"]
STAGES += ["kube-proxy rules on every node"]


SHELL = "s\nnodes\nexit\n"


def test_step_mode_shows_each_stage_of_the_boot_repeats_and_quits(tmp_path: Path) -> None:
    report = tmp_path / "r.html"
    ran = lab("run", "nginx-service", "--step", "--lang", "en", "--verbose", "--html", str(report), stdin=SHELL + "n\n" * len(STAGES) + "n\nr\nq\n")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    boot, _, walk = ran.stdout.partition("The lab is up")
    assert boot.count("n, Enter: go on   s: open a shell here   q: quit") == len(STAGES) + 1
    assert "client router zenlin zenlinnode1 zenlinnode2" in ran.stderr, "the shell at the first pause shows the machines, and no pod"
    told = {one: boot.split(f"\n  {one} ")[1].split("n, Enter")[0] for one in STAGES}
    assert "+ default via 10.229.52.1 dev eth0" in told["machines and wires"]
    assert '+ /coreos.com/network/config = {"Network":"10.244.0.0/16"' in told["etcd"]
    assert "+ flannel0 tun up mtu 1472 10.244.1.0/16" in told["flanneld on every node"]
    assert "+ docker0 bridge up mtu 1472 10.244.1.1/24" in told["pod bridges"]
    assert "+ /registry/minions/zenlinnode1" in told["apiserver, kubelets, kube-proxies"]
    assert "+ /registry/services/specs/default/nginx-service" in told["pods"]
    assert "default/nginx-service" in told["pods"] + told["kube-proxy rules on every node"], "wherever kube-proxy got to first"
    assert "<ins>+ docker0 bridge up mtu 1472 10.244.1.1/24</ins>" in report.read_text(encoding="utf-8")
    ran.stdout = walk
    assert ran.stdout.count("── Step 1 of") == 2
    assert "── Step 2 of" not in ran.stdout


WRONG = {
    "unknown scenario": (("run", "nginx-servce"), 2, "did you mean"),
    "no scenario": (("run",), 2, "name a scenario"),
    "unknown verb": (("fly",), 2, "invalid choice"),
    "unknown topology": (("run", "nginx-service", "--topology", "zenlim"), 2, "zenlin"),
    "backend without flannel": (("run", "docker-overlap", "--backend", "vxlan"), 2, "no flannel with `podNetwork: docker`"),
    "json and step": (("run", "nginx-service", "--step", "--format", "json"), 2, "--format text"),
    "unwritable report": (("run", "nginx-service", "--junit", "/nowhere/x.xml"), 2, "/nowhere/x.xml"),
}


@pytest.mark.parametrize("words, status, said", WRONG.values(), ids=WRONG.keys())
def test_wrong_usage(words: tuple[str, ...], status: int, said: str) -> None:
    ran = lab(*words)
    assert ran.returncode == status, ran.stdout + ran.stderr
    assert said in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_failed_check_gives_1_and_the_run_goes_on(tmp_path: Path) -> None:
    folder = scenario_in(tmp_path / "s", SCRIPT.format(topology="zenlin", command="exit 3"))
    ran = lab("run", str(folder))
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert "exit status 3" in ran.stdout
    assert "1 passed, 1 failed" in ran.stdout


def test_the_reports_hold_the_evidence_of_a_failed_step(tmp_path: Path) -> None:
    folder, report = scenario_in(tmp_path / "s", SCRIPT.format(topology="zenlin", command="exit 3")), tmp_path / "report.xml"
    ran = lab("run", str(folder), "--format", "json", "--junit", str(report))
    assert ran.returncode == 1, ran.stderr
    failed, passed = json.loads(ran.stdout)["runs"][0]["steps"]
    said = {found["command"]: found["stdout"] for found in failed["evidence"]}
    assert "flannel0" in said["ip route"] and "KUBE-SERVICES" in said["iptables-save -c"]
    assert "Wrote subnet file" in said["log of flanneld"]
    assert passed["evidence"] == []
    assert "flannel0" in report.read_text()


def test_wrong_topology_manifest_and_script_are_named_with_their_lines(tmp_path: Path) -> None:
    topology = tmp_path / "t.yaml"
    topology.write_text("name: t\nnodes:\n  - {name: a, role: master, address: 10.0.0.1/24, gateway: 10.0.1.1}\nnope: 1\n")
    folder = scenario_in(tmp_path / "s", SCRIPT.format(topology=str(topology), command="true"))
    ran = lab("run", str(folder))
    assert ran.returncode == 2
    assert "t.yaml:3: nodes[0].gateway" in ran.stderr and "t.yaml:4: nope" in ran.stderr
    assert "Traceback" not in ran.stderr

    folder = scenario_in(tmp_path / "m", SCRIPT.format(topology="zenlin", command="true"), "kind: Pod\napiVersion: v1\nmetadata: {nam: x}\n")
    ran = lab("run", str(folder))
    assert ran.returncode == 2 and "pods.yaml:3" in ran.stderr and "Traceback" not in ran.stderr

    folder = scenario_in(tmp_path / "p", "from lab.scenario import Scenario\nscenario = nothing\n")
    ran = lab("run", str(folder))
    assert ran.returncode == 2 and "scenario.py:2" in ran.stderr and "Traceback" not in ran.stderr


def test_a_backend_that_flannel_does_not_have_is_wrong_input(tmp_path: Path) -> None:
    topology = tmp_path / "t.yaml"
    topology.write_text("name: t\nnodes:\n  - {name: zenlin, role: master, address: 192.168.9.1/24}\nflannel: {backend: {type: vxlam}}\n")
    ran = lab("run", str(scenario_in(tmp_path / "s", SCRIPT.format(topology=str(topology), command="true"))))
    assert ran.returncode == 2 and "t.yaml:4: flannel.backend.type" in ran.stderr and "vxlan" in ran.stderr, ran.stderr


def test_an_unknown_image_is_wrong_input(tmp_path: Path) -> None:
    manifest = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a, image: 'mysql:5'}]}\n"
    ran = lab("run", str(scenario_in(tmp_path / "s", SCRIPT.format(topology="zenlin", command="true"), manifest)))
    assert ran.returncode == 2
    assert "mysql:5" in ran.stderr and "nginx" in ran.stderr and "Traceback" not in ran.stderr


def test_a_missing_program_is_3_before_anything_is_built(tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("bash", "ip", "iptables", "iptables-save", "iptables-restore", "nginx", "curl", "ping", "conntrack", "route", "sysctl"):
        found = shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin")
        if found:
            (tools / name).symlink_to(found)
    code = "import sys, lab.fabric.process as p, lab.cli.main as m; p.SYSTEM_PATH = sys.argv[1]; sys.exit(m.main(['run', 'nginx-service']))"
    ran = subprocess.run(
        [sys.executable, "-c", code, str(tools)], env=environment({"PATH": str(tools)}), capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 3, ran.stdout + ran.stderr
    assert "etcd" in ran.stderr and "Traceback" not in ran.stderr
    assert ran.stdout == ""


def test_a_reader_that_goes_away_ends_it_quietly(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    process = start("run", "nginx-service", "--junit", str(report))
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.readline()
    process.stdout.close()
    assert (process.stderr.read(), process.wait(30)) == ("", 141)
    process.stderr.close()
    assert "aborted" in report.read_text()


def test_a_full_disk_behind_stdout_is_said() -> None:
    for words in (("run", "nginx-service"), ("run", "nginx-service", "--format", "json"), ("list",), ("plan", "zenlin")):
        with open("/dev/full", "w") as full:
            process = start(*words, stdout=full)
            _, stderr = process.communicate(timeout=60)
        assert process.returncode == 1, words
        assert "No space left" in stderr and "Traceback" not in stderr, words


class Begun:
    """Whether the lab's own code runs: Python's start, which no program can change, catches SIGINT; the lab's start lets go of it.

    Python also has a moment, before it begins to catch SIGINT, that looks the same. It is over after microseconds of work: whoever has worked
    for some milliseconds since is past it. So is who blocks SIGINT, as the front does once it has a sandbox to wait for.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._files = Path(f"/proc/{process.pid}")
        self._since: int | None = None

    def __call__(self) -> bool:
        status = (self._files / "status").read_text()
        ignored, caught, blocked = (int(re.findall(rf"{field}:\s*(\w+)", status)[0], 16) for field in ("SigIgn", "SigCgt", "SigBlk"))
        worked = int((self._files / "schedstat").read_text().split()[0])
        if not ignored & 1 << signal.SIGPIPE - 1 or caught & 1 << signal.SIGINT - 1:
            self._since = None
        elif self._since is None:
            self._since = worked
        return bool(blocked & 1 << signal.SIGINT - 1) or self._since is not None and worked - self._since > 3_000_000  # nanoseconds


@pytest.mark.parametrize("seconds", [0.001, 0.1, 0.25, 0.45])
def test_an_early_ctrl_c_has_no_traceback(seconds: float) -> None:
    process = start("run", "nginx-service", start_new_session=True)
    until(Begun(process), "the start of the lab's own code")
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode in (130, -signal.SIGINT)
    assert "Traceback" not in stderr


@pytest.mark.parametrize("moment", ["Booting", "Step 2"])
def test_a_closed_terminal_ends_it(moment: str) -> None:
    process = start("run", "nginx-service", start_new_session=True)
    read_until(process, moment)
    process.send_signal(signal.SIGHUP)
    process.communicate(timeout=30)
    assert process.returncode != 0
