"""A question about a rollout as a page of its own, for browsers without script."""

from typing import TYPE_CHECKING
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _

from apps.core import clock
from apps.core.actors import ActorHere
from apps.core.authz import needs
from apps.core.web import OrgRequest, OrgView, go
from apps.updates.permissions import CREATE_ROLLOUT, VIEW_ROLLOUTS
from apps.updates.selectors.reasons import list_reasons
from apps.updates.selectors.reversible import preview_roll_back
from apps.updates.selectors.rollouts import actor_at_rollout, get_rollout
from apps.updates.ui.asks import Ask, ask_to_retry, asks_of
from apps.updates.ui.consequences import counted_lines
from apps.updates.ui.phases import shown_phases

if TYPE_CHECKING:
    from apps.updates.models import Rollout


class RolloutAsk(OrgView):
    """One question, with everything that its dialog says."""

    @needs(VIEW_ROLLOUTS)
    def get(self, request: OrgRequest, rollout_id: UUID, what: str) -> HttpResponse:
        """The page; what cannot be done any more leads back to the rollout."""
        rollout = get_rollout(request.actor, rollout_id)
        ask = _ask(request, rollout, what)
        if not ask.is_offered:
            messages.info(request, _("The rollout has moved on: this cannot be done now."))
            return go(request, "rollout", rollout_id)
        context = {
            "rollout": rollout,
            "ask": ask,
            "lines": ask.lines or counted_lines(request.actor, rollout, what),
            "is_page": True,
        }
        if what == "roll-back":
            context |= back_context(request, rollout_id)
        return render(request, "updates/rollout_asking.html", context)


def back_context(request: OrgRequest, rollout_id: UUID) -> dict[str, object]:
    """What a roll back would bring back to which release, and how many devices."""
    steps = preview_roll_back(request.actor, rollout_id)
    return {"steps": steps, "count": sum(number for _release, number in steps)}


def _ask(request: OrgRequest, rollout: "Rollout", what: str) -> Ask:
    """The question of this name; there is none for those who may not do it."""
    actor = actor_at_rollout(request.actor, rollout)
    if what == "retry" and (reason := request.GET.get("reason", "")):
        return _retry(actor, rollout, reason)
    for ask in asks_of(actor, rollout, shown_phases(rollout, clock.now())):
        if ask.name == what:
            return ask
    raise Http404


def _retry(actor: ActorHere, rollout: "Rollout", reason: str) -> Ask:
    groups = list_reasons(actor.actor, rollout.id)
    if rollout.rolls_back_id is None and actor.may_somewhere(CREATE_ROLLOUT.name):
        for group in groups:
            if group.reason == reason and group.failed:
                return ask_to_retry(reason, group.failed)
    raise Http404
