"""Which devices of a rollout fail, and going on without them."""

from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from apps.core.authz import needs
from apps.core.web import OrgRequest, OrgView, attempt, go
from apps.updates.permissions import ADVANCE_PHASE, VIEW_ROLLOUTS
from apps.updates.selectors.rollouts import actor_at_rollout, get_rollout
from apps.updates.selectors.suspects import Suspicion, find_suspects
from apps.updates.services.exclusions import exclude_and_continue

CONTINUABLE = ("running", "paused", "halted")


class RolloutSuspects(OrgView):
    """What the devices that fail have in common: a part of the rollout's page."""

    @needs(VIEW_ROLLOUTS)
    def get(self, request: OrgRequest, rollout_id: UUID) -> HttpResponse:
        """The part alone."""
        rollout = get_rollout(request.actor, rollout_id)
        found = find_suspects(request.actor, rollout_id)
        context = {
            "actor": actor_at_rollout(request.actor, rollout),
            "rollout": rollout,
            "found": found,
            "suspects": [(each, _consequences(rollout, each)) for each in found.items],
            "can_continue": rollout.state in CONTINUABLE,
        }
        return render(request, "updates/suspects.html", context)


class RolloutExclude(OrgView):
    """Goes on without devices that fail."""

    @needs(ADVANCE_PHASE)
    def post(self, request: OrgRequest, rollout_id: UUID) -> HttpResponse:
        """Leaves them out, with the reason."""
        said = {name: request.POST.get(name, "") for name in ("attribute", "value", "reason")}
        attempt(
            request,
            lambda: exclude_and_continue(request.actor, rollout_id, **said),
            _("These devices are left out. The gate judges the others."),
        )
        return go(request, "rollout", rollout_id)


def _consequences(rollout: Any, found: Suspicion) -> list[str]:
    """What going on without these devices means, one sentence each."""
    lines = [_who_waits(found.waiting)]
    if found.active:
        text = ngettext(
            "%(n)s device is at work. It finishes, and is not tried again.",
            "%(n)s devices are at work. They finish, and are not tried again.",
            found.active,
        )
        lines.append(text % {"n": f"{found.active:,}"})
    lines.append(_what_follows(rollout.state))
    if rollout.approved_by:
        lines.append(_("The approval of the plan stands: it only reaches fewer devices."))
    lines.append(_("This cannot be undone. A new rollout can bring them the release later."))
    return lines


def _who_waits(number: int) -> str:
    if not number:
        return _("None of them waits any more: only what became of them is left out.")
    text = ngettext(
        "%(n)s device that waits is left out. It keeps what it has.",
        "%(n)s devices that wait are left out. They keep what they have.",
        number,
    )
    return text % {"n": f"{number:,}"}


def _what_follows(state: str) -> str:
    if state == "halted":
        return _(
            "The rollout runs again within seconds, and its gate judges the other devices only."
            " Where these are too bad as well, it stays halted."
        )
    if state == "paused":
        return _("The rollout stays paused. Its gate judges the other devices only.")
    return _("The rollout goes on, and its gate judges the other devices only.")
