"""The gate decides by Wald's test, minimums and what is left, and says so in one sentence."""

import json
from decimal import Decimal, localcontext
from fractions import Fraction
from math import ceil, floor, log
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.updates.domain.gate import Counts
from apps.updates.domain.gates import (
    Arm,
    Evidence,
    GateKind,
    GatePolicy,
    Metric,
    MetricArms,
    MetricCondition,
    OnExhausted,
    Verdict,
    judge,
    reachable,
)
from apps.updates.domain.gates.sprt import boundaries
from apps.updates.domain.states import GateDecision

SEQUENTIAL = GatePolicy(kind=GateKind.SEQUENTIAL).checked()
ROOMY = GatePolicy(
    kind=GateKind.SEQUENTIAL,
    acceptable_rate=Decimal("0.05"),
    unacceptable_rate=Decimal("0.2"),
).checked()
HOT = MetricCondition(Metric.TEMPERATURE_CELSIUS, Decimal(80))
RANK = {GateDecision.PROMOTE: 0, GateDecision.HOLD: 1, GateDecision.HALT: 2}
RATES = [("0.01", "0.05"), ("0.05", "0.2"), ("0.001", "0.002"), ("0.1", "0.9"), ("0.3", "0.31")]
NUMBERS = st.integers(0, 300)


def verdict(policy: GatePolicy, seconds: int = 0, **counts: int) -> Verdict:
    return judge(policy, Evidence(Counts(**counts), seconds))


@pytest.mark.parametrize(
    ("policy", "counts", "decision", "reason"),
    [
        (
            ROOMY,
            {"waiting": 17, "succeeded": 41, "failed": 2},
            "promote",
            "41 of 60 succeeded, 2 failed: enough to rule out a failure rate of 20 %",
        ),
        (
            ROOMY,
            {"waiting": 40, "succeeded": 18, "failed": 2},
            "hold",
            "18 of 60 succeeded, 2 failed: 16 more clean devices promote, 3 more failures halt",
        ),
        (
            SEQUENTIAL,
            {"active": 8, "succeeded": 2},
            "hold",
            "2 of 10 succeeded: 70 more clean devices would promote but 8 are left,"
            " 2 more failures halt",
        ),
        (
            SEQUENTIAL,
            {"waiting": 1, "succeeded": 71},
            "hold",
            "71 of 72 succeeded: 1 more clean device promotes",
        ),
        (
            SEQUENTIAL,
            {"waiting": 55, "succeeded": 3, "failed": 2},
            "halt",
            "3 of 60 succeeded, 2 failed: 2 in 5 outcomes halt, 1 % would be acceptable",
        ),
        (
            SEQUENTIAL,
            {"succeeded": 9, "skipped": 1},
            "hold",
            "9 of 9 succeeded, 1 not counted: no devices are left and the evidence decides"
            " neither way, a person must",
        ),
        (SEQUENTIAL, {}, "promote", "no devices fall into this phase"),
    ],
)
def test_the_gate_says_what_it_decides_and_what_is_missing(
    policy: GatePolicy, counts: dict[str, int], decision: str, reason: str
) -> None:
    found = verdict(policy, **counts)
    assert (found.decision.value, found.reason) == (decision, reason)


@pytest.mark.parametrize("rates", RATES)
@pytest.mark.parametrize("outcomes", [0, 1, 2, 10, 99, 1000, 100_000])
def test_the_whole_number_boundaries_are_those_of_the_formula(
    rates: tuple[str, str], outcomes: int
) -> None:
    p0, p1 = (float(rate) for rate in rates)
    test = boundaries(Decimal(rates[0]), Decimal(rates[1]), Fraction(1, 20), Decimal("0.1"))
    fall, spread = log((1 - p1) / (1 - p0)), log(p1 / p0) - log((1 - p1) / (1 - p0))
    halt = ceil((log(0.9 / 0.05) - outcomes * fall) / spread)
    promote = floor((log(0.1 / 0.95) - outcomes * fall) / spread)
    assert test.halt_number(outcomes) == min(halt, outcomes + 1)
    assert test.promote_number(outcomes) == max(min(promote, outcomes), -1)


