"""Which devices of a rollout fail, and going on without them."""

from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _

from apps.core.authz import needs
from apps.core.web import OrgRequest, OrgView, attempt, go
from apps.updates.permissions import ADVANCE_PHASE, VIEW_ROLLOUTS
from apps.updates.selectors.rollouts import actor_at_rollout, get_rollout
from apps.updates.selectors.suspects import find_suspects
from apps.updates.services.exclusions import exclude_and_continue

CONTINUABLE = ("running", "paused", "halted")


class RolloutSuspects(OrgView):
    """What the devices that fail have in common: a part of the rollout's page."""

    @needs(VIEW_ROLLOUTS)
    def get(self, request: OrgRequest, rollout_id: UUID) -> HttpResponse:
        """The part alone."""
        rollout = get_rollout(request.actor, rollout_id)
        context = {
            "actor": actor_at_rollout(request.actor, rollout),
            "rollout": rollout,
            "found": find_suspects(request.actor, rollout_id),
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
