"""A challenge as its author declares it.

    challenge = Challenge(title=Text("...", "..."), level=1, story=Text("...", "..."), hints=[Text("...", "...")])

    @challenge.fault
    def fault(lab):
        lab.do(lab.given.workers[0], "ip route del ${podNetwork}")

    @challenge.step(en="Pods of two nodes talk", zh="两个节点上的 Pod 能通信")
    def talk(lab):
        lab.pod("visitor-1").run("ping -c 1 ...").expect_status(0)

`lab check` runs the checks of lab.challenge.health, and after them the challenge's own steps, which most need not have: all of them must
hold once the cluster is whole, and at least one must not while it is broken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lab.challenge import health
from lab.challenge.given import TEMPLATE, unknown_names
from lab.errors import Problem
from lab.model.text import Text
from lab.scenario.model import NOTHING, Action, AnyAction, Chapter, Scenario, flat

LEVELS = (1, 2, 3)
"""Easy: one look shows it. Middle: two places have to be compared. Hard: the symptom is far from its cause."""


@dataclass
class Challenge(Chapter):
    """What a challenge's script declares under the name `challenge`.

    level       one of LEVELS
    story       what a user of the cluster complains of; with names as in lab.challenge.given, written ${worker1}
    hints       from a first direction to the place; none of them says what to type
    topology    a name below topologies/, or a path
    backend     flannel's backend instead of the topology's
    manifests   Kubernetes YAML files beside the script, in which the same names are replaced; empty: SHOP
    folder      where the challenge is; the loader fills it in
    """

    title: Text = NOTHING
    level: int = 1
    story: Text = NOTHING
    hints: Sequence[Text] = ()
    topology: str = "zenlin"
    backend: str | None = None
    manifests: Sequence[str] = ()
    folder: Path = Path()
    broken_by: Action | None = field(default=None, kw_only=True)

    @property
    def name(self) -> str:
        """The name of the folder."""
        return self.folder.name

    @property
    def manifest_paths(self) -> tuple[Path, ...]:
        """Where the manifests are."""
        return tuple(self.folder / manifest for manifest in self.manifests)

    def fault(self, action: AnyAction) -> AnyAction:
        """Register the decorated function: it breaks the lab (lab.challenge.workshop.Workshop) that it is given."""
        self.broken_by = action
        return action

    def problems(self, file: str) -> list[Problem]:
        """What is wrong with the declaration as a whole; `file` is the script's name, as the person named it."""
        found = self.scenario().problems(file)
        if self.broken_by is None:
            found.append(Problem(file, 0, "challenge", "nothing breaks the lab; write a @challenge.fault function"))
        if self.level not in LEVELS:
            found.append(Problem(file, 0, "level", f"{self.level!r} is none of {', '.join(map(str, LEVELS))}"))
        if not self.hints:
            found.append(Problem(file, 0, "hints", "there are none; a learner who is stuck has to get on"))
        for index, path in enumerate(self.manifest_paths):
            if not path.is_file():
                found.append(Problem(file, 0, f"manifests[{index}]", f"there is no file {self.manifests[index]!r} in the challenge's folder"))
        texts = {"title": self.title, "story": self.story} | {f"hints[{index}]": hint for index, hint in enumerate(self.hints)}
        for place, text in texts.items():
            for name in unknown_names(text.en + text.zh):
                found.append(Problem(file, 0, place, f"nothing is called ${{{name}}}; there are {', '.join(TEMPLATE)}"))
        return found

    def scenario(self) -> Scenario:
        """The checks, as a scenario that runs on the lab that is up."""
        steps = [*health.chapter.steps, *self.steps]
        return Scenario(title=self.title, topology=self.topology, backend=self.backend, folder=self.folder, steps=steps)


def paragraph(text: Text) -> Text:
    """A text as its author broke it into lines, in whole paragraphs."""
    return Text(flat(text.en), flat(text.zh))
