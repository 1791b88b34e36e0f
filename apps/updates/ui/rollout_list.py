"""The list of rollouts: those that wait for somebody first."""

from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django.http import HttpResponse
from django.shortcuts import render
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from apps.core import clock
from apps.core.actors import Actor
from apps.core.authz import needs
from apps.core.pagination import PageRequest
from apps.core.web import OrgRequest, OrgView
from apps.updates.domain.states import PhaseState, RolloutState
from apps.updates.permissions import VIEW_ROLLOUTS
from apps.updates.selectors.previous import previous_versions
from apps.updates.selectors.rollouts import list_rollouts
from apps.updates.selectors.standing import verdicts

if TYPE_CHECKING:
    from apps.updates.models import Rollout

PAGE_SIZE, MOST_FIRST, LOOKED_AT = 25, 10, 50
TABS: tuple[tuple[str, str | Promise], ...] = (
    ("", gettext_lazy("All")),
    ("active", gettext_lazy("Active")),
    ("scheduled", gettext_lazy("Scheduled")),
    ("pending_approval", gettext_lazy("Needs approval")),
    ("draft", gettext_lazy("Drafts")),
    ("finished", gettext_lazy("Finished")),
)
# Tabs that hold several states; a halted rollout waits for a decision, so it is active.
STATES_OF: dict[str, tuple[RolloutState, ...]] = {
    "active": (
        RolloutState.RUNNING,
        RolloutState.PAUSED,
        RolloutState.HALTED,
        RolloutState.ROLLING_BACK,
    ),
    "finished": (RolloutState.COMPLETED, RolloutState.ROLLED_BACK, RolloutState.CANCELLED),
}
# In these somebody is waited for, or may be.
_DECIDABLE = (RolloutState.HALTED, RolloutState.PAUSED, RolloutState.RUNNING)


class RolloutList(OrgView):
    """All rollouts, those that wait for somebody first, or those in one state."""

    @needs(VIEW_ROLLOUTS)
    def get(self, request: OrgRequest) -> HttpResponse:
        """The page, or its list alone."""
        state, token = request.GET.get("state", ""), request.GET.get("page_token")
        first = _waiting(request.actor) if state in ("", "active") and not token else []
        page = list_rollouts(
            request.actor,
            PageRequest.of(PAGE_SIZE, token),
            state="" if state in STATES_OF else state,
            states=STATES_OF.get(state, ()),
        )
        is_first = {rollout.id for rollout in first}
        rest = [rollout for rollout in page.items if rollout.id not in is_first]
        context = {
            "actor": request.actor,
            "page": page,
            "first": _rows(request.actor, first),
            "rest": _rows(request.actor, rest),
            "tabs": choices(TABS, state),
            "is_filtered": bool(state),
        }
        name = "rollouts_rows" if request.GET.get("fragment") == "list" else "rollouts"
        return render(request, f"updates/{name}.html", context)


def choices(words: tuple[tuple[str, str | Promise], ...], current: str) -> list[dict[str, Any]]:
    """Links that choose a state."""
    return [
        {
            "url": f"?{urlencode({'state': state})}" if state else "?",
            "word": word,
            "is_current": state == current,
        }
        for state, word in words
    ]


def _waiting(actor: Actor) -> list["Rollout"]:
    """Rollouts that go no further without a person, the newest first."""
    now = clock.now()
    asked = PageRequest(size=LOOKED_AT)
    found = list_rollouts(actor, asked, states=(*_DECIDABLE, RolloutState.PENDING_APPROVAL)).items
    return [rollout for rollout in found if _waits(rollout, now)][:MOST_FIRST]


def _waits(rollout: "Rollout", now: datetime) -> bool:
    if rollout.state != RolloutState.RUNNING:
        return True
    status, counts = rollout.status(), rollout.counts()
    phase = status.phases[status.open_phase]
    if status.awaits_approval or phase.state is not PhaseState.OPEN:
        return status.awaits_approval
    return bool(phase.judged(now, counts[status.open_phase]).facts.get("is_exhausted"))


def _rows(actor: Actor, rollouts: list["Rollout"]) -> list[dict[str, Any]]:
    """What each row says; many rows cost as many queries as one."""
    sentences = verdicts(actor, rollouts)
    earlier = previous_versions(actor, rollouts)
    return [
        {
            "rollout": rollout,
            "earlier": ", ".join(earlier.get(rollout.id, [])[:3]),
            "verdict": sentences[rollout.id],
            "phase": rollout.open_phase + 1,
            "phases": len(rollout.phases.all()),
        }
        for rollout in rollouts
    ]
