"""The person at the terminal: language, screen, and the keys of step mode."""

from __future__ import annotations

import argparse
import errno
import os
import shutil
import signal
import sys
from collections.abc import Callable, Mapping
from typing import Literal

from lab.report.terminal import TerminalWriter, wants_colour
from lab.report.words import Language, pick
from lab.scenario import stepper
from lab.scenario.model import Step

BOOT_HINT = {
    "en": "What has been made until here, in Mininet's command line: `nodes`, `links`, `zenlinnode1 ip address`; `exit` goes on with the boot.",
    "zh": "到这一步为止已建好的部分，在 Mininet 命令行里查看：`nodes`、`links`、`zenlinnode1 ip address`；输入 `exit` 继续启动。",
}
CLI_HINT = {
    "en": "The lab stays up. This is Mininet's command line: `nodes`, `links`, `zenlinnode1 route -n`, `help`; `exit` takes the lab down.",
    "zh": "实验环境保持运行。这里是 Mininet 命令行：`nodes`、`links`、`zenlinnode1 route -n`、`help`；输入 `exit` 结束并清除实验环境。",
}


class OutputGone(SystemExit):
    """Nobody reads what the lab prints any more, as after `| head`: the run ends, with the status of a process that SIGPIPE killed.

    A SystemExit, because it must pass through the step that happens to be running.
    """

    def __init__(self, error: OSError) -> None:
        super().__init__(128 + signal.SIGPIPE if error.errno == errno.EPIPE else 1)
        self.error = error
        if error.errno != errno.EPIPE:
            print(f"lab: cannot write to standard output: {error.strerror}", file=sys.stderr)

    def __str__(self) -> str:
        return f"standard output: {self.error.strerror}"


def language(environ: Mapping[str, str] | None = None) -> Language:
    """The language of the user's locale, as POSIX finds it: LC_ALL, LC_MESSAGES, LANG; English for all but Chinese."""
    environ = os.environ if environ is None else environ
    locale = next((environ[key] for key in ("LC_ALL", "LC_MESSAGES", "LANG") if environ.get(key)), "")
    return "zh" if locale.startswith("zh") else "en"


def writer(args: argparse.Namespace) -> TerminalWriter:
    """The screen."""
    columns = shutil.get_terminal_size((100, 24)).columns
    return TerminalWriter(sys.stdout, args.lang, columns, wants_colour(sys.stdout), sys.stdout.isatty(), args.verbose)


def pause(lang: Literal["en", "zh"]) -> stepper.Pause:
    """Step mode: say what comes next, and wait for a key that means something."""

    def ask(upcoming: Step | None, previous: Step | None) -> stepper.Answer:
        if upcoming is not None:
            print(f"\n→ {pick(upcoming.title, lang)}")
        print(pick(stepper.help_line(upcoming is not None, previous is not None), lang), flush=True)
        while True:
            answer = stepper.decide(_key(), previous is not None)
            if answer is not None:
                return answer

    return ask


def pause_boot(lang: Literal["en", "zh"], shell: Callable[[], None]) -> None:
    """Step mode, between two stages of the boot: wait for a key that goes on; one opens the shell. Raises Quit for one that quits."""
    print(pick(stepper.boot_help_line(), lang), flush=True)
    while (answer := stepper.decide_boot(_key())) is not stepper.Answer.NEXT:
        if answer is stepper.Answer.QUIT:
            raise stepper.Quit
        if answer is stepper.Answer.SHELL:
            shell()
            print(pick(stepper.boot_help_line(), lang), flush=True)


def _key() -> str:
    """One key from a terminal; from anything else the first character of a line, "" at its end."""
    if not sys.stdin.isatty():
        line = sys.stdin.readline()
        return line[:1]
    import termios
    import tty

    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor)
        return os.read(descriptor, 1).decode("ascii", "replace")
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
