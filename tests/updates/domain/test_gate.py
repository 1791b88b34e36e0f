"""The gate promotes, holds or halts, and says why."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.updates.domain.gate import Counts, judge
from apps.updates.domain.states import GateDecision

NUMBERS = st.integers(0, 1000)
COUNTS = st.builds(Counts, NUMBERS, NUMBERS, NUMBERS, NUMBERS, NUMBERS, NUMBERS)


@pytest.mark.parametrize(
    ("counts", "decision", "reason"),
    [
        (Counts(waiting=1, active=1, succeeded=3), "hold", "3 of 5 succeeded, 2 to go"),
        (Counts(succeeded=5), "promote", "5 of 5 succeeded, none failed"),
        (
            Counts(waiting=4, failed=1),
            "halt",
            "0 of 5 succeeded, 1 failed: no failure is accepted",
        ),
        (
            Counts(succeeded=4, skipped=1),
            "promote",
            "4 of 4 succeeded, 1 not counted, none failed",
        ),
        (Counts(), "promote", "no devices fall into this phase"),
    ],
)
def test_the_gate_gives_its_decision_with_the_evidence(
    counts: Counts, decision: str, reason: str
) -> None:
    verdict = judge(counts)
    assert (verdict.decision.value, verdict.reason) == (decision, reason)


@given(COUNTS)
def test_one_failure_always_halts_and_promotion_needs_everyone_to_be_done(counts: Counts) -> None:
    decision = judge(counts).decision
    assert (decision is GateDecision.HALT) == (counts.failed > 0)
    if decision is GateDecision.PROMOTE:
        assert counts.to_go == 0
