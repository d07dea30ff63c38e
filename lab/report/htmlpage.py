"""The HTML report's page from the report document (lab.report.jsonout) and the graphs of its runs. Pure.

It has no script. The language is switched by two radio buttons and the style sheet, outputs unfold by themselves, and a policy in the page
forbids everything that is not in the file.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lab import __version__
from lab.errors import UsageError
from lab.model.columns import visible
from lab.model.markup import attribute, text
from lab.observe import graph as model
from lab.observe.drawing import cluster, flannel, service, svg
from lab.report import htmlstyle
from lab.report.htmljourney import Journeys
from lab.report.htmltext import LANGUAGES, bar, both, check, command, difference, entry, identifier, time, word
from lab.report.words import Language, say, seconds, stage

Run = Mapping[str, Any]
MARKS = {"passed": ("✓", "good"), "failed": ("✗", "bad"), "error": ("✗", "bad"), "skipped": ("–", "skipped"), "left_out": ("–", "skipped")}
MOST_SERVICES = 6
"""Services of a run that get a picture of their own."""


@dataclass(frozen=True)
class Section:
    """A run's part of the page, and what the page's style sheet has to have for it."""

    markup: str
    style: str


def section(run: Run, place: int, graph: Mapping[str, Any] | None) -> Section:
    """A run's part. `place`: its number among the runs; `graph`: its lab as data of lab.observe.graph."""
    journeys = Journeys(model.from_data(graph) if graph else None, f"run{place}")
    markup = _run(run, place, journeys)
    return Section(markup, "".join(journeys.styles))


def page(runs: Sequence[Run], parts: Sequence[Section], language: Language) -> str:
    """The whole file. `parts`: one for each run; `language`: the one that it opens in."""
    title = ", ".join(run["scenario"] for run in runs[:3]) + ("…" if len(runs) > 3 else "")
    sections = _whole(runs) + "".join(part.markup for part in parts) or _nothing()
    style = htmlstyle.sheet() + "".join(part.style for part in parts)
    words = f"{title} – {say('html_title', language)}" if runs else say("html_title", language)
    return f"""<!DOCTYPE html>
<html lang="{"zh-CN" if language == "zh" else "en"}">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_policy(style)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>{text(words)}</title>
<style>{style}</style>
</head>
<body>
{_languages(language)}
<div class="page">
<a class="skip" href="#content">{word("skip")}</a>
<nav aria-label="{say("contents", language)}">{_contents(runs)}</nav>
<main id="content">
{sections}<p class="muted">{word("written_by", version=__version__)}</p>
</main>
</div>
</body>
</html>
"""


def _whole(runs: Sequence[Run]) -> str:
    """Several runs at one glance; nothing for a single one."""
    if len(runs) < 2:
        return ""
    held = sum(run["summary"]["ok"] for run in runs)
    rows = []
    for place, run in enumerate(runs):
        summary = run["summary"]
        checks = summary.get("checks", 0)
        counted = f"{checks - summary.get('failed_checks', 0)}/{checks}"
        link = f'<a href="#run{place}">{text(run["scenario"])}</a>'
        cells = f'<td>{_mark("passed" if summary["ok"] else "failed")} {link}</td><td>{entry(run["title"])}</td>'
        rows.append(f'<tr>{cells}<td class="number">{counted}</td><td class="number">{time(summary.get("seconds"))}</td></tr>')
    head = f'<th>{word("head_scenario")}</th><th></th><th class="number">{word("head_checks")}</th><th class="number">{word("head_time")}</th>'
    verdict = f'<p class="lead">{word("scenarios_held", held=held, n=len(runs))}</p>'
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    return f'<section class="run"><h1>{word("html_title")}</h1>\n{verdict}{table}</section>\n'


