"""A scenario as its author declares it: what to boot, and the steps that walk through it.

    scenario = Scenario(title=Text("...", "..."), topology="zenlin", manifests=["nginx.yaml"])

    @scenario.step(en="Every node carries the same rules", zh="每个节点上的规则相同")
    def rules(lab):
        for node in lab.nodes:
            node.run("iptables-save -t nat | grep nginx").expect_lines(RULES)

Steps run in the order of the file. Declaring never fails on content: `problems` tells what is wrong with the whole, all at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from lab.errors import Problem, UsageError
from lab.model.pins import Pin
from lab.model.text import Text

Action = Callable[[Any], object]
NOTHING = Text("", "")
PUNCTUATION = "，。、；：？！（）《》「」"
"""Chinese punctuation: it brings its own white space, so no blank stands beside it."""
AnyAction = TypeVar("AnyAction", bound=Action)


@dataclass(frozen=True)
class Step:
    """One step of a scenario.

    key      the name of the author's function, unique in the scenario
    title    one line
    why      what the learner should understand here; empty texts when the title says it all
    needs    keys of earlier steps; if one of them did not pass, this step is skipped
    action   the author's function; it takes the view of the lab (lab.scenario.view.View)
    file     where the function stands, and `line`, 1-based
    lab_only why only a lab can show this, not a cluster elsewhere; empty texts when it can, or finds out by itself
    """

    key: str
    title: Text
    why: Text
    needs: tuple[str, ...]
    action: Action = field(repr=False, compare=False)
    file: str
    line: int
    lab_only: Text = NOTHING


@dataclass
class Chapter:
    """Steps in their order.

    A long scenario keeps each chapter in a file of its own, with `chapter = Chapter()` and `@chapter.step`, and joins them:
    `scenario = Scenario(..., steps=[*networks.chapter.steps, *service.chapter.steps])`.
    """

    steps: list[Step] = field(default_factory=list, kw_only=True)

    def step(
        self, *, en: str, zh: str, why_en: str = "", why_zh: str = "", needs: Sequence[str] = (), lab_only: Text = NOTHING
    ) -> Callable[[AnyAction], AnyAction]:
        """Register the decorated function as the next step. Texts may be indented and broken into lines as the source likes."""

        def register(action: AnyAction) -> AnyAction:
            code = action.__code__
            title, why = Text(flat(en), flat(zh)), Text(flat(why_en), flat(why_zh))
            key = code.co_name
            self.steps.append(Step(key, title, why, tuple(needs), action, code.co_filename, code.co_firstlineno, lab_only))
            return action

        return register


@dataclass
class Scenario(Chapter):
    """What a scenario's script declares under the name `scenario`: a chapter with all that it runs on.

    topology    a name below topologies/, or a path
    backend     flannel's backend instead of the topology's
    manifests   Kubernetes YAML files, relative to the scenario's folder
    pins        pods whose name, node or address is not left to chance
    backends    flannel's backends that it can run with; empty: all
    proxy_mode  kube-proxy's mode instead of the topology's
    proxy_modes kube-proxy's modes that it can run with
    intro       said before the first step
    lab_only    why only a lab can show any of it; a step may have a reason of its own
    images      on a cluster elsewhere: image name in the manifests -> image to run instead, where lab.remote.images has another
    folder      where the scenario is; lab.scenario.loader fills it in
    """

    title: Text = NOTHING
    topology: str = "zenlin"
    backend: str | None = None
    manifests: Sequence[str] = ()
    pins: Sequence[Pin] = ()
    backends: Sequence[str] = ()
    proxy_mode: str | None = None
    proxy_modes: Sequence[str] = ("iptables",)
    intro: Text = NOTHING
    lab_only: Text = NOTHING
    images: Mapping[str, str] = field(default_factory=dict)
    folder: Path = Path()

    @property
    def name(self) -> str:
        """The name of the folder."""
        return self.folder.name

    def why_lab_only(self, step: Step) -> Text:
        """Why only a lab can show this step; empty texts when a cluster elsewhere may."""
        return step.lab_only if step.lab_only.en else self.lab_only

    @property
    def manifest_paths(self) -> tuple[Path, ...]:
        """Where the manifests are."""
        return tuple(self.folder / manifest for manifest in self.manifests)

    def problems(self, file: str) -> list[Problem]:
        """What is wrong with the declaration as a whole; `file` is the script's name, as the person named it."""
        found = [] if self.steps else [Problem(file, 0, "scenario", "it has no steps; write @scenario.step functions")]
        seen: set[str] = set()
        for step in self.steps:
            if step.key in seen:
                found.append(Problem(step.file, step.line, step.key, "a second step has this name; name the function differently"))
            for need in step.needs:
                if need not in seen:
                    known = f"earlier steps are {', '.join(sorted(seen))}" if seen else "no step comes before this one"
                    found.append(Problem(step.file, step.line, f"{step.key}.needs", f"no earlier step is named {need!r}; {known}"))
            seen.add(step.key)
        for index, pin in enumerate(self.pins):
            try:
                _ = pin.pod_ip
            except UsageError as error:
                found.append(Problem(file, 0, f"pins[{index}]", f"{error}; write it like 10.244.1.53"))
        for index, path in enumerate(self.manifest_paths):
            if not path.is_file():
                text = f"there is no file {self.manifests[index]!r} in the scenario's folder"
                found.append(Problem(file, 0, f"manifests[{index}]", text))
        return [*found, *self._backend_problems(file)]

    def _backend_problems(self, file: str) -> Iterator[Problem]:
        from lab.model.topology import BACKEND_OPTIONS, PROXY_MODES  # brings yaml, which pytest need not load before there is a scenario

        named = [("backend", self.backend)] if self.backend is not None else []
        named += [(f"backends[{index}]", kind) for index, kind in enumerate(self.backends)]
        for field_name, kind in named:
            if kind not in BACKEND_OPTIONS:
                yield Problem(file, 0, field_name, f"flannel has no backend {kind!r}; there are {', '.join(BACKEND_OPTIONS)}")
        modes = [("proxy_mode", self.proxy_mode)] if self.proxy_mode is not None else []
        modes += [(f"proxy_modes[{index}]", mode) for index, mode in enumerate(self.proxy_modes)]
        for field_name, mode in modes:
            if mode not in PROXY_MODES:
                yield Problem(file, 0, field_name, f"kube-proxy has no mode {mode!r} here; there are {', '.join(PROXY_MODES)}")
        if self.proxy_mode is not None and self.proxy_mode not in self.proxy_modes:
            yield Problem(file, 0, "proxy_modes", f"the scenario's own mode {self.proxy_mode!r} is not among them; add it")
        if self.backend is not None and self.backends and self.backend not in self.backends:
            yield Problem(file, 0, "backends", f"the scenario's own backend {self.backend!r} is not among them; add it")


def flat(text: str) -> str:
    """One paragraph a blank line, single blanks inside; no blank between two lines of Chinese, nor beside its punctuation."""
    paragraphs = ["\n".join(line.strip() for line in part.splitlines() if line.strip()) for part in text.split("\n\n")]
    return "\n\n".join(_join(paragraph) for paragraph in paragraphs if paragraph)


def _join(paragraph: str) -> str:
    lines = paragraph.split("\n")
    joined = lines[0]
    for line in lines[1:]:
        wide = (ord(joined[-1]) >= 0x2E80 and ord(line[0]) >= 0x2E80) or joined[-1] in PUNCTUATION or line[0] in PUNCTUATION
        joined += line if wide else f" {line}"
    return joined
