"""What the pages of planning a rollout show."""

from typing import Any

from django.http import QueryDict
from django.utils.translation import gettext_lazy

from apps.accounts.services.mail import is_mail_configured
from apps.core.actors import Actor
from apps.core.errors import FleetdError
from apps.core.pagination import PageRequest
from apps.devices.permissions import VIEW_DEVICE_GROUPS
from apps.devices.selectors import list_device_groups
from apps.updates.domain.gates import Comparison, GateKind, Metric
from apps.updates.domain.installation import TIMED_STEPS
from apps.updates.domain.notifications import Occasion
from apps.updates.domain.states import RolloutState
from apps.updates.permissions import ALLOW_DOWNGRADE, CREATE_ROLLOUT
from apps.updates.selectors.channels import list_release_channels
from apps.updates.selectors.releases import list_releases
from apps.updates.services.planning import create_rollout
from apps.updates.ui.fields import BYTES
from apps.updates.ui.plan_form import STRATEGIES, errors_at, filled
from apps.updates.ui.plan_values import shown
from apps.updates.ui.steps import REVIEW, STEPS, first_wrong, next_step, step_before, step_of
from apps.updates.ui.summary import summary_of
from apps.updates.ui.wording import (
    MODES,
    REBOOTS,
    WEEKDAYS,
    installation_lines,
    other_lines,
    target_text,
)

CHOOSABLE = 500
STRATEGY_WORDS = [
    {
        "value": "canary",
        "title": gettext_lazy("Canary"),
        "text": gettext_lazy("1 %, then 10 %, 50 % and all; a gate after each."),
    },
    {
        "value": "rolling",
        "title": gettext_lazy("Rolling"),
        "text": gettext_lazy("Four quarters, one after the other; a gate after each."),
    },
    {
        "value": "at_once",
        "title": gettext_lazy("Immediate"),
        "text": gettext_lazy("One phase. For one device, or when nothing can go wrong."),
    },
    {
        "value": "own",
        "title": gettext_lazy("Own phases"),
        "text": gettext_lazy("Each with its size and, where you want, its own gate."),
    },
]
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
METRICS = {
    Metric.CPU_RATIO: gettext_lazy("Processor in use"),
    Metric.MEMORY_RATIO: gettext_lazy("Memory in use"),
    Metric.DISK_RATIO: gettext_lazy("Disk in use"),
    Metric.TEMPERATURE_CELSIUS: gettext_lazy("Temperature, °C"),
}
COMPARISONS = {
    Comparison.ABOVE: gettext_lazy("above"),
    Comparison.RISEN_BY: gettext_lazy("risen by more than"),
}
LIMIT_WORDS = {
    "downloading": gettext_lazy("Downloading"),
    "installing": gettext_lazy("Installing"),
    "rebooting": gettext_lazy("Restarting"),
    "verifying": gettext_lazy("Verifying"),
}
OCCASIONS = {
    Occasion.AWAITING_APPROVAL: gettext_lazy("needs approval"),
    Occasion.STARTED: gettext_lazy("started"),
    Occasion.PHASE_WAITING: gettext_lazy("a phase waits for a person"),
    Occasion.DEVICES_FAILED: gettext_lazy("devices failed"),
    Occasion.HALTED: gettext_lazy("halted"),
    Occasion.COMPLETED: gettext_lazy("completed"),
    Occasion.ROLLED_BACK: gettext_lazy("rolled back"),
}
# Which fields lie in which part of the form that is closed at first.
_PARTS = {
    "who": ("devices", "exclude", "exclude_filter", "exclude_devices", "exclude_group"),
    "gating": ("soak", "minimum", "if_clean"),
    "speed": ("rate", "growth", "rate_most", "in_flight"),
    "time": ("start_at", "end_at", "time_zone", "blackout"),
    "mail": ("mail", "failures_above", "occasion"),
    "device": (
        *("attempts", "backoff", "priority", "bandwidth", "downgrade"),
        *(f"limit_{step}" for step in TIMED_STEPS),
    ),
}
_USUAL = {
    "gating": {"alpha": "5", "beta": "5"},
    "device": {"mode": "forced", "reboot": "when_needed", "timeout": "1 h"},
}


def page_context(
    actor: Actor,
    rollout: Any,
    data: QueryDict,
    step: str,
    errors: dict[str, list[str]],
) -> dict[str, Any]:
    """Everything that a step shows, with the summary beside it."""
    found = list_releases(actor, PageRequest(size=CHOOSABLE)).items
    releases = [each for each in found if each.is_usable or str(each.id) == data.get("release")]
    channels = [
        each
        for each in list_release_channels(actor, PageRequest(size=CHOOSABLE)).items
        if each.release.is_usable
    ]
    _choose_release(data, releases, channels)
    values = shown(data)
    _mark_rows(values["phases"], errors)
    summary = summary_of(actor, data, rollout.planned() if rollout else None)
    is_ready = rollout is not None and rollout.state == RolloutState.DRAFT
    return {
        "actor": actor,
        "releases": releases,
        "channels": channels,
        "rollout": rollout,
        "is_draft": rollout is None or is_ready,
        "can_start": is_ready and rollout is not None and not rollout.requires_approval,
        "seen": data.get("seen") or (rollout.plan_hash if rollout else ""),
        "step": step,
        "before": step_before(step),
        "after": next_step(step),
        "steps": _steps(step, {**summary.errors, **errors} if step == REVIEW else errors),
        "values": values,
        "errors": errors,
        "wrong_elsewhere": sorted({step_of(f) for f in errors} - {step}),
        "open": _open_parts(values, errors),
        "summary": summary,
        **_choices(actor, values, errors),
        **(_review(actor, rollout, data, summary) if step == REVIEW else {}),
    }


