"""A rollout back as a manifest: canonical YAML, which reads back as the same rollout."""

from typing import Any

import yaml

from apps.updates.domain.gates import GatePolicy, MetricCondition
from apps.updates.domain.gates.policy import decimal_text
from apps.updates.domain.installation import Installation
from apps.updates.domain.manifest.manifest import (
    DEFAULT_TIMEOUT_SECONDS,
    Manifest,
    ReleaseName,
    Selection,
)
from apps.updates.domain.manifest.parsing import parse_manifest
from apps.updates.domain.manifest.problems import ManifestErrors
from apps.updates.domain.manifest.schema import API_VERSION, KIND
from apps.updates.domain.notifications import Notifications
from apps.updates.domain.plan import PhasePlan, Plan
from apps.updates.domain.schedule import EVERY_DAY, Schedule, Window
from apps.updates.domain.sites import SiteLimit

WIDTH = 100


class CannotSay(ValueError):
    """What no manifest can say; the text names it."""


def write_manifest(manifest: Manifest) -> str:
    """The manifest of a rollout whose release is there. Raises `CannotSay`.

    What was written is read again and compared: nothing can be left out unnoticed.
    """
    text = yaml.dump(
        _document(manifest),
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=WIDTH,
        default_flow_style=False,
    )
    try:
        again = parse_manifest(text)
    except ManifestErrors as error:
        raise CannotSay("; ".join(problem.message for problem in error.problems)) from error
    if again != manifest:
        raise CannotSay(f"what the plan says of {', '.join(_differing(again, manifest))}")
    return text


class _Dumper(yaml.SafeDumper):
    """Never refers from one place to another."""

    def ignore_aliases(self, data: Any) -> bool:
        """Every value is written out."""
        return True


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    """In double quotation marks what does not survive in single ones."""
    style = None if text.isprintable() else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def _document(manifest: Manifest) -> dict[str, Any]:
    if not isinstance(manifest.release, ReleaseName):
        raise CannotSay("a release that was not made yet")
    metadata = _filled(
        name=manifest.name,
        labels=dict(manifest.labels),
        annotations=dict(manifest.annotations),
    )
    spec = _filled(
        selector=_selector(manifest.selection),
        exclude=_selection(manifest.excluded) if manifest.excluded else {},
        strategy={"type": "Canary", "canary": {"steps": _steps(manifest.plan)}},
        rollout=_rollout(manifest),
        installation=_installation(manifest.plan.installation),
        template={"spec": _template(manifest.release, manifest.plan)},
        notifications=_notifications(manifest.plan.notifications),
        compliance={"approvals": {"required": True}} if manifest.requires_approval else {},
    )
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": spec}


def _filled(**values: Any) -> dict[str, Any]:
    """Those that are something."""
    return {name: value for name, value in values.items() if value}


def _selection(selection: Selection) -> dict[str, Any]:
    return _filled(
        filter=selection.filter,
        tags=list(selection.tags),
        groups=list(selection.groups),
        deviceIds=[str(each) for each in selection.device_ids],
        failedIn=str(selection.failed_in or ""),
        failedBecause=selection.failed_because,
    )


def _selector(selection: Selection) -> dict[str, Any]:
    """A target: that it is everything, and that it is a part, is said."""
    is_everything = selection.names_nothing and selection.failed_in is None
    part = _filled(percent=selection.percent, maximum=selection.maximum)
    return _filled(all=is_everything) | _selection(selection) | part


def _rollout(manifest: Manifest) -> dict[str, Any]:
    is_usual = manifest.timeout_seconds == DEFAULT_TIMEOUT_SECONDS
    timeout = "" if is_usual else duration(manifest.timeout_seconds)
    limit = manifest.plan.site_limit
    return _filled(
        progressTimeout=timeout,
        dynamic=manifest.plan.is_dynamic,
        supersedes=manifest.plan.supersedes,
        siteLimit=_site_limit(limit) if limit else {},
    )


def _site_limit(limit: SiteLimit) -> dict[str, Any]:
    network = f"{limit.bytes_per_second}B" if limit.bytes_per_second else ""
    return _filled(by=limit.by, inFlight=limit.in_flight, network=network)


def _steps(plan: Plan) -> list[dict[str, Any]]:
    following = [phase.needs_approval for phase in plan.phases[1:]] + [False]
    return [_step(phase, pause) for phase, pause in zip(plan.phases, following, strict=True)]


