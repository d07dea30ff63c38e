"""One iptables rule taken apart, and the form in which iptables-save prints it. Pure.

iptables-restore accepts a rule's words in almost any order; iptables-save prints them in one. `saved` knows that order for the rules that
the lab generates, so that what the kernel will show can be said, and compared, without a kernel.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn

from lab.errors import UsageError

_PLAIN = {"--source": "-s", "--destination": "-d", "--protocol": "-p", "--in-interface": "-i", "--out-interface": "-o"}
_PRINTED_FIRST = ("-s", "-d", "-i", "-o", "-p")
"""What needs no match extension, in the order in which iptables-save prints it."""

_UNQUOTED = frozenset("_-0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
"""A comment of these characters alone is printed without quotes."""

_WORD = re.compile(r'(?:[^\s"]|"[^"]*")+')

_CHANCES = 1 << 31
"""xt_statistic keeps a probability as a multiple of 1/2^31."""


@dataclass(frozen=True)
class Option:
    """An option with its values: `! -s 10.244.0.0/16` is Option("-s", ("10.244.0.0/16",), True)."""

    name: str
    values: tuple[str, ...] = ()
    negated: bool = False

    def __str__(self) -> str:
        return " ".join((*(("!",) if self.negated else ()), self.name, *self.values))


@dataclass(frozen=True)
class Match:
    """A match extension, `-m module`, with its options."""

    module: str
    options: tuple[Option, ...] = ()


@dataclass(frozen=True)
class Rule:
    """A rule of a chain.

    plain     options without extension: -s, -d, -i, -o, -p, by their short names, in the order given
    matches   in the order given; the kernel tests them in this order
    target    the chain or extension behind -j, empty for a rule that only counts; `target_options`: its options
    """

    chain: str
    plain: tuple[Option, ...] = ()
    matches: tuple[Match, ...] = ()
    target: str = ""
    target_options: tuple[Option, ...] = ()

    def options(self) -> Iterator[Option]:
        """All of them, whichever part they belong to."""
        yield from self.plain
        for match in self.matches:
            yield from match.options
        yield from self.target_options

    def value(self, name: str) -> str:
        """The first value of an option, empty when the rule does not have it."""
        return next((option.values[0] for option in self.options() if option.name == name and option.values), "")


def parse(line: str) -> Rule:
    """A rule from a line of iptables-save (counters in front are skipped) or of iptables-restore's input.

    Raises UsageError for a line that is no rule; a chain's declaration is none.
    """
    words = _words(line)
    if words and words[0].startswith("["):
        words = words[1:]
    if len(words) < 2 or words[0] != "-A":
        _no_rule(line)
    plain: list[Option] = []
    matches: list[tuple[str, list[Option]]] = []
    target = ""
    target_options: list[Option] = []
    for option in _options(words[2:]):
        name = _PLAIN.get(option.name, option.name)
        if name in ("-m", "-j") and len(option.values) != 1:
            _no_rule(line)
        if name == "-m":
            matches.append((option.values[0], []))
        elif name == "-j":
            target = option.values[0]
        elif name in _PRINTED_FIRST:
            plain.append(Option(name, option.values, option.negated))
        elif target:
            target_options.append(option)
        elif matches:
            matches[-1][1].append(option)
        else:
            _no_rule(line)
    return Rule(words[1], tuple(plain), tuple(Match(module, tuple(found)) for module, found in matches), target, tuple(target_options))


def _words(line: str) -> list[str]:
    """A line as a shell splits it. shlex takes three times as long, and eighty thousand rules are looked at: only odd lines need it."""
    if "\\" not in line and "'" not in line and not line.count('"') % 2:
        return [word.replace('"', "") for word in _WORD.findall(line)]
    try:
        return shlex.split(line)
    except ValueError:
        _no_rule(line)


def _no_rule(line: str) -> NoReturn:
    raise UsageError(f"`{line.strip()}` is no iptables rule; give a line of iptables-save that begins with -A")


def _options(words: list[str]) -> Iterator[Option]:
    """Words grouped by options. A comment is one word, whatever it begins with."""
    index = 0
    while index < len(words):
        negated = words[index] == "!"
        index += negated
        name = words[index] if index < len(words) else ""
        end = index + 1
        if name == "--comment":
            end = min(index + 2, len(words))
        else:
            while end < len(words) and words[end] != "!" and not words[end].startswith("-"):
                end += 1
        yield Option(name, tuple(words[index + 1 : end]), negated)
        index = end


def saved(rule: Rule) -> str:
    """The line that iptables-save prints for the rule, once the kernel has it (iptables 1.8, the legacy and the nft variant alike)."""
    words = ["-A", rule.chain]
    for name in _PRINTED_FIRST:
        words += [str(_with_length(option)) for option in rule.plain if option.name == name and option.values != ("0.0.0.0/0",)]
    for match in rule.matches:
        words += ["-m", match.module, *_printed(match)]
    if rule.target:
        words += ["-j", rule.target]
    options = rule.target_options
    if rule.target == "REJECT" and not options:
        options = (Option("--reject-with", ("icmp-port-unreachable",)),)
    words += [str(_hexadecimal(option)) for option in options]
    return " ".join(words)


def _with_length(option: Option) -> Option:
    """An address as a network of one: iptables prints 10.0.0.1 as 10.0.0.1/32."""
    if option.name not in ("-s", "-d") or "/" in option.values[0]:
        return option
    return Option(option.name, (f"{option.values[0]}/32",), option.negated)


def _printed(match: Match) -> list[str]:
    """The options of a match as iptables-save prints them."""
    if match.module == "comment":
        return [f"--comment {_quoted(option.values[0])}" for option in match.options]
    if match.module == "recent":
        listed = [option for option in match.options if option.name == "--name"]
        first = [option for option in match.options if option.name not in ("--name", "--mask", "--rsource")]
        return [str(option) for option in (*first, *listed)] + ["--mask 255.255.255.255", "--rsource"]
    if match.module == "statistic":
        return [str(_rounded(option)) for option in match.options]
    return [str(_hexadecimal(option)) for option in match.options]


def _quoted(text: str) -> str:
    if _UNQUOTED.issuperset(text):
        return text
    return '"' + "".join(f"\\{letter}" if letter in "\"\\'" else letter for letter in text) + '"'


def _rounded(option: Option) -> Option:
    """A probability as the kernel keeps it, with the eleven digits that iptables prints."""
    if option.name != "--probability":
        return option
    return Option(option.name, (f"{round(float(option.values[0]) * _CHANCES) / _CHANCES:.11f}",), option.negated)


def _hexadecimal(option: Option) -> Option:
    """Marks without leading zeros: 0x00004000/0x00004000 is printed as 0x4000/0x4000. --or-mark and --xor-mark are kinds of --set-xmark."""
    if option.name in ("--or-mark", "--xor-mark"):
        mark = int(option.values[0], 0)
        return Option("--set-xmark", (f"{mark:#x}/{mark if option.name == '--or-mark' else 0:#x}",))
    if option.name not in ("--mark", "--set-xmark"):
        return option
    return Option(option.name, ("/".join(f"{int(part, 0):#x}" for part in option.values[0].split("/")),), option.negated)
