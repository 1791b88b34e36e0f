"""Which devices fail: attributes ranked by how much more often devices with them fail.

For each attribute value, the one-sided Fisher exact test (the hypergeometric tail): how likely so
many of the failures, or more, fall on its devices by chance. The p-values are corrected for
testing many by Benjamini and Hochberg, "Controlling the False Discovery Rate" (Journal of the
Royal Statistical Society B 57, 1995, 289-300). Values with so few devices that no outcome could
ever be significant are left out beforehand (R. Tarone, Biometrics 46, 1990, 515-522): they depend
on the numbers of devices only, so leaving them out favours nothing. Floats are safe here: the
ranking is shown to people and decides nothing.
"""

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import chain
from math import exp, lgamma

# Of the attributes that are named, about this share is named wrongly.
FALSE_DISCOVERIES = 0.05
# Terms of the tail below this share of its sum no longer matter.
NEGLIGIBLE = 1e-17

Trait = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One finished device: whether it failed, and its traits, such as ("model", "pi4").

    An attribute may occur several times, as tags do.
    """

    is_failed: bool
    traits: Collection[Trait]


@dataclass(frozen=True, slots=True)
class Suspect:
    """An attribute value whose devices fail more often than chance explains.

    `lift` is its failure rate over that of all devices. `p_value` is for this value alone,
    `q_value` after correction for all values that were looked at.
    """

    attribute: str
    value: str
    failed: int
    total: int
    lift: float
    p_value: float
    q_value: float


def rank(outcomes: Iterable[Outcome], limit: int = 10) -> list[Suspect]:
    """At most `limit` suspects, the most certain first; empty where nothing stands out."""
    known = [(outcome.is_failed, frozenset(outcome.traits)) for outcome in outcomes]
    failures, everyone = sum(is_failed for is_failed, _ in known), len(known)
    totals = Counter(chain.from_iterable(traits for _, traits in known))
    failed = Counter(chain.from_iterable(traits for is_failed, traits in known if is_failed))
    p_values = {
        trait: _tail(failed[trait], total, failures, everyone)
        for trait, total in totals.items()
        if _is_testable(total, failures, everyone)
    }
    corrected = _corrected(p_values)
    suspects = [
        _suspect(trait, failed[trait], totals[trait], failures / everyone, p_values, q_value)
        for trait, q_value in corrected.items()
        if q_value <= FALSE_DISCOVERIES
    ]
    suspects.sort(key=lambda s: (s.q_value, s.p_value, -s.lift, s.attribute, s.value))
    return suspects[:limit]


def _suspect(
    trait: Trait,
    failed: int,
    total: int,
    rate: float,
    p_values: dict[Trait, float],
    q_value: float,
) -> Suspect:
    attribute, value = trait
    lift = failed / total / rate
    return Suspect(attribute, value, failed, total, lift, p_values[trait], q_value)


def _is_testable(total: int, failures: int, everyone: int) -> bool:
    """Whether the most extreme outcome of so many devices would be significant."""
    if not failures or total == everyone:
        return False
    return _tail(min(total, failures), total, failures, everyone) <= FALSE_DISCOVERIES


def _tail(failed: int, total: int, failures: int, everyone: int) -> float:
    """The chance that at least `failed` of `failures` are among `total` of `everyone`."""
    lowest = max(failed, total + failures - everyone)
    highest = min(total, failures)
    if lowest <= max(0, total + failures - everyone):
        return 1.0
    term = _point(lowest, total, failures, everyone)
    tail = term
    for number in range(lowest, highest):
        term *= (failures - number) * (total - number)
        term /= (number + 1) * (everyone - failures - total + number + 1)
        tail += term
        if term < NEGLIGIBLE * tail:
            break
    return min(tail, 1.0)


def _point(failed: int, total: int, failures: int, everyone: int) -> float:
    """The hypergeometric probability of exactly `failed`."""
    return exp(
        _ln_choose(failures, failed)
        + _ln_choose(everyone - failures, total - failed)
        - _ln_choose(everyone, total)
    )


def _ln_choose(number: int, chosen: int) -> float:
    return lgamma(number + 1) - lgamma(chosen + 1) - lgamma(number - chosen + 1)


def _corrected(p_values: dict[Trait, float]) -> dict[Trait, float]:
    """Benjamini and Hochberg's q-values: the least over all greater p-values of p m / rank."""
    ordered = sorted(p_values, key=lambda trait: (p_values[trait], trait))
    corrected, least = {}, 1.0
    for place in range(len(ordered), 0, -1):
        trait = ordered[place - 1]
        least = min(least, p_values[trait] * len(ordered) / place)
        corrected[trait] = least
    return corrected