def _step(phase: PhasePlan, pause: bool) -> dict[str, Any]:
    rate = phase.rate and _filled(
        perMinute=phase.rate.per_minute,
        growthPercent=phase.rate.growth_percent,
        maximumPerMinute=phase.rate.maximum_per_minute,
    )
    return _filled(
        name=phase.name,
        weight=phase.percent,
        devices=phase.devices,
        filter=phase.filter,
        duration=duration(phase.gate.minimum_soak_seconds),
        pauseAfter=pause,
        maxInFlight=phase.maximum_in_flight,
        rate=rate,
        gate=_gate(phase.gate),
    )


def _gate(gate: GatePolicy) -> dict[str, Any]:
    """Everything but the soak; what has its default is left out, the kind never."""
    default = GatePolicy()
    said: dict[str, Any] = {"kind": gate.kind.value}
    for key, name in (
        ("acceptableRate", "acceptable_rate"),
        ("unacceptableRate", "unacceptable_rate"),
        ("alpha", "alpha"),
        ("beta", "beta"),
    ):
        value = getattr(gate, name)
        if value != getattr(default, name):
            said[key] = decimal_text(value)
    if gate.on_exhausted is not default.on_exhausted:
        said["onExhausted"] = gate.on_exhausted.value
    conditions = [_condition(each) for each in gate.conditions]
    rest = _filled(
        minimumDevices=gate.minimum_devices, control=gate.has_control, conditions=conditions
    )
    return said | rest


def _condition(condition: MetricCondition) -> dict[str, Any]:
    return {
        "metric": condition.metric.value,
        "limit": decimal_text(condition.limit),
        "comparison": condition.comparison.value,
        "acceptableRate": decimal_text(condition.acceptable_rate),
        "unacceptableRate": decimal_text(condition.unacceptable_rate),
    }


def _installation(installation: Installation) -> dict[str, Any]:
    default, said = Installation(), dict[str, Any]()
    if installation.mode is not default.mode:
        said["mode"] = installation.mode.value
    if installation.reboot is not default.reboot:
        said["reboot"] = installation.reboot.value
    if installation.maximum_attempts != default.maximum_attempts:
        said["maximumAttempts"] = installation.maximum_attempts
    if installation.backoff_seconds != default.backoff_seconds:
        said["backoff"] = duration(installation.backoff_seconds) or "0"
    said_steps = installation.step_timeouts.items()
    steps = {step: duration(seconds) for step, seconds in sorted(said_steps)}
    return said | _filled(stepTimeouts=steps, allowDowngrade=installation.allow_downgrade)


def _notifications(told: Notifications) -> dict[str, Any]:
    email = _filled(
        recipients=list(told.email),
        events=list(told.occasions),
        failuresAbove=told.failures_above,
    )
    return {"email": email} if email else {}


def _template(release: ReleaseName, plan: Plan) -> dict[str, Any]:
    network = plan.installation.maximum_bytes_per_second
    return _filled(
        release={"name": release.name, "version": release.version},
        resources={"limits": {"network": f"{network}B"}} if network else {},
        scheduling=_scheduling(plan.schedule, plan.priority),
    )


def _scheduling(schedule: Schedule, priority: int) -> dict[str, Any]:
    return _filled(
        timezone=schedule.time_zone,
        windows=[_window(each) for each in schedule.windows],
        blackoutDates=[day.isoformat() for day in schedule.blackout_dates],
        startAt=schedule.start_at and schedule.start_at.isoformat(),
        endAt=schedule.end_at and schedule.end_at.isoformat(),
        priority=priority,
    )


def _window(window: Window) -> dict[str, Any]:
    said: dict[str, Any] = {"start": _time(window.start_minute), "end": _time(window.end_minute)}
    if window.weekdays != EVERY_DAY:
        said["weekdays"] = list(window.weekdays)
    return said


def _time(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def duration(seconds: int) -> str:
    """Seconds in the largest unit that has no rest; empty for none."""
    if not seconds:
        return ""
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _differing(one: Manifest, other: Manifest) -> list[str]:
    """The names of what is not the same."""
    names = []
    for name in ("name", "labels", "annotations", "selection", "excluded", "release"):
        if getattr(one, name) != getattr(other, name):
            names.append(name)
    mine, its = one.plan.dump(), other.plan.dump()
    names += [name for name in sorted({*mine, *its}) if mine.get(name) != its.get(name)]
    return names or ["itself"]
