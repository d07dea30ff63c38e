"""lab.model.catalog: names stay inside the shipped folders, paths go anywhere."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import lab
from lab.errors import UsageError
from lab.model.catalog import find_scenario, find_topology, list_scenarios, list_topologies


def test_shipped_ones_are_found_by_name() -> None:
    assert {"flat", "zenlin"} <= {path.stem for path in list_topologies()}
    for path in list_topologies():
        assert find_topology(path.stem) == path
    for folder in list_scenarios():
        assert find_scenario(folder.name) == folder


def test_own_ones_are_found_by_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.yaml").touch()
    (tmp_path / "tour").mkdir()
    (tmp_path / "tour" / "scenario.py").touch()
    monkeypatch.chdir(tmp_path)
    assert find_topology("mine.yaml") == Path("mine.yaml")
    assert find_topology(str(tmp_path / "mine.yaml")) == tmp_path / "mine.yaml"
    assert find_scenario("./tour") == Path("tour")
    assert find_scenario("tour/") == Path("tour")
    monkeypatch.chdir(tmp_path / "tour")
    assert find_scenario(".") == Path(".")


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("zenlim", "unknown topology `zenlim` (did you mean zenlin?); shipped ones are docker-alone, flat, today, zenlin, zenlin-l3miss"),
        ("zenlin.yml", "there is no file zenlin.yml; shipped topologies are docker-alone, flat, today, zenlin, zenlin-l3miss"),
        ("", "unknown topology ``; shipped ones"),
        ("..", "is a folder; name the topology's YAML file in it"),
        ("../zenlin", "there is no file ../zenlin"),
        ("*", "unknown topology `*`; shipped ones"),
    ],
)
def test_unknown_topologies(word: str, message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        find_topology(word)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("nginx-servise", "unknown scenario `nginx-servise` (did you mean nginx-service?); shipped ones are"),
        ("", "unknown scenario ``"),
        ("./none", "./none is not a folder with a scenario.py; shipped scenarios are"),
        ("/", "/ has no scenario.py"),
    ],
)
def test_unknown_scenarios(word: str, message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        find_scenario(word)


def test_an_installed_package_finds_its_own_data_and_nobody_elses(tmp_path: Path) -> None:
    package = Path(lab.__file__).parent
    shutil.copytree(package, tmp_path / "lab", ignore=shutil.ignore_patterns("_data", "__pycache__"))
    (tmp_path / "topologies").mkdir()
    (tmp_path / "topologies" / "foreign.yaml").touch()
    own = tmp_path / "lab" / "_data" / "topologies"
    own.mkdir(parents=True)
    (own / "shipped.yaml").touch()
    script = "from lab.model import catalog; print([path.stem for path in catalog.list_topologies()])"
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.strip() == "['shipped']"
