"""The dashboard: the fleet at a glance; every number opens the list that it counts."""

from collections import Counter
from typing import Any

from django.http import HttpResponse
from django.shortcuts import render

from apps.audit.selectors import list_entries
from apps.core.actors import Actor
from apps.core.authz import SIGNED_IN, needs
from apps.core.pagination import PageRequest
from apps.core.web import OrgRequest, OrgView
from apps.devices.permissions import VIEW_DEVICES
from apps.devices.selectors import count_devices, count_installed_versions
from apps.updates.permissions import VIEW_ROLLOUTS
from apps.updates.selectors.rollouts import list_rollouts
from apps.updates.selectors.standing import verdicts

# In the order in which somebody should look at them.
IN_PROGRESS = ("halted", "pending_approval", "running", "paused", "rolling_back")
ROLLOUTS = 5
LATEST = 3
VERSIONS = 8
ENTRIES = 10


class Dashboard(OrgView):
    """The page behind the logo."""

    @needs(SIGNED_IN)
    def get(self, request: OrgRequest) -> HttpResponse:
        """The page, or its live part alone; members without any device see that it is so."""
        if not request.actor.may_somewhere(VIEW_DEVICES.name):
            return render(request, "web/dashboard_nothing.html", {"actor": request.actor})
        context = _context(request.actor)
        is_body = request.GET.get("fragment") == "body"
        return render(request, f"web/dashboard{'_body' if is_body else ''}.html", context)


def _context(actor: Actor) -> dict[str, Any]:
    may_roll_out = actor.may_somewhere(VIEW_ROLLOUTS.name)
    in_progress = _in_progress(actor) if may_roll_out else []
    latest = PageRequest(size=LATEST)
    rollouts = in_progress or (list_rollouts(actor, latest).items if may_roll_out else [])
    sentences = verdicts(actor, rollouts)
    may_audit = actor.has_perm("audit.view_entries")
    return {
        "actor": actor,
        "summary": summary(count_devices(actor)),
        "sees_all": actor.has_perm(VIEW_DEVICES.name),
        "may_view_rollouts": may_roll_out,
        "rollouts": [(rollout, sentences[rollout.id]) for rollout in rollouts],
        "is_in_progress": bool(in_progress),
        "versions": count_installed_versions(actor, limit=VERSIONS),
        "may_audit": may_audit,
        "entries": list_entries(actor, PageRequest(size=ENTRIES)).items if may_audit else [],
    }


def _in_progress(actor: Actor) -> list[Any]:
    page = PageRequest(size=ROLLOUTS)
    return [
        rollout
        for state in IN_PROGRESS
        for rollout in list_rollouts(actor, page, state=state).items
    ]


def summary(counts: dict[tuple[str, str], int]) -> dict[str, Any]:
    """The tiles' numbers. Connectivity counts active devices, as the lists behind the tiles do."""
    lives: Counter[str] = Counter()
    for (lifecycle, _connectivity), number in counts.items():
        lives[lifecycle] += number
    states = ("online", "degraded", "offline", "never_seen")
    shown: dict[str, Any] = {state: counts.get(("active", state), 0) for state in states}
    names = ("pending", "active", "quarantined", "decommissioned")
    shown |= {name: lives[name] for name in names} | {"total": lives.total()}
    shown["online_percent"] = (
        round(100 * shown["online"] / lives["active"]) if lives["active"] else 0
    )
    return shown
