"""What devices of a rollout can have in common, and how that is said."""

from dataclasses import dataclass

from apps.updates.domain.gates import Suspect

# No trait is what an update itself may change, such as the version of the system: the devices
# that failed would have the old one in common, as an effect.
WORDS = {
    "model": "model",
    "os": "operating system",
    "architecture": "architecture",
    "site": "site",
    "region": "region",
    "previous_version": "previous version",
    "tag": "tag",
    "group": "group",
}
MAX_VALUE = 300
RAREST = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Evidence:
    """All outcomes of a rollout that were looked at."""

    outcomes: int
    failures: int


def trait_words(attribute: str, value: str) -> str:
    """For example "model pi4"."""
    return f"{WORDS[attribute]} {value}"


def sentence(suspect: Suspect, words: str) -> str:
    """For example "Devices with model pi4 fail 6.2 times as often as all (12 of 40; chance 1 in
    100,000 after correction)"."""
    times = f"{suspect.lift:.1f}".removesuffix(".0")
    return (
        f"Devices with {words} fail {times} times as often as all ({suspect.failed:,} of"
        f" {suspect.total:,}; {chance(suspect.q_value)} after correction)"
    )


def chance(q_value: float) -> str:
    """A small probability as "chance 1 in 100,000", rounded to one digit, never too certain."""
    if q_value * RAREST < 1:
        return f"chance below 1 in {RAREST:,}"
    times = int(1 / q_value)
    scale = 10 ** (len(str(times)) - 1)
    return f"chance 1 in {times // scale * scale:,}"
