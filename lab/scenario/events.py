"""What happens during a run, as frozen data. The runner emits these; writers (lab.report) turn them into what people read.

The order in one run: RunStarted, BootProgress... (and Pictured where a report wants it, StageChanged in step mode), Booted, then per step
StepStarted, (CommandStarted, CommandSaid..., CommandRan | Noted | Shown | Travelled | Checked)..., Evidence... if it failed, StepEnded, and
RunEnded last.
A step that the learner repeats starts and ends again; its last end counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

from lab.model.text import Text
from lab.observe.snapshot import Change
from lab.scenario.checks import Verdict

NOTHING = Text("", "")
Status = Literal["passed", "failed", "skipped", "error", "left_out"]
STATUSES: tuple[Status, ...] = ("passed", "failed", "skipped", "error", "left_out")


@dataclass(frozen=True)
class StepInfo:
    """What is known of a step before it runs."""

    key: str
    title: Text


@dataclass(frozen=True)
class RunStarted:
    """A run begins; nothing has been booted yet. `scenario` is its name, `folder` where it is."""

    scenario: str
    folder: str
    title: Text
    intro: Text
    topology: str
    steps: tuple[StepInfo, ...]


@dataclass(frozen=True)
class BootProgress:
    """A part of the lab is being started (`seconds` None), or has come up and took that long."""

    what: str
    seconds: float | None = None


@dataclass(frozen=True)
class StageChanged:
    """What a stage of the boot changed, in step mode. `what` is the stage as in BootProgress; `changes` may be empty."""

    what: str
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class Booted:
    """The lab is up; `seconds` since RunStarted."""

    seconds: float


@dataclass(frozen=True)
class Pictured:
    """What the lab looks like: before it is booted as it is declared, and once more when it is up. `graph`: data of lab.observe.graph."""

    graph: dict[str, Any]


@dataclass(frozen=True)
class StepStarted:
    """A step begins. `number` is 1-based, of `total`; `repeat` counts how often the learner asked for it again."""

    key: str
    title: Text
    why: Text
    number: int
    total: int
    repeat: int = 0


@dataclass(frozen=True)
class CommandStarted:
    """A command is about to run on machine `where`; `prompt` is what its shell would show. `number` counts within the step."""

    number: int
    where: str
    prompt: str
    command: str


@dataclass(frozen=True)
class CommandSaid:
    """More whole lines of what a command prints that takes its time, after `line` lines that were told before.

    CommandRan has all of it, these lines included.
    """

    number: int
    line: int
    text: str


@dataclass(frozen=True)
class CommandRan:
    """What came back. `attempts`: how often it ran until its condition held or the time was over; only the last is shown."""

    number: int
    where: str
    prompt: str
    command: str
    status: int
    stdout: str
    stderr: str
    seconds: float
    attempts: int = 1


@dataclass(frozen=True)
class Noted:
    """A remark for the learner. `after` is how many commands of the step ran before it."""

    text: Text
    after: int


@dataclass(frozen=True)
class Shown:
    """Something that no shell command printed, such as what captures saw. `lines` as a tool would print them, the same in both languages.

    after   how many commands of the step ran before it
    """

    title: Text
    lines: tuple[str, ...]
    after: int


@dataclass(frozen=True)
class Travelled:
    """A packet's journey was taken. `journey`: what `lab trace --format json` prints; `after` as with Shown."""

    journey: dict[str, Any]
    after: int


@dataclass(frozen=True)
class Checked:
    """A check was made. `command` is the number of the command it judges, 0 when it judges none alone."""

    verdict: Verdict
    command: int = 0


@dataclass(frozen=True)
class Evidence:
    """What a machine of a failed step looked like right after it: the output of a command, or the end of a daemon's log."""

    where: str
    prompt: str
    command: str
    status: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class StepEnded:
    """A step is over. `reason` says why it was skipped or what broke; both texts are empty when it passed or only checks failed.

    left_out   the step needs what only a lab has, and the run is on a cluster elsewhere. A step that passed may have left a part out:
               then `reason` says which
    """

    key: str
    status: Status
    seconds: float
    checks: int
    failed_checks: int
    reason: Text = NOTHING


@dataclass(frozen=True)
class Counts:
    """How the steps ended."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    error: int = 0
    left_out: int = 0

    @property
    def ok(self) -> bool:
        """Whether no step failed or broke, and not all that ended were left out."""
        return not self.failed and not self.error and not (self.left_out and not self.passed)


def count(ended: Iterable[StepEnded]) -> Counts:
    """How these steps ended."""
    every = [one.status for one in ended]
    return Counts(**{status: every.count(status) for status in STATUSES})


@dataclass(frozen=True)
class RunEnded:
    """The run is over. `aborted` says what cut it short, empty texts when nothing did; `seconds` cover boot and steps."""

    counts: Counts
    checks: int
    failed_checks: int
    seconds: float
    boot_seconds: float
    aborted: Text = NOTHING

    @property
    def ok(self) -> bool:
        """Whether every step that ran held, and the run came to its end."""
        return self.counts.ok and not self.aborted.en


Event = (
    RunStarted
    | BootProgress
    | StageChanged
    | Booted
    | Pictured
    | StepStarted
    | CommandStarted
    | CommandSaid
    | CommandRan
    | Noted
    | Shown
    | Travelled
    | Checked
    | Evidence
    | StepEnded
    | RunEnded
)
Emit = Callable[[Event], None]


def to_json(event: Event) -> dict[str, Any]:
    """The event as plain data, with its class's name under "event"."""
    return {"event": type(event).__name__} | asdict(event)


def from_json(data: Mapping[str, Any]) -> Event:
    """The event that `to_json` has made this of. Raises KeyError or TypeError for anything else."""
    kind: type[Event] = _KINDS[data["event"]]
    made: Event = _made(kind, data)
    return made


_KINDS = {kind.__name__: kind for kind in get_args(Event)}


def _made(kind: Any, value: Any) -> Any:
    """The value as what the annotation says: a dataclass again, a tuple of them, or as it is."""
    if isinstance(kind, type) and is_dataclass(kind):
        hints = get_type_hints(kind)
        return kind(**{field.name: _made(hints[field.name], value[field.name]) for field in fields(kind)})
    if get_origin(kind) is tuple:
        return tuple(_made(get_args(kind)[0], one) for one in value)
    return value