def _policy(style: str) -> str:
    """Nothing but this style sheet: not a script, not a picture, not a form."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def _languages(language: Language) -> str:
    radios = "".join(
        f'<input class="pick" type="radio" name="say" id="say-{key}" aria-label="{name}"{" checked" if key == language else ""}>'
        for key, name in (("en", "English"), ("zh", "中文"))
    )
    return f'{radios}<div class="languages"><label class="to-en" for="say-en">English</label><label class="to-zh" for="say-zh">中文</label></div>'


def _nothing() -> str:
    return f'<h1>{word("html_title")}</h1><div class="verdict bad"><strong>{word("no_run")}</strong></div>'


def _mark(status: str | None) -> str:
    mark, kind = MARKS.get(status or "error", MARKS["error"])
    return f'<span class="mark {kind}" aria-hidden="true">{mark}</span>'


def _contents(runs: Sequence[Run]) -> str:
    parts = []
    for place, run in enumerate(runs):
        link = f'<a href="#run{place}">{_mark("passed" if run["summary"]["ok"] else "failed")}<span>{text(run["scenario"])}</span></a>'
        steps = "".join(
            f"<li><a href={_place(place, step)}>{_mark(step['status'])}<span>{entry(step['title'])}</span></a></li>" for step in _told(run)
        )
        parts.append(f"<p>{link}</p><ol>{steps}</ol>")
    return "".join(parts)


def _place(place: int, step: Mapping[str, Any]) -> str:
    """A link's target: a step of a run."""
    return attribute(f"#run{place}-{step['key']}")


def _told(run: Run) -> list[Mapping[str, Any]]:
    """The steps that have something to tell: those after a learner quit have only a key."""
    return [step for step in run["steps"] if step.get("title")]


def _run(run: Run, place: int, journeys: Journeys) -> str:
    pictures = _pictures(journeys.graph, f"run{place}") if journeys.graph else ""
    steps = "".join(_step(step, f"run{place}", journeys) for step in _told(run))
    return (
        f'<section class="run" id="run{place}">\n<h1>{text(run["scenario"])}: {entry(run["title"])}</h1>\n'
        f'<p class="lead">{entry(run.get("intro"))}</p>\n{_verdict(run)}{pictures}{_overview(run, place)}{_boot(run)}\n{steps}</section>\n'
    )


def _verdict(run: Run) -> str:
    summary = run["summary"]
    checks = summary.get("checks", sum(len(step.get("checks", ())) for step in run["steps"]))
    failed = summary.get("failed_checks", 0)
    if summary["aborted"]:
        aborted = summary["aborted"]
        title = both(say("verdict_aborted", "en", reason=aborted["en"]), say("verdict_aborted", "zh", reason=aborted["zh"] or aborted["en"]))
    else:
        title = word("verdict_none" if not run["steps"] else "verdict_good" if summary["ok"] else "verdict_bad")
    facts = [word("checks_held", held=checks - failed, checks=checks)]
    if "seconds" in summary:
        facts.append(word("time_all", seconds=seconds(summary["seconds"]), boot=seconds(run["boot_seconds"] or 0.0)))
    facts.append(word("topology", name=run["topology"]))
    kind = "good" if summary["ok"] else "bad"
    return f'<div class="verdict {kind}"><strong>{title}</strong>{"".join(f"<span>{fact}</span>" for fact in facts)}</div>\n'


def _pictures(graph: model.Graph, prefix: str) -> str:
    """The cluster, and behind folds its services and the way between two nodes."""
    head = word("cluster" if graph.live else "planned_cluster")
    whole = _figure(f"{prefix}-cluster", {lang: svg.render(cluster.picture(graph, lang), f"{prefix}-c-{lang}-", False) for lang in LANGUAGES})
    parts = [f"<h2>{head}</h2>\n{whole}"]
    own = [one for one in graph.services if one.name != "kubernetes" and not one.headless][:MOST_SERVICES]
    for number, one in enumerate(own):
        pictures = {lang: svg.render(service.picture(graph, one, lang), f"{prefix}-s{number}-{lang}-", False) for lang in LANGUAGES}
        parts.append(_folded(word("service_picture", name=one.name), _figure(f"{prefix}-service{number}", pictures)))
    try:
        pictures = {lang: svg.render(flannel.picture(graph, lang), f"{prefix}-f-{lang}-", False) for lang in LANGUAGES}
    except UsageError:
        return "".join(parts)
    return "".join([*parts, _folded(word("flannel_picture"), _figure(f"{prefix}-flannel", pictures))])


def _figure(name: str, pictures: Mapping[Language, str]) -> str:
    inner = "".join(f'<div class="{lang}">{picture}</div>' for lang, picture in pictures.items())
    return f'<figure class="figure" id={identifier(name)}>{inner}</figure>\n'


def _folded(title: str, inner: str) -> str:
    return f"<details><summary>{title}</summary>\n{inner}</details>\n"


