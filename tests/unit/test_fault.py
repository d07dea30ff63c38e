"""Faults as people say them, and the commands and programs that they become."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.cluster import linkfault
from lab.errors import NotHere, UsageError
from lab.model import fault
from lab.model.fault import Quality, Wish, parse
from lab.remote.facade import RemoteCluster
from lab.scenario.events import Event, Noted
from lab.scenario.view import Clock, View

STOLEN, GO_ON = 4, 0xFFFFFFFF


def run(program: str, mark: int, random: int) -> int:
    """What a program of classic BPF returns, as far as these programs use it."""
    count, *lines = program.split(",")
    instructions = [tuple(map(int, line.split())) for line in lines]
    assert len(instructions) == int(count)
    place, register = 0, 0
    while True:
        code, yes, no, value = instructions[place]
        place += 1
        if code == 0x20:
            register = {0xFFFFF014: mark, 0xFFFFF038: random}[value]
        elif code == 0x15:
            place += yes if register == value else no
        elif code == 0x35:
            place += yes if register >= value else no
        else:
            assert code == 0x06
            return value


@given(st.floats(0, 100, exclude_max=True), st.integers(0, 2**32 - 1))
def test_as_many_of_all_dice_lose_as_the_percentage_says(percent: float, random: int) -> None:
    lost = run(linkfault.loses(percent), 0, random) == STOLEN
    assert lost == (random < round(percent / 100 * 2**32))


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_a_hundred_percent_loses_every_packet_but_those_of_the_delay_stage(mark: int, random: int) -> None:
    assert run(linkfault.loses(100), mark, random) == (GO_ON if mark == linkfault.MARK else STOLEN)


@given(st.floats(0, 100), st.integers(0, 2**32 - 1))
def test_a_packet_that_was_delayed_is_neither_lost_nor_delayed_again(percent: float, random: int) -> None:
    assert run(linkfault.loses(percent), linkfault.MARK, random) == GO_ON
    assert run(linkfault.unmarked(), linkfault.MARK, random) == 0
    assert run(linkfault.unmarked(), 0x4000, random) != 0


@pytest.mark.parametrize(
    ("words", "wish"),
    [
        ("loss 30", Wish({"loss": 30})),
        ("delay 50ms loss 0.5%", Wish({"delay": 50, "loss": 0.5})),
        ("rate 1.5Mbit", Wish({"rate": 1_500_000})),
        ("loss 0 rate 0", Wish({"loss": 0, "rate": 0})),
        ("down", Wish(action="down")),
        ("clear", Wish(action="clear")),
    ],
)
def test_what_people_say(words: str, wish: Wish) -> None:
    assert parse(words.split()) == wish


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ("", "say which fault"),
        ("jitter 3", "no fault 'jitter'"),
        ("loss", "loss of how much? say loss 30"),
        ("loss 101", "0 to 100"),
        ("loss -1", "0 to 100"),
        ("loss nan", "0 to 100"),
        ("loss 1e2", "0 to 100"),
        ("loss ٣", "0 to 100"),
        ("delay 10001", "0 to 10000"),
        ("rate 7kbit", "8kbit to 10gbit"),
        ("rate 5", "8kbit to 10gbit"),
        ("loss 1 loss 2", "loss is said twice"),
        ("loss 1 down", "or one of down, up, pause"),
    ],
)
def test_what_people_say_wrongly(words: str, part: str) -> None:
    with pytest.raises(UsageError) as error:
        parse(words.split())
    assert part in str(error.value)


def test_a_cut_has_no_way() -> None:
    assert parse(["loss", "3"], "in").way == "in"
    for words, way in ((["down"], "out"), (["loss", "3"], "sideways")):
        with pytest.raises(UsageError):
            parse(words, way)


@given(st.floats(0, 100), st.integers(fault.SLOWEST, fault.FASTEST))
def test_a_rate_is_written_as_it_is_read(loss: float, rate: int) -> None:
    assert parse(["rate", fault.rate_text(rate)]).values["rate"] == rate


def test_setting_one_thing_leaves_the_others() -> None:
    quality = Quality().changed({"loss": 30}).changed({"delay": 50.0, "rate": 1_000_000})
    assert quality == Quality(30, 50, 1_000_000) and str(quality) == "loss 30 %, delay 50 ms, rate 1mbit"
    assert quality.changed({"loss": 0, "delay": 0, "rate": 0}) == fault.PERFECT and not str(fault.PERFECT)


def test_netem_is_told_all_in_one_command() -> None:
    words = "tc qdisc replace dev eth0 root netem limit 10000 delay 50ms loss random 0.5% rate 1mbit"
    assert " ".join(linkfault.netem("eth0", Quality(0.5, 50, 1_000_000))) == words
    assert " ".join(linkfault.netem("eth0", Quality(loss=30))) == "tc qdisc replace dev eth0 root netem limit 10000 loss random 30%"


def test_without_netem_there_is_a_command_for_each_part() -> None:
    found = [" ".join(argv) for argv in linkfault.filters("eth0", Quality(30, 50, 1_000_000), "lab-eth0")]
    assert found == [
        "tc qdisc replace dev eth0 root tbf rate 1mbit burst 4000 latency 400ms",
        "tc qdisc add dev eth0 clsact",
        f"tc filter add dev eth0 egress protocol all prio 1 bpf da bytecode {linkfault.loses(30)}",
        f"tc filter add dev eth0 egress protocol all prio 2 bpf bytecode {linkfault.unmarked()} action mirred egress redirect dev lab-eth0",
    ]
    assert [argv[2] for argv in linkfault.filters("eth0", Quality(rate=1_000_000), "")] == ["replace"]
    assert not list(linkfault.filters("eth0", fault.PERFECT, ""))


def test_a_step_shows_a_fault_as_a_learner_would_type_it() -> None:
    class Lab:
        def fault(self, *words: str, **options: str) -> None:
            asked.append((words, options))

    asked: list[object] = []
    events: list[Event] = []
    view = View(Lab(), events.append, Clock(lambda: 0.0, lambda seconds: None))
    view.fault("node2", "loss 30 delay 5", way="out", interface="eth0")
    assert asked == [(("node2", "loss 30 delay 5"), {"way": "out", "interface": "eth0"})]
    (noted,) = events
    assert isinstance(noted, Noted) and noted.text.en == noted.text.zh == "`lab fault --way out -i eth0 node2 loss 30 delay 5`"


@pytest.mark.parametrize("name", ["fault", "clear_faults", "faults"])
def test_a_cluster_elsewhere_is_not_broken(name: str) -> None:
    with pytest.raises(NotHere):
        getattr(RemoteCluster(None, "run", (), {}, None), name)  # type: ignore[arg-type]
