"""Rules of the house that a test can hold: sizes, docstrings, doors, and the list of packages."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lab.fabric import requirements

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "lab").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_there_are_sources() -> None:
    assert len(SOURCES) > 80 and len(TESTS) > 30, "an empty list would make every rule here hold"


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_a_module_is_short_says_what_it_is_for_and_feeds_no_shell(path: Path) -> None:
    text = path.read_text()
    tree = ast.parse(text)
    assert text.count("\n") <= 400
    assert ast.get_docstring(tree)
    assert not re.search(r"shell=True|os\.system\(", text)
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    assert {one.name: one.end_lineno - one.lineno for one in functions if (one.end_lineno or 0) - one.lineno > 60} == {}


@pytest.mark.parametrize("path", TESTS, ids=_name)
def test_a_test_neither_sleeps_nor_skips(path: Path) -> None:
    nodes = list(ast.walk(ast.parse(path.read_text())))
    called = {ast.unparse(node.func) for node in nodes if isinstance(node, ast.Call)}
    has_time = any(isinstance(node, ast.Import) and "time" in {one.name for one in node.names} for node in nodes)
    assert not called & ({"sleep"} | ({"time.sleep"} if has_time else set()))
    mentioned = {ast.unparse(node) for node in nodes if isinstance(node, ast.Attribute)}  # also where it is handed on, to be called elsewhere
    assert not mentioned & {"pytest.skip", "pytest.xfail", "pytest.importorskip"}
    decorators = {ast.unparse(one) for node in nodes for one in getattr(node, "decorator_list", ())}
    assert not [one for one in decorators if "skip" in one or "xfail" in one]


def test_every_room_has_its_job_written_down() -> None:
    for folder in {path.parent for path in SOURCES}:
        assert ast.get_docstring(ast.parse((folder / "__init__.py").read_text())), folder


def test_the_package_list_is_complete() -> None:
    programs = requirements.programs()
    needed = {one.name for one in programs if one.need == "run"}
    assert {"ip", "iptables-restore", "etcd", "etcdctl", "nginx", "curl", "ping", "conntrack", "route"} <= needed
    assert len({one.name for one in programs}) == len(programs)
    for one in programs:
        assert [family for family, _ in one.packages] == ["Debian", "Fedora", "Arch"] and all(package for _, package in one.packages)


def test_the_doctor_knows_the_python_packages_of_setup_py() -> None:
    text = (ROOT / "setup.py").read_text()
    lists = ("RUNTIME", "CLOUD", "GRADUATION")
    runtime, cloud, graduation = (set(re.findall(r'"([A-Za-z0-9-]+)[=<>]', text.split(f"{name} = [")[1].split("]")[0])) for name in lists)
    known = set(requirements.PYTHON_PACKAGES) | set(requirements.PYTHON_EXTRAS)
    assert runtime | graduation <= known <= runtime | cloud | graduation


def test_a_wrong_line_of_the_list_is_noticed() -> None:
    with pytest.raises(ValueError):
        requirements.parse_packages("run | bash | bash\n")


@pytest.mark.parametrize("shell", ["sh", "bash"])
@pytest.mark.parametrize("script", ["lab.sh", ".ci/run"])
def test_scripts_parse(shell: str, script: str) -> None:
    ran = subprocess.run([shell, "-n", str(ROOT / script)], capture_output=True, text=True, timeout=10, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_commands_of_the_lab_get_a_logins_environment_and_nothing_of_the_callers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from lab.fabric import process

    theirs = {"http_proxy": "http://p", "LANG": "zh_CN.UTF-8", "SECRET": "s", "PATH": f"/x:{tmp_path}", "TERM": "vt100", "HOME": "/home/me"}
    for name, value in theirs.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(process, "SYSTEM_PATH", f"{tmp_path}/none:/usr/sbin")
    (tmp_path / "kubectl").touch(mode=0o755)
    own = f"{tmp_path}/none:/usr/sbin:{tmp_path}"
    given = process.environment({"MORE": "2"})
    assert given["PATH"].removeprefix(own) in ("", f":{os.path.dirname(sys.executable)}"), "where a program is that the lab needs"
    assert set(given) == {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "TERM", "LC_ALL", "KUBECONFIG", "KUBECACHEDIR", "MORE"}
    assert (given["TERM"], given["MORE"], given["LC_ALL"], given["HOME"]) == ("vt100", "2", "C.UTF-8", process.home())
    assert process.container_environment({"A": "1"}) == {"PATH": given["PATH"], "HOME": process.home(), "A": "1"}