def _overview(run: Run, place: int) -> str:
    steps = _told(run)
    if not steps:
        return ""
    longest = max(step["seconds"] or 0.0 for step in steps) or 1.0
    rows = []
    for step in steps:
        checks, held = step.get("checks", ()), sum(one["ok"] for one in step.get("checks", ()))
        kind = "bad" if step["status"] in ("failed", "error", None) else ""
        link = f"<a href={_place(place, step)}>{entry(step['title'])}</a>"
        counted = f"{held}/{len(checks)}" if checks else ""
        cells = f'<td>{_mark(step["status"])} {link}</td><td class="number">{counted}</td><td class="number">{time(step["seconds"])}</td>'
        rows.append(f'<tr>{cells}<td class="bar">{bar((step["seconds"] or 0.0) / longest, kind)}</td></tr>')
    head = f'<th>{word("head_step")}</th><th class="number">{word("head_checks")}</th><th class="number">{word("head_time")}</th><th></th>'
    return f"<h2>{word('overview')}</h2>\n<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>\n"


def _boot(run: Run) -> str:
    if not run["boot"]:
        return ""
    longest = max(one["seconds"] for one in run["boot"]) or 1.0
    rows = "".join(
        f'<tr><td>{both(stage(one["what"], "en"), stage(one["what"], "zh"))}</td><td class="number">{time(one["seconds"])}</td>'
        f'<td class="bar">{bar(one["seconds"] / longest, "boot")}</td></tr>'
        for one in run["boot"]
    )
    head = f'<th>{word("head_part")}</th><th class="number">{word("head_time")}</th><th></th>'
    changes = "".join(_stage_changes(one) for one in run["boot"] if one.get("changes"))
    return f"<h2>{word('boot_times')}</h2>\n<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>\n{changes}"


def _stage_changes(one: Mapping[str, Any]) -> str:
    """What a stage of the boot changed, behind a fold."""
    parts = []
    for change in one["changes"]:
        where = f": {text(visible(', '.join(change['where'])))}" if change["where"] else ""
        parts.append(f'<p class="shown">{word("part_" + change["part"])}{where}</p>{difference(change["lines"])}\n')
    return _folded(f"{both(stage(one['what'], 'en'), stage(one['what'], 'zh'))}: {word('boot_changes')}", "".join(parts))


def _step(step: Mapping[str, Any], prefix: str, journeys: Journeys) -> str:
    bad = step["status"] in ("failed", "error", None)
    status = word(step["status"]) if step["status"] else word("not_run")
    repeat = f" · {word('repeated', n=step['repeat'])}" if step.get("repeat") else ""
    took = "" if step["status"] in ("skipped", "left_out") else f" · {time(step['seconds'])}"
    head = f'{_mark(step["status"])}<h3>{step["number"]}. {entry(step["title"])}</h3><span class="time">{status}{repeat}{took}</span>'
    why = f'<p class="why">{entry(step["why"])}</p>\n' if step["why"]["en"] else ""
    reason = f'<p class="reason">{entry(step["reason"])}</p>\n' if step.get("reason") else ""
    inner = f"{why}{''.join(_inside(step, journeys))}{reason}{_evidence(step)}"
    name, kind = identifier(prefix, step["key"]), "step bad" if bad else "step"
    return f'<article class="{kind}" id={name}><header>{head}</header><div class="inside">{inner}</div></article>\n'


def _inside(step: Mapping[str, Any], journeys: Journeys) -> Iterator[str]:
    """What happened in a step, in order: each command with what came after it, then the checks that judge none alone."""
    yield from _after(step, 0, journeys)
    for one in step["commands"]:
        yield command(one)
        yield _checks(step, one["number"])
        yield from _after(step, one["number"], journeys)
    yield _checks(step, 0)


def _after(step: Mapping[str, Any], number: int, journeys: Journeys) -> Iterator[str]:
    for one in step["shown"]:
        if one["after"] == number:
            yield f'<p class="shown">{entry(one["title"])}</p><pre>{text(visible(chr(10).join(one["lines"])))}</pre>\n'
    for one in step["journeys"]:
        if one["after"] == number:
            yield journeys.draw(one["journey"])
    for one in step["notes"]:
        if one["after"] == number:
            yield f'<p class="note">{entry(one["text"])}</p>\n'


def _checks(step: Mapping[str, Any], number: int) -> str:
    found = [check(one) for one in step["checks"] if one["command"] == number]
    return f'<ul class="checks">{"".join(found)}</ul>\n' if found else ""


def _evidence(step: Mapping[str, Any]) -> str:
    machines: dict[str, list[str]] = {}
    for one in step["evidence"]:
        machines.setdefault(one["where"], []).append(command(one))
    return "".join(_folded(word("evidence_of", where=name), "".join(found)) for name, found in machines.items())
