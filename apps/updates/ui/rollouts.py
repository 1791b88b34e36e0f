"""One rollout, live, and its buttons."""

from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import render
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.core import clock
from apps.core.authz import needs
from apps.core.pagination import Page, PageRequest
from apps.core.web import OrgRequest, OrgView, attempt, go
from apps.updates.domain.states import RolloutState, can_rollout_become
from apps.updates.permissions import (
    APPROVE_ROLLOUT,
    CANCEL_ROLLOUT,
    PAUSE_ROLLOUT,
    RESUME_ROLLOUT,
    START_ROLLOUT,
    SUBMIT_ROLLOUT,
    VIEW_DEPLOYMENTS,
    VIEW_ROLLOUTS,
)
from apps.updates.selectors.deployments import list_deployments
from apps.updates.selectors.rollouts import (
    actor_at_rollout,
    get_rollout,
)
from apps.updates.selectors.standing import verdicts
from apps.updates.services.planning import approve_rollout, submit_rollout
from apps.updates.services.rollouts import (
    cancel_rollout,
    pause_rollout,
    resume_rollout,
    start_rollout,
)
from apps.updates.ui.asks import asks_of
from apps.updates.ui.chart import chart_context
from apps.updates.ui.phases import shown_phases
from apps.updates.ui.reasons import why_context
from apps.updates.ui.rollout_list import choices
from apps.updates.ui.timeline import timeline_context
from apps.updates.ui.wording import installation_lines, other_lines, schedule_lines, target_text

DEVICES = 50

CHIPS: tuple[tuple[str, str | Promise], ...] = (
    ("", gettext_lazy("All")),
    ("waiting", gettext_lazy("Waiting")),
    ("downloading", gettext_lazy("Downloading")),
    ("installing", gettext_lazy("Installing")),
    ("succeeded", gettext_lazy("Succeeded")),
    ("failed", gettext_lazy("Failed")),
    ("rolled_back", gettext_lazy("Rolled back")),
    ("timed_out", gettext_lazy("Timed out")),
)
# How the verdict looks: tone and icon by the rollout's state.
VERDICT_LOOKS = {
    "running": ("info", "player-play"),
    "paused": ("warn", "player-pause"),
    "pending_approval": ("warn", "hourglass"),
    "halted": ("bad", "player-stop"),
    "rolling_back": ("warn", "arrow-back-up"),
    "rolled_back": ("ok", "arrow-back-up"),
    "completed": ("ok", "circle-check"),
}


class RolloutDetail(OrgView):
    """One rollout: verdict, phases, reasons, devices, log."""

    @needs(VIEW_ROLLOUTS)
    def get(self, request: OrgRequest, rollout_id: UUID) -> HttpResponse:
        """The page, or its live part alone."""
        is_whole = request.GET.get("fragment") != "body"
        context = {**_detail(request, rollout_id), "is_whole": is_whole}
        if is_whole:
            # These parts are fetched on their own, and less often.
            context |= why_context(request, context["rollout"])
            context |= chart_context(request, context["rollout"])
            context |= timeline_context(request, context["rollout"])
        name = "rollout" if is_whole else "rollout_body"
        return render(request, f"updates/{name}.html", context)


class RolloutSubmit(OrgView):
    """Hands a draft to those who may approve it."""

    @needs(SUBMIT_ROLLOUT)
    def post(self, request: OrgRequest, rollout_id: UUID) -> HttpResponse:
        """Submits."""
        done = _("The plan waits for approval.")
        attempt(request, lambda: submit_rollout(request.actor, rollout_id), done)
        return go(request, "rollout", rollout_id)


class RolloutApprove(OrgView):
    """Approves exactly the plan that the page showed."""

    @needs(APPROVE_ROLLOUT)
    def post(self, request: OrgRequest, rollout_id: UUID) -> HttpResponse:
        """Approves."""
        shown = request.POST.get("plan_hash", "")
        attempt(
            request,
            lambda: approve_rollout(request.actor, rollout_id, plan_hash=shown),
            _("Approved. It can be started now."),
        )
        return go(request, "rollout", rollout_id)


