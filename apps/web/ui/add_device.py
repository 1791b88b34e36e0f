"""Adding devices: the command to paste, and the panel that waits for what comes of it."""

import shlex
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from apps.core.authz import needs
from apps.core.errors import FleetdError, PermissionDenied, invalid
from apps.core.ids import parse_uuid
from apps.core.pagination import PageRequest
from apps.core.web import OrgRequest, OrgView, failure_lines
from apps.devices.permissions import VIEW_DEVICE_GROUPS
from apps.devices.selectors import list_device_groups
from apps.enrollment.permissions import CREATE_ENROLLMENT_TOKEN, VIEW_ENROLLMENT_TOKENS
from apps.enrollment.selectors import EnrollmentProgress, get_enrollment_progress
from apps.enrollment.services.tokens import NewEnrollmentToken, create_enrollment_token

LIFETIMES = [
    (1, gettext_lazy("1 hour")),
    (24, gettext_lazy("1 day")),
    (168, gettext_lazy("7 days")),
    (720, gettext_lazy("30 days")),
    (8760, gettext_lazy("1 year")),
]
SHOWN = 6
FIELDS = ("name", "max_uses", "lifetime_hours", "tags", "requires_approval")
REFUSALS = {
    "enrollment_token_expired": gettext_lazy("The key has expired. Make a new command."),
    "enrollment_token_used_up": gettext_lazy("The key has been used up. Make a new command."),
    "enrollment_token_revoked": gettext_lazy("The key has been revoked. Make a new command."),
    "csr_invalid": gettext_lazy("The agent sent a request that cannot be read. Update the agent."),
    "csr_key_unsupported": gettext_lazy("The agent made a key of a kind that is not accepted."),
    "hardware_id_in_use": gettext_lazy(
        "Another device has this hardware identity, as clones of one image do. Decommission it, "
        "or give the machine its own."
    ),
}


class AddDevice(OrgView):
    """One device by a command, or many by a token."""

    @needs(CREATE_ENROLLMENT_TOKEN)
    def get(self, request: OrgRequest) -> HttpResponse:
        """The choice between both."""
        return _form(request, {"lifetime_hours": 168}, [])

    @needs(CREATE_ENROLLMENT_TOKEN)
    def post(self, request: OrgRequest) -> HttpResponse:
        """Makes the token and shows its secret, this once."""
        try:
            made = _create(request)
        except PermissionDenied:
            raise
        except FleetdError as error:
            values = {name: request.POST.get(name, "") for name in FIELDS}
            return _form(request, values, failure_lines(error))
        context = _waiting(request, made.token.id) | _commands(made) | {"secret": made.secret}
        response = render(request, "web/device_wait.html", context)
        response["Cache-Control"] = "no-store"
        return response


class Waiting(OrgView):
    """What has come of a token so far."""

    @needs(VIEW_ENROLLMENT_TOKENS)
    def get(self, request: OrgRequest, token_id: UUID) -> HttpResponse:
        """The page, or its live part alone."""
        context = _waiting(request, token_id)
        name = "device_wait_body" if request.GET.get("fragment") == "body" else "device_wait"
        return render(request, f"web/{name}.html", context)


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to happen: done, failed, waiting (it is next) or later."""

    key: str
    title: str
    state: str
    time: datetime | None = None
    note: str = ""


def _create(request: OrgRequest) -> NewEnrollmentToken:
    data = request.POST
    tags = [tag.strip() for tag in data.get("tags", "").split(",") if tag.strip()]
    groups = [found for text in data.getlist("group") if (found := parse_uuid(text))]
    return create_enrollment_token(
        request.actor,
        name=data.get("name", ""),
        max_uses=_number(data.get("max_uses", ""), "max_uses"),
        lifetime=timedelta(hours=_number(data.get("lifetime_hours", ""), "lifetime_hours")),
        requires_approval="requires_approval" in data,
        tags=tags,
        group_ids=groups,
    )


def _number(text: str, field: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise invalid(field, "invalid_number", _("A whole number is needed."))
    return int(text)


def _form(request: OrgRequest, values: dict[str, Any], errors: list[str]) -> HttpResponse:
    actor, right, groups = request.actor, CREATE_ENROLLMENT_TOKEN, PageRequest(size=200)
    may_group = actor.may_somewhere(VIEW_DEVICE_GROUPS.name)
    context = {
        "actor": actor,
        "many": "many" in request.GET,
        "values": values,
        "errors": errors,
        "lifetimes": LIFETIMES,
        "groups": list_device_groups(actor, groups, right=right).items if may_group else [],
        "needs_group": not actor.has_perm(right.name),
    }
    return render(request, "web/device_add.html", context, status=400 if errors else 200)


def _commands(made: NewEnrollmentToken) -> dict[str, str]:
    """What to paste. The token's id in the address lets the panel see that it was fetched."""
    url = f"{settings.EXTERNAL_URL}/install.sh?token_id={made.token.id}"
    server = shlex.quote(settings.EXTERNAL_URL)
    return {
        "command": f"curl -fsSL {shlex.quote(url)} | sudo FLEETD_TOKEN={made.secret} sh",
        "enroll_command": f"fleetd-agent enroll --server {server} --token {made.secret}"
        " && fleetd-agent run",
    }


