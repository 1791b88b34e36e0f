"""What a gate demands: the policy of a phase, as a value that is stored, shown and checked."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from fractions import Fraction
from math import isfinite
from typing import Any, Self

MAXIMUM_DEVICES = 10_000_000
MAXIMUM_SOAK_SECONDS = 90 * 24 * 3600
MAXIMUM_CONDITIONS = 10
# Rates have at most six decimal places, so that comparing them exactly stays cheap.
SMALLEST_RATE = Decimal("0.000001")


class GateKind(StrEnum):
    """How the outcomes of a phase are judged."""

    STRICT = "strict"
    SEQUENTIAL = "sequential"


class OnExhausted(StrEnum):
    """What happens when a phase has no devices left and the evidence decides neither way."""

    HOLD = "hold"
    PROMOTE_IF_CLEAN = "promote_if_clean"


class Metric(StrEnum):
    """What devices report of themselves with each heartbeat."""

    CPU_RATIO = "cpu_ratio"
    MEMORY_RATIO = "memory_ratio"
    DISK_RATIO = "disk_ratio"
    TEMPERATURE_CELSIUS = "temperature_celsius"


class Comparison(StrEnum):
    """When a device's value is bad: above a limit, or risen above its own earlier value."""

    ABOVE = "above"
    RISEN_BY = "risen_by"


class BadPolicy(ValueError):
    """A policy that cannot be: `field` is its path, such as "conditions.0.limit"."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


@dataclass(frozen=True, slots=True)
class MetricCondition:
    """A metric that must not become worse: each updated device is bad or good by `limit`.

    The share of bad devices is then judged like the share of failures: `acceptable_rate` and
    `unacceptable_rate` are shares of devices, 0 to 1. `limit` has the unit of the metric.
    """

    metric: Metric
    limit: Decimal
    comparison: Comparison = Comparison.ABOVE
    acceptable_rate: Decimal = Decimal("0.05")
    unacceptable_rate: Decimal = Decimal("0.2")

    def is_bad(self, value: float, baseline: float | None = None) -> bool | None:
        """Whether one device's value counts against the release.

        None where it says nothing: no number, or a rise of a device that has no earlier value.
        `baseline` is the same device's value before the update. The comparison is exact.
        """
        if not isfinite(value):
            return None
        if self.comparison is Comparison.ABOVE:
            return Fraction(value) > Fraction(self.limit)
        if baseline is None or not isfinite(baseline):
            return None
        return Fraction(value) - Fraction(baseline) > Fraction(self.limit)


@dataclass(frozen=True, slots=True)
class GatePolicy:
    """When a phase is promoted and when it is halted.

    `alpha` bounds the chance to halt a release whose failure rate is `acceptable_rate`, `beta`
    the chance to promote one whose rate is `unacceptable_rate` (both of sequential gates). With
    `has_control` the updated devices must also compare with a control cohort. Where several
    tests watch one phase they share `alpha` in equal parts.
    """

    kind: GateKind = GateKind.STRICT
    acceptable_rate: Decimal = Decimal("0.01")
    unacceptable_rate: Decimal = Decimal("0.05")
    alpha: Decimal = Decimal("0.05")
    beta: Decimal = Decimal("0.05")
    minimum_devices: int = 0
    minimum_soak_seconds: int = 0
    on_exhausted: OnExhausted = OnExhausted.HOLD
    has_control: bool = False
    conditions: tuple[MetricCondition, ...] = ()

    @property
    def tests(self) -> int:
        """How many statistical tests may halt the phase."""
        return (self.kind is GateKind.SEQUENTIAL) + self.has_control + len(self.conditions)

    @property
    def alpha_each(self) -> Fraction:
        """The share of `alpha` that each test may spend, so that all together keep to it."""
        return Fraction(self.alpha) / max(self.tests, 1)

    @property
    def margin(self) -> Decimal:
        """By how much the failure rate may exceed the control's before it is unacceptable."""
        return self.unacceptable_rate - self.acceptable_rate

    def checked(self) -> Self:
        """The same policy; raises `BadPolicy` where it contradicts itself."""
        _check_rates(self, "")
        for name in ("alpha", "beta"):
            _check_rate(name, getattr(self, name))
        if self.alpha + self.beta >= 1:
            raise BadPolicy("beta", "alpha and beta together must stay below 1")
        _check_number("minimum_devices", self.minimum_devices, MAXIMUM_DEVICES)
        _check_number("minimum_soak_seconds", self.minimum_soak_seconds, MAXIMUM_SOAK_SECONDS)
        if len(self.conditions) > MAXIMUM_CONDITIONS:
            raise BadPolicy("conditions", f"at most {MAXIMUM_CONDITIONS} conditions")
        for index, condition in enumerate(self.conditions):
            _check_condition(condition, f"conditions.{index}.")
        return self

    def dump(self) -> dict[str, Any]:
        """The policy as JSON can hold it: rates as texts, so that hashing it is stable."""
        return {
            **_dump(self),
            "conditions": [_dump(condition) for condition in self.conditions],
        }

    @classmethod
    def restore(cls, dumped: Mapping[str, Any]) -> Self:
        """The checked policy that `dumped` describes; what is left out has its default.

        Raises `BadPolicy` for unknown names and values of the wrong kind.
        """
        values = _restore(dumped, _POLICY_READERS, "")
        if "conditions" in dumped:
            values["conditions"] = _restore_conditions(dumped["conditions"])
        return cls(**values).checked()


