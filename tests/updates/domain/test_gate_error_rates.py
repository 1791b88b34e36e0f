"""The promised error rates hold, with a look after every outcome; shown by seeded trials."""

import random
from decimal import Decimal
from fractions import Fraction
from math import sqrt

import pytest

from apps.updates.domain.gate import Counts
from apps.updates.domain.gates import Arm, Evidence, GateKind, GatePolicy, judge
from apps.updates.domain.gates.intervals import rate_interval
from apps.updates.domain.gates.sprt import Boundaries, boundaries
from apps.updates.domain.gates.two_sample import (
    difference_interval,
    is_no_worse,
    is_possible,
    is_worse,
)
from apps.updates.domain.states import GateDecision

FIVE = Fraction(1, 20)
MARGIN = Decimal("0.15")


def most(chance: float, trials: int) -> float:
    """What a share of at most `chance` may come to in so many trials: four standard deviations."""
    return chance + 4 * sqrt(chance * (1 - chance) / trials)


def decided(test: Boundaries, rate: float, chance: random.Random) -> str:
    """Wald's test with a look after every outcome, until it decides."""
    outcomes = failures = 0
    while True:
        outcomes += 1
        failures += chance.random() < rate
        if test.halts(outcomes - failures, failures):
            return "halt"
        if test.promotes(outcomes - failures, failures):
            return "promote"


@pytest.mark.parametrize(
    ("acceptable", "unacceptable", "alpha", "beta"),
    [("0.02", "0.1", "0.05", "0.05"), ("0.05", "0.2", "0.1", "0.02")],
)
def test_false_halts_and_missed_bad_releases_stay_within_alpha_and_beta(
    acceptable: str, unacceptable: str, alpha: str, beta: str
) -> None:
    test = boundaries(Decimal(acceptable), Decimal(unacceptable), Fraction(alpha), Decimal(beta))
    chance, trials = random.Random(2026), 2500
    halted = [decided(test, float(acceptable), chance) for _ in range(trials)].count("halt")
    missed = [decided(test, float(unacceptable), chance) for _ in range(trials)].count("promote")
    assert halted / trials <= most(float(alpha), trials)
    assert missed / trials <= most(float(beta), trials)
    # A test that never decides would pass the above.
    assert halted + missed > 0


def test_the_gate_that_is_used_is_the_test_that_was_tried() -> None:
    policy = GatePolicy(kind=GateKind.SEQUENTIAL).checked()
    test = boundaries(Decimal("0.01"), Decimal("0.05"), FIVE, Decimal("0.05"))
    for outcomes in range(0, 400, 13):
        halt, promote = test.halt_number(outcomes), test.promote_number(outcomes)
        for failures in range(max(promote - 1, 0), min(outcomes, halt + 1) + 1):
            counts = Counts(waiting=1, succeeded=outcomes - failures, failed=failures)
            expected = "halt" if failures >= halt else "promote" if failures <= promote else "hold"
            assert judge(policy, Evidence(counts)).decision.value == expected


def test_waiting_for_soak_does_not_raise_the_chance_of_a_false_halt() -> None:
    """Promotion is put off to the end, so every outcome of the phase may still halt."""
    test = boundaries(Decimal("0.02"), Decimal("0.1"), FIVE, Decimal("0.05"))
    chance, trials, size = random.Random(7), 800, 300
    limits = [test.halt_number(outcomes) for outcomes in range(size + 1)]
    halted = 0
    for _ in range(trials):
        failures = 0
        for outcomes in range(1, size + 1):
            failures += chance.random() < 0.02
            if failures >= limits[outcomes]:
                halted += 1
                break
    # Ville's inequality, which needs no promotion in time: alpha / (1 - beta).
    assert halted / trials <= most(0.05 / 0.95, trials)


def judged_while_failures_are_late(
    policy: GatePolicy, rate: float, chance: random.Random
) -> GateDecision:
    """A phase of 300, 60 at work at a time; a success takes a minute, a failure five."""
    waiting, succeeded, failed = 300, 0, 0
    at_work: list[tuple[int, bool]] = []
    for minute in range(300):
        succeeded += sum(ends <= minute and not fails for ends, fails in at_work)
        failed += sum(ends <= minute and fails for ends, fails in at_work)
        at_work = [each for each in at_work if each[0] > minute]
        while waiting and len(at_work) < 60:
            fails = chance.random() < rate
            at_work.append((minute + (5 if fails else 1), fails))
            waiting -= 1
        counts = Counts(waiting, len(at_work), succeeded, failed)
        decision = judge(policy, Evidence(counts)).decision
        if decision is not GateDecision.HOLD:
            return decision
    return GateDecision.HOLD


