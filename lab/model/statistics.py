"""How far chance may stray: bounds for counts of random choices. Pure."""

from __future__ import annotations

from math import exp, lgamma, log


def binomial_bounds(trials: int, probability: float, error: float) -> tuple[int, int]:
    """The counts (low, high), both allowed, that a fair choice leaves at most with probability `error`, half of it on each side.

    trials        how many independent choices, at least 0
    probability   of the outcome that is counted, between 0 and 1
    error         how often a fair choice may be called unfair, above 0 and below 1

    Exact: sums the binomial distribution instead of approximating it. Raises ValueError for values out of range.
    """
    if trials < 0 or not 0 <= probability <= 1 or not 0 < error < 1:
        raise ValueError(f"no binomial distribution: trials {trials}, probability {probability}, error {error}")
    return _lowest(trials, probability, error / 2), trials - _lowest(trials, 1 - probability, error / 2)


def _lowest(trials: int, probability: float, error: float) -> int:
    """The smallest count that is allowed: all counts below it together have at most the probability `error`."""
    below = 0.0
    for count in range(trials + 1):
        below += _mass(trials, count, probability)
        if below > error:
            return count
    return trials


def _mass(trials: int, count: int, probability: float) -> float:
    """The probability of exactly `count` outcomes. By logarithms, because factorials of some hundreds overflow a float."""
    if probability in (0, 1):
        return float(count == trials * probability)
    ways = lgamma(trials + 1) - lgamma(count + 1) - lgamma(trials - count + 1)
    return exp(ways + count * log(probability) + (trials - count) * log(1 - probability))
