"""Which topologies and scenarios there are: the shipped ones by name, a user's own by path. Reads folders, no file's content."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from lab.errors import UsageError
from lab.model.names import did_you_mean

_PACKAGE = Path(__file__).resolve().parent.parent
TOPOLOGY_SUFFIXES = (".yaml", ".yml")
SCENARIO_SCRIPT = "scenario.py"
"""What makes a folder a scenario."""

CHALLENGE_SCRIPT = "challenge.py"
"""What makes a folder a challenge."""


def shipped(kind: str) -> Path | None:
    """The folder of shipped `topologies` or `scenarios`: in the package when installed, beside it in a checkout; None: neither.

    Inside first: beside an installed package lie other people's packages, and one of them may have a folder of that name.
    """
    return next((folder for folder in (_PACKAGE / "_data" / kind, _PACKAGE.parent / kind) if folder.is_dir()), None)


def list_topologies() -> tuple[Path, ...]:
    """The shipped topologies' files, sorted by name."""
    folder = shipped("topologies")
    return tuple(sorted(folder.glob("*.yaml"), key=lambda path: path.stem)) if folder else ()


def list_scenarios() -> tuple[Path, ...]:
    """The shipped scenarios' folders, sorted by name."""
    folder = shipped("scenarios")
    return tuple(sorted(script.parent for script in folder.glob(f"*/{SCENARIO_SCRIPT}"))) if folder else ()


def list_challenges() -> tuple[Path, ...]:
    """The shipped challenges' folders, sorted by name."""
    folder = shipped("challenges")
    return tuple(sorted(script.parent for script in folder.glob(f"*/{CHALLENGE_SCRIPT}"))) if folder else ()


def find_topology(name_or_path: str) -> Path:
    """The file of a topology: a shipped one's name, or a path (it has a slash or ends in .yaml or .yml).

    Raises UsageError, with the known names, when there is none.
    """
    if _is_path(name_or_path) or name_or_path.endswith(TOPOLOGY_SUFFIXES):
        path = Path(name_or_path).expanduser()
        if os.path.isdir(path):
            raise UsageError(f"{name_or_path} is a folder; name the topology's YAML file in it")
        if not os.path.exists(path):
            raise UsageError(f"there is no file {name_or_path}; shipped topologies are {_listed(list_topologies())}")
        return path
    return _by_name(name_or_path, list_topologies(), "topology", "my-topology.yaml")


def find_scenario(name_or_path: str) -> Path:
    """The folder of a scenario: a shipped one's name, or a path (it has a slash, or is `.` or `..`).

    Raises UsageError, with the known names, when there is none.
    """
    return _find_folder(name_or_path, SCENARIO_SCRIPT, list_scenarios(), "scenario")


def find_challenge(name_or_path: str) -> Path:
    """The folder of a challenge, found as a scenario's is. Raises UsageError, with the known names, when there is none."""
    return _find_folder(name_or_path, CHALLENGE_SCRIPT, list_challenges(), "challenge")


def _find_folder(name_or_path: str, script: str, known: tuple[Path, ...], what: str) -> Path:
    if _is_path(name_or_path):
        path = Path(name_or_path).expanduser()
        if not has(path, script):
            lacks = "has no" if os.path.isdir(path) else "is not a folder with a"
            raise UsageError(f"{name_or_path} {lacks} {script}; shipped {what}s are {_listed(known)}")
        return path
    return _by_name(name_or_path, known, what, f"./my-{what}/")


def has(folder: Path, script: str) -> bool:
    """Whether a folder has that script. No word is too long or too strange to ask about: os.path says no where pathlib raises."""
    return os.path.isfile(folder / script)


def _is_path(text: str) -> bool:
    return "/" in text or text in (".", "..")


def _by_name(name: str, known: Iterable[Path], what: str, example: str) -> Path:
    """By comparing with what is there, so that no name can lead out of the folder."""
    paths = {path.stem if path.suffix in TOPOLOGY_SUFFIXES else path.name: path for path in known}
    if name in paths:
        return paths[name]
    hint = did_you_mean(name, paths)
    shown = _listed(paths.values())
    raise UsageError(f"unknown {what} `{name}`{hint}; shipped ones are {shown}, your own is a path such as {example}")


def _listed(paths: Iterable[Path]) -> str:
    names = [path.stem if path.suffix in TOPOLOGY_SUFFIXES else path.name for path in paths]
    return ", ".join(names) or "none"
