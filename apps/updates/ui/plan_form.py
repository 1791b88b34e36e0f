"""The form of a plan: what its fields mean, and at which field a mistake is shown."""

from datetime import UTC, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any

from django.http import QueryDict
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.core.errors import FleetdError, invalid
from apps.updates.domain.gates import GateKind, GatePolicy, OnExhausted
from apps.updates.domain.installation import Installation, Mode, Reboot
from apps.updates.domain.plan import PhasePlan, Plan, Rate
from apps.updates.domain.schedule import EVERY_DAY, MINUTES_A_DAY, Schedule, Window
from apps.updates.ui.wording import MODES, REBOOTS

LAST_YEAR = 2200
STRATEGIES: dict[str, tuple[int, ...]] = {
    "canary": (1, 10, 50, 100),
    "halves": (10, 50, 100),
    "at_once": (100,),
}
GATES = [
    {
        "value": GateKind.STRICT.value,
        "title": gettext_lazy("No failure is accepted"),
        "text": gettext_lazy(
            "A phase passes when all its devices have finished; one failure ends the rollout."
        ),
    },
    {
        "value": GateKind.SEQUENTIAL.value,
        "title": gettext_lazy("By statistics"),
        "text": gettext_lazy(
            "Few failures among many devices are fine. A phase passes or halts as"
            " soon as the evidence is clear."
        ),
    },
]
MODE_WORDS = [(mode.value, word) for mode, word in MODES.items()]
REBOOT_WORDS = [(reboot.value, word) for reboot, word in REBOOTS.items()]
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
_TEXTS = (
    *("name", "release", "filter", "tags", "exclude", "devices", "strategy", "percents", "timeout"),
    *("gate", "good", "bad", "alpha", "beta", "soak", "minimum", "rate", "in_flight"),
    *("start_at", "end_at", "window_start", "window_end", "time_zone"),
    *("mode", "reboot", "attempts", "backoff", "priority"),
)
_CHECKS = ("requires_approval", "between", "if_clean")
# Fields of a plan, by the last part of their path, and the field of the form that fills them.
_PLACES = {
    **{name: name for name in ("name", "filter", "tags", "alpha", "beta", "start_at", "end_at")},
    **{name: name for name in (*_TEXTS, "time_zone", "priority", "windows", "groups")},
    "release_id": "release",
    "device_ids": "devices",
    "group_ids": "groups",
    "phases": "percents",
    "percent": "percents",
    "phase_percents": "percents",
    "acceptable_rate": "good",
    "unacceptable_rate": "bad",
    "minimum_devices": "minimum",
    "minimum_soak_seconds": "soak",
    "per_minute": "rate",
    "maximum_in_flight": "in_flight",
    "start_minute": "windows",
    "end_minute": "windows",
    "weekdays": "windows",
    "maximum_attempts": "attempts",
    "backoff_seconds": "backoff",
    "deployment_timeout_seconds": "timeout",
}
# Which fields lie in which part of the form that is closed at first.
_PARTS = {
    "who": ("devices", "exclude"),
    "gating": ("soak", "minimum", "if_clean"),
    "speed": ("rate", "in_flight"),
    "time": ("start_at", "end_at", "window_start", "window_end", "weekdays", "time_zone"),
    "device": ("attempts", "backoff", "priority"),
}


def plan_of(data: QueryDict) -> Plan:
    """The plan that the form says. Raises `InvalidRequest` for what cannot be read."""
    gate, rate = _gate(data), _number(data, "rate", 0)
    phases = tuple(
        PhasePlan(
            percent,
            gate=gate,
            needs_approval="between" in data and place > 0,
            rate=Rate(rate) if rate else None,
            maximum_in_flight=_number(data, "in_flight", 0),
        )
        for place, percent in enumerate(_percents(data))
    )
    return Plan(phases, _schedule(data), _installation(data), _number(data, "priority", 0))


def values_of(data: QueryDict) -> dict[str, Any]:
    """What was filled in, for showing the form again."""
    values: dict[str, Any] = {name: data.get(name, "") for name in _TEXTS}
    values |= {name: name in data for name in _CHECKS}
    return values | {"groups": data.getlist("group"), "weekdays": data.getlist("weekday")}


def errors_at(error: FleetdError) -> dict[str, list[str]]:
    """What is wrong, by the form's fields; under `form` what belongs to none of them."""
    found: dict[str, list[str]] = {}
    for item in error.fields:
        place = _PLACES.get(item.field.rpartition(".")[2], "form")
        found.setdefault(place, []).append(item.message)
    return found or {"form": [error.message]}


