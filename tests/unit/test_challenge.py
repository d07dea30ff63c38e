"""Challenges without a lab: what a seed decides, what a script may declare, how a grade is shown."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given as each
from hypothesis import strategies as st

from lab.challenge.given import HOSTNAMES, SEED, Given, give, unknown_names
from lab.challenge.prepare import load_challenge, prepared
from lab.cli.challenge import lab_name
from lab.cluster.units import merged
from lab.errors import InputError, UsageError
from lab.fabric import registry
from lab.model import catalog, checks, load
from lab.report import grades

ZENLIN = load.read_topology(catalog.find_topology("zenlin"))
CHALLENGES = catalog.list_challenges()
SEEDS = st.from_regex(SEED, fullmatch=True)


@each(SEEDS)
def test_every_seed_gives_a_cluster_without_fault(seed: str) -> None:
    given = give("missing-route", seed, ZENLIN)
    assert not list(checks.of_topology(given.topology))
    assert given.cluster_ip in given.topology.networks.service
    assert all(node.pod_cidr.subnet_of(given.topology.networks.pod) for node in given.topology.nodes if node.pod_cidr)
    assert not unknown_names("".join(f"${{{name}}}" for name in given.names))


@each(SEEDS)
def test_a_seed_gives_the_same_again(seed: str) -> None:
    first, second = give("one", seed, ZENLIN), give("one", seed, ZENLIN)
    for one in (first, second):
        assert (one.topology, one.app, one.cluster_ip) == (first.topology, first.app, first.cluster_ip)
    assert first.dice.random() == second.dice.random()


def test_seeds_differ() -> None:
    all_of_a_class = [give("one", f"student{number}", ZENLIN) for number in range(30)]
    assert len({str(one.topology.networks.pod) for one in all_of_a_class}) > 25
    assert len({one.workers for one in all_of_a_class}) > 25
    assert give("two", "student1", ZENLIN).topology != all_of_a_class[1].topology


def test_without_a_seed_the_cluster_is_the_file_s() -> None:
    assert give("one", "", ZENLIN).topology == ZENLIN
    assert not set(HOSTNAMES) & {node.name for node in ZENLIN.nodes}


@pytest.mark.parametrize("seed", ["a b", "a/b", "a" * 65, "é", "$(x)"])
def test_no_seed(seed: str) -> None:
    with pytest.raises(UsageError, match="no name for a student"):
        give("one", seed, ZENLIN)


def test_topology_without_workers() -> None:
    with pytest.raises(UsageError, match="two workers"):
        give("one", "x", load.read_topology(catalog.find_topology("docker-alone")))


@each(SEEDS)
def test_a_lab_s_name_is_one(seed: str) -> None:
    assert registry.NAME.fullmatch(lab_name("missing-route", seed))


@pytest.mark.parametrize("folder", CHALLENGES, ids=[folder.name for folder in CHALLENGES])
def test_shipped(folder: Path) -> None:
    challenge = load_challenge(folder)
    for seed in ("", "ada"):
        given, what = prepared(challenge, seed)
        assert {pod.name for pod in what.objects.pods} >= {"visitor-1", "visitor-2"}
        texts = [challenge.title, challenge.story, *challenge.hints]
        assert all(text.en and text.zh for text in texts)
        assert "${" not in given.fill("".join(text.en + text.zh for text in texts))


def test_there_are_ten_of_three_levels() -> None:
    levels = [load_challenge(folder).level for folder in CHALLENGES]
    assert len(levels) >= 10 and set(levels) == {1, 2, 3}


def test_a_wrong_script_names_every_problem(tmp_path: Path) -> None:
    (tmp_path / "challenge.py").write_text(
        "from lab.challenge import Challenge, Text\n"
        'challenge = Challenge(title=Text("a", "b"), level=7, story=Text("${nobody}", ""), manifests=["none.yaml"])\n'
    )
    with pytest.raises(InputError) as error:
        load_challenge(tmp_path)
    text = str(error.value)
    for part in ("nothing breaks the lab", "7 is none of 1, 2, 3", "hints", "${nobody}", "none.yaml", "challenge.py:2"):
        assert part in text


@pytest.mark.parametrize(
    ("own", "extra", "result"),
    [
        (["--a", "1", "--b"], [], ["--a", "1", "--b"]),
        (["--a", "1", "--b"], ["--a", "2"], ["--b", "--a", "2"]),
        (["--a", "1", "--b"], ["--a=2", "--c"], ["--b", "--a=2", "--c"]),
        (["--b", "--a", "1"], ["--b"], ["--a", "1", "--b"]),
    ],
)
def test_extra_flags_take_the_place_of_the_lab_s(own: list[str], extra: list[str], result: list[str]) -> None:
    assert merged(own, extra) == result


def _answer(**changes: Any) -> dict[str, Any]:
    row = {
        "key": "a", "title": {"en": "It works", "zh": "正常"}, "ok": False,
        "commands": [{"prompt": "root@x:~#", "command": "curl \x1b[31m", "output": "no\n", "status": 7}],
        "failed": [{"name": {"en": "an answer", "zh": "应答"}, "expected": "yes", "actual": ""}],
    }  # fmt: skip
    head = {"challenge": "one", "student": "ada", "title": {"en": "One", "zh": "一"}, "level": 2}
    return head | {"solved": False, "checks": [row, row | {"ok": True}], "attempts": 3, "hints": 1, "minutes": 4.5} | changes


def test_a_grade_for_people() -> None:
    text = grades.grade(_answer(), "en")
    for part in ("✗ It works", "✓ It works", "root@x:~# curl", "(exit status 7)", "expected: yes", "really: (nothing)", "1 of 2 work"):
        assert part in text
    assert "\x1b" not in text
    assert "已解决" in grades.grade(_answer(solved=True), "zh")


def test_a_roster_is_csv_that_no_spreadsheet_takes_for_a_formula() -> None:
    text = grades.roster([("lab-1", _answer(student="+ada")), ("lab-2", _answer(solved=True))])
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["solved"] for row in rows] == ["no", "yes"]
    assert rows[0]["student"] == "'+ada" and rows[0]["passed"] == "1" and rows[0]["minutes"] == "4.5"
    assert grades.roster([("lab-1", _answer())], header=False).count("\n") == 1


def test_given_fills_only_its_names() -> None:
    given: Given = give("one", "", ZENLIN)
    assert given.fill("${worker1} $HOME ${other} $$") == "zenlinnode1 $HOME ${other} $"
