"""The tests that watch one phase: its outcomes, its control cohort, its metrics."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

from apps.updates.domain import gate
from apps.updates.domain.gates import sentences
from apps.updates.domain.gates.evidence import Arm, Evidence, MetricArms
from apps.updates.domain.gates.intervals import rate_interval
from apps.updates.domain.gates.numbers import CONTEXT
from apps.updates.domain.gates.policy import GateKind, GatePolicy, MetricCondition, decimal_text
from apps.updates.domain.gates.sprt import Boundaries, boundaries
from apps.updates.domain.gates.two_sample import difference_interval, is_no_worse, is_worse
from apps.updates.domain.states import GateDecision

PROMOTE, HOLD, HALT = GateDecision.PROMOTE, GateDecision.HOLD, GateDecision.HALT


@dataclass(frozen=True, slots=True)
class Finding:
    """What one test says: `arm` are its updated devices, `left` how many it still waits for."""

    decision: GateDecision
    words: str
    facts: Mapping[str, Any]
    arm: Arm
    left: int

    @property
    def is_exhausted(self) -> bool:
        """Whether nothing is left that could still decide it."""
        return self.decision is HOLD and not self.left


def findings(policy: GatePolicy, evidence: Evidence) -> Iterator[Finding]:
    """What each test of the policy says, that of the outcomes first."""
    counts = evidence.counts
    arm = Arm(counts.succeeded, counts.failed)
    yield _strict(policy, counts) if policy.kind is GateKind.STRICT else _outcomes(policy, counts)
    if policy.has_control:
        yield _control(policy, arm, evidence.control or Arm(), counts.to_go)
    for index, condition in enumerate(policy.conditions):
        has_reports = index < len(evidence.metrics)
        arms = evidence.metrics[index] if has_reports else MetricArms()
        yield _condition(policy, condition, arms, counts.to_go + arms.pending)


def _strict(policy: GatePolicy, counts: gate.Counts) -> Finding:
    verdict = gate.judge(counts)
    arm = Arm(counts.succeeded, counts.failed)
    facts = {
        **_arm_facts(arm, policy.alpha_each, counts.to_go),
        "clean_devices_to_promote": counts.to_go,
        "failures_to_halt": 0 if counts.failed else 1,
    }
    words = verdict.reason.removeprefix(gate.outcome(counts))
    return Finding(verdict.decision, words, facts, arm, counts.to_go)


def _outcomes(policy: GatePolicy, counts: gate.Counts) -> Finding:
    """The sequential test of the outcomes.

    Failures are told later than successes: a device that rolls back, or says nothing until its
    deadline, takes longer. So devices at work speak against promotion until they have ended.
    """
    test = boundaries(
        policy.acceptable_rate, policy.unacceptable_rate, policy.alpha_each, policy.beta
    )
    arm = Arm(counts.succeeded, counts.failed)
    missing = policy.minimum_devices - arm.total
    decision, words, facts = _sequential(test, policy, arm, counts.to_go, missing)
    at_work = counts.active
    if decision is PROMOTE and (
        wanted := test.successes_to_promote(arm.succeeded, arm.failed, at_work)
    ):
        decision, words = HOLD, sentences.enough_if(wanted, at_work)
        facts["clean_devices_to_promote"] = max(wanted, missing)
    facts = {**_arm_facts(arm, policy.alpha_each, counts.to_go), **facts}
    return Finding(decision, words, facts, arm, counts.to_go)


def _sequential(
    test: Boundaries, rates: GatePolicy | MetricCondition, arm: Arm, left: int, missing: int = 0
) -> tuple[GateDecision, str, dict[str, Any]]:
    """Wald's test over one arm; `missing` devices are wanted whatever the test says."""
    clean = test.clean_devices_to_promote(arm.succeeded, arm.failed)
    wanted = max(clean, missing)
    failures = test.failures_to_halt(arm.succeeded, arm.failed)
    facts = {
        "llr": _rounded(test.llr(arm.succeeded, arm.failed)),
        "bounds": {"promote": _rounded(test.lower), "halt": _rounded(test.upper)},
        "clean_devices_to_promote": wanted,
        "failures_to_halt": failures,
    }
    if not failures:
        return HALT, _too_many(test, rates, arm), facts
    if not clean:
        unacceptable = sentences.percent(rates.unacceptable_rate)
        return PROMOTE, f"enough to rule out a failure rate of {unacceptable}", facts
    return HOLD, sentences.promotes_or_halts(wanted, failures, left), facts


