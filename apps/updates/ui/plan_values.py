"""What stands in a plan's form: of a new one, of a draft, and after a button of the form."""

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from django.http import QueryDict
from django.utils.translation import gettext as _

from apps.core.errors import invalid
from apps.core.ids import parse_uuid
from apps.updates.domain.gates import GatePolicy, OnExhausted
from apps.updates.domain.gates.policy import decimal_text
from apps.updates.domain.installation import Installation
from apps.updates.domain.plan import PhasePlan, Plan
from apps.updates.domain.schedule import EVERY_DAY, MINUTES_A_DAY, Schedule, Window
from apps.updates.ui.fields import (
    bytes_parts,
    moment_text,
    percent_text,
    seconds_text,
    words_in,
)
from apps.updates.ui.plan_form import (
    CHECKS,
    CONDITION,
    DEVICES,
    FILTER,
    FIRST,
    GATE_TEXTS,
    LISTS,
    OWN,
    PACE_TEXTS,
    STRATEGIES,
    TEXTS,
    phase_keys,
    window_keys,
)
from apps.updates.ui.wording import clock_time

LARGEST_LIST = 1 << 20
_ROW_TEXTS = ("size", "unit", "name", "filter", *GATE_TEXTS, *PACE_TEXTS)
_ROW_CHECKS = ("approval", "own", "if_clean", "control")
_CONDITIONS = tuple(f"c_{name}" for name in CONDITION)
_ROW_FIELDS = (*_ROW_TEXTS, *_ROW_CHECKS, *_CONDITIONS)


def new_values(asked: QueryDict) -> QueryDict:
    """A new form, with what the address says of it: any field, and `device` for one device."""
    found = _empty()
    one = asked.get("device", "")
    usual = {**FIRST, "strategy": "at_once" if one else "canary", "timeout": "1 h", "devices": one}
    for name, value in usual.items():
        found[name] = value
    for name in asked:
        if name in (*TEXTS, *CHECKS, *LISTS, *_CONDITIONS, "phase", "window") or _is_row(name):
            found.setlist(name, asked.getlist(name))
    if "phase" not in asked:
        _set_rows(found, STRATEGIES.get(found.get("strategy", ""), STRATEGIES["canary"]))
    if "window" not in asked:
        found["window"] = "0"
    return found


def values_of(rollout: Any) -> QueryDict:
    """The form as it makes this very plan again."""
    found, plan = _empty(), rollout.planned()
    simple = {
        "name": rollout.name,
        "release": str(rollout.release_id),
        "timeout": seconds_text(rollout.deployment_timeout_seconds),
        "priority": str(plan.priority or ""),
        **_target(rollout.target, "filter", "tags", "devices"),
        **_target(rollout.excluded, "exclude_filter", "exclude", "exclude_devices"),
        **_installation(plan.installation),
        "target_percent": str(rollout.target.get("percent", "")),
        "target_maximum": str(rollout.target.get("maximum", "")),
        "mail": ", ".join(plan.notifications.email),
        "failures_above": str(plan.notifications.failures_above or ""),
    }
    for name, value in simple.items():
        found[name] = value
    found.setlist("group", rollout.target.get("group_ids", []))
    found.setlist("exclude_group", rollout.excluded.get("group_ids", []))
    found.setlist("occasion", list(plan.notifications.occasions))
    _check(found, "dynamic", plan.is_dynamic)
    _check(found, "requires_approval", rollout.requires_approval)
    _check(found, "downgrade", plan.installation.allow_downgrade)
    _fill_phases(found, plan)
    _fill_schedule(found, plan.schedule)
    return found


def shown(data: QueryDict) -> dict[str, Any]:
    """The form's fields for the template, rows included."""
    values: dict[str, Any] = {name: data.get(name, "") for name in TEXTS}
    values |= {name: name in data for name in CHECKS}
    values |= {name: data.getlist(name) for name in LISTS}
    values["conditions"] = _shown_conditions(data, "")
    values["phases"] = [_row(data, key) for key in phase_keys(data)]
    values["windows"] = [
        {
            "key": key,
            "start": data.get(f"w{key}-start", ""),
            "end": data.get(f"w{key}-end", ""),
            "days": data.getlist(f"w{key}-day"),
        }
        for key in window_keys(data)
    ]
    return values


def acted(data: QueryDict, act: str, files: Mapping[str, Any]) -> None:
    """Does what a button of the form says to its rows. Raises `InvalidRequest` for a bad list."""
    verb, _colon, key = act.partition(":")
    if verb == "strategy" and data.get("strategy") in STRATEGIES:
        _set_rows(data, STRATEGIES[data.get("strategy", "")], asks="between" in data)
    elif verb == "customize":
        _set_rows(data, STRATEGIES.get(data.get("strategy", ""), ()), asks="between" in data)
        data["strategy"] = OWN
    elif verb == "add-phase":
        _add(data, "phase", phase_keys(data))
    elif verb == "remove-phase":
        data.setlist("phase", [each for each in phase_keys(data) if each != key])
    elif verb == "add-window":
        _add(data, "window", window_keys(data))
    elif verb == "remove-window":
        data.setlist("window", [each for each in window_keys(data) if each != key])
    elif verb == "read-list":
        _read_list(data, files.get("list"))


