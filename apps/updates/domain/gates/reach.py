"""Whether a policy is able to decide a phase of a given size at all."""

from bisect import bisect_left
from dataclasses import dataclass
from fractions import Fraction

from apps.updates.domain.gates.evidence import Arm
from apps.updates.domain.gates.policy import GateKind, GatePolicy, OnExhausted
from apps.updates.domain.gates.sentences import numbered
from apps.updates.domain.gates.sprt import boundaries
from apps.updates.domain.gates.two_sample import is_no_worse


@dataclass(frozen=True, slots=True)
class Reach:
    """The least that a phase needs: so many devices without failure, so many failures.

    `words` is empty where the phase is large enough, else a warning in one sentence.
    """

    size: int
    clean_devices_to_promote: int
    failures_to_halt: int
    can_promote: bool
    can_halt: bool
    words: str


def reachable(policy: GatePolicy, size: int, control_size: int = 0) -> Reach:
    """What a phase of `size` devices needs for a decision under this policy.

    `control_size` is the number of control devices, all taken as good; it counts only for a
    policy with a control. Metric conditions without control are included.
    """
    clean, failures = _needs(policy, size)
    if policy.has_control:
        clean = max(clean, _clean_against(policy, control_size, max(size, clean)))
    clean = max(clean, policy.minimum_devices)
    can_promote, can_halt = size == 0 or clean <= size, failures <= size
    words = "" if can_promote else _warning(policy, clean, size)
    return Reach(size, clean, failures, can_promote, can_halt, words)


def _needs(policy: GatePolicy, size: int) -> tuple[int, int]:
    """Clean devices to promote and failures to halt, from nothing, without a control."""
    is_strict = policy.kind is GateKind.STRICT
    watched = (*(() if is_strict else (policy,)), *policy.conditions)
    tests = [
        boundaries(r.acceptable_rate, r.unacceptable_rate, policy.alpha_each, policy.beta)
        for r in watched
    ]
    clean = [test.clean_devices_to_promote(0, 0) for test in tests]
    failures = [test.failures_to_halt(0, 0) for test in tests]
    if is_strict:
        return max(size, *clean, 0), 1
    return max(clean), min(failures)


def _clean_against(policy: GatePolicy, control_size: int, known: int) -> int:
    """The least number of clean devices that a clean control of this size lets pass."""
    control, beta = Arm(control_size), Fraction(policy.beta)

    def passes(number: int) -> bool:
        return is_no_worse(Arm(number), control, policy.margin, beta)

    limit = max(known, 1)
    while not passes(limit):
        limit *= 2
    return bisect_left(range(limit + 1), True, key=passes)


def _warning(policy: GatePolicy, clean: int, size: int) -> str:
    then = "a person must decide"
    if policy.on_exhausted is OnExhausted.PROMOTE_IF_CLEAN:
        then = "it is promoted only if none fails, else a person must decide"
    return f"{numbered(clean, 'clean device')} would promote but the phase has {size}: {then}"
