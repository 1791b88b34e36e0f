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
    # The share of devices on which a version does not pass its verification, by version, or by
    # "version@template" for machines of one kind.
    bad_versions: dict[str, float] = field(default_factory=dict)
    # The share of devices that run hot and busy once a version is installed, named the same way.
    hot_versions: dict[str, float] = field(default_factory=dict)

    def is_bad_on(self, device: int, version: str, kind: str = "") -> bool:
        """Whether a version never works on this device: the same ones in each deployment."""
        share = _share(self.bad_versions, version, kind)
        return chance(self.seed, device, "fail-verify", version) < share

    def is_hot_on(self, device: int, version: str, kind: str = "") -> bool:
        """Whether this device runs hot and busy with a version: the same ones each time."""
        share = _share(self.hot_versions, version, kind)
        return chance(self.seed, device, "hot", version) < share

    def offline_begin(self, device: int, cycle: int, share: float) -> float:
        """Where in a cycle (0 to 1) the device's offline period begins."""
        return chance(self.seed, device, "offline", cycle) * (1.0 - share)

    def fails(
        self, device: int, deployment_id: str, step: str, *names: tuple[str, str], kind: str = ""
    ) -> bool:
        """Whether this step of this deployment fails on this device, a machine of this kind.

        `names` are (name, version) pairs of the component and its release; the first rule that
        names one of them decides instead of the general probability.
        """
        if step == "verify" and any(self.is_bad_on(device, version, kind) for _, version in names):
            return True
        probability = self.probabilities.get(step, 0.0)
        for rule in self.rules:
            if (rule.name, rule.version) in names:
                probability = rule.probabilities.get(step, probability)
                break
        return chance(self.seed, device, deployment_id, step) < probability


def _share(shares: dict[str, float], version: str, kind: str) -> float:
    """That of the kind of machine, else that of all."""
    return shares.get(f"{version}@{kind}", shares.get(version, 0.0))


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


def parse_share(text: str) -> tuple[str, float]:
    """`2.4.1=0.08`, or `2.4.1@pi4=0.9` for one template, as a version and a share."""
    version, _, number = text.partition("=")
    try:
        share = float(number)
    except ValueError:
        share = -1.0
    if not version or not 0.0 <= share <= 1.0:
        raise BadRule(f"{text!r}: write VERSION=P with P in 0..1, for example 2.4.1=0.08")
    return version, share


def parse_installed(text: str) -> tuple[str, str]:
    """`edge=1.0.0` as a name and a version."""
    name, _, version = text.partition("=")
    if not name or not version:
        raise BadRule(f"{text!r}: write NAME=VERSION, for example edge=1.0.0")
    return name, version
