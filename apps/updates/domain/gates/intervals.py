"""A confidence sequence for one failure rate: an interval that stays true at every look.

H. Robbins, "Statistical Methods Related to the Law of the Iterated Logarithm", Annals of
Mathematical Statistics 41 (1970) 1397-1409, with the Beta(1/2, 1/2) mixture: for each rate p
M_n(p) = [B(f+1/2, s+1/2) / B(1/2, 1/2)] / (p^f (1-p)^s) is a martingale with mean 1 when the rate
is p, so by Ville's inequality it ever reaches 1/alpha with a chance of at most alpha. The rates
with M_n(p) < 1/alpha hold the truth at all n at once with a chance of at least 1 - alpha.
"""

from bisect import bisect_left
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache

from apps.updates.domain.gates.evidence import Arm
from apps.updates.domain.gates.numbers import CONTEXT, ln, ln_factorial, ln_ratio

# Rates are searched, and given, in steps of 1/10,000, rounded outwards.
STEPS = 10_000
MINUS_INFINITY = Decimal("-Infinity")


def ln_mixture(arm: Arm) -> Decimal:
    """ln of B(f+1/2, s+1/2) / B(1/2, 1/2), the likelihood averaged over Beta(1/2, 1/2).

    By the duplication formula of the gamma function it is (2f)! (2s)! / (4^n f! s! n!).
    """
    total = CONTEXT.subtract(ln_factorial(2 * arm.failed), ln_factorial(arm.failed))
    total = CONTEXT.add(total, ln_factorial(2 * arm.succeeded))
    total = CONTEXT.subtract(total, ln_factorial(arm.succeeded))
    total = CONTEXT.subtract(total, ln_factorial(arm.total))
    return CONTEXT.subtract(total, CONTEXT.multiply(ln(4), Decimal(arm.total)))


@lru_cache(maxsize=4096)
def rate_interval(arm: Arm, alpha: Fraction) -> tuple[int, int]:
    """The lowest and the highest failure rate that fit, in 1/10,000, rounded outwards."""
    least = CONTEXT.add(ln_mixture(arm), ln_ratio(Fraction(alpha)))

    def fits(step: int) -> bool:
        return _ln_likelihood(arm, step) > least

    peak = arm.failed * STEPS // arm.total if arm.total else 0
    top = -(-arm.failed * STEPS // arm.total) if arm.total else STEPS
    low = bisect_left(range(peak + 1), True, key=fits)
    high = bisect_left(range(top, STEPS + 1), True, key=lambda step: not fits(step)) + top
    return max(low - 1, 0), min(high, STEPS)


def _ln_likelihood(arm: Arm, step: int) -> Decimal:
    """ln of p^f (1-p)^s at p = step / 10,000."""
    total = Decimal(0)
    for number, place in ((arm.failed, step), (arm.succeeded, STEPS - step)):
        if number and not place:
            return MINUS_INFINITY
        if number:
            total = CONTEXT.add(total, CONTEXT.multiply(Decimal(number), _ln_step(place)))
    return total


@lru_cache(maxsize=STEPS + 1)
def _ln_step(step: int) -> Decimal:
    return ln_ratio(Fraction(step, STEPS))
