"""Folders of made-up scenarios."""

from __future__ import annotations

from pathlib import Path

SCRIPT = """
from lab.scenario import Scenario, Text
scenario = Scenario(title=Text("t", "t"), topology={topology!r}, manifests=["pods.yaml"])
@scenario.step(en="one", zh="one")
def one(lab):
    lab.node("zenlin").run({command!r}).expect_status(0)
@scenario.step(en="two", zh="two")
def two(lab):
    lab.node("zenlin").run("true").expect_status(0)
"""
"""One step that runs {command} on the master of {topology}, and one that holds."""


def scenario_in(folder: Path, script: str, manifest: str = "") -> Path:
    """A scenario of this script, with its manifest pods.yaml: one pod unless told otherwise."""
    folder.mkdir()
    (folder / "scenario.py").write_text(script)
    (folder / "pods.yaml").write_text(manifest or "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a, image: pause}]}\n")
    return folder
