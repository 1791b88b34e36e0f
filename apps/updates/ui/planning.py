"""The form that plans a rollout, with a live count of its targets."""

from typing import Any
from uuid import UUID

from django.http import HttpResponse, QueryDict
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.core.actors import Actor
from apps.core.authz import needs
from apps.core.errors import FleetdError, PermissionDenied, invalid
from apps.core.ids import parse_uuid
from apps.core.pagination import PageRequest
from apps.core.web import OrgRequest, OrgView, go
from apps.devices.permissions import VIEW_DEVICE_GROUPS, VIEW_DEVICES
from apps.devices.selectors import list_device_groups
from apps.updates.domain.gates import reachable
from apps.updates.domain.plan import phase_sizes
from apps.updates.domain.problems import BadPlan
from apps.updates.permissions import CREATE_ROLLOUT, VIEW_RELEASES
from apps.updates.selectors.releases import get_release, list_releases
from apps.updates.selectors.rollouts import count_target_devices
from apps.updates.services.planning import create_rollout
from apps.updates.types import Target
from apps.updates.ui.plan_form import (
    FIRST,
    GATES,
    MODE_WORDS,
    REBOOT_WORDS,
    errors_at,
    open_parts,
    plan_of,
    values_of,
)
from apps.updates.ui.wording import WEEKDAYS

CHOOSABLE = 500
STRATEGY_WORDS = [
    {
        "value": "canary",
        "title": gettext_lazy("Canary"),
        "text": gettext_lazy("1 %, then 10 %, 50 % and all; a gate after each."),
    },
    {
        "value": "halves",
        "title": gettext_lazy("Three steps"),
        "text": gettext_lazy("10 %, then half, then all."),
    },
    {
        "value": "at_once",
        "title": gettext_lazy("All at once"),
        "text": gettext_lazy("One phase. For one device, or when nothing can go wrong."),
    },
    {
        "value": "own",
        "title": gettext_lazy("Own phases"),
        "text": gettext_lazy("The shares given below."),
    },
]
TIMEOUTS = [
    (600, gettext_lazy("10 minutes")),
    (3600, gettext_lazy("1 hour")),
    (21600, gettext_lazy("6 hours")),
    (86400, gettext_lazy("1 day")),
]


class RolloutNew(OrgView):
    """The form."""

    @needs(CREATE_ROLLOUT)
    def get(self, request: OrgRequest) -> HttpResponse:
        """Empty, or for the release or device in the address."""
        values = {
            **FIRST,
            "release": request.GET.get("release", ""),
            "devices": request.GET.get("device", ""),
            "strategy": "at_once" if request.GET.get("device") else "canary",
            "timeout": "3600",
        }
        return _form(request, values, {})

    @needs(CREATE_ROLLOUT)
    def post(self, request: OrgRequest) -> HttpResponse:
        """Makes the draft, or shows the form again with what is wrong."""
        data = request.POST
        try:
            rollout = create_rollout(
                request.actor,
                name=data.get("name", "").strip(),
                release_id=_release_id(data.get("release", "")),
                target=_target(data),
                excluded=_excluded(data),
                plan=plan_of(data),
                requires_approval="requires_approval" in data,
                deployment_timeout_seconds=_seconds(data.get("timeout", "")),
            )
        except PermissionDenied:
            raise
        except FleetdError as error:
            return _form(request, values_of(data), errors_at(error))
        return go(request, "rollout", rollout.id)


class RolloutPreview(OrgView):
    """How many devices the form means, and how the phases would cut them."""

    @needs(VIEW_DEVICES)
    def get(self, request: OrgRequest) -> HttpResponse:
        """The summary beside the form; a mistake in the form is said there."""
        if not request.actor.has_perm(CREATE_ROLLOUT.name) and "group" not in request.GET:
            return render(request, "updates/rollout_preview.html", {"is_open": True})
        try:
            target, excluded = _target(request.GET), _excluded(request.GET)
            matching = count_target_devices(request.actor, target, excluded)
            release = _chosen_release(request)
            count = count_target_devices(request.actor, target, excluded, release)
            phases = plan_of(request.GET).checked().phases
        except (FleetdError, BadPlan) as error:
            return render(request, "updates/rollout_preview.html", {"error": error.message})
        sizes = zip(phase_sizes(count, phases), phases, strict=True)
        steps = [
            {
                "count": size,
                "percent": phase.percent,
                "warning": reachable(phase.gate, size).words,
            }
            for size, phase in sizes
        ]
        context = {
            "count": count,
            "left_out": matching - count,
            "steps": steps if count else [],
        }
        return render(request, "updates/rollout_preview.html", context)


def _chosen_release(request: OrgRequest) -> Any:
    """The release of the form, once one is chosen that the person may see."""
    chosen = parse_uuid(request.GET.get("release", ""))
    if chosen is None or not request.actor.may_somewhere(VIEW_RELEASES.name):
        return None
    return get_release(request.actor, chosen)


def _form(
    request: OrgRequest, values: dict[str, Any], errors: dict[str, list[str]]
) -> HttpResponse:
    context = {
        "actor": request.actor,
        "values": values,
        "errors": errors,
        "releases": list_releases(request.actor, PageRequest(size=CHOOSABLE)).items,
        "groups": _groups(request.actor),
        "groups_only": not request.actor.has_perm(CREATE_ROLLOUT.name),
        "strategies": STRATEGY_WORDS,
        "timeouts": TIMEOUTS,
        "gates": GATES,
        "modes": MODE_WORDS,
        "reboots": REBOOT_WORDS,
        "weekdays": [(str(day), word) for day, word in WEEKDAYS],
        "open": open_parts(values, errors),
    }
    status = 400 if errors else 200
    return render(request, "updates/rollout_new.html", context, status=status)


def _groups(actor: Actor) -> list[Any]:
    """The groups that the person may roll out to."""
    if not actor.may_somewhere(VIEW_DEVICE_GROUPS.name):
        return []
    return list_device_groups(actor, PageRequest(size=CHOOSABLE), right=CREATE_ROLLOUT).items


def _target(data: QueryDict) -> Target:
    words = data.get("devices", "").replace(",", " ").split()
    return Target(
        device_ids=tuple(_id("devices", word) for word in words[:1000]),
        tags=_tags(data.get("tags", "")),
        group_ids=tuple(_id("groups", group) for group in data.getlist("group")),
        filter=data.get("filter", ""),
    )


def _excluded(data: QueryDict) -> Target | None:
    tags = _tags(data.get("exclude", ""))
    return Target(tags=tags) if tags else None


def _tags(text: str) -> tuple[str, ...]:
    return tuple(tag for tag in (word.strip().lower() for word in text.split(",")) if tag)


def _id(field: str, text: str) -> UUID:
    found = parse_uuid(text)
    if found is None:
        raise invalid(field, "invalid_id", _("%(text)s is not an id.") % {"text": text[:60]})
    return found


def _release_id(text: str) -> UUID:
    found = parse_uuid(text)
    if found is None:
        raise invalid("release", "unknown_release", _("Choose a release."))
    return found


def _seconds(text: str) -> int:
    known = {str(seconds): seconds for seconds, _word in TIMEOUTS}
    return known.get(text, 3600)