def _too_many(test: Boundaries, rates: GatePolicy | MetricCondition, arm: Arm) -> str:
    number = test.halt_number(arm.total)
    verb = "halts" if number == 1 else "halt"
    acceptable = sentences.percent(rates.acceptable_rate)
    outcomes = sentences.numbered(arm.total, "outcome")
    return f"{number} in {outcomes} {verb}, {acceptable} would be acceptable"


def _control(policy: GatePolicy, arm: Arm, control: Arm, left: int) -> Finding:
    """The updated devices against those without the update."""
    alpha = policy.alpha_each
    decision = _compare(arm, control, policy.margin, alpha, Fraction(policy.beta))
    low, high = difference_interval(arm, control, alpha)
    facts = {
        "succeeded": control.succeeded,
        "failed": control.failed,
        "difference": _interval_facts((low, high), alpha),
    }
    words = "worse than the control: " if decision is HALT else ""
    words += (
        f"{control.failed} of {control.total} failed in their last update, the difference is"
        f" {sentences.steps_percent(low)} to {sentences.steps_percent(high)}"
    )
    return Finding(decision, words, facts, arm, left)


def _compare(
    arm: Arm, control: Arm, margin: Decimal, alpha: Fraction, beta: Fraction
) -> GateDecision:
    if is_worse(arm, control, alpha):
        return HALT
    return PROMOTE if is_no_worse(arm, control, margin, beta) else HOLD


def _condition(
    policy: GatePolicy, condition: MetricCondition, arms: MetricArms, left: int
) -> Finding:
    """One metric: against the control where there is one, else against the stated rates."""
    alpha, updated = policy.alpha_each, arms.updated
    what = sentences.condition_words(condition)
    words = f"{what} on {updated.failed} of {updated.total} updated devices"
    facts = {**_arm_facts(updated, alpha, arms.pending), "condition": what}
    if arms.control is None:
        rates = (condition.acceptable_rate, condition.unacceptable_rate)
        test = boundaries(*rates, alpha, policy.beta)
        decision, more, figures = _sequential(test, condition, updated, left)
        return Finding(decision, f"{words}: {more}", {**facts, **figures}, updated, left)
    margin = condition.unacceptable_rate - condition.acceptable_rate
    decision = _compare(updated, arms.control, margin, alpha, Fraction(policy.beta))
    facts["control"] = {"succeeded": arms.control.succeeded, "failed": arms.control.failed}
    facts["difference"] = _interval_facts(difference_interval(updated, arms.control, alpha), alpha)
    words += f" and {arms.control.failed} of {arms.control.total} others"
    return Finding(decision, words, facts, updated, left)


def _arm_facts(arm: Arm, alpha: Fraction, pending: int) -> dict[str, Any]:
    return {
        "successes": arm.succeeded,
        "failures": arm.failed,
        "pending": pending,
        "interval": _interval_facts(rate_interval(arm, alpha), alpha),
    }


def _interval_facts(interval: tuple[int, int], alpha: Fraction) -> dict[str, str]:
    low, high = (decimal_text(Decimal(steps).scaleb(-4)) for steps in interval)
    confidence = 1 - alpha
    share = Decimal(confidence.numerator * 10_000 // confidence.denominator).scaleb(-4)
    return {"low": low, "high": high, "confidence": decimal_text(share)}


def _rounded(value: Decimal) -> str:
    return decimal_text(CONTEXT.quantize(value, Decimal("0.0001")))