def test_a_limit_that_is_met_exactly_counts_as_met() -> None:
    # (0.2 / 0.1)^3 = 8 = (1 - 0.2) / 0.1: equality, which rounded logarithms could miss.
    test = boundaries(Decimal("0.1"), Decimal("0.2"), Fraction(1, 10), Decimal("0.2"))
    assert test.halts(0, 3)
    assert not test.halts(1, 3)
    assert test.failures_to_halt(0, 0) == 3


@given(NUMBERS, NUMBERS, st.sampled_from([SEQUENTIAL, ROOMY]))
def test_so_many_clean_devices_promote_and_one_fewer_does_not(
    successes: int, failures: int, policy: GatePolicy
) -> None:
    found = verdict(policy, waiting=10_000_000, succeeded=successes, failed=failures)
    clean, further = (found.facts[n] for n in ("clean_devices_to_promote", "failures_to_halt"))
    if found.decision is GateDecision.HOLD:
        at = verdict(policy, waiting=1, succeeded=successes + clean, failed=failures)
        below = verdict(policy, waiting=1, succeeded=successes + clean - 1, failed=failures)
        assert [at.decision.value, below.decision.value] == ["promote", "hold"]
        at = verdict(policy, waiting=1, succeeded=successes, failed=failures + further)
        below = verdict(policy, waiting=1, succeeded=successes, failed=failures + further - 1)
        assert [at.decision.value, below.decision.value] == ["halt", "hold"]
    else:
        assert 0 in (clean, further)


@st.composite
def situations(draw: st.DrawFn) -> tuple[GatePolicy, Evidence]:
    policy = GatePolicy(
        kind=draw(st.sampled_from(GateKind)),
        acceptable_rate=Decimal("0.05"),
        unacceptable_rate=Decimal("0.2"),
        minimum_devices=draw(st.sampled_from([0, 20])),
        minimum_soak_seconds=draw(st.sampled_from([0, 60])),
        on_exhausted=draw(st.sampled_from(OnExhausted)),
        has_control=draw(st.booleans()),
        conditions=draw(st.sampled_from([(), (HOT,)])),
    )
    arms = st.builds(Arm, NUMBERS, st.integers(0, 30))
    counts = st.builds(
        Counts, *[st.integers(0, 2)] * 2, NUMBERS, st.integers(0, 30), *[st.integers(0, 2)] * 2
    )
    metrics = st.builds(MetricArms, arms, st.none() | arms, st.integers(0, 2))
    evidence = st.builds(
        Evidence, counts, st.sampled_from([0, 60]), st.none() | arms, st.tuples(metrics)
    )
    return policy, draw(evidence)


def worse(evidence: Evidence, more: int, instead: bool) -> Evidence:
    counts = evidence.counts
    taken = min(more, counts.succeeded) if instead else 0
    changed = Counts(
        counts.waiting,
        counts.active,
        counts.succeeded - taken,
        counts.failed + (taken if instead else more),
        counts.cancelled,
        counts.skipped,
    )
    return Evidence(changed, evidence.seconds, evidence.control, evidence.metrics)


@settings(max_examples=150, deadline=None)
@given(situations(), st.integers(1, 40), st.booleans())
def test_more_failures_never_make_the_decision_milder(
    situation: tuple[GatePolicy, Evidence], more: int, instead: bool
) -> None:
    policy, evidence = situation
    if not evidence.counts.total:
        return
    before = judge(policy, evidence).decision
    after = judge(policy, worse(evidence, more, instead)).decision
    assert RANK[after] >= RANK[before]


@settings(max_examples=50, deadline=None)
@given(situations())
def test_a_verdict_is_the_same_in_any_decimal_context_and_fits_into_json(
    situation: tuple[GatePolicy, Evidence],
) -> None:
    policy, evidence = situation
    found = judge(policy, evidence)
    with localcontext() as context:
        context.prec = 6
        assert judge(policy, evidence) == found
    assert json.loads(json.dumps(found.facts)) == found.facts
    assert found.facts["decision"] == found.decision.value
    assert "\n" not in found.reason


