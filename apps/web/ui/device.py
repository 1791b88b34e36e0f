"""One device: what it is, how it is and why, and everything that happened to it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import render
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.audit.selectors import list_entries
from apps.core import clock
from apps.core.actors import Actor
from apps.core.authz import needs
from apps.core.pagination import PageRequest
from apps.core.web import OrgRequest, OrgView
from apps.devices.domain.connectivity import (
    MAX_CLOCK_SKEW_SECONDS,
    connectivity_of,
    explain,
)
from apps.devices.permissions import (
    DECOMMISSION_DEVICE,
    QUARANTINE_DEVICE,
    UPDATE_DEVICE,
    VIEW_DEVICE_GROUPS,
    VIEW_DEVICES,
)
from apps.devices.selectors import get_device, get_device_group, group_ids_of
from apps.devices.selectors.places import actor_at
from apps.devices.types import DeviceOffline, DeviceOnline
from apps.enrollment.permissions import VIEW_ENROLLMENT_TOKENS
from apps.enrollment.selectors import list_certificates
from apps.events.selectors import list_device_events
from apps.updates.permissions import (
    CREATE_ROLLOUT,
    PIN_DEVICE,
    UNPIN_DEVICE,
    VIEW_DEPLOYMENTS,
    VIEW_ROLLOUTS,
)
from apps.updates.selectors.deployments import list_deployments
from apps.updates.selectors.eligibility import Explanation, explain_under_way
from apps.updates.selectors.holds import list_device_holds
from apps.updates.selectors.rollouts import seen_rollout_ids
from apps.web import vocabulary

DEPLOYMENTS = 10
ENTRIES = 30
# What the menu of a device offers.
ACTIONS = (UPDATE_DEVICE, QUARANTINE_DEVICE, DECOMMISSION_DEVICE, PIN_DEVICE, UNPIN_DEVICE)
ONLINE, OFFLINE = DeviceOnline.type, DeviceOffline.type

FACTS: tuple[tuple[str, str | Promise], ...] = (
    ("hostname", gettext_lazy("Host name")),
    ("model", gettext_lazy("Model")),
    ("serial", gettext_lazy("Serial number")),
    ("architecture", gettext_lazy("Architecture")),
    ("os_name", gettext_lazy("System")),
    ("os_version", gettext_lazy("System version")),
    ("kernel", gettext_lazy("Kernel")),
    ("agent_version", gettext_lazy("Agent")),
)

DETAILS: dict[str, str | Promise] = {
    "cpu_count": gettext_lazy("Processors"),
    "cpu_model": gettext_lazy("Processor"),
    "memory_bytes": gettext_lazy("Memory"),
    "disk_bytes": gettext_lazy("Disk"),
    "ip_addresses": gettext_lazy("Addresses"),
}


@dataclass(frozen=True, slots=True)
class Moment:
    """One entry of the timeline."""

    key: str
    time: datetime
    tone: str
    icon: str
    text: str
    note: str = ""


class DevicePage(OrgView):
    """The device's page."""

    @needs(VIEW_DEVICES)
    def get(self, request: OrgRequest, device_id: UUID) -> HttpResponse:
        """The page, or its live part alone."""
        context = _context(request.actor, device_id)
        name = "detail_body" if request.GET.get("fragment") == "body" else "detail"
        return render(request, f"devices/{name}.html", context)


def _context(actor: Actor, device_id: UUID) -> dict[str, Any]:
    device, now = get_device(actor, device_id), clock.now()
    deployments = _deployments(actor, device_id)
    holds = list_device_holds(actor, PageRequest(), device_id=device_id).items
    here, can_roll_out = actor_at(actor, device), actor.has_perm(CREATE_ROLLOUT.name)
    return {
        "actor": here,
        "can_roll_out": can_roll_out,
        "has_actions": can_roll_out or any(here.may_somewhere(p.name) for p in ACTIONS),
        "device": device,
        "state": device.state,
        "connectivity": connectivity_of(device.state, now),
        "why": explain(device.state, now),
        "large_skew": abs(device.state.clock_skew_seconds) > MAX_CLOCK_SKEW_SECONDS,
        "facts": _facts(device),
        "groups": _groups(actor, device_id),
        "certificate": _certificate(actor, device_id),
        "deployments": deployments,
        "holds": holds,
        "hold_kinds": {hold.kind for hold in holds},
        "explanations": _explanations(actor, device_id),
        "rollouts_seen": seen_rollout_ids(actor, {d.rollout_id for d in deployments}),
        "timeline": _timeline(actor, device, deployments),
        "may_audit": actor.has_perm("audit.view_entries"),
    }


