"""The form of a plan: what its fields mean, and at which field a mistake is shown."""

from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from django.http import QueryDict
from django.utils.translation import gettext as _

from apps.core.errors import FleetdError, invalid
from apps.updates.domain.gates import (
    Comparison,
    GateKind,
    GatePolicy,
    Metric,
    MetricCondition,
    OnExhausted,
)
from apps.updates.domain.installation import TIMED_STEPS, Installation, Mode, Reboot
from apps.updates.domain.notifications import Notifications
from apps.updates.domain.plan import PhasePlan, Plan, Rate
from apps.updates.domain.schedule import EVERY_DAY, MINUTES_A_DAY, Schedule, Window
from apps.updates.services.planning import DEFAULT_TIMEOUT_SECONDS
from apps.updates.types import Target
from apps.updates.ui.fields import (
    BYTES,
    choice_in,
    days_in,
    decimal_of,
    id_in,
    ids_in,
    minute_in,
    moment_in,
    number_in,
    release_in,
    seconds_in,
    share_in,
    tags_in,
    words_in,
)

OWN = "own"
# Cumulative percentages of the templates; `own` has rows of its own in the form.
STRATEGIES: dict[str, tuple[int, ...]] = {
    "canary": (1, 10, 50, 100),
    "rolling": (25, 50, 75, 100),
    "at_once": (100,),
}
DEVICES, FILTER = "devices", "filter"
# What a new form begins with.
FIRST = {
    "gate": GateKind.STRICT.value,
    "good": "1",
    "bad": "5",
    "alpha": "5",
    "beta": "5",
    "mode": Mode.FORCED.value,
    "reboot": Reboot.WHEN_NEEDED.value,
}
# Fields of a gate and of a pace: once for all phases, and with a prefix for one of its own.
GATE_TEXTS = ("gate", "good", "bad", "alpha", "beta", "soak", "minimum")
PACE_TEXTS = ("rate", "growth", "rate_most", "in_flight")
STEPS_LIMITS = tuple(f"limit_{step}" for step in TIMED_STEPS)
TEXTS = (
    *("name", "release", "filter", "tags", "devices", "failed_in", "failed_because"),
    *("exclude", "exclude_filter", "exclude_devices", "strategy", "timeout"),
    *(*GATE_TEXTS, *PACE_TEXTS),
    *("start_at", "end_at", "time_zone", "blackout", "mode", "reboot", "attempts", "backoff"),
    *("priority", "bandwidth", "bandwidth_unit", *STEPS_LIMITS),
    *("target_percent", "target_maximum", "mail", "failures_above"),
)
CHECKS = ("requires_approval", "between", "if_clean", "control", "downgrade", "dynamic")
LISTS = ("group", "exclude_group", "occasion")
# One row of a gate's conditions; rows are lists of the same length.
CONDITION = ("metric", "comparison", "limit", "good", "bad")
# Names of the form by the last part of a plan's path, where they are not the same.
_PLACES = {
    "release_id": "release",
    "device_ids": "devices",
    "group_ids": "groups",
    "groups": "groups",
    "windows": "windows",
    "phases": "phases",
    "phase_percents": "phases",
    "acceptable_rate": "good",
    "unacceptable_rate": "bad",
    "minimum_devices": "minimum",
    "minimum_soak_seconds": "soak",
    "per_minute": "rate",
    "growth_percent": "growth",
    "maximum_per_minute": "rate_most",
    "maximum_in_flight": "in_flight",
    "start_minute": "windows",
    "end_minute": "windows",
    "weekdays": "windows",
    "blackout_dates": "blackout",
    "maximum_attempts": "attempts",
    "backoff_seconds": "backoff",
    "deployment_timeout_seconds": "timeout",
    "maximum_bytes_per_second": "bandwidth",
    "step_timeouts": STEPS_LIMITS[0],
    "is_dynamic": "dynamic",
    "email": "mail",
    "occasions": "mail",
    **{step: f"limit_{step}" for step in TIMED_STEPS},
}
_OF_PHASES = {
    "percent": "size",
    "devices": "size",
    "name": "name",
    "needs_approval": "approval",
    "filter": "filter",
}
_KNOWN = {*TEXTS, *CHECKS, "groups", "windows", "phases", "target", "conditions", "control"}
# Parts of a target; a phase's have the phase before them.
_OF_TARGET = {"percent": "target_percent", "maximum": "target_maximum"}
_CODES = {"rollout_target_empty": "target"}
_RATES = ("good", "bad", "alpha", "beta")


@dataclass(frozen=True, slots=True)
class Filled:
    """What a filled-in form asks for: the arguments of the services that make and change plans."""

    name: str
    release_id: UUID
    channel: str
    target: Target
    excluded: Target | None
    plan: Plan
    requires_approval: bool
    deployment_timeout_seconds: int

    def arguments(self) -> dict[str, Any]:
        """By name."""
        return {name: getattr(self, name) for name in self.__slots__}


