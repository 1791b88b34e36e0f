"""What a plan's form comes to: its sentence, its devices, its timetable, and what is wrong."""

from dataclasses import dataclass, field
from datetime import UTC
from typing import Any

from django.http import QueryDict
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from apps.core.actors import Actor
from apps.core.errors import FleetdError, NotFound, invalid
from apps.core.filters import FilterError
from apps.core.filters.showing import shown_error
from apps.core.ids import parse_uuid
from apps.updates.domain.gates import GateKind, reachable
from apps.updates.domain.gates.sentences import duration
from apps.updates.domain.plan import MAX_PER_MINUTE, PhasePlan, Plan, Rate, phase_sizes
from apps.updates.domain.problems import BadPlan
from apps.updates.domain.schedule import Schedule
from apps.updates.permissions import VIEW_RELEASES
from apps.updates.selectors.previews import TargetPreview, preview_sizes, preview_target
from apps.updates.selectors.releases import get_release
from apps.updates.selectors.rollouts import count_target_devices, target_devices
from apps.updates.types import Target
from apps.updates.ui.plan_form import errors_at, excluded_of, plan_of, target_of
from apps.updates.ui.wording import gate_lines, limit_lines, schedule_lines, target_text


@dataclass(slots=True)
class Summary:
    """What the form comes to now. Where something is wrong `errors` says what, by field."""

    release: Any = None
    count: int = 0
    preview: TargetPreview | None = None
    plan: Plan | None = None
    steps: list[dict[str, Any]] = field(default_factory=list)
    schedule: list[str] = field(default_factory=list)
    sentence: str = ""
    errors: dict[str, list[str]] = field(default_factory=dict)
    filter_error: Any = None
    exclude_filter_error: Any = None

    @property
    def error(self) -> str:
        """The first thing that is wrong."""
        return next((lines[0] for lines in self.errors.values()), "")

    @property
    def warnings(self) -> list[str]:
        """What the gates cannot decide, by phase."""
        return [step["warning"] for step in self.steps if step["warning"]]


def summary_of(actor: Actor, data: QueryDict, base: Plan | None = None) -> Summary:
    """Counts and words for what is filled in; a part that cannot be read leaves the others."""
    found = Summary()
    _note(found, data, lambda: _read_release(actor, data, found))
    _note(found, data, lambda: _read_targets(actor, data, found))
    _note(found, data, lambda: _read_plan(actor, data, base, found))
    if found.plan and not found.errors:
        found.sentence = _sentence(found, found.plan, data)
    return found


def _note(found: Summary, data: QueryDict, read: Any) -> None:
    try:
        read()
    except BadPlan as bad:
        error = invalid(bad.field, "invalid_plan", bad.message)
        found.errors |= errors_at(error, data)
    except FleetdError as error:
        found.errors |= errors_at(error, data)


def _read_release(actor: Actor, data: QueryDict, found: Summary) -> None:
    chosen = parse_uuid(data.get("release", "").partition("@")[0])
    if chosen is None or not actor.may_somewhere(VIEW_RELEASES.name):
        return
    try:
        found.release = get_release(actor, chosen)
    except NotFound as error:
        raise invalid("release", "unknown_release", _("Choose a release.")) from error


def _read_targets(actor: Actor, data: QueryDict, found: Summary) -> None:
    target, excluded = target_of(data), excluded_of(data)
    found.filter_error = _filter_error(actor, target)
    found.exclude_filter_error = excluded and _filter_error(actor, excluded)
    if found.filter_error or found.exclude_filter_error:
        name = "filter" if found.filter_error else "exclude_filter"
        wrong = found.filter_error or found.exclude_filter_error
        raise invalid(name, "invalid_filter", wrong.message)
    if found.release is None:
        found.count = count_target_devices(actor, target, excluded)
        return
    found.preview = preview_target(
        actor, found.release.id, target, excluded, allows_downgrade="downgrade" in data
    )
    found.count = found.preview.will_update


def _filter_error(actor: Actor, target: Target) -> Any:
    """What is wrong with a target's filter, for the field; None where nothing is."""
    if not target.filter:
        return None
    try:
        target_devices(actor, Target(filter=target.filter))
    except FilterError as error:
        return shown_error(target.filter, error)
    return None


def _read_plan(actor: Actor, data: QueryDict, base: Plan | None, found: Summary) -> None:
    found.plan = plan_of(data, base).checked()
    phases = found.plan.phases
    found.schedule = schedule_lines(found.plan.schedule)
    has_filter = any(phase.filter for phase in phases)
    if has_filter and found.release and not found.errors:
        target, excluded = target_of(data), excluded_of(data)
        older = found.plan.installation.allow_downgrade
        release_id = found.release.id
        sizes = preview_sizes(actor, release_id, target, excluded, phases, allows_downgrade=older)
    else:
        sizes = phase_sizes(found.count, phases)
    found.steps = [
        _step(i, size, phase) for i, (size, phase) in enumerate(zip(sizes, phases, strict=True))
    ]


