"""Failures are traced to attributes, and chance is not mistaken for one."""

import random
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.updates.domain.gates import Outcome, rank
from apps.updates.domain.gates.attribution import _tail

MODELS = ("pi3", "pi4", "jetson")


def fleet(seed: int, size: int, bad_model_rate: float) -> list[Outcome]:
    """Devices of three models; those of pi3 fail at their own rate, the others at 2 %."""
    chance = random.Random(seed)
    outcomes = []
    for _ in range(size):
        model = chance.choice(MODELS)
        traits = [("model", model), ("region", chance.choice("abcdefgh"))]
        traits += [("tag", f"t{number}") for number in chance.sample(range(40), 3)]
        rate = bad_model_rate if model == "pi3" else 0.02
        outcomes.append(Outcome(chance.random() < rate, traits))
    return outcomes


def test_the_model_that_fails_is_named_first() -> None:
    first, *_ = rank(fleet(1, 400, 0.3))
    assert (first.attribute, first.value) == ("model", "pi3")
    assert first.lift > 2
    assert first.p_value <= first.q_value < 0.001


def test_failures_by_chance_rarely_name_anything() -> None:
    blamed = sum(bool(rank(fleet(seed, 200, 0.02))) for seed in range(300))
    # At most 5 % in the long run; 300 fleets may show up to 4.5 standard deviations more.
    assert blamed <= 300 * 0.05 + 17


@given(st.integers(1, 60).flatmap(lambda n: st.tuples(*[st.integers(0, n)] * 3, st.just(n))))
def test_the_p_value_is_the_exact_hypergeometric_tail(numbers: tuple[int, int, int, int]) -> None:
    failed, total, failures, everyone = numbers
    failed = max(min(failed, total, failures), total + failures - everyone, 0)
    exact = sum(
        comb(failures, k) * comb(everyone - failures, total - k)
        for k in range(failed, min(total, failures) + 1)
        if total - k <= everyone - failures
    ) / comb(everyone, total)
    assert _tail(failed, total, failures, everyone) == pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize(
    "outcomes",
    [
        [],
        [Outcome(True, [("model", "pi4")])],
        [Outcome(True, [("model", "pi4")])] * 50,
        [Outcome(False, [("model", "pi4")])] * 50,
        [Outcome(True, [])] * 5 + [Outcome(False, [])] * 5,
    ],
)
def test_nothing_is_named_where_nothing_tells_devices_apart(outcomes: list[Outcome]) -> None:
    assert rank(outcomes) == []


def test_a_trait_named_twice_counts_once() -> None:
    bad = [Outcome(True, [("tag", "lab"), ("tag", "lab")])] * 10
    suspect = rank(bad + [Outcome(False, [("tag", "field")])] * 90)[0]
    assert (suspect.value, suspect.failed, suspect.total, suspect.lift) == ("lab", 10, 10, 10.0)


def test_at_most_so_many_suspects_are_named_as_asked_for() -> None:
    bad = [Outcome(True, [("tag", f"t{n}") for n in range(20)])] * 20
    assert len(rank(bad + [Outcome(False, [])] * 80, limit=3)) == 3


def test_the_largest_fleet_is_ranked() -> None:
    suspects = rank(fleet(5, 20_000, 0.03))
    assert [s.value for s in suspects] == ["pi3"]
