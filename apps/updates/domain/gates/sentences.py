"""How a gate says what it knows. The words depend on counts only, never on the time of day."""

from decimal import Decimal

from apps.updates.domain.gates.policy import Metric, MetricCondition, decimal_text

METRIC_WORDS = {
    Metric.CPU_RATIO: "CPU load",
    Metric.MEMORY_RATIO: "memory use",
    Metric.DISK_RATIO: "disk use",
    Metric.TEMPERATURE_CELSIUS: "temperature",
}
_UNFINISHED = ", a person must"
UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))


def percent(rate: Decimal) -> str:
    """A share as "1 %" or "0.25 %"."""
    return f"{decimal_text(rate.scaleb(2))} %"


def steps_percent(steps: int) -> str:
    """A share in 1/10,000 as "1 %" or "-0.25 %"."""
    return percent(Decimal(steps).scaleb(-4))


def duration(seconds: int) -> str:
    """A length of time in the largest unit that fits it evenly: "90 seconds", "2 hours"."""
    for size, word in UNITS:
        if seconds % size == 0 and seconds >= size:
            return numbered(seconds // size, word)
    return "0 seconds"


def numbered(number: int, word: str) -> str:
    """A number with its noun: "1 device", "2 devices"."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def condition_words(condition: MetricCondition) -> str:
    """For example "temperature above 80", "memory use risen by more than 0.1"."""
    limit = decimal_text(condition.limit)
    how = f"above {limit}" if condition.comparison.value == "above" else f"up by over {limit}"
    return f"{METRIC_WORDS[condition.metric]} {how}"


def promotes_or_halts(clean: int, failures: int, left: int) -> str:
    """For example "7 more clean devices promote, 3 more failures halt"."""
    parts = [_promotes(clean, left)]
    if failures <= left:
        verb = "halts" if failures == 1 else "halt"
        parts.append(f"{numbered(failures, 'more failure')} {verb}")
    return ", ".join(parts)


def _promotes(clean: int, left: int) -> str:
    devices = numbered(clean, "more clean device")
    if clean > left:
        return f"{devices} would promote but {left} {'is' if left == 1 else 'are'} left"
    return f"{devices} {'promotes' if clean == 1 else 'promote'}"


def enough_if(wanted: int, at_work: int) -> str:
    """Why evidence that would promote waits for devices that are at work."""
    if wanted == at_work == 1:
        return "enough to promote once the device at work has succeeded too"
    those = f"the {at_work}" if wanted == at_work else f"{wanted} of the {at_work}"
    return f"enough to promote once {those} devices at work have succeeded too"


def told(reason: str) -> str:
    """What a gate said, for people; its own words stay, logs are hashed with them (ADR 0026)."""
    if not reason.endswith(_UNFINISHED):
        return reason
    return f"{reason} decide: pass the gate by hand, or halt the rollout"
