"""What people decide about a rollout: reject, open a phase, halt, roll back, and plan it anew."""

from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _

from apps.core.authz import needs
from apps.core.web import OrgRequest, OrgView, attempt, go
from apps.updates.permissions import (
    ADVANCE_PHASE,
    APPROVE_ROLLOUT,
    CREATE_ROLLOUT,
    HALT_ROLLOUT,
    ROLL_BACK_ROLLOUT,
)
from apps.updates.services.planning import clone_rollout, reject_rollout, retry_rollout
from apps.updates.services.rollbacks import roll_back_rollout
from apps.updates.services.rollouts import advance_phase, halt_rollout
from apps.updates.ui.asking import back_context


class RolloutReject(OrgView):
    """Sends a plan back to its maker."""

    @needs(APPROVE_ROLLOUT)
    def post(self, request: OrgRequest, rollout_id: UUID) -> HttpResponse:
        """Rejects, with the reason."""
        reason = request.POST.get("reason", "")
        done = _("Sent back. It is a draft again.")
        attempt(request, lambda: reject_rollout(request.actor, rollout_id, reason=reason), done)
        return go(request, "rollout", rollout_id)


class RolloutAdvance(OrgView):
    """Passes the gate of the open phase, or lets the next one open."""

    @needs(ADVANCE_PHASE)
    def post(self, request: OrgRequest, rollout_id: UUID) -> HttpResponse:
        """Advances the phase that the page showed, with the reason."""
        reason, text = request.POST.get("reason", ""), request.POST.get("index", "")
        attempt(
            request,
            lambda: advance_phase(request.actor, rollout_id, index=_index(text), reason=reason),
            _("Noted. The rollout goes on within seconds."),
        )
        return go(request, "rollout", rollout_id)


class RolloutHalt(OrgView):
    """Stops a rollout for good."""

    @needs(HALT_ROLLOUT)
    def post(self, request: OrgRequest, rollout_id: UUID) -> HttpResponse:
        """Halts, with the reason."""
        reason = request.POST.get("reason", "")
        done = _("Halted. Devices that are at it finish.")
        attempt(request, lambda: halt_rollout(request.actor, rollout_id, reason=reason), done)
        return go(request, "rollout", rollout_id)


class RolloutRollBack(OrgView):
    """Brings devices back to what they had before."""

    @needs(ROLL_BACK_ROLLOUT)
    def get(self, request: OrgRequest, rollout_id: UUID) -> HttpResponse:
        """The preview alone: how many devices would go back to which release."""
        context = back_context(request, rollout_id)
        return render(request, "updates/rollback_preview.html", context)

    @needs(ROLL_BACK_ROLLOUT)
    def post(self, request: OrgRequest, rollout_id: UUID) -> HttpResponse:
        """Starts the rollout that does it, and leads there."""
        made = attempt(
            request,
            lambda: roll_back_rollout(request.actor, rollout_id),
            _("The roll back runs. This is its page."),
        )
        return go(request, "rollout", made.id if made else rollout_id)


class RolloutClone(OrgView):
    """The same plan once more."""

    @needs(CREATE_ROLLOUT)
    def post(self, request: OrgRequest, rollout_id: UUID) -> HttpResponse:
        """Makes the draft and leads there."""
        done = _("This is a copy, as a draft. Nothing has started.")
        made = attempt(request, lambda: clone_rollout(request.actor, rollout_id), done)
        return go(request, "rollout", made.id if made else rollout_id)


class RolloutRetry(OrgView):
    """The same plan for the devices that failed."""

    @needs(CREATE_ROLLOUT)
    def post(self, request: OrgRequest, rollout_id: UUID) -> HttpResponse:
        """Makes the draft and leads there."""
        done = _("This is a draft for the devices that failed. Nothing has started.")
        reason = request.POST.get("reason", "")
        made = attempt(
            request, lambda: retry_rollout(request.actor, rollout_id, reason=reason), done
        )
        return go(request, "rollout", made.id if made else rollout_id)


def _index(text: str) -> int:
    """A phase's number, counted from 0; what is none becomes a phase that there is not."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 4 else -1
