"""What the page is told second by second, and that nothing grows while it is told slowly."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from lab.web import story
from lab.web.live import Mailbox, Sample, State, Window, difference, state_of

COUNTS = st.tuples(*[st.integers(0, 1 << 40)] * 4)
STATES = st.builds(State, st.dictionaries(st.sampled_from("abcd"), COUNTS), st.dictionaries(st.sampled_from("xyz"), st.none() | st.integers(0, 99)))


def sample(time: float, **counters: tuple[int, int, int, int]) -> Sample:
    return Sample(time, {"node": counters}, {"node": 7})


def test_rates_are_a_second() -> None:
    state = state_of(sample(10.0, eth0=(0, 0, 0, 0)), sample(12.0, eth0=(3000, 20, 100, 2)))
    assert state == State({"node eth0": (1500, 10, 50, 1)}, {"node": 7})


def test_one_packet_in_a_long_time_is_not_nothing() -> None:
    assert state_of(sample(0.0, eth0=(0, 0, 0, 0)), sample(2.0, eth0=(1, 1, 0, 0))).traffic["node eth0"] == (1, 1, 0, 0)


def test_the_first_sight_of_an_interface_is_no_traffic() -> None:
    assert not state_of(None, sample(1.0, eth0=(9, 9, 9, 9))).traffic
    assert not state_of(sample(1.0), sample(2.0, eth0=(9, 9, 9, 9))).traffic


def test_a_new_interface_of_an_old_name_begins_anew() -> None:
    assert not state_of(sample(1.0, eth0=(9, 9, 9, 9)), sample(2.0, eth0=(10, 1, 10, 10))).traffic


def test_two_samples_of_one_moment_say_nothing() -> None:
    assert not state_of(sample(1.0, eth0=(0, 0, 0, 0)), sample(1.0, eth0=(9, 9, 9, 9))).traffic


def applied(known: dict[str, dict[str, object]], message: dict[str, object]) -> None:
    """What the page does with a message."""
    for name in ("traffic", "rules"):
        news = message.get(name, {})
        assert isinstance(news, dict)
        for key, value in news.items():
            if value is None:
                known[name].pop(key, None)
            else:
                known[name][key] = value


@settings(max_examples=30)
@given(st.lists(st.tuples(STATES, st.booleans()), max_size=12))
def test_a_page_that_takes_now_and_then_knows_the_state_in_the_end(moments: list[tuple[State, bool]]) -> None:
    mailbox = Mailbox()
    known: dict[str, dict[str, object]] = {"traffic": {}, "rules": {}}
    last = moments[-1][0] if moments else State()
    for state, takes in [*moments, (last, True)]:
        mailbox.state(state)
        for message in mailbox.take() if takes else ():
            applied(known, message)
    assert known == {"traffic": dict(last.traffic), "rules": {key: value for key, value in last.rules.items() if value is not None}}


@given(STATES)
def test_nothing_new_is_not_told(state: State) -> None:
    assert difference(state, state) == {}
    mailbox = Mailbox()
    mailbox.state(state)
    mailbox.take()
    assert mailbox.take() == []


def test_a_page_that_takes_nothing_gets_one_message_of_each_kind() -> None:
    mailbox = Mailbox()
    for number in range(1000):
        mailbox.notice("graph", {"revision": number})
        mailbox.notice("busy", {"what": str(number)})
        mailbox.state(State({"node eth0": (number, 0, 0, 0)}))
    assert mailbox.take() == [
        {"type": "graph", "revision": 999}, {"type": "busy", "what": "999"}, {"type": "state", "traffic": {"node eth0": (999, 0, 0, 0)}},
    ]  # fmt: skip


def test_a_window_fills_and_opens_again() -> None:
    window = Window(10)
    window.sent(9)
    assert not window.full
    window.sent(1)
    assert window.full
    window.drawn(1)
    assert not window.full


@given(st.lists(st.integers(-(1 << 40), 1 << 40)))
def test_a_page_cannot_open_the_window_further_than_it_was(claims: list[int]) -> None:
    window = Window(10)
    for claim in claims:
        window.drawn(claim)
    window.sent(10)
    assert window.full


def test_a_story_keeps_the_last_run_of_each_step_and_cuts_outputs() -> None:
    told = story.Story()
    for _ in range(50):
        told.keep(
            [
                {"event": "RunStarted"},
                {"event": "StepStarted", "key": "a"},
                {"event": "CommandRan", "stdout": "x" * (story.MOST + 5), "stderr": ""},
                {"event": "StepStarted", "key": "b"},
                {"event": "StepEnded", "key": "b"},
            ]
        )
    assert {key: [event["event"] for event in events] for key, events in told.events.items()} == {
        "a": ["StepStarted", "CommandRan"], "b": ["StepStarted", "StepEnded"],
    }  # fmt: skip
    assert told.events["a"][1]["stdout"] == "x" * story.MOST + "\n… (+5)\n"


def test_a_running_step_is_told_as_it_comes() -> None:
    told = story.Story()
    command = {"prompt": "#", "command": "c", "number": 1}
    assert told.hear({"event": "CommandStarted", **command}) == "", "of no step that is known"
    said = {"event": "CommandSaid", "line": 0, "text": "1\n2\n"}
    for event in ({"event": "StepStarted", "key": "a"}, {"event": "CommandStarted", **command}, said):
        assert told.hear(event) == "a"
    told.hear({"event": "CommandSaid", "line": 5, "text": "lines before it are missing\n"})
    told.hear({"event": "Travelled"})
    assert told.events["a"][1:] == [{"event": "CommandRunning", **command, "stdout": "1\n2\n", "lines": 2}]
    told.hear({"event": "CommandSaid", "line": 2, "text": "3\n" * story.MOST})
    told.hear({"event": "CommandSaid", "line": 2 + story.MOST, "text": "more\n"})
    assert "more" not in told.events["a"][1]["stdout"]
    told.hear({"event": "CommandRan", **command, "stdout": "x" * (story.MOST + 1), "stderr": ""})
    assert [event["event"] for event in told.events["a"]] == ["StepStarted", "CommandRan"] and len(told.events["a"][1]["stdout"]) < story.MOST + 20
    told.hear({"event": "CommandStarted", **command})
    told.hear({"event": "StepEnded", "key": "a"})
    assert [event["event"] for event in told.events["a"][2:]] == ["CommandRunning", "StepEnded"], "a command that was cut off stays"


def test_a_story_says_whether_the_steps_have_changed() -> None:
    told = story.Story()
    steps = [{"key": "a", "status": "ahead"}]
    assert told.heard(steps) and not told.heard(steps)
    assert told.heard([{"key": "a", "status": "passed"}])
