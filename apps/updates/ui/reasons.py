"""Why devices of a rollout did not get its release: a part of its page."""

import hashlib
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import render
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.core.authz import needs
from apps.core.web import OrgRequest, OrgView
from apps.updates.permissions import CREATE_ROLLOUT, VIEW_DEPLOYMENTS, VIEW_ROLLOUTS
from apps.updates.selectors.reasons import ReasonGroup, list_reasons
from apps.updates.selectors.rollouts import actor_at_rollout, get_rollout
from apps.updates.selectors.standing import AT_WORK, count_offline
from apps.updates.ui.asks import ask_to_retry

if TYPE_CHECKING:
    from apps.updates.models import Rollout

# What the codes of docs/reference/reasons.md, and our own, mean in a line.
MEANINGS: dict[str, str | Promise] = {
    "paused": gettext_lazy("somebody at the device has paused updates there"),
    "waiting_for_confirmation": gettext_lazy("somebody at the device has to agree"),
    "window_closed": gettext_lazy("waits for its next maintenance window"),
    "time_unknown": gettext_lazy("waits for the time from the platform after a start"),
    "hook_deferred": gettext_lazy("a hook on the device asked for a later try"),
    "offer_refused": gettext_lazy("the device could make no sense of what it was offered"),
    "kind_not_supported": gettext_lazy("the device has no handler for this kind of component"),
    "engine_missing": gettext_lazy("the container engine or apt-get is not there"),
    "target_refused": gettext_lazy("the place to install to is not allowed on the device"),
    "bundle_incomplete": gettext_lazy("the files are not exactly those of the release"),
    "downgrade_refused": gettext_lazy("older than what is installed, which the plan forbids"),
    "instruction_refused": gettext_lazy("the offer is not signed for the device, or not rightly"),
    "metadata_refused": gettext_lazy("the signed metadata is not believed"),
    "metadata_unavailable": gettext_lazy("the signed metadata could not be had"),
    "package_refused": gettext_lazy("not a package for this device"),
    "no_way_back": gettext_lazy("the installed version could not be brought back on failure"),
    "deadline_passed": gettext_lazy("its time was over before it was through"),
    "digest_mismatch": gettext_lazy("the bytes that came are not those of the release"),
    "size_mismatch": gettext_lazy("more bytes came than the release has"),
    "not_enough_space": gettext_lazy("no room on the device"),
    "hook_failed": gettext_lazy("a hook of the release failed on the device"),
    "service_failed": gettext_lazy("the service that uses the file did not come up again"),
    "script_failed": gettext_lazy("the script itself failed"),
    "package_failed": gettext_lazy("dpkg failed"),
    "package_manager_busy": gettext_lazy("another program kept dpkg's database locked"),
    "container_failed": gettext_lazy("the container engine refused"),
    "verify_failed": gettext_lazy("installed, and then found not to work by its health check"),
    "step_timed_out": gettext_lazy("one step took longer than the plan allows"),
    "reboot_failed": gettext_lazy("the device did not restart when asked to"),
    "interrupted": gettext_lazy("the device went down during something that cannot be repeated"),
    "input_output_error": gettext_lazy("its system refused to read or write"),
    "agent_error": gettext_lazy("a fault of the agent itself"),
    "excluded": gettext_lazy("left out by a person, it keeps what it had"),
    "pinned": gettext_lazy("somebody pinned it to what it has"),
    "quarantined": gettext_lazy("it had failed again and again before"),
    "rollout_cancelled": gettext_lazy("the rollout was cancelled before it began"),
    "rollout_rolled_back": gettext_lazy("the rollout was rolled back before it began"),
    "rollout_over": gettext_lazy("the rollout was over before it began"),
    "release_recalled": gettext_lazy("the release was recalled before it began"),
    "superseded": gettext_lazy("a newer rollout took its place"),
    "device_decommissioned": gettext_lazy("the device was taken out of the fleet"),
}


class RolloutWhy(OrgView):
    """The table of reasons alone."""

    @needs(VIEW_ROLLOUTS)
    def get(self, request: OrgRequest, rollout_id: UUID) -> HttpResponse:
        """The part alone."""
        rollout = get_rollout(request.actor, rollout_id)
        context = {
            "actor": actor_at_rollout(request.actor, rollout),
            "rollout": rollout,
            **why_context(request, rollout),
        }
        return render(request, "updates/rollout_why.html", context)


def why_context(request: OrgRequest, rollout: "Rollout") -> dict[str, Any]:
    """What the table of reasons shows; nothing for those who may see no deployment."""
    if not request.actor.may_somewhere(VIEW_DEPLOYMENTS.name):
        return {"reasons": []}
    here = actor_at_rollout(request.actor, rollout)
    may_retry = rollout.rolls_back_id is None and here.may_somewhere(CREATE_ROLLOUT.name)
    return {
        "reasons": [
            _shown(group, may_retry=may_retry) for group in list_reasons(request.actor, rollout.id)
        ],
        "offline": count_offline(request.actor, rollout) if rollout.state in AT_WORK else 0,
        "may_retry": may_retry,
        "has_failures": any(phase.failed for phase in rollout.phases.all()),
    }


def _meaning(group: ReasonGroup) -> str | Promise:
    if group.reason in MEANINGS:
        return MEANINGS[group.reason]
    return _("no reason was given") if group.reason in dict(group.states) else ""


def _shown(group: ReasonGroup, *, may_retry: bool) -> dict[str, Any]:
    """A group with its address and its dialog, whose name stays while rows come and go."""
    key = hashlib.sha256(group.reason.encode()).hexdigest()[:12]
    is_asked = group.failed and may_retry
    return {
        "group": group,
        "key": key,
        "ask": ask_to_retry(group.reason, group.failed, f"retry-{key}") if is_asked else None,
        "meaning": _meaning(group),
        "query": urlencode({"reason": group.reason}),
    }
