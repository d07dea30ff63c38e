"""How the suite's tests are spread over workers."""

from __future__ import annotations

import pytest

from tests import workers

pytest_plugins = ["pytester"]
TESTS = """
    import pytest

    @pytest.fixture(scope="module")
    def lab(): return "a lab"

    @pytest.fixture(scope="module", params=["x", "y"])
    def mode(request): return request.param

    @pytest.fixture
    def own(): return "its own"

    def test_alone(own, tmp_path): ...
    def test_looks(lab): ...
    @pytest.mark.parametrize("what", ["a", "b"])
    def test_asks(mode, what): ...
    @pytest.mark.xdist_group("the one port")
    def test_marked(lab): ...
    def test_looks_too(lab, own): ...
"""


def test_tests_that_share_a_modules_fixture_are_a_group_for_each_parameter(pytester: pytest.Pytester) -> None:
    found = {item.name: workers.group(item) for item in pytester.getitems(TESTS)}
    name = next(iter(found.values())).partition("::")[0]
    assert found == {
        "test_alone": f"{name}::test_alone",
        "test_looks": f"{name}-lab",
        "test_looks_too": f"{name}-lab",
        "test_asks[x-a]": f"{name}-mode0",
        "test_asks[x-b]": f"{name}-mode0",
        "test_asks[y-a]": f"{name}-mode1",
        "test_asks[y-b]": f"{name}-mode1",
        "test_marked": "the one port",
    }


@pytest.mark.parametrize(
    "asked, number",
    [
        (["."], 4),
        (["e2e"], 4),
        (["unit", "e2e/test_run.py"], 4),
        (["unit"], 0),
        (["unit/test_workers.py", "golden"], 0),
        (["../scenarios/nginx-service"], 4),
        ([], 4),
    ],
)
def test_the_number_of_workers(asked: list[str], number: int) -> None:
    assert workers.number(2, [(workers.HERE / word).resolve() for word in asked]) == number


def test_long_tests_begin_first_and_of_those_the_groups(pytester: pytest.Pytester) -> None:
    items = pytester.getitems(TESTS)
    groups = {item.nodeid: workers.group(item) for item in items}
    here, quick = workers.HERE / "e2e" / "test_x.py", workers.HERE / "unit" / "test_x.py"
    for item in items:
        item.path = here if item.name != "test_looks" else quick
    names = [item.name for item in sorted(items, key=lambda item: workers.turn(item, groups))]
    assert names[-2:] == ["test_alone", "test_looks"]