def _waiting(request: OrgRequest, token_id: UUID) -> dict[str, Any]:
    progress = get_enrollment_progress(request.actor, token_id)
    steps = steps_of(progress)
    joined = progress.token.max_uses - progress.token.uses_left
    words = ngettext("%(n)d device has joined", "%(n)d devices have joined", joined)
    return {
        "actor": request.actor,
        "token": progress.token,
        "steps": steps,
        "is_done": all(step.state == "done" for step in steps),
        "devices": progress.devices[:SHOWN],
        "watched": [device.id for device in progress.devices[:SHOWN]],
        "summary": words % {"n": joined} if joined else "",
        "server": settings.EXTERNAL_URL,
        "gateway": settings.AGENT_EXTERNAL_ADDRESS,
        "page_url": reverse("enrollment-token", args=[token_id]),
    }


def steps_of(progress: EnrollmentProgress) -> list[Step]:
    """The checklist for the token's newest device; the first open step is being waited for."""
    steps = [*_arrival(progress), *_life(progress)]
    shown, is_next = [], True
    for key, title, at, note, is_failed in steps:
        is_done = at is not None and not is_failed
        state = "failed" if is_failed else "done" if is_done else "waiting" if is_next else "later"
        is_next = is_next and is_done
        shown.append(Step(key, title, state, at, note))
    return shown


_Fact = tuple[str, str, datetime | None, str, bool]


def _arrival(progress: EnrollmentProgress) -> list[_Fact]:
    """From the command to the accepted key."""
    newest = progress.enrollments[0] if progress.enrollments else None
    fetched, note = progress.installer_fetched_at, ""
    if fetched:
        note = _("from %(address)s") % {"address": progress.installer_address}
    elif newest is not None:
        fetched, note = newest.created_at, _("not needed: the agent was there")
    facts: list[_Fact] = [("installer", _("The installer was fetched"), fetched, note, False)]
    asked = newest.created_at if newest else None
    origin = f"{newest.hostname or newest.hardware_id}, {newest.address}" if newest else ""
    facts.append(("asked", _("The device asked to join"), asked, origin.strip(", "), False))
    refusal = progress.refusal
    if refusal is not None:
        why = str(REFUSALS.get(refusal.outcome, refusal.outcome.replace("_", " ")))
        facts.append(("accepted", _("The key was refused"), refusal.updated_at, why, True))
    else:
        facts.append(("accepted", _("The key was accepted"), asked, "", False))
    return facts


def _life(progress: EnrollmentProgress) -> list[_Fact]:
    """From the accepted key to live figures."""
    device = progress.devices[0] if progress.devices else None
    facts: list[_Fact] = []
    if progress.token.requires_approval:
        approved = device.approved_at if device else None
        note = _("open the device to approve it") if device and not approved else ""
        facts.append(("approved", _("A person approved it"), approved, note, False))
    connected = device.state.connected_at if device else None
    facts.append(("connected", _("It connected with its own certificate"), connected, "", False))
    seen = device.state.last_seen_at if device else None
    facts.append(("heartbeat", _("First heartbeat"), seen if connected else None, "", False))
    system = f"{device.os_name} {device.os_version}".strip() if device else ""
    known = seen if connected and system else None
    facts.append(("inventory", _("It said what it is"), known, system if known else "", False))
    return facts