def filled(data: QueryDict, base: Plan | None = None) -> Filled:
    """Reads the whole form. Raises `InvalidRequest` for what cannot be read.

    `base` is the plan that is changed: what the form does not speak of stays as it is there.
    """
    release_id, channel = release_in(data.get("release", ""))
    return Filled(
        name=data.get("name", "").strip(),
        release_id=release_id,
        channel=channel,
        target=target_of(data),
        excluded=excluded_of(data),
        plan=plan_of(data, base),
        requires_approval="requires_approval" in data,
        deployment_timeout_seconds=seconds_in(data, "timeout", DEFAULT_TIMEOUT_SECONDS),
    )


def plan_of(data: QueryDict, base: Plan | None = None) -> Plan:
    """The plan that the form says. Raises `InvalidRequest` for what cannot be read."""
    return replace(
        base or Plan(),
        phases=_phases(data),
        schedule=_schedule(data),
        installation=_installation(data),
        priority=number_in(data, "priority", 0),
        **_later(data),
    )


def _later(data: QueryDict) -> dict[str, Any]:
    """Who joins and who is told while it runs, as `Plan` takes it; nothing where a form that was
    opened before these fields were there does not ask.
    """
    if "mail" not in data:
        return {}
    told = Notifications(
        email=tuple(words_in(data, "mail")),
        occasions=tuple(data.getlist("occasion")),
        failures_above=number_in(data, "failures_above", 0),
    )
    return {"is_dynamic": "dynamic" in data, "notifications": told}


def target_of(data: QueryDict) -> Target:
    """Which devices the form means. Raises `InvalidRequest`."""
    earlier = data.get("failed_in", "")
    return Target(
        device_ids=ids_in(words_in(data, "devices"), "devices"),
        tags=tags_in(data, "tags"),
        group_ids=ids_in(data.getlist("group"), "groups"),
        filter=data.get("filter", "").strip(),
        failed_in=id_in(earlier, "failed_in") if earlier else None,
        failed_because=data.get("failed_because", "") if earlier else "",
        percent=number_in(data, "target_percent", 0),
        maximum=number_in(data, "target_maximum", 0),
    )


def excluded_of(data: QueryDict) -> Target | None:
    """Which devices the form leaves out. Raises `InvalidRequest`."""
    found = Target(
        device_ids=ids_in(words_in(data, "exclude_devices"), "exclude_devices"),
        tags=tags_in(data, "exclude"),
        group_ids=ids_in(data.getlist("exclude_group"), "groups"),
        filter=data.get("exclude_filter", "").strip(),
    )
    return None if found.is_everything else found


def errors_at(error: FleetdError, data: QueryDict) -> dict[str, list[str]]:
    """What is wrong, by the form's fields; under `form` what belongs to none of them."""
    found: dict[str, list[str]] = {}
    for item in error.fields:
        found.setdefault(_place(item.field, data), []).append(item.message)
    return found or {_CODES.get(error.code, "form"): [error.message]}


def _place(path: str, data: QueryDict) -> str:
    """The field of the form for a plan's path, such as `phases.2.gate.alpha`; or a field itself."""
    if path in _OF_TARGET:
        return _OF_TARGET[path]
    parts = path.split(".")
    name = _PLACES.get(parts[-1], parts[-1])
    if "conditions" in parts:
        parts, name = [*parts[: parts.index("conditions")], "conditions"], "conditions"
    if "phases" in parts[:-1]:
        return _place_in_phase(parts[parts.index("phases") + 1], parts[-1], name, data)
    is_known = name in _KNOWN or any(path.startswith(f"p{key}-") for key in phase_keys(data))
    return name if is_known else "form"


def _place_in_phase(index: str, last: str, name: str, data: QueryDict) -> str:
    keys = phase_keys(data) if data.get("strategy") not in STRATEGIES else []
    if not index.isdigit() or int(index) >= len(keys):
        return name if name in _KNOWN else "phases"
    prefix = f"p{keys[int(index)]}-"
    if last in _OF_PHASES:
        return f"{prefix}{_OF_PHASES[last]}"
    return f"{prefix}{name}" if f"{prefix}own" in data else name


def phase_keys(data: QueryDict) -> list[str]:
    """The rows of the form's own phases, in order."""
    return _keys(data, "phase")


def window_keys(data: QueryDict) -> list[str]:
    """The rows of the form's windows, in order."""
    return _keys(data, "window")


def _keys(data: QueryDict, name: str) -> list[str]:
    keys = [key for key in data.getlist(name) if key.isascii() and key.isdigit() and len(key) < 4]
    return list(dict.fromkeys(keys))[:100]


def _phases(data: QueryDict) -> tuple[PhasePlan, ...]:
    """The phases of the chosen template, or the form's own rows."""
    gate, pace = _gate(data, ""), _pace(data, "")
    percents = STRATEGIES.get(data.get("strategy", ""))
    if percents is None:
        return tuple(_phase(data, f"p{key}-", gate, pace) for key in phase_keys(data))
    asks = "between" in data
    return tuple(
        PhasePlan(percent, gate=gate, needs_approval=asks and place > 0, **pace)
        for place, percent in enumerate(percents)
    )


