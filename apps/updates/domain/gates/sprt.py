"""Wald's sequential probability ratio test of a failure rate, in whole numbers.

A. Wald, "Sequential Tests of Statistical Hypotheses", Annals of Mathematical Statistics 16 (1945)
117-186. Of s successes and f failures, LLR = f ln(p1/p0) + s ln((1-p1)/(1-p0)): halt when
LLR >= ln((1-beta)/alpha), promote when LLR <= ln(beta/(1-alpha)), otherwise go on. Wald shows for
looks after every outcome that the true error rates a and b obey a <= alpha/(1-beta),
b <= beta/(1-alpha) and a + b <= alpha + beta. The first two are Ville's inequality for a
likelihood ratio, so they also hold for fewer looks and for looks at any time.
"""

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from fractions import Fraction
from functools import lru_cache

from apps.updates.domain.gates.numbers import CONTEXT, ln_ratio

# The logarithms are known to 50 digits; what is nearer than this is compared as fractions.
NEARLY_EQUAL = Decimal("1e-30")


@dataclass(frozen=True, slots=True)
class Boundaries:
    """One test: what a failure and a success weigh, and the two limits.

    The limits are compared exactly: as logarithms to 50 digits, and where these are nearly
    equal, as fractions without rounding.
    """

    failure_ratio: Fraction
    success_ratio: Fraction
    halt_ratio: Fraction
    promote_ratio: Fraction
    failure_weight: Decimal
    success_weight: Decimal
    upper: Decimal
    lower: Decimal

    def llr(self, successes: int, failures: int) -> Decimal:
        """The log-likelihood ratio of the unacceptable to the acceptable rate."""
        bad = CONTEXT.multiply(self.failure_weight, Decimal(failures))
        return CONTEXT.add(bad, CONTEXT.multiply(self.success_weight, Decimal(successes)))

    def halts(self, successes: int, failures: int) -> bool:
        """Whether the evidence speaks against the release: LLR >= upper."""
        return self._compare(successes, failures, self.upper, self.halt_ratio) >= 0

    def promotes(self, successes: int, failures: int) -> bool:
        """Whether the evidence speaks for the release: LLR <= lower."""
        return self._compare(successes, failures, self.lower, self.promote_ratio) <= 0

    def halt_number(self, outcomes: int) -> int:
        """The least number of failures in so many outcomes that halts; above them for none."""
        number = int(self._failures_at(outcomes, self.upper).to_integral_value(ROUND_CEILING))
        number = min(max(number - 1, 0), outcomes + 1)
        while number <= outcomes and not self.halts(outcomes - number, number):
            number += 1
        return number

    def promote_number(self, outcomes: int) -> int:
        """The greatest number of failures in so many outcomes that promotes; -1 for none."""
        number = int(self._failures_at(outcomes, self.lower).to_integral_value(ROUND_FLOOR))
        number = min(number + 1, outcomes)
        while number >= 0 and not self.promotes(outcomes - number, number):
            number -= 1
        return max(number, -1)

    def clean_devices_to_promote(self, successes: int, failures: int) -> int:
        """How many more successes in a row promote; 0 where the evidence already does."""
        return self._further(
            self._distance(successes, failures, self.lower, self.success_weight),
            lambda more: self.promotes(successes + more, failures),
        )

    def successes_to_promote(self, successes: int, failures: int, at_work: int) -> int:
        """How many of the devices at work have to succeed before nothing that the others do
        could keep the evidence from promoting; for evidence that promotes without them.
        """
        return bisect_left(
            range(at_work + 1),
            True,
            key=lambda more: self.promotes(successes + more, failures + at_work - more),
        )

    def failures_to_halt(self, successes: int, failures: int) -> int:
        """How many more failures in a row halt; 0 where the evidence already does."""
        return self._further(
            self._distance(successes, failures, self.upper, self.failure_weight),
            lambda more: self.halts(successes, failures + more),
        )

    def _failures_at(self, outcomes: int, limit: Decimal) -> Decimal:
        """The number of failures in so many outcomes at which the LLR meets `limit`."""
        spread = CONTEXT.subtract(self.failure_weight, self.success_weight)
        return CONTEXT.divide(CONTEXT.subtract(limit, self.llr(outcomes, 0)), spread)

    def _distance(self, successes: int, failures: int, limit: Decimal, step: Decimal) -> Decimal:
        """In how many steps the LLR comes from here to `limit`."""
        return CONTEXT.divide(CONTEXT.subtract(limit, self.llr(successes, failures)), step)

    @staticmethod
    def _further(estimate: Decimal, is_enough: Callable[[int], bool]) -> int:
        more = max(int(estimate.to_integral_value(ROUND_CEILING)) - 1, 0)
        while not is_enough(more):
            more += 1
        return more

    def _compare(self, successes: int, failures: int, limit: Decimal, ratio: Fraction) -> int:
        """-1, 0 or 1: how the LLR stands to the limit."""
        distance = CONTEXT.subtract(self.llr(successes, failures), limit)
        if abs(distance) > NEARLY_EQUAL:
            return 1 if distance > 0 else -1
        likelihood = self.failure_ratio**failures * self.success_ratio**successes
        return (likelihood > ratio) - (likelihood < ratio)


@lru_cache(maxsize=1024)
def boundaries(
    acceptable_rate: Decimal, unacceptable_rate: Decimal, alpha: Fraction, beta: Decimal
) -> Boundaries:
    """The test for these rates (0 to 1, acceptable below unacceptable) and error chances."""
    p0, p1, a, b = (Fraction(v) for v in (acceptable_rate, unacceptable_rate, alpha, beta))
    ratios = (p1 / p0, (1 - p1) / (1 - p0), (1 - b) / a, b / (1 - a))
    return Boundaries(*ratios, *(ln_ratio(ratio) for ratio in ratios))
