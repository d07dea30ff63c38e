from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.kubelet import probes, probing
from lab.kubelet.life import Life
from lab.kubelet.probes import Probe, Tally

READINESS = Probe("readiness", "tcpSocket", {"port": 80}, success=2, failure=3)
LIVENESS = Probe("liveness", "exec", {"command": ["true"]})


def told(probe: Probe, *answers: bool) -> Tally:
    tally = probes.begin(probe)
    for answer in answers:
        tally = probes.after(tally, probe, answer)
    return tally


def test_before_the_first_answer_a_container_lives_but_is_not_ready() -> None:
    assert probes.begin(LIVENESS).verdict and not probes.begin(READINESS).verdict


def test_the_verdict_changes_at_the_thresholds() -> None:
    assert not told(READINESS, True).verdict
    assert told(READINESS, True, True).verdict
    assert told(READINESS, True, True, False, False).verdict
    assert told(READINESS, True, True, False, False, True, False, False).verdict, "one success in between begins the count anew"
    assert not told(READINESS, True, True, False, False, False).verdict


def test_a_liveness_probe_asks_for_the_end_after_its_threshold() -> None:
    assert not probes.failed(told(LIVENESS, False, False), LIVENESS)
    assert probes.failed(told(LIVENESS, False, False, False), LIVENESS)
    assert not probes.failed(told(LIVENESS, False, False, False, True), LIVENESS)


@given(st.lists(st.booleans(), min_size=1))
def test_the_verdict_is_what_the_last_streak_of_enough_answers_said(answers: list[bool]) -> None:
    expected, streak, last = False, 0, None
    for answer in answers:
        streak, last = (streak + 1 if answer == last else 1), answer
        if streak >= (2 if answer else 3):
            expected = answer
    assert told(READINESS, *answers).verdict is expected


def test_a_probe_with_the_apis_defaults_and_one_without_action() -> None:
    found = probes.of_container({"readinessProbe": {"httpGet": {"port": 80}}, "livenessProbe": {"periodSeconds": 3}})
    assert found == {"readiness": Probe("readiness", "httpGet", {"port": 80}, 0, 10, 1, 1, 3)}


def test_a_probe_with_everything_set() -> None:
    wish = {"exec": {"command": ["x"]}, "initialDelaySeconds": 5, "periodSeconds": 2, "timeoutSeconds": 4, "failureThreshold": 1}
    assert probes.of_container({"livenessProbe": wish})["liveness"] == Probe("liveness", "exec", {"command": ["x"]}, 5, 2, 4, 1, 1)


def test_a_readiness_probe_is_impatient_until_its_first_success() -> None:
    assert probes.pause(READINESS, told(READINESS, False), 1.0) == probes.FAST
    assert probes.pause(READINESS, told(READINESS, False), 60.0) == 10.0
    assert probes.pause(READINESS, told(READINESS, True, True), 1.0) == 10.0
    assert probes.pause(LIVENESS, told(LIVENESS, False), 1.0) == 10.0


def test_who_is_ready() -> None:
    plain, serving, asked = Life({}, {}, 0), Life({}, {}, 80), Life({}, {"readiness": READINESS}, 0)
    for life in (plain, serving, asked):
        life.begin(0, 0.0)
    assert (plain.ready, serving.ready, asked.ready) == (True, False, False)
    serving.answers, asked.tallies["readiness"] = True, Tally(True)
    assert serving.ready and asked.ready
    serving.begin(1, 9.0)
    assert not serving.ready, "a new life has to answer anew"


def test_a_startup_probe_comes_first() -> None:
    starting = Life({}, {"startup": Probe("startup", "tcpSocket", {"port": 80})}, 0)
    starting.begin(0, 0.0)
    assert not starting.started and not starting.ready
    starting.tallies["startup"] = Tally(True)
    assert starting.started and starting.ready


@pytest.mark.parametrize(("port", "expected"), [(80, 80), ("81", 81), ("web", 8080), ("none", 0), (None, 0)])
def test_a_port_may_have_a_name(port: object, expected: int) -> None:
    assert probes.port_number(port, {"ports": [{"name": "web", "containerPort": 8080}]}) == expected


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(int(self.path.strip("/") or 200))
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), _Page) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.mark.parametrize(("code", "passes"), [(200, True), (302, True), (404, False), (500, False)])
def test_http_answers_from_200_to_399_pass(port: int, code: int, passes: bool) -> None:
    passed, text = probing._http({"path": f"/{code}"}, "127.0.0.1", port, 2.0)
    assert passed is passes and (passes or str(code) in text)


@pytest.mark.parametrize("path", ["/bad\npath", "/a b"])
def test_a_path_that_makes_no_sense_fails_the_probe_and_nothing_else(port: int, path: str) -> None:
    assert not probing._http({"path": path}, "127.0.0.1", port, 2.0)[0]


def test_a_port_where_nobody_listens_or_that_is_none() -> None:
    assert "Connection refused" in probing.refuses("127.0.0.1", 1, 1.0)
    assert probing.refuses("127.0.0.1", 70000, 1.0)