@given(st.builds(Counts, *[NUMBERS] * 6))
def test_a_strict_gate_accepts_no_failure_and_waits_for_everyone(counts: Counts) -> None:
    found = judge(GatePolicy(), Evidence(counts))
    expected = "halt" if counts.failed else "hold" if counts.to_go else "promote"
    assert found.decision.value == expected


def test_promotion_waits_for_the_soak_time_and_a_halt_does_not() -> None:
    policy = GatePolicy(kind=GateKind.SEQUENTIAL, minimum_soak_seconds=600)
    waiting = verdict(policy, 599, succeeded=80)
    assert waiting.decision is GateDecision.HOLD
    assert waiting.reason == (
        "80 of 80 succeeded: enough to promote once the phase has been open for 10 minutes"
    )
    assert waiting.facts["soak_left_seconds"] == 1
    assert verdict(policy, 600, succeeded=80).decision is GateDecision.PROMOTE
    assert verdict(policy, 0, failed=2, waiting=9).decision is GateDecision.HALT


def test_promotion_waits_for_the_minimum_of_devices_and_a_halt_does_not() -> None:
    policy = GatePolicy(kind=GateKind.SEQUENTIAL, minimum_devices=100)
    found = verdict(policy, succeeded=80, waiting=20)
    assert found.decision is GateDecision.HOLD
    assert found.facts["clean_devices_to_promote"] == 20
    assert verdict(policy, succeeded=100, waiting=1).decision is GateDecision.PROMOTE
    assert verdict(policy, failed=2, waiting=98).decision is GateDecision.HALT
    alone = verdict(policy, succeeded=80)
    assert (alone.decision, alone.facts["is_exhausted"]) == (GateDecision.HOLD, True)


@pytest.mark.parametrize(
    ("on_exhausted", "counts", "decision"),
    [
        (OnExhausted.HOLD, {"succeeded": 10}, "hold"),
        (OnExhausted.PROMOTE_IF_CLEAN, {"succeeded": 10}, "promote"),
        (OnExhausted.PROMOTE_IF_CLEAN, {"succeeded": 60, "failed": 1}, "hold"),
        (OnExhausted.PROMOTE_IF_CLEAN, {"succeeded": 10, "waiting": 1}, "hold"),
        (OnExhausted.HOLD, {"skipped": 10}, "hold"),
        (OnExhausted.PROMOTE_IF_CLEAN, {"skipped": 5, "cancelled": 5}, "promote"),
    ],
)
def test_a_phase_that_runs_out_of_devices_does_what_the_policy_says(
    on_exhausted: OnExhausted, counts: dict[str, int], decision: str
) -> None:
    policy = GatePolicy(kind=GateKind.SEQUENTIAL, on_exhausted=on_exhausted)
    assert verdict(policy, **counts).decision.value == decision


def test_devices_that_are_promoted_without_proof_still_soak() -> None:
    policy = GatePolicy(
        kind=GateKind.SEQUENTIAL,
        on_exhausted=OnExhausted.PROMOTE_IF_CLEAN,
        minimum_soak_seconds=60,
    )
    assert verdict(policy, 59, succeeded=10).decision is GateDecision.HOLD
    found = verdict(policy, 60, succeeded=10)
    assert found.reason == (
        "10 of 10 succeeded: too few devices to be sure, promoted because none failed"
    )


@pytest.mark.parametrize(
    ("counts", "decision"),
    [
        ({"failed": 100_000}, "halt"),
        ({"succeeded": 100_000}, "promote"),
        ({"succeeded": 99_000, "failed": 1000}, "promote"),
        ({"succeeded": 95_000, "failed": 5000}, "halt"),
        ({"failed": 1}, "hold"),
        ({"waiting": 1}, "hold"),
        ({"waiting": 100_000}, "hold"),
    ],
)
def test_the_smallest_and_the_largest_phases_are_judged(
    counts: dict[str, int], decision: str
) -> None:
    assert verdict(SEQUENTIAL, **counts).decision.value == decision


