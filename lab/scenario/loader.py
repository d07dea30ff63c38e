"""From a scenario's folder to a Scenario. Whatever is wrong with the author's script becomes one InputError with file and line.

The script is compiled and executed here instead of imported, so that no cache file appears beside it and two scenarios, whose
scripts have the same file name, do not meet in sys.modules. The folder is a package of its own for the script: `from .other import
name` reads other.py beside it.
"""

from __future__ import annotations

import re
import sys
import traceback
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Protocol, TypeVar

from lab.errors import InputError, Problem
from lab.model.catalog import SCENARIO_SCRIPT
from lab.scenario.model import Scenario


class Declaration(Protocol):
    """What a script may declare. `folder`: where it is, filled in here."""

    folder: Path

    def problems(self, file: str) -> list[Problem]:
        """What is wrong with the declaration as a whole."""


Declared = TypeVar("Declared", bound=Declaration)


def load_scenario(folder: str | Path) -> Scenario:
    """Read <folder>/scenario.py, and check what it declares.

    Raises InputError, with every problem that can be found at once.
    """
    return load_script(Path(folder) / SCENARIO_SCRIPT, "scenario", Scenario, "lab.scenario")


def load_script(script: Path, name: str, kind: type[Declared], home: str) -> Declared:
    """What an author's script declares at its top level under `name`: one of `kind`, which authors import from `home`.

    Raises InputError, with every problem that can be found at once.
    """
    file = str(script)
    try:
        source = script.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        text = (error.strerror or str(error)) if isinstance(error, OSError) else f"not UTF-8 text: {error}"
        raise InputError([Problem(file, 0, "", f"cannot read it: {text}")]) from error
    declared = _execute(source, file, name)
    if not isinstance(declared, kind):
        text = f"it must set `{name} = {kind.__name__}(...)` at its top level (from {home} import {kind.__name__})"
        raise InputError([Problem(file, 0, name, text)])
    declared.folder = script.parent.resolve()
    problems = declared.problems(file)
    if problems:
        raise InputError([_with_line(problem, source, kind.__name__) for problem in problems])
    return declared


def _execute(source: str, file: str, name: str) -> object:
    folder = Path(file).resolve().parent.name
    module = ModuleType(f"lab_{name}_" + re.sub(r"\W", "_", folder))
    module.__file__ = file
    module.__package__ = module.__name__
    module.__path__ = [str(Path(file).parent)]
    for loaded in [loaded for loaded in sys.modules if loaded == module.__name__ or loaded.startswith(f"{module.__name__}.")]:
        del sys.modules[loaded]
    writing, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        code = compile(source, file, "exec")
        sys.modules[module.__name__] = module
        exec(code, module.__dict__)
    except SyntaxError as error:
        if error.filename != file:
            raise InputError([_place(error, file)]) from error
        raise InputError([Problem(file, error.lineno or 0, "", f"not valid Python: {error.msg}")]) from error
    except (Exception, SystemExit) as error:
        raise InputError([_place(error, file)]) from error
    finally:
        sys.dont_write_bytecode = writing
    return module.__dict__.get(name)


def _place(error: BaseException, file: str) -> Problem:
    line = author_line(error, file)
    return Problem(file, line, "", f"{type(error).__name__} while reading it: {error}")


def author_line(error: BaseException, file: str) -> int:
    """The line of `file` that an exception last came through, 0 when it did not."""
    lines = [frame.lineno or 0 for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return lines[-1] if lines else 0


def _with_line(problem: Problem, source: str, call: str) -> Problem:
    """Name the line of the Scenario(...) call, or whatever `call` is, for what is wrong with its arguments."""
    if problem.line:
        return problem
    keys = ("backends", "backend", "manifests", "pins")
    word = next((f"{key}=" for key in keys if problem.field.startswith(key)), f"{call}(")
    lines = [number for number, line in enumerate(source.splitlines(), 1) if word in line and "import" not in line]
    return replace(problem, line=lines[0]) if lines else problem