def _empty() -> QueryDict:
    return QueryDict(mutable=True)


def _is_row(name: str) -> bool:
    prefix, dash, field = name.partition("-")
    is_key = prefix[:1] in ("p", "w") and prefix[1:].isdigit()
    return (
        bool(dash)
        and is_key
        and field in (*_ROW_TEXTS, *_ROW_CHECKS, *_CONDITIONS, "start", "end", "day")
    )


def _row(data: QueryDict, key: str) -> dict[str, Any]:
    """One phase of the form; settings that it does not have yet are those of all phases."""
    prefix = f"p{key}-"
    has_own = f"{prefix}own" in data
    row: dict[str, Any] = {"key": key, "prefix": prefix}
    for name in _ROW_TEXTS:
        is_common = not has_own and name in (*GATE_TEXTS, *PACE_TEXTS)
        row[name] = data.get(name, "") if is_common else data.get(f"{prefix}{name}", "")
    row |= {name: f"{prefix}{name}" in data for name in _ROW_CHECKS}
    if not has_own:
        row |= {name: name in data for name in ("if_clean", "control")}
    row["conditions"] = _shown_conditions(data, prefix if has_own else "")
    return row


def _shown_conditions(data: QueryDict, prefix: str) -> list[dict[str, str]]:
    """The rows of a gate's conditions that say something, and an empty one."""
    lists = [data.getlist(f"{prefix}c_{name}") for name in CONDITION]
    rows = [dict(zip(CONDITION, row, strict=True)) for row in zip(*lists, strict=False)]
    return [*(row for row in rows if row["metric"]), {"good": "5", "bad": "20"}]


def _set_rows(data: QueryDict, percents: Iterable[int], *, asks: bool = False) -> None:
    """Rows of the form's own phases for these cumulative percentages."""
    for name in [name for name in data if name.startswith("p") and _is_row(name)]:
        del data[name]
    percents = tuple(percents)
    data.setlist("phase", [str(place) for place in range(len(percents))])
    for place, percent in enumerate(percents):
        data[f"p{place}-size"] = str(percent)
        _check(data, f"p{place}-approval", asks and place > 0)


def _add(data: QueryDict, name: str, keys: list[str]) -> None:
    data.setlist(name, [*keys, str(max((int(key) for key in keys), default=-1) + 1)])