def _step(index: int, size: int, phase: PhasePlan) -> dict[str, Any]:
    """One line of the timetable."""
    reach = reachable(phase.gate, size)
    least = max(phase.gate.minimum_soak_seconds, starting_seconds(phase.rate, size))
    return {
        "name": phase.name,
        "count": size,
        "percent": phase.percent,
        "devices": phase.devices,
        "needs_approval": phase.needs_approval,
        "opens": _opens(index, phase.needs_approval),
        "least": duration(least) if least else "",
        "limits": limit_lines(phase),
        "rule": gate_lines(phase.gate),
        "reach": _reach(reach) if size else "",
        "warning": reach.words if size else "",
    }


def _opens(index: int, needs_approval: bool) -> str:
    if index == 0:
        return _("with the start")
    if needs_approval:
        text = _("once phase %(n)d has passed and somebody opens it")
    else:
        text = _("once phase %(n)d has passed")
    return text % {"n": index}


def _reach(reach: Any) -> str:
    """What the gate of a phase can decide."""
    clean, failures = reach.clean_devices_to_promote, reach.failures_to_halt
    passes = ngettext("passes after %(n)d clean device", "passes after %(n)d clean devices", clean)
    halts = ngettext("halts at %(n)d failure", "halts at %(n)d failures", failures)
    parts = [passes % {"n": clean}] if reach.can_promote else []
    small = _("has too few devices to halt by itself")
    parts.append(halts % {"n": failures} if reach.can_halt else small)
    return ", ".join(parts)


def starting_seconds(rate: Rate | None, size: int) -> int:
    """How long it takes until the last of so many devices may start, at least."""
    if rate is None or not size:
        return 0
    started = minute = 0
    while True:
        allowed = rate.allowed(minute)
        if rate.growth_percent <= 100 or allowed in (rate.maximum_per_minute, MAX_PER_MINUTE):
            return 60 * (minute + max(-(-(size - started) // allowed) - 1, 0))
        started += allowed
        if started >= size:
            return 60 * minute
        minute += 1


def _sentence(found: Summary, plan: Plan, data: QueryDict) -> str:
    """The whole plan in one sentence."""
    phases = plan.phases
    whom = ngettext("%(n)d device", "%(n)d devices", found.count) % {"n": found.count}
    how = ngettext("in one phase", "in %(n)d phases", len(phases)) % {"n": len(phases)}
    if chosen := sum(bool(phase.filter) for phase in phases):
        text = ngettext("%(how)s (one by filter)", "%(how)s (%(n)d by filter)", chosen)
        how = text % {"how": how, "n": chosen}
    if plan.is_dynamic:
        whom = _("%(whom)s, and those that match later") % {"whom": whom}
    text = _("%(what)s goes to %(whom)s (%(target)s) %(how)s, %(gate)s, %(when)s; %(approval)s.")
    return text % {
        "what": str(found.release) if found.release else _("The release"),
        "whom": whom,
        "target": target_text(target_of(data).stored()),
        "how": how,
        "gate": _gates(phases),
        "when": _when(plan.schedule),
        "approval": _approval(data, phases),
    }


def _gates(phases: tuple[PhasePlan, ...]) -> str:
    kinds = {phase.gate.kind for phase in phases}
    if kinds == {GateKind.STRICT}:
        return _("halted by the first failure")
    if kinds == {GateKind.SEQUENTIAL}:
        return _("judged by statistics")
    return _("each with a gate of its own")


def _when(schedule: Schedule) -> str:
    parts = []
    if schedule.start_at:
        start = f"{schedule.start_at.astimezone(UTC):%Y-%m-%d %H:%M}"
        parts.append(_("from %(when)s UTC") % {"when": start})
    if not schedule.is_always_open:
        parts.append(_("in its windows only"))
    return _(" and ").join(parts) or _("at any time")


def _approval(data: QueryDict, phases: tuple[PhasePlan, ...]) -> str:
    opened = sum(phase.needs_approval for phase in phases)
    first = _("nobody has to approve it")
    if "requires_approval" in data:
        first = _("another person approves it before it starts")
    if not opened:
        return first
    text = ngettext("somebody opens one phase", "somebody opens %(n)d phases", opened)
    return _("%(first)s and %(then)s") % {"first": first, "then": text % {"n": opened}}
