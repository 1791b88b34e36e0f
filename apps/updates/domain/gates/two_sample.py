"""Two groups of devices compared at any time: updated ones against a control cohort.

Turner, Ly and Grunwald, "Generic E-variables for exact sequential k-sample tests that allow for
optional stopping" (2024), with the universal inference of Wasserman, Ramdas and Balakrishnan
(PNAS 117, 2020): let m be any average of the likelihood over failure rates. For each pair of true
rates m / likelihood(pair) is a martingale with mean 1, in whatever order the outcomes of both
groups arrive, so m / (greatest likelihood under a hypothesis) stays below 1/alpha for ever with a
chance of at least 1 - alpha where the hypothesis is true (Ville's inequality).
"""

from bisect import bisect_left
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache

from apps.updates.domain.gates.evidence import Arm
from apps.updates.domain.gates.intervals import STEPS, ln_mixture
from apps.updates.domain.gates.numbers import CONTEXT, ln_ratio

# Halvings of the rate's range: the maximum's place is known to 2^-60 of it.
HALVINGS = 60
ZERO, ONE = Decimal(0), Decimal(1)


@lru_cache(maxsize=4096)
def is_worse(updated: Arm, control: Arm, alpha: Fraction) -> bool:
    """Whether the updated devices fail more often than the control.

    Where they do not, this is ever true with a chance of at most `alpha`.
    """
    if updated.failed * control.total <= control.failed * updated.total:
        return False
    mixture = CONTEXT.add(ln_mixture(updated), ln_mixture(control))
    surplus = CONTEXT.subtract(mixture, _ln_best(updated, control, ZERO))
    return surplus >= ln_ratio(1 / alpha)


@lru_cache(maxsize=4096)
def is_no_worse(updated: Arm, control: Arm, margin: Decimal, beta: Fraction) -> bool:
    """Whether the updated devices' failure rate exceeds the control's by less than `margin`.

    Where it exceeds it by `margin` or more, this is ever true with a chance of at most `beta`.
    The mixture is over equal rates in both groups, which is what a good release shows.
    """
    difference = Fraction(updated.failed, max(updated.total, 1)) - Fraction(
        control.failed, max(control.total, 1)
    )
    if difference >= Fraction(margin):
        return False
    both = Arm(updated.succeeded + control.succeeded, updated.failed + control.failed)
    surplus = CONTEXT.subtract(ln_mixture(both), _ln_best(updated, control, margin))
    return surplus >= ln_ratio(1 / beta)


@lru_cache(maxsize=4096)
def difference_interval(updated: Arm, control: Arm, alpha: Fraction) -> tuple[int, int]:
    """By how much the updated devices' failure rate may differ from the control's.

    A confidence sequence in 1/10,000, rounded outwards, from -10,000 to 10,000: it holds the true
    difference at all times at once with a chance of at least 1 - alpha.
    """
    if not updated.total or not control.total:
        return -STEPS, STEPS
    middle = Fraction(updated.failed, updated.total) - Fraction(control.failed, control.total)
    peak = int(middle * STEPS // 1)
    top = -int(-middle * STEPS // 1)

    def fits(step: int) -> bool:
        return is_possible(updated, control, step, alpha)

    low = bisect_left(range(-STEPS, peak + 1), True, key=fits) - STEPS
    high = bisect_left(range(top, STEPS + 1), True, key=lambda step: not fits(step)) + top
    return max(low - 1, -STEPS), min(high, STEPS)


def is_possible(updated: Arm, control: Arm, difference: int, alpha: Fraction) -> bool:
    """Whether the confidence sequence holds this difference of failure rates, in 1/10,000.

    The true difference is ever left out with a chance of at most `alpha`.
    """
    mixture = CONTEXT.add(ln_mixture(updated), ln_mixture(control))
    best = _ln_best(updated, control, CONTEXT.divide(Decimal(difference), Decimal(STEPS)))
    return CONTEXT.subtract(mixture, best) < ln_ratio(1 / alpha)


def _ln_best(updated: Arm, control: Arm, difference: Decimal) -> Decimal:
    """The greatest log-likelihood of two rates of which one exceeds the other by `difference`.

    It is concave along this line, so halving by the sign of its slope finds the maximum.
    """
    if not difference and updated.total + control.total:
        return _ln_equal(
            Arm(updated.succeeded + control.succeeded, updated.failed + control.failed)
        )
    low = max(ZERO, CONTEXT.minus(difference))
    high = min(ONE, CONTEXT.subtract(ONE, difference))
    # At a difference of -1 or 1 there is only one pair of rates.
    for _ in range(HALVINGS if low < high else 0):
        rate = CONTEXT.divide(CONTEXT.add(low, high), Decimal(2))
        slope = _slope(updated, CONTEXT.add(rate, difference))
        if CONTEXT.add(slope, _slope(control, rate)) > 0:
            low = rate
        else:
            high = rate
    rate = CONTEXT.divide(CONTEXT.add(low, high), Decimal(2))
    return CONTEXT.add(
        _ln_likelihood(updated, CONTEXT.add(rate, difference)), _ln_likelihood(control, rate)
    )


def _ln_equal(both: Arm) -> Decimal:
    """The greatest log-likelihood of one rate for all: that which was seen."""
    return _ln_likelihood(both, CONTEXT.divide(Decimal(both.failed), Decimal(both.total)))


def _slope(arm: Arm, rate: Decimal) -> Decimal:
    rise = CONTEXT.divide(Decimal(arm.failed), rate)
    return CONTEXT.subtract(
        rise, CONTEXT.divide(Decimal(arm.succeeded), CONTEXT.subtract(ONE, rate))
    )


def _ln_likelihood(arm: Arm, rate: Decimal) -> Decimal:
    total = ZERO
    for number, place in ((arm.failed, rate), (arm.succeeded, CONTEXT.subtract(ONE, rate))):
        if number:
            total = CONTEXT.add(total, CONTEXT.multiply(Decimal(number), CONTEXT.ln(place)))
    return total