def _read_list(data: QueryDict, file: Any) -> None:
    """Adds the device ids of a CSV file: of its column `id`, or of its first column."""
    if file is None:
        raise invalid("devices", "no_list", _("Choose a file."))
    if (file.size or 0) > LARGEST_LIST:
        raise invalid("devices", "list_too_large", _("A list has at most 1 MiB."))
    try:
        text = file.read().decode("utf-8-sig")
        lines = [line for line in csv.reader(io.StringIO(text)) if any(line)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise invalid("devices", "bad_list", _("This is no CSV file in UTF-8.")) from error
    ids = dict.fromkeys([*words_in(data, "devices"), *_ids_of(lines)])
    data["devices"] = "\n".join(ids)


def _ids_of(lines: list[list[str]]) -> Iterable[str]:
    header = [cell.strip().lower() for cell in lines[0]] if lines else []
    column = header.index("id") if "id" in header else 0
    has_header = bool(lines) and parse_uuid(lines[0][column].strip()) is None
    for number, line in enumerate(lines[has_header:], start=1 + has_header):
        cell = line[column].strip() if column < len(line) else ""
        if parse_uuid(cell) is None:
            message = _("Row %(row)d of the list has no device id: %(text)s.")
            raise invalid("devices", "bad_row", message % {"row": number, "text": cell[:60] or "–"})
        yield cell


def _check(data: QueryDict, name: str, is_set: bool) -> None:
    if is_set:
        data[name] = "1"


def _target(stored: dict[str, Any], filter: str, tags: str, ids: str) -> dict[str, str]:
    """A stored target in the fields with these names."""
    values = {
        filter: stored.get("filter", ""),
        tags: ", ".join(stored.get("tags", [])),
        ids: "\n".join(stored.get("device_ids", [])),
    }
    names = ("failed_in", "failed_because")
    earlier: dict[str, str] = {name: stored[name] for name in names if name in stored}
    return {**values, **earlier}


def _installation(rules: Installation) -> dict[str, str]:
    amount, unit = bytes_parts(rules.maximum_bytes_per_second)
    usual = Installation()
    is_usual = rules.backoff_seconds == usual.backoff_seconds
    return {
        "mode": rules.mode.value,
        "reboot": rules.reboot.value,
        "attempts": "" if rules.maximum_attempts == 1 else str(rules.maximum_attempts),
        "backoff": "" if is_usual else seconds_text(rules.backoff_seconds) or "0",
        "bandwidth": amount,
        "bandwidth_unit": unit,
        **{f"limit_{step}": seconds_text(each) for step, each in rules.step_timeouts.items()},
    }


def _fill_phases(data: QueryDict, plan: Plan) -> None:
    """A template where the phases are one, with one gate and pace; else a row for each."""
    first, *others = plan.phases
    _fill_settings(data, "", first)
    _check(data, "between", bool(others) and all(phase.needs_approval for phase in others))
    percents = tuple(phase.percent for phase in plan.phases)
    _set_rows(data, percents)
    known = {sizes: name for name, sizes in STRATEGIES.items()}
    is_even = len({phase.needs_approval for phase in others}) <= 1
    if percents in known and is_even and all(_is_plain(p, n, first) for n, p in _numbered(plan)):
        data["strategy"] = known[percents]
    else:
        data["strategy"] = OWN
    for number, phase in _numbered(plan):
        _fill_row(data, f"p{number - 1}-", phase, number, first)


def _numbered(plan: Plan) -> Iterable[tuple[int, PhasePlan]]:
    return enumerate(plan.phases, start=1)


def _is_plain(phase: PhasePlan, number: int, first: PhasePlan) -> bool:
    """Whether it differs from the first one in nothing but its share and who opens it."""
    plain = replace(
        first, percent=phase.percent, name=phase.name, needs_approval=phase.needs_approval
    )
    return phase == plain and phase.name in ("", f"Phase {number}")


def _fill_row(
    data: QueryDict, prefix: str, phase: PhasePlan, number: int, first: PhasePlan
) -> None:
    data[f"{prefix}size"] = str(phase.devices or phase.percent or "")
    data[f"{prefix}unit"] = FILTER if phase.filter else DEVICES if phase.devices else ""
    data[f"{prefix}filter"] = phase.filter
    data[f"{prefix}name"] = "" if phase.name == f"Phase {number}" else phase.name
    _check(data, f"{prefix}approval", phase.needs_approval)
    settings = ("gate", "rate", "maximum_in_flight")
    if any(getattr(phase, name) != getattr(first, name) for name in settings):
        data[f"{prefix}own"] = "1"
        _fill_settings(data, prefix, phase)


def _fill_settings(data: QueryDict, prefix: str, phase: PhasePlan) -> None:
    values = {**_gate(phase.gate), "in_flight": str(phase.maximum_in_flight or "")}
    if phase.rate:
        values["rate"] = str(phase.rate.per_minute)
        values["growth"] = str(phase.rate.growth_percent - 100 or "")
        values["rate_most"] = str(phase.rate.maximum_per_minute or "")
    for name, value in values.items():
        data[f"{prefix}{name}"] = value
    for condition in phase.gate.conditions:
        row = (
            condition.metric.value,
            condition.comparison.value,
            decimal_text(condition.limit),
            percent_text(condition.acceptable_rate),
            percent_text(condition.unacceptable_rate),
        )
        for name, value in zip(CONDITION, row, strict=True):
            data.appendlist(f"{prefix}c_{name}", value)
    _check(data, f"{prefix}control", phase.gate.has_control)
    _check(data, f"{prefix}if_clean", phase.gate.on_exhausted is OnExhausted.PROMOTE_IF_CLEAN)


def _gate(gate: GatePolicy) -> dict[str, str]:
    return {
        "gate": gate.kind.value,
        "good": percent_text(gate.acceptable_rate),
        "bad": percent_text(gate.unacceptable_rate),
        "alpha": percent_text(gate.alpha),
        "beta": percent_text(gate.beta),
        "soak": seconds_text(gate.minimum_soak_seconds),
        "minimum": str(gate.minimum_devices or ""),
    }


def _fill_schedule(data: QueryDict, schedule: Schedule) -> None:
    data["start_at"] = moment_text(schedule.start_at)
    data["end_at"] = moment_text(schedule.end_at)
    data["time_zone"] = schedule.time_zone
    data["blackout"] = ", ".join(day.isoformat() for day in schedule.blackout_dates)
    data.setlist("window", [str(place) for place in range(len(schedule.windows))] or ["0"])
    for place, window in enumerate(schedule.windows):
        _fill_window(data, f"w{place}-", window)


def _fill_window(data: QueryDict, prefix: str, window: Window) -> None:
    data[f"{prefix}start"] = clock_time(window.start_minute)
    data[f"{prefix}end"] = clock_time(window.end_minute % MINUTES_A_DAY)
    if set(window.weekdays) != set(EVERY_DAY):
        data.setlist(f"{prefix}day", [str(day) for day in window.weekdays])