def _phase(data: QueryDict, prefix: str, gate: GatePolicy, pace: dict[str, Any]) -> PhasePlan:
    """One row: its size, and the settings of all phases or its own."""
    unit = data.get(f"{prefix}unit")
    in_devices, by_filter = unit == DEVICES, unit == FILTER
    size = 0 if by_filter else number_in(data, f"{prefix}size", 0)
    has_own = f"{prefix}own" in data
    return PhasePlan(
        percent=0 if in_devices else size,
        devices=size if in_devices else 0,
        name=data.get(f"{prefix}name", "").strip(),
        gate=_gate(data, prefix) if has_own else gate,
        needs_approval=f"{prefix}approval" in data,
        filter=_phase_filter(data, prefix) if by_filter else "",
        **(_pace(data, prefix) if has_own else pace),
    )


def _phase_filter(data: QueryDict, prefix: str) -> str:
    text = data.get(f"{prefix}filter", "").strip()
    if not text:
        raise invalid(f"{prefix}filter", "filter_needed", _("Write the filter."))
    return text


def _conditions(data: QueryDict, prefix: str) -> tuple[MetricCondition, ...]:
    """The rows in which a metric is chosen."""
    lists = [data.getlist(f"{prefix}c_{name}") for name in CONDITION]
    rows = zip(*lists, strict=False)
    return tuple(_condition(row, f"{prefix}conditions") for row in rows if row[0] in list(Metric))


def _condition(row: tuple[str, ...], place: str) -> MetricCondition:
    metric, comparison, *numbers = row
    limit, good, bad = (decimal_of(text, place) for text in numbers)
    return MetricCondition(
        Metric(metric),
        limit,
        choice_in(Comparison, comparison, Comparison.ABOVE),
        good / 100,
        bad / 100,
    )


def _gate(data: QueryDict, prefix: str) -> GatePolicy:
    rates = {name: share_in(data, f"{prefix}{name}", FIRST[name]) for name in _RATES}
    clean = f"{prefix}if_clean" in data
    return GatePolicy(
        kind=choice_in(GateKind, data.get(f"{prefix}gate", ""), GateKind.STRICT),
        acceptable_rate=rates["good"],
        unacceptable_rate=rates["bad"],
        alpha=rates["alpha"],
        beta=rates["beta"],
        minimum_devices=number_in(data, f"{prefix}minimum", 0),
        minimum_soak_seconds=seconds_in(data, f"{prefix}soak", 0),
        on_exhausted=OnExhausted.PROMOTE_IF_CLEAN if clean else OnExhausted.HOLD,
        has_control=f"{prefix}control" in data,
        conditions=_conditions(data, prefix),
    )


def _pace(data: QueryDict, prefix: str) -> dict[str, Any]:
    """How fast a phase's devices start, as `PhasePlan` takes it."""
    first = number_in(data, f"{prefix}rate", 0)
    growth = number_in(data, f"{prefix}growth", 0)
    most = number_in(data, f"{prefix}rate_most", 0)
    if (growth or most) and not first:
        message = _("Say how many devices start in the first minute.")
        raise invalid(f"{prefix}rate", "rate_needed", message)
    return {
        "rate": Rate(first, growth + 100, most) if first else None,
        "maximum_in_flight": number_in(data, f"{prefix}in_flight", 0),
    }


def _schedule(data: QueryDict) -> Schedule:
    found = (_window(data, f"w{key}-") for key in window_keys(data))
    return Schedule(
        start_at=moment_in(data, "start_at"),
        end_at=moment_in(data, "end_at"),
        windows=tuple(window for window in found if window),
        blackout_dates=days_in(data, "blackout"),
        time_zone=data.get("time_zone", "").strip(),
    )


def _window(data: QueryDict, prefix: str) -> Window | None:
    """One row; None for one that is empty. Midnight as an end is the day's end."""
    start, end = minute_in(data, f"{prefix}start"), minute_in(data, f"{prefix}end")
    days = tuple(sorted({int(d) for d in data.getlist(f"{prefix}day") if d in set("1234567")}))
    if start is None and end is None:
        return Window(0, MINUTES_A_DAY, days) if days else None
    if start is None or end is None:
        raise invalid("windows", "invalid_window", _("Say from when to when."))
    return Window(start, end or MINUTES_A_DAY, days or EVERY_DAY)


def _installation(data: QueryDict) -> Installation:
    usual = Installation()
    limits = {step: seconds_in(data, f"limit_{step}", 0) for step in TIMED_STEPS}
    unit = BYTES.get(data.get("bandwidth_unit", ""), BYTES["kB"])
    return Installation(
        mode=choice_in(Mode, data.get("mode", ""), usual.mode),
        reboot=choice_in(Reboot, data.get("reboot", ""), usual.reboot),
        maximum_bytes_per_second=number_in(data, "bandwidth", 0) * unit,
        maximum_attempts=number_in(data, "attempts", usual.maximum_attempts),
        backoff_seconds=seconds_in(data, "backoff", usual.backoff_seconds),
        step_timeouts={step: seconds for step, seconds in limits.items() if seconds},
        allow_downgrade="downgrade" in data,
    )
