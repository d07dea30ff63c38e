"""Bounds of the binomial distribution, against sums of exact fractions."""

from __future__ import annotations

from fractions import Fraction
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.model.statistics import binomial_bounds


def _within(trials: int, low: int, high: int, half: Fraction) -> tuple[Fraction, Fraction]:
    """The exact probabilities of fewer than `low` and of more than `high`."""

    def mass(count: int) -> Fraction:
        return comb(trials, count) * half**count * (1 - half) ** (trials - count)

    return sum(map(mass, range(low)), Fraction(0)), sum(map(mass, range(high + 1, trials + 1)), Fraction(0))


@given(st.integers(1, 200), st.integers(2, 9), st.sampled_from([0.5, 0.05, 1e-3, 1e-6]))
def test_bounds_are_the_tightest_that_keep_the_error(trials: int, ways: int, error: float) -> None:
    probability = Fraction(1, ways)
    low, high = binomial_bounds(trials, 1 / ways, error)
    below, above = _within(trials, low, high, probability)
    slack = 1 + 1e-9
    assert below <= error / 2 * slack
    assert above <= error / 2 * slack
    assert _within(trials, low + 1, high, probability)[0] > error / 2 / slack
    assert _within(trials, low, high - 1, probability)[1] > error / 2 / slack


def test_a_coin_thrown_300_times() -> None:
    assert binomial_bounds(300, 0.5, 0.05) == (133, 167)


@pytest.mark.parametrize(("trials", "probability", "expected"), [(0, 0.5, (0, 0)), (10, 0.0, (0, 0)), (10, 1.0, (10, 10))])
def test_no_choice_at_all(trials: int, probability: float, expected: tuple[int, int]) -> None:
    assert binomial_bounds(trials, probability, 0.01) == expected


@pytest.mark.parametrize(("trials", "probability", "error"), [(-1, 0.5, 0.1), (1, 1.5, 0.1), (1, 0.5, 0.0), (1, 0.5, 1.0)])
def test_nonsense_is_refused(trials: int, probability: float, error: float) -> None:
    with pytest.raises(ValueError, match="no binomial distribution"):
        binomial_bounds(trials, probability, error)
