"""Every wrong file in bad-topologies/ and bad-manifests/ gives the message in the .txt beside it; every right one its data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest

from lab.errors import InputError
from lab.model.load import load_topology
from lab.model.manifests import Objects, load_manifests

HERE = Path(__file__).parent
Golden = Callable[[Path, str], None]


def inputs(folder: str) -> list[Path]:
    """The YAML files of a folder; an empty folder would make its test pass without testing."""
    found = sorted((HERE / folder).glob("*.yaml"))
    assert found, f"tests/golden/{folder} holds no .yaml file"
    return found


def message(load: Callable[[str, str], object], path: Path) -> str:
    """What a person is told about a wrong file."""
    with pytest.raises(InputError) as caught:
        load(path.read_text(encoding="utf-8"), path.name)
    assert caught.value.status == 2
    return f"{caught.value}\n"


@pytest.mark.parametrize("path", inputs("bad-topologies"), ids=lambda path: path.stem)
def test_a_wrong_topology_is_explained(path: Path, golden: Golden) -> None:
    golden(path.with_suffix(".txt"), message(load_topology, path))


@pytest.mark.parametrize("path", inputs("bad-manifests"), ids=lambda path: path.stem)
def test_a_wrong_manifest_is_explained(path: Path, golden: Golden) -> None:
    golden(path.with_suffix(".txt"), message(load_manifests, path))


@pytest.mark.parametrize("path", inputs("manifests"), ids=lambda path: path.stem)
def test_a_manifest_becomes_objects(path: Path, golden: Golden) -> None:
    golden(path.with_suffix(".txt"), listing(load_manifests(path.read_text(encoding="utf-8"), path.name)))


def listing(objects: Objects) -> str:
    """One line a field, so that a difference can be read."""
    lines = []
    for kind in ("namespaces", "pods", "deployments", "services"):
        for one in getattr(objects, kind):
            if isinstance(one, str):
                lines.append(f"{kind}: {one}")
            else:
                lines.append(f"{kind}:")
                lines += [f"    {field.name} = {getattr(one, field.name)}" for field in fields(one)]
    return "\n".join(lines) + "\n"