def open_parts(values: dict[str, Any], errors: dict[str, list[str]]) -> dict[str, bool]:
    """Which closed parts of the form to show open: those with something in them."""
    wrong = {**errors, "window_start": errors.get("windows")}
    shown = {
        part: any(values.get(name) or wrong.get(name) for name in names)
        for part, names in _PARTS.items()
    }
    is_usual = all(values.get(name, FIRST[name]) == FIRST[name] for name in ("mode", "reboot"))
    is_sure = all(values.get(name, "5") == "5" for name in ("alpha", "beta"))
    shown["device"] |= not is_usual
    shown["gating"] |= not is_sure or bool(errors.get("alpha") or errors.get("beta"))
    return shown


def _percents(data: QueryDict) -> tuple[int, ...]:
    """The shares of the chosen strategy; the plan's own rules are the service's to check."""
    strategy = data.get("strategy", "")
    if strategy in STRATEGIES:
        return STRATEGIES[strategy]
    try:
        return tuple(int(word) for word in data.get("percents", "").replace(",", " ").split())
    except ValueError as error:
        message = _("Shares are whole numbers, as 5, 25, 100.")
        raise invalid("phase_percents", "invalid_percents", message) from error


def _gate(data: QueryDict) -> GatePolicy:
    soak, minimum = _number(data, "soak", 0) * 60, _number(data, "minimum", 0)
    if data.get("gate") != GateKind.SEQUENTIAL.value:
        return GatePolicy(minimum_devices=minimum, minimum_soak_seconds=soak)
    return GatePolicy(
        kind=GateKind.SEQUENTIAL,
        acceptable_rate=_share(data, "good"),
        unacceptable_rate=_share(data, "bad"),
        alpha=_share(data, "alpha"),
        beta=_share(data, "beta"),
        minimum_devices=minimum,
        minimum_soak_seconds=soak,
        on_exhausted=OnExhausted.PROMOTE_IF_CLEAN if "if_clean" in data else OnExhausted.HOLD,
    )


def _schedule(data: QueryDict) -> Schedule:
    return Schedule(
        start_at=_moment(data, "start_at"),
        end_at=_moment(data, "end_at"),
        windows=_windows(data),
        time_zone=data.get("time_zone", "").strip(),
    )


def _windows(data: QueryDict) -> tuple[Window, ...]:
    start, end = _minute(data, "window_start"), _minute(data, "window_end")
    days = tuple(sorted({int(d) for d in data.getlist("weekday") if d in set("1234567")}))
    if start is None and end is None:
        return (Window(0, MINUTES_A_DAY, days),) if days else ()
    if start is None or end is None:
        raise invalid("windows", "invalid_window", _("Say from when to when."))
    return (Window(start, end, days or EVERY_DAY),)


def _installation(data: QueryDict) -> Installation:
    usual = Installation()
    return Installation(
        mode=_choice(Mode, data.get("mode", ""), usual.mode),
        reboot=_choice(Reboot, data.get("reboot", ""), usual.reboot),
        maximum_attempts=_number(data, "attempts", usual.maximum_attempts),
        backoff_seconds=_number(data, "backoff", usual.backoff_seconds // 60) * 60,
    )


def _choice(kind: Any, text: str, usual: Any) -> Any:
    return kind(text) if text in list(kind) else usual


def _number(data: QueryDict, name: str, usual: int) -> int:
    """A whole number; what is left empty has its usual value."""
    text = data.get(name, "").strip()
    if not text:
        return usual
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 10):
        raise invalid(name, "invalid_number", _("This is a whole number."))
    return int(text)


def _share(data: QueryDict, name: str) -> Decimal:
    """Per cent as a share."""
    text = data.get(name, "").strip().replace(",", ".") or FIRST[name]
    try:
        if len(text) > 12:
            raise InvalidOperation
        return Decimal(text) / 100
    except ArithmeticError as error:
        raise invalid(name, "invalid_number", _("This is a number of per cent.")) from error


def _moment(data: QueryDict, name: str) -> datetime | None:
    """A date and time, in UTC where the text names no zone."""
    text = data.get(name, "").strip()
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
        found = found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise invalid(name, "invalid_time", _("This is no date and time.")) from error
    if found.year > LAST_YEAR:
        raise invalid(name, "invalid_time", _("This is too far away."))
    return found


def _minute(data: QueryDict, name: str) -> int | None:
    text = data.get(name, "").strip()
    if not text:
        return None
    try:
        found = time.fromisoformat(text)
    except ValueError as error:
        raise invalid("windows", "invalid_window", _("Times are as 22:00.")) from error
    return found.hour * 60 + found.minute