def test_a_metric_halts_a_phase_whose_updates_all_succeeded() -> None:
    policy = GatePolicy(kind=GateKind.SEQUENTIAL, conditions=(HOT,)).checked()
    counts = Counts(waiting=50, succeeded=100)
    fine = Evidence(counts, metrics=(MetricArms(Arm(60, 1), pending=39),))
    assert judge(policy, fine).decision is GateDecision.PROMOTE
    bad = judge(policy, Evidence(counts, metrics=(MetricArms(Arm(50, 20)),)))
    assert bad.decision is GateDecision.HALT
    assert bad.reason.startswith(
        "100 of 150 succeeded: temperature above 80 on 20 of 70 updated devices:"
    )


def test_a_metric_that_nobody_has_reported_yet_holds_the_phase() -> None:
    policy = GatePolicy(conditions=(HOT,)).checked()
    waiting = judge(policy, Evidence(Counts(succeeded=3), metrics=(MetricArms(pending=3),)))
    assert (waiting.decision, waiting.facts["is_exhausted"]) == (GateDecision.HOLD, False)
    silent = judge(policy, Evidence(Counts(succeeded=3)))
    assert (silent.decision, silent.facts["is_exhausted"]) == (GateDecision.HOLD, True)


def test_the_sentence_stays_short_with_the_longest_numbers_and_many_conditions() -> None:
    conditions = (MetricCondition(Metric.TEMPERATURE_CELSIUS, Decimal("-123456.789012")),) * 10
    policy = GatePolicy(
        kind=GateKind.SEQUENTIAL,
        acceptable_rate=Decimal("0.000001"),
        unacceptable_rate=Decimal("0.000002"),
        has_control=True,
        conditions=conditions,
    ).checked()
    counts = Counts(*[10_000_000] * 2, 10_000_000, 1, *[10_000_000] * 2)
    metrics = (MetricArms(Arm(7_000_000, 1_000_000), Arm(7_000_000, 1_000_000), 2),) * 10
    found = judge(policy, Evidence(counts, 0, Arm(10_000_000, 10), metrics))
    # What the tables of phases hold.
    assert len(found.reason) <= 300
    assert len(found.facts["conditions"]) == 10


def test_a_strict_gate_halts_on_a_failure_whatever_its_metrics_say() -> None:
    policy = GatePolicy(conditions=(HOT,), on_exhausted=OnExhausted.PROMOTE_IF_CLEAN)
    good = (MetricArms(Arm(500)),)
    assert judge(policy, Evidence(Counts(succeeded=9, failed=1), metrics=good)).decision.value == (
        "halt"
    )
    assert judge(policy, Evidence(Counts(succeeded=9), metrics=good)).decision.value == "promote"


@pytest.mark.parametrize(
    ("policy", "size", "expected"),
    [
        (SEQUENTIAL, 100, (72, 2, True, True)),
        (SEQUENTIAL, 10, (72, 2, False, True)),
        (SEQUENTIAL, 1, (72, 2, False, False)),
        (SEQUENTIAL, 0, (72, 2, True, False)),
        (SEQUENTIAL, 100_000, (72, 2, True, True)),
        (GatePolicy(), 10, (10, 1, True, True)),
        (GatePolicy(minimum_devices=20), 10, (20, 1, False, True)),
    ],
)
def test_the_policy_says_whether_a_phase_is_large_enough(
    policy: GatePolicy, size: int, expected: tuple[Any, ...]
) -> None:
    reach = reachable(policy, size)
    assert (
        reach.clean_devices_to_promote,
        reach.failures_to_halt,
        reach.can_promote,
        reach.can_halt,
    ) == expected
    assert bool(reach.words) != reach.can_promote


def test_what_is_called_reachable_is_what_the_gate_then_does() -> None:
    policy = GatePolicy(kind=GateKind.SEQUENTIAL, has_control=True, conditions=(HOT,)).checked()
    number = reachable(policy, 500, control_size=200).clean_devices_to_promote
    for size, decision in ((number, "promote"), (number - 1, "hold")):
        evidence = Evidence(
            Counts(waiting=1, succeeded=size),
            control=Arm(200),
            metrics=(MetricArms(Arm(size)),),
        )
        assert judge(policy, evidence).decision.value == decision
