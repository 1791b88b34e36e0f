"""How often gates are wrong: Wald's sequential test against the rules that others use.

Every rule looks after each outcome. Its chances are computed exactly, outcome by outcome, and for
our gate also by seeded trials of `judge` itself. A phase that runs out of devices without a
decision is held for a person by our gate; the other rules promote it.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from math import comb, sqrt

from apps.updates.domain.gate import Counts
from apps.updates.domain.gates import Evidence, GateKind, GatePolicy, judge
from apps.updates.domain.gates.sprt import boundaries
from bench.harness import Goal, Result, Side, keep

HEALTHY, BAD = "0.02", "0.1"
SIZES = (10, 50, 200, 1000)
TRIALS, SEED = 2000, 2026
POLICY = GatePolicy(
    kind=GateKind.SEQUENTIAL, acceptable_rate=Decimal(HEALTHY), unacceptable_rate=Decimal(BAD)
).checked()

# (outcomes so far, failures so far, size of the phase) -> "halt", "promote" or "hold".
Rule = Callable[[int, int, int], str]


@dataclass(frozen=True)
class Chances:
    """What a rule does to a release: shares of phases, 0 to 1, and outcomes until then."""

    halted: float
    promoted: float
    outcomes: float

    @property
    def undecided(self) -> float:
        """The share that a person must decide."""
        return max(1 - self.halted - self.promoted, 0.0)


@lru_cache(maxsize=4096)
def _limits(outcomes: int) -> tuple[int, int]:
    test = boundaries(
        POLICY.acceptable_rate, POLICY.unacceptable_rate, Fraction(POLICY.alpha), POLICY.beta
    )
    return test.halt_number(outcomes), test.promote_number(outcomes)


def wald(outcomes: int, failures: int, _size: int) -> str:
    """Our gate."""
    halt, promote = _limits(outcomes)
    return "halt" if failures >= halt else "promote" if failures <= promote else "hold"


def errors_of_phase(outcomes: int, failures: int, size: int) -> str:
    """Errors > 5 % of the phase's devices, as hawkBit counts."""
    if failures * 20 > size:
        return "halt"
    return "promote" if outcomes == size else "hold"


def errors_of_finished(outcomes: int, failures: int, size: int) -> str:
    """Errors > 5 % of the finished devices once ten have finished, as AWS IoT Jobs counts."""
    if outcomes >= 10 and failures * 20 > outcomes:
        return "halt"
    return "promote" if outcomes == size else "hold"


def repeated_binomial(outcomes: int, failures: int, size: int) -> str:
    """A one-sided binomial test of the healthy rate at 5 %, repeated after every outcome."""
    if failures >= _binomial_limit(outcomes):
        return "halt"
    return "promote" if outcomes == size else "hold"


@lru_cache(maxsize=4096)
def _binomial_limit(outcomes: int) -> int:
    """The least number of failures with a p-value of at most 5 %."""
    rate, below = float(HEALTHY), 0.0
    for failures in range(outcomes + 1):
        if 1 - below <= 0.05:
            return failures
        below += comb(outcomes, failures) * rate**failures * (1 - rate) ** (outcomes - failures)
    return outcomes + 1


RULES: dict[str, Rule] = {
    "our gate (Wald)": wald,
    "errors > 5 % of the phase": errors_of_phase,
    "errors > 5 % of the finished, from 10 on": errors_of_finished,
    "binomial test after every outcome": repeated_binomial,
}


def chances(rule: Rule, rate: float, size: int) -> Chances:
    """Exactly what a rule does to a release with this failure rate: no sampling."""
    alive, halted, promoted, outcomes = {0: 1.0}, 0.0, 0.0, 0.0
    for number in range(1, size + 1):
        outcomes += sum(alive.values())
        following: dict[int, float] = {}
        for failures, share in alive.items():
            for after, part in ((failures, 1 - rate), (failures + 1, rate)):
                decision = rule(number, after, size)
                if decision == "hold":
                    following[after] = following.get(after, 0.0) + share * part
                halted += share * part * (decision == "halt")
                promoted += share * part * (decision == "promote")
        alive = following
    return Chances(halted, promoted, outcomes)


def simulated(rate: float, size: int) -> tuple[float, float]:
    """The shares that `judge` itself halts and promotes, over seeded trials."""
    chance, found = random.Random(SEED), {"halt": 0, "promote": 0}
    for _ in range(TRIALS):
        decision = _one_phase(chance, rate, size)
        if decision in found:
            found[decision] += 1
    return found["halt"] / TRIALS, found["promote"] / TRIALS


def _one_phase(chance: random.Random, rate: float, size: int) -> str:
    failures, decision = 0, "hold"
    for number in range(1, size + 1):
        failures += chance.random() < rate
        decision = _judged(number - failures, failures, size)
        if decision != "hold":
            break
    return decision


@lru_cache(maxsize=65_536)
def _judged(successes: int, failures: int, size: int) -> str:
    waiting = size - successes - failures
    counts = Counts(waiting=waiting, succeeded=successes, failed=failures)
    return judge(POLICY, Evidence(counts)).decision.value


def measure() -> tuple[Result, list[str]]:
    """All rules at all sizes, and the same as lines of a Markdown table."""
    sides, lines = [], []
    for size in SIZES:
        for name, rule in RULES.items():
            healthy, bad = (chances(rule, float(rate), size) for rate in (HEALTHY, BAD))
            sides.append(_side(f"{name}, phase of {size}", healthy, bad))
            lines.append(_line(size, name, healthy, bad))
    return Result(
        "gates",
        f"gates: releases with {HEALTHY} and {BAD} failures, a look after every outcome",
        "python -m bench gates",
        sides,
        _goals(),
        ("rates are shares of phases, computed exactly; the goals are seeded trials of judge()",),
    ), lines


def _goals() -> list[Goal]:
    size = max(SIZES)
    noise = 3 * sqrt(0.05 * 0.95 / TRIALS)
    halted, _ = simulated(float(HEALTHY), size)
    _, missed = simulated(float(BAD), size)
    return [
        Goal(
            "healthy releases halted: alpha = 0.05 within 3 standard errors",
            halted,
            halted <= 0.05 + noise,
        ),
        Goal(
            "bad releases promoted: beta = 0.05 within 3 standard errors",
            missed,
            missed <= 0.05 + noise,
        ),
    ]


def _side(name: str, healthy: Chances, bad: Chances) -> Side:
    details = {
        "bad promoted %": 100 * bad.promoted,
        "healthy undecided %": 100 * healthy.undecided,
        "outcomes if bad": bad.outcomes,
    }
    return Side(name, 100 * healthy.halted, "% stopped", details)


def _line(size: int, name: str, healthy: Chances, bad: Chances) -> str:
    cells = [
        f"{size:,}",
        name,
        *(
            f"{100 * share:.1f} %"
            for share in (healthy.halted, healthy.undecided, bad.promoted, bad.undecided)
        ),
        f"{bad.outcomes:.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Prints the figures, keeps them, and prints them as docs/concepts/gates.md has them."""
    result, lines = measure()
    keep(result)
    print(f"\nFor docs/concepts/gates.md, {datetime.now(UTC):%Y-%m-%d}:")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