def test_a_bad_release_is_not_promoted_because_its_failures_take_longer() -> None:
    rates = {"acceptable_rate": Decimal("0.02"), "unacceptable_rate": Decimal("0.1")}
    policy = GatePolicy(GateKind.SEQUENTIAL, **rates).checked()
    chance, trials = random.Random(2027), 400
    found = [judged_while_failures_are_late(policy, 0.1, chance) for _ in range(trials)]
    assert found.count(GateDecision.PROMOTE) / trials <= most(0.05, trials)
    # The good one gets through all the same.
    found = [judged_while_failures_are_late(policy, 0.02, chance) for _ in range(trials)]
    assert found.count(GateDecision.PROMOTE) / trials >= 0.9


@pytest.mark.parametrize("rate", [0.02, 0.3])
def test_the_interval_holds_the_truth_at_all_looks_at_once(rate: float) -> None:
    chance, trials = random.Random(11), 400
    missed = 0
    for _ in range(trials):
        failures = 0
        for outcomes in range(1, 121):
            failures += chance.random() < rate
            low, high = rate_interval(Arm(outcomes - failures, failures), FIVE)
            if not low <= rate * 10_000 <= high:
                missed += 1
                break
    assert missed / trials <= most(0.05, trials)


def two_arms(chance: random.Random, updated: float, control: float) -> list[tuple[Arm, Arm]]:
    """All states of two growing groups, of which either may grow next."""
    counts = {True: [0, 0], False: [0, 0]}
    states = []
    for _ in range(80):
        is_updated = chance.random() < 0.5
        counts[is_updated][chance.random() < (updated if is_updated else control)] += 1
        states.append((Arm(*counts[True]), Arm(*counts[False])))
    return states


@pytest.mark.parametrize("rate", [0.03, 0.3])
def test_an_update_as_good_as_its_control_is_rarely_called_worse(rate: float) -> None:
    chance, trials = random.Random(3), 150
    wrong = sum(
        any(is_worse(updated, control, FIVE) for updated, control in two_arms(chance, rate, rate))
        for _ in range(trials)
    )
    assert wrong / trials <= most(0.05, trials)


def test_an_update_worse_by_the_margin_is_rarely_called_no_worse() -> None:
    chance, trials = random.Random(4), 80
    wrong = sum(
        any(
            is_no_worse(updated, control, MARGIN, FIVE)
            for updated, control in two_arms(chance, 0.18, 0.03)
        )
        for _ in range(trials)
    )
    assert wrong / trials <= most(0.05, trials)


def test_the_difference_stays_within_its_interval_at_all_looks_at_once() -> None:
    chance, trials = random.Random(5), 70
    missed = sum(
        not all(
            is_possible(updated, control, 2000, FIVE)
            for updated, control in two_arms(chance, 0.3, 0.1)[::3]
        )
        for _ in range(trials)
    )
    assert missed / trials <= most(0.05, trials)


def test_the_comparison_with_a_control_does_decide_where_there_is_a_difference() -> None:
    assert is_worse(Arm(60, 20), Arm(100, 2), FIVE)
    assert is_no_worse(Arm(100), Arm(100), MARGIN, FIVE)
    assert not is_worse(Arm(20), Arm(0, 20), FIVE)


@pytest.mark.parametrize(
    ("updated", "control"),
    [(Arm(40, 10), Arm(50, 1)), (Arm(0, 5), Arm(5)), (Arm(7), Arm(0, 9)), (Arm(300, 3), Arm(9))],
)
def test_the_interval_of_the_difference_ends_where_it_stops_to_fit(
    updated: Arm, control: Arm
) -> None:
    low, high = difference_interval(updated, control, FIVE)
    assert all(is_possible(updated, control, step, FIVE) for step in (low + 1, high - 1))
    for step in (low, high):
        if abs(step) < 10_000:
            assert not is_possible(updated, control, step, FIVE)


def test_no_outcomes_say_nothing() -> None:
    assert rate_interval(Arm(), FIVE) == (0, 10_000)
    assert difference_interval(Arm(), Arm(5), FIVE) == (-10_000, 10_000)
    assert not is_worse(Arm(), Arm(), FIVE)
    assert not is_no_worse(Arm(), Arm(), MARGIN, FIVE)