class RolloutStart(OrgView):
    """Fixes the targets and opens the first phase."""

    @needs(START_ROLLOUT)
    def post(self, request: OrgRequest, rollout_id: UUID) -> HttpResponse:
        """Starts."""
        done = _("Started.")
        attempt(request, lambda: start_rollout(request.actor, rollout_id), done)
        return go(request, "rollout", rollout_id)


class RolloutPause(OrgView):
    """Stops offering."""

    @needs(PAUSE_ROLLOUT)
    def post(self, request: OrgRequest, rollout_id: UUID) -> HttpResponse:
        """Pauses."""
        done = _("Paused. Devices that are at it finish.")
        attempt(request, lambda: pause_rollout(request.actor, rollout_id), done)
        return go(request, "rollout", rollout_id)


class RolloutResume(OrgView):
    """Offers again."""

    @needs(RESUME_ROLLOUT)
    def post(self, request: OrgRequest, rollout_id: UUID) -> HttpResponse:
        """Resumes."""
        done = _("It continues where it stopped.")
        attempt(request, lambda: resume_rollout(request.actor, rollout_id), done)
        return go(request, "rollout", rollout_id)


class RolloutCancel(OrgView):
    """Ends a rollout for good."""

    @needs(CANCEL_ROLLOUT)
    def post(self, request: OrgRequest, rollout_id: UUID) -> HttpResponse:
        """Cancels."""
        done = _("Cancelled. Devices that are installing finish.")
        attempt(request, lambda: cancel_rollout(request.actor, rollout_id), done)
        return go(request, "rollout", rollout_id)


def _detail(request: OrgRequest, rollout_id: UUID) -> dict[str, Any]:
    actor, rollout = request.actor, get_rollout(request.actor, rollout_id)
    tone, icon = VERDICT_LOOKS.get(rollout.state, ("quiet", "info-circle"))
    here, phases = actor_at_rollout(actor, rollout), shown_phases(rollout, clock.now())
    state = RolloutState(rollout.state)
    return {
        "actor": here,
        "rollout": rollout,
        "phases": phases,
        "asks": asks_of(here, rollout, phases),
        "verdict_tone": tone,
        "verdict_icon": icon,
        "verdict": verdicts(actor, [rollout])[rollout.id],
        **_plan_words(rollout),
        "is_mine": rollout.created_by_id is not None and rollout.created_by_id == actor.user_id,
        "can_change": state is RolloutState.DRAFT or can_rollout_become(state, RolloutState.DRAFT),
        "source": rollout.rolls_back,
        "rollbacks": rollout.rollbacks.order_by("-id"),
        "can_repeat": rollout.rolls_back_id is None,
        **_devices(request, rollout_id),
    }


def _devices(request: OrgRequest, rollout_id: UUID) -> dict[str, Any]:
    """The list of devices: all, those in one state, with one reason, or offline."""
    state, reason = request.GET.get("state", ""), request.GET.get("reason", "")[:64]
    is_offline = request.GET.get("offline", "") == "1"
    chips = choices(CHIPS, state)
    chips.append({"url": "?offline=1", "word": _("Offline"), "is_current": is_offline})
    chips[0]["is_current"] = not (state or reason or is_offline)
    shown = {"chips": chips, "reason": reason, "is_filtered": not chips[0]["is_current"]}
    if not request.actor.may_somewhere(VIEW_DEPLOYMENTS.name):
        return {**shown, "page": Page[Any]([])}
    asked = PageRequest.of(DEVICES, request.GET.get("page_token"))
    page = list_deployments(
        request.actor,
        asked,
        rollout_id=rollout_id,
        state=state,
        reason=reason,
        is_offline=is_offline,
    )
    return {**shown, "page": page}


def _plan_words(rollout: Any) -> dict[str, Any]:
    """The plan in words."""
    plan = rollout.planned()
    return {
        "target_text": target_text(rollout.target),
        "is_dynamic": plan.is_dynamic,
        "excluded_text": target_text(rollout.excluded, everything="-") if rollout.excluded else "",
        "schedule": schedule_lines(plan.schedule),
        "installation": [*installation_lines(plan.installation), *other_lines(plan)],
    }
