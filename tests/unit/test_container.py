"""What the project gives those who run the lab in CI and in containers: the files hold together, and a container is known as one."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.cli import run, shard
from lab.fabric import container

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def read(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize("mark, environ, engine", [
    ("", {}, ""),
    (".dockerenv", {}, "Docker"),
    ("run/.containerenv", {}, "Podman"),
    ("", {"KUBERNETES_SERVICE_HOST": "10.96.0.1"}, "Kubernetes"),
])  # fmt: skip
def test_a_container_is_known_as_one(tmp_path: Path, mark: str, environ: dict[str, str], engine: str) -> None:
    if mark:
        (tmp_path / mark).parent.mkdir(exist_ok=True)
        (tmp_path / mark).touch()
    assert container.detect(tmp_path, environ) == engine


@pytest.mark.parametrize("place, masked", [("/proc/kcore", True), ("/proc/sys", True), ("/proc", False), ("/process", False)])
def test_a_masked_proc_is_seen_in_the_list_of_mounts(place: str, masked: bool) -> None:
    lines = f"22 1 0:21 / / rw - ext4 /dev/vda rw\n25 22 0:5 /null {place} rw,nosuid - devtmpfs udev rw\n\n"
    assert container.proc_is_masked(lines) is masked


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_asks_for_little_ends_and_names_versions(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    workflow = yaml.safe_load(text)
    assert workflow["permissions"] == {"contents": "read"} and "secrets." not in text
    assert set(workflow[True]) <= {"push", "pull_request", "workflow_dispatch"}, "YAML 1.1 reads the key `on` as true"
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] and re.fullmatch(r"ubuntu-\d\d\.04", job["runs-on"])
        for step in job["steps"]:
            assert ("uses" in step) != ("run" in step)
            assert "uses" not in step or re.fullmatch(r"actions/[a-z-]+@v\d+", step["uses"])


def test_the_workflow_s_shares_are_all_of_them() -> None:
    job = read(".github/workflows/lab.yml")["jobs"]["scenarios"]
    numbers = job["strategy"]["matrix"]["shard"]
    (line,) = (step["run"] for step in job["steps"] if "--shard" in step.get("run", ""))
    assert f"/{len(numbers)} " in line and numbers == list(range(1, len(numbers) + 1))


def _words(line: str, **values: str) -> list[str]:
    """The lab's own words in a shell's line, its variables filled in."""
    for name, value in values.items():
        line = line.replace(name, value)
    return line.replace('"', "").partition("lab.sh ")[2].split()


def _accepted(words: list[str]) -> Any:
    import argparse

    parser = argparse.ArgumentParser()
    run.add_parser(parser.add_subparsers())
    return parser.parse_args(words)


def test_gitlab_runs_what_the_lab_understands_and_shows_the_report() -> None:
    job = read(".gitlab-ci.yml")["scenarios"]
    (line,) = (line for line in job["script"] if "--shard" in line)
    args = _accepted(_words(line, **{"$CI_NODE_INDEX": "3", "$CI_NODE_TOTAL": str(job["parallel"])}))
    assert shard.parse(args.shard) == shard.Shard(3, 3) and args.all
    assert job["artifacts"]["reports"]["junit"] == args.junit and args.html in job["artifacts"]["paths"] and job["artifacts"]["when"] == "always"


def test_the_job_s_pods_do_all_shares_and_no_more() -> None:
    spec = read("deploy/job.yaml")["spec"]
    (one,) = spec["template"]["spec"]["containers"]
    env = {item["name"]: item["value"] for item in one["env"]}
    assert spec["completionMode"] == "Indexed" and env["SHARES"] == str(spec["completions"])
    for index in range(spec["completions"]):
        (script,) = one["args"]
        values = {"$((JOB_COMPLETION_INDEX + 1))": str(index + 1), "$JOB_COMPLETION_INDEX": str(index), "$SHARES": env["SHARES"]}
        args = _accepted(_words(script, **values))
        assert shard.parse(args.shard) == shard.Shard(index + 1, spec["completions"])
        assert args.junit.startswith(one["volumeMounts"][0]["mountPath"] + "/")
    template = spec["template"]["spec"]
    assert template["securityContext"]["runAsNonRoot"] and not template["automountServiceAccountToken"]


def test_the_image_runs_as_a_user_and_takes_no_repository_in() -> None:
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line.startswith("FROM")] == ["FROM debian:12-slim"]
    assert "USER 1000:1000" in lines and lines.index("USER 1000:1000") < next(n for n, line in enumerate(lines) if line.startswith("CMD"))
    assert {".git", ".venv"} <= set((ROOT / ".dockerignore").read_text(encoding="utf-8").split())
    command = json.loads(next(line for line in lines if line.startswith("CMD ")).removeprefix("CMD "))
    assert _accepted(command).all


def test_the_seccomp_profile_leaves_what_the_sandbox_needs() -> None:
    profile = json.loads((ROOT / "deploy" / "seccomp.json").read_text(encoding="utf-8"))
    refused = {name for rule in profile["syscalls"] for name in rule["names"]}
    assert profile["defaultAction"] == "SCMP_ACT_ALLOW"
    assert not refused & {"unshare", "setns", "mount", "umount2", "pivot_root", "clone", "clone3", "sethostname"}
    assert {"init_module", "kexec_load", "bpf", "reboot", "ptrace"} <= refused