def _facts(device: Any) -> list[tuple[str | Promise, Any]]:
    """What the machine said about itself; what it did not say is left out."""
    known = [(word, getattr(device, name)) for name, word in FACTS if getattr(device, name)]
    details = dict(device.inventory)
    more = details.pop("facts", None)
    details |= more if isinstance(more, dict) else {}
    return known + [
        (DETAILS.get(name, name.replace("_", " ").capitalize()), _text(name, value))
        for name, value in sorted(details.items())
        if value not in ("", None)
    ]


def _text(name: str, value: Any) -> str:
    if name.endswith("bytes") and str(value).isdigit():
        return f"{int(value) / 2**30:.1f} GiB"
    if isinstance(value, list):
        return ", ".join(str(each) for each in value)
    if isinstance(value, dict):
        return ", ".join(f"{key}: {each}" for key, each in value.items())
    return str(value)


def _deployments(actor: Actor, device_id: UUID) -> list[Any]:
    """The newest ones, for those who may see any."""
    if not actor.may_somewhere(VIEW_DEPLOYMENTS.name):
        return []
    return list_deployments(actor, PageRequest(size=DEPLOYMENTS), device_id=device_id).items


def _explanations(actor: Actor, device_id: UUID) -> list[Explanation] | None:
    """Why it gets what is under way, or not; None for those who see no rollouts."""
    if not actor.may_somewhere(VIEW_ROLLOUTS.name):
        return None
    return explain_under_way(actor, device_id)


def _certificate(actor: Actor, device_id: UUID) -> Any:
    """The newest one, for those who may see how devices enrolled."""
    if not actor.may_somewhere(VIEW_ENROLLMENT_TOKENS.name):
        return None
    return next(iter(list_certificates(actor, device_id)), None)


def _groups(actor: Actor, device_id: UUID) -> list[Any]:
    if not actor.may_somewhere(VIEW_DEVICE_GROUPS.name):
        return []
    return [get_device_group(actor, each) for each in group_ids_of(actor, [device_id])[device_id]]


def _timeline(actor: Actor, device: Any, deployments: list[Any]) -> list[Moment]:
    """Connections, deployments and what people did, newest first."""
    events = list_device_events(actor, device.id, types=(ONLINE, OFFLINE), limit=ENTRIES)
    moments = [*map(_connection, events), *_deployment_moments(deployments)]
    if actor.has_perm("audit.view_entries"):
        page = list_entries(actor, PageRequest(size=ENTRIES), object_id=str(device.id))
        moments += [_audited(entry) for entry in page.items]
    return sorted(moments, key=lambda moment: moment.time, reverse=True)


def _connection(event: Any) -> Moment:
    """The device came, or went."""
    key, at = f"event-{event.id}", event.created_at
    if event.type == OFFLINE:
        return Moment(key, at, "bad", "wifi-off", _("Offline"), event.payload.get("reason", ""))
    if event.payload.get("connectivity") == "degraded":
        return Moment(key, at, "warn", "alert-triangle", _("Connected, degraded"))
    return Moment(key, at, "ok", "plug-connected", _("Online"))


def _deployment_moments(deployments: list[Any]) -> list[Moment]:
    moments = []
    for deployment in deployments:
        look = vocabulary.look("deployment", deployment.state)
        text = f"{deployment.rollout.release}: {look.word}"
        key, at = f"deployment-{deployment.id}", deployment.state_changed_at
        moments.append(Moment(key, at, look.tone, look.icon, text, deployment.message))
    return moments


def _audited(entry: Any) -> Moment:
    icon, tone = vocabulary.verb_look(entry.action)
    words = vocabulary.action_words(entry.action)
    if entry.result == "denied":
        icon, tone, words = "ban", "bad", _("%(words)s: refused") % {"words": words}
    note = f"{entry.actor_label} · {entry.source}"
    return Moment(f"entry-{entry.id}", entry.time, tone, icon, words, note)
