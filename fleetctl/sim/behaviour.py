"""How simulated devices fail: by chance, but by the same chance each time.

A draw is made from the seed, the device, the deployment and the step, so that running the same
simulation again gives the same failures.
"""

import hashlib
from dataclasses import dataclass, field

STEPS = ("download", "install", "verify")


class BadRule(ValueError):
    """An option that cannot be understood; the message says how it should look."""


def chance(*parts: object) -> float:
    """A number in 0 .. 1 that depends on nothing but `parts`."""
    text = "\0".join(str(part) for part in parts)
    digest = hashlib.sha256(text.encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2.0**64


@dataclass(frozen=True, slots=True)
class VersionRule:
    """Probabilities for one version of one component or release."""

    name: str
    version: str
    probabilities: dict[str, float]


@dataclass(frozen=True, slots=True)
class Behaviour:
    """The failure probabilities of a simulated fleet."""

    seed: int
    probabilities: dict[str, float] = field(default_factory=dict)
    rules: tuple[VersionRule, ...] = ()

    def fails(self, device: int, deployment_id: str, step: str, *names: tuple[str, str]) -> bool:
        """Whether this step of this deployment fails on this device.

        `names` are (name, version) pairs of the component and its release; the first rule that
        names one of them decides instead of the general probability.
        """
        probability = self.probabilities.get(step, 0.0)
        for rule in self.rules:
            if (rule.name, rule.version) in names:
                probability = rule.probabilities.get(step, probability)
                break
        return chance(self.seed, device, deployment_id, step) < probability


def parse_probabilities(text: str) -> dict[str, float]:
    """`download=.01,verify=.02` as a table."""
    table = {}
    for part in filter(None, text.split(",")):
        step, _, number = part.partition("=")
        try:
            value = float(number)
        except ValueError:
            value = -1.0
        if step not in STEPS or not 0.0 <= value <= 1.0:
            raise BadRule(f"{part!r}: write STEP=P with STEP of {', '.join(STEPS)} and P in 0..1")
        table[step] = value
    return table


def parse_version_rule(text: str) -> VersionRule:
    """`name=1.2.3:verify=1.0` as a rule."""
    head, _, tail = text.partition(":")
    name, _, version = head.partition("=")
    if not name or not version or not tail:
        raise BadRule(f"{text!r}: write NAME=VERSION:STEP=P, for example edge=2.4.1:verify=1.0")
    return VersionRule(name, version, parse_probabilities(tail))
