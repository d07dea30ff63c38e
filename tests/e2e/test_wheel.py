"""The wheel, installed into an empty environment, is a whole lab."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.e2e.lab import ROOT

pytestmark = pytest.mark.e2e


def _run(*command: str, **options: object) -> subprocess.CompletedProcess[str]:
    ran = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, **options)  # type: ignore[call-overload]
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran  # type: ignore[no-any-return]


@pytest.fixture(name="installed", scope="module")
def _installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment of its own with the wheel in it; the packages it requires are those of the environment that runs the tests."""
    place = tmp_path_factory.mktemp("wheel")
    unwanted = shutil.ignore_patterns(".git", ".venv", "*.egg-info", "__pycache__", ".*_cache", ".hypothesis", "build")
    shutil.copytree(ROOT, place / "source", ignore=unwanted)
    _run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(place), str(place / "source"))
    (wheel,) = place.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert not [name for name in names if name.startswith(("tests/", "bench/"))]
    static = ROOT / "lab" / "web" / "static"
    assert {f"lab/web/static/{path.relative_to(static)}" for path in static.rglob("*") if path.is_file()} <= set(names)
    _run(sys.executable, "-m", "venv", "--without-pip", str(place / "venv"))
    site = next((place / "venv").glob("lib/python*/site-packages"))
    _run(sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(site), str(wheel))
    # Only the requirements come from outside: the checkout must not be importable, or its folders would answer.
    requirements = [path for path in map(Path, sys.path) if path.name == "site-packages"]
    for number, path in enumerate(requirements):
        (site / f"requirements{number}.pth").write_text(f"{path}\n")
    return place / "venv" / "bin" / "python"


def test_shipped_topologies_and_scenarios_are_found(installed: Path, tmp_path: Path) -> None:
    clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    where = _run(str(installed), "-c", "import lab; print(lab.__file__)", cwd=tmp_path, env=clean).stdout
    assert str(installed.parent.parent) in where
    listed = _run(str(installed), "-m", "lab", "list", cwd=tmp_path, env=clean).stdout
    assert "nginx-service" in listed and "zenlin" in listed and "flat" in listed
    assert "checks held" in _run(str(installed), "-m", "lab", "run", "nginx-service", "--lang", "en", cwd=tmp_path, env=clean).stdout


def test_ones_own_topology_by_path(installed: Path, tmp_path: Path) -> None:
    clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    (tmp_path / "mine.yaml").write_text("name: mine\nnodes:\n  - {name: a, role: master, address: 192.168.9.1/24}\n")
    assert "netns add a" in _run(str(installed), "-m", "lab", "plan", "mine.yaml", cwd=tmp_path, env=clean).stdout