def _dump(value: GatePolicy | MetricCondition) -> dict[str, Any]:
    return {
        item.name: _plain(getattr(value, item.name))
        for item in fields(value)
        if item.name != "conditions"
    }


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return decimal_text(value)
    return value.value if isinstance(value, StrEnum) else value


def decimal_text(value: Decimal) -> str:
    """A decimal number in its one shortest form without exponent: "0.01", "5", "0"."""
    text = f"{value:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def _restore_conditions(dumped: object) -> tuple[MetricCondition, ...]:
    if not isinstance(dumped, Sequence) or isinstance(dumped, str):
        raise BadPolicy("conditions", "must be a list")
    return tuple(_restore_condition(item, f"conditions.{i}") for i, item in enumerate(dumped))


def _restore_condition(dumped: object, path: str) -> MetricCondition:
    if not isinstance(dumped, Mapping):
        raise BadPolicy(path, "must be an object")
    for name in ("metric", "limit"):
        if name not in dumped:
            raise BadPolicy(f"{path}.{name}", "is needed")
    return MetricCondition(**_restore(dumped, _CONDITION_READERS, f"{path}."))


def _restore(
    dumped: Mapping[str, Any], readers: Mapping[str, Callable[[object], Any]], path: str
) -> dict[str, Any]:
    values = {}
    for name, value in dumped.items():
        if name == "conditions" and not path:
            continue
        if name not in readers:
            raise BadPolicy(f"{path}{name}", "is not known")
        try:
            values[name] = readers[name](value)
        except (ValueError, InvalidOperation) as error:
            raise BadPolicy(f"{path}{name}", str(error) or "is not a number") from error
    return values


def _decimal(value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise ValueError("must be a number or its text")
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        raise ValueError("is not a number") from None
    # The size first: rounding an enormous number would be an error of its own.
    is_sane = number.is_finite() and (not number or -6 <= number.adjusted() < 9)
    if not is_sane or number != round(number, 6):
        raise ValueError("must be a number with at most six decimal places")
    return number


def _integer(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("must be a whole number")
    return value


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def _choice(kind: type[StrEnum]) -> Callable[[object], StrEnum]:
    def read(value: object) -> StrEnum:
        if not isinstance(value, str) or value not in list(kind):
            raise ValueError(f"must be one of {', '.join(kind)}")
        return kind(value)

    return read


_POLICY_READERS: Mapping[str, Callable[[object], Any]] = {
    "kind": _choice(GateKind),
    "acceptable_rate": _decimal,
    "unacceptable_rate": _decimal,
    "alpha": _decimal,
    "beta": _decimal,
    "minimum_devices": _integer,
    "minimum_soak_seconds": _integer,
    "on_exhausted": _choice(OnExhausted),
    "has_control": _boolean,
}
_CONDITION_READERS: Mapping[str, Callable[[object], Any]] = {
    "metric": _choice(Metric),
    "limit": _decimal,
    "comparison": _choice(Comparison),
    "acceptable_rate": _decimal,
    "unacceptable_rate": _decimal,
}


def _check_rates(value: GatePolicy | MetricCondition, path: str) -> None:
    for name in ("acceptable_rate", "unacceptable_rate"):
        _check_rate(f"{path}{name}", getattr(value, name))
    if value.acceptable_rate >= value.unacceptable_rate:
        raise BadPolicy(f"{path}unacceptable_rate", "must be above the acceptable rate")


def _check_rate(field: str, rate: Decimal) -> None:
    if not rate.is_finite() or not SMALLEST_RATE <= rate <= 1 - SMALLEST_RATE:
        raise BadPolicy(field, "must be above 0 and below 1; a strict gate accepts no failure")
    if rate != round(rate, 6):
        raise BadPolicy(field, "has at most six decimal places")


def _check_number(field: str, number: int, maximum: int) -> None:
    if not 0 <= number <= maximum:
        raise BadPolicy(field, f"must be between 0 and {maximum}")


def _check_condition(condition: MetricCondition, path: str) -> None:
    _check_rates(condition, path)
    if not condition.limit.is_finite() or condition.limit != round(condition.limit, 6):
        raise BadPolicy(f"{path}limit", "must be a number with at most six decimal places")
