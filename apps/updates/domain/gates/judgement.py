"""The gate: all tests of a phase together, with its minimum of devices and of time."""

from apps.updates.domain import gate
from apps.updates.domain.gates import sentences
from apps.updates.domain.gates.evidence import Evidence, Verdict
from apps.updates.domain.gates.findings import Finding, findings
from apps.updates.domain.gates.policy import GatePolicy, OnExhausted
from apps.updates.domain.states import GateDecision

PROMOTE, HOLD, HALT = GateDecision.PROMOTE, GateDecision.HOLD, GateDecision.HALT


def judge(policy: GatePolicy, evidence: Evidence) -> Verdict:
    """Promote, hold or halt, with the reason in one sentence and the figures behind it.

    One test that halts is enough, at any time. Promotion needs all tests, the minimum of
    devices and the minimum of soak time. Where nothing is left to wait for and the tests do not
    decide, the policy's `on_exhausted` does; `facts["is_exhausted"]` then asks for a person. A
    phase without any device is promoted. The same policy and evidence give the same verdict on
    every machine: all comparisons are of whole numbers, fractions and decimals.
    """
    found = tuple(findings(policy, evidence))
    decision, words, is_exhausted = _weigh(policy, evidence, found)
    facts = {
        "decision": decision.value,
        "kind": policy.kind.value,
        **found[0].facts,
        "soak_left_seconds": _soak_left(policy, evidence),
        "is_exhausted": is_exhausted,
    }
    rest = found[1:]
    if policy.has_control:
        facts["control"] = {**rest[0].facts, "decision": rest[0].decision.value}
        rest = rest[1:]
    if rest:
        facts["conditions"] = [{**f.facts, "decision": f.decision.value} for f in rest]
    return Verdict(decision, _sentence(evidence.counts, words), facts)


def _weigh(
    policy: GatePolicy, evidence: Evidence, found: tuple[Finding, ...]
) -> tuple[GateDecision, str, bool]:
    """The decision, its words, and whether nothing is left that could decide."""
    counts = evidence.counts
    if not counts.total:
        return PROMOTE, "no devices fall into this phase", False
    if halting := [finding for finding in found if finding.decision is HALT]:
        return HALT, halting[0].words, False
    undecided = [finding for finding in found if finding.decision is HOLD]
    if any(finding.left for finding in undecided):
        return HOLD, _together(undecided), False
    has_too_few = counts.succeeded + counts.failed < policy.minimum_devices
    if undecided or (has_too_few and not counts.to_go):
        return _exhausted(policy, evidence, found)
    if has_too_few:
        devices = sentences.numbered(policy.minimum_devices, "device")
        return HOLD, f"enough to promote once {devices} have finished", False
    return _promoted(policy, evidence, found[0].words)


def _together(undecided: list[Finding]) -> str:
    """The first two in words: the sentence stays readable, the facts have them all."""
    words = "; ".join(finding.words for finding in undecided[:2])
    further = len(undecided) - 2
    return f"{words}; {further} more undecided" if further > 0 else words


def _exhausted(
    policy: GatePolicy, evidence: Evidence, found: tuple[Finding, ...]
) -> tuple[GateDecision, str, bool]:
    """No device is left and the tests decide neither way: what the policy says then."""
    is_clean = not any(finding.arm.failed for finding in found)
    if policy.on_exhausted is OnExhausted.PROMOTE_IF_CLEAN and is_clean:
        words = "too few devices to be sure, promoted because none failed"
        decision, words, _ = _promoted(policy, evidence, words)
        return decision, words, True
    return HOLD, "no devices are left and the evidence decides neither way, a person must", True


def _promoted(policy: GatePolicy, evidence: Evidence, words: str) -> tuple[GateDecision, str, bool]:
    """Promotion, as soon as the soak time is over; the words do not count it down."""
    if not _soak_left(policy, evidence):
        return PROMOTE, words, False
    soak = sentences.duration(policy.minimum_soak_seconds)
    return HOLD, f"enough to promote once the phase has been open for {soak}", False


def _soak_left(policy: GatePolicy, evidence: Evidence) -> int:
    return max(policy.minimum_soak_seconds - evidence.seconds, 0)


def _sentence(counts: gate.Counts, words: str) -> str:
    if not counts.total:
        return words
    # The strict rule brings its own punctuation.
    separator = "" if words.startswith((",", ":")) else ": "
    return f"{gate.outcome(counts)}{separator}{words}"