def _choose_release(data: QueryDict, releases: list[Any], channels: list[Any]) -> None:
    """What is chosen is what the list shows as chosen: the newest release at first, and the
    release itself where the channel that named it points at another one by now.
    """
    chosen = data.get("release", "")
    if not chosen and releases:
        data["release"] = str(releases[0].id)
    if "@" in chosen and chosen not in {f"{c.release_id}@{c.channel}" for c in channels}:
        data["release"] = chosen.partition("@")[0]


def _steps(current: str, errors: dict[str, list[str]]) -> list[dict[str, Any]]:
    """The bar of steps."""
    wrong = {step_of(field) for field in errors}
    order = list(STEPS)
    return [
        {
            "value": value,
            "word": word,
            "is_current": value == current,
            "is_past": order.index(value) < order.index(current),
            "is_wrong": value in wrong and value != REVIEW,
        }
        for value, word in STEPS.items()
    ]


def _mark_rows(rows: list[dict[str, Any]], errors: dict[str, list[str]]) -> None:
    """Gives each phase its own errors."""
    for row in rows:
        prefix = row["prefix"]
        own = {f.removeprefix(prefix): errors[f] for f in errors if f.startswith(prefix)}
        row["wrong"] = own


def _choices(actor: Actor, values: dict[str, Any], errors: dict[str, list[str]]) -> dict[str, Any]:
    """What can be chosen from."""
    return {
        "groups": _groups(actor),
        "groups_only": not actor.has_perm(CREATE_ROLLOUT.name),
        "may_downgrade": actor.has_perm(ALLOW_DOWNGRADE.name),
        "strategies": STRATEGY_WORDS,
        "percents": STRATEGIES.get(values["strategy"], ()),
        "gates": GATES,
        "metrics": [(metric.value, word) for metric, word in METRICS.items()],
        "comparisons": [(each.value, word) for each, word in COMPARISONS.items()],
        "modes": MODE_WORDS,
        "reboots": REBOOT_WORDS,
        "units": list(BYTES),
        "limits": [
            (name, word, values[name], errors.get(name))
            for name, word in ((f"limit_{step}", word) for step, word in LIMIT_WORDS.items())
        ],
        "has_mail": is_mail_configured(),
        "occasions": [(each.value, word) for each, word in OCCASIONS.items()],
        "weekdays": [(str(day), word) for day, word in WEEKDAYS],
    }


def _groups(actor: Actor) -> list[Any]:
    """The groups that the person may roll out to."""
    if not actor.may_somewhere(VIEW_DEVICE_GROUPS.name):
        return []
    return list_device_groups(actor, PageRequest(size=CHOOSABLE), right=CREATE_ROLLOUT).items


def _open_parts(values: dict[str, Any], errors: dict[str, list[str]]) -> dict[str, bool]:
    """Which closed parts of the form to show open: those with something in them."""
    found = {
        part: any(values.get(name) or errors.get(name) for name in names)
        for part, names in _PARTS.items()
    }
    for part, usual in _USUAL.items():
        found[part] |= any(values[n] not in (usual[n], "") or errors.get(n) for n in usual)
    windows = values["windows"]
    found["time"] |= any(w["start"] or w["end"] or w["days"] for w in windows)
    found["time"] |= bool(errors.get("windows"))
    return found


def _review(actor: Actor, rollout: Any, data: QueryDict, summary: Any) -> dict[str, Any]:
    """The last step: the plan in words, and what a dry run of it says."""
    context: dict[str, Any] = {"dry_run": dry_run(actor, rollout, data)}
    if summary.plan:
        plan = summary.plan
        context["installation"] = [*installation_lines(plan.installation), *other_lines(plan)]
    try:
        plan = filled(data, rollout.planned() if rollout else None)
    except FleetdError:
        return context
    context["target_text"] = target_text(plan.target.stored())
    if plan.excluded:
        context["excluded_text"] = target_text(plan.excluded.stored(), everything="-")
    return context


def dry_run(actor: Actor, rollout: Any, data: QueryDict) -> dict[str, Any]:
    """What making this plan would come to: the very code runs, and nothing of it stays."""
    try:
        plan = filled(data, rollout.planned() if rollout else None)
        create_rollout(actor, **plan.arguments(), validate_only=True)
    except FleetdError as error:
        errors = errors_at(error, data)
        lines = [line for found in errors.values() for line in found]
        return {"is_good": False, "lines": lines, "step": first_wrong(errors)}
    return {"is_good": True, "lines": []}
