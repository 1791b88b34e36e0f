"""Planning a rollout in four steps, and changing the plan of one that has not started."""

from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.db import transaction
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect, render, resolve_url
from django.utils.translation import gettext as _

from apps.core.authz import needs
from apps.core.errors import FleetdError, PermissionDenied, invalid
from apps.core.pagination import PageRequest
from apps.core.web import OrgRequest, OrgView, go
from apps.devices.permissions import VIEW_DEVICES
from apps.updates.domain.plan import Plan
from apps.updates.domain.states import RolloutState, can_rollout_become
from apps.updates.permissions import CREATE_ROLLOUT
from apps.updates.selectors.previews import list_excluded
from apps.updates.selectors.rollouts import actor_at_rollout, get_rollout
from apps.updates.services.planning import create_rollout, update_rollout
from apps.updates.ui.fields import release_in
from apps.updates.ui.plan_form import Filled, errors_at, excluded_of, filled, target_of
from apps.updates.ui.plan_values import acted, new_values, values_of
from apps.updates.ui.steps import REVIEW, STEPS, WHAT, WHO, first_wrong, is_before, step_named
from apps.updates.ui.summary import summary_of
from apps.updates.ui.wizard import page_context

# Longer addresses are refused by some on the way: then the page answers without one.
LONGEST_ADDRESS = 6000
EXCLUDED_SHOWN = 250


class RolloutNew(OrgView):
    """A plan that is not stored yet."""

    @needs(CREATE_ROLLOUT)
    def get(self, request: OrgRequest) -> HttpResponse:
        """One step, with what the address says of the plan."""
        return _page(request, None, new_values(request.GET), step_named(request.GET.get("step")))

    @needs(CREATE_ROLLOUT)
    def post(self, request: OrgRequest) -> HttpResponse:
        """Goes on; the plan is stored as a draft once it names its targets."""
        return _left(request, None)


class RolloutPlan(OrgView):
    """The plan of a rollout that has not started."""

    @needs(CREATE_ROLLOUT)
    def get(self, request: OrgRequest, rollout_id: UUID) -> HttpResponse:
        """One step."""
        rollout = _changeable(request, rollout_id)
        if rollout is None:
            return go(request, "rollout", rollout_id)
        return _page(request, rollout, values_of(rollout), step_named(request.GET.get("step")))

    @needs(CREATE_ROLLOUT)
    def post(self, request: OrgRequest, rollout_id: UUID) -> HttpResponse:
        """Goes on; a draft is stored, of any other plan only where that is asked for."""
        rollout = _changeable(request, rollout_id)
        if rollout is None:
            return go(request, "rollout", rollout_id)
        return _left(request, rollout)


class RolloutPreview(OrgView):
    """What the form comes to: the summary beside it, while it is filled in."""

    @needs(VIEW_DEVICES)
    def get(self, request: OrgRequest) -> HttpResponse:
        """For an address that says the plan."""
        return _preview(request, request.GET)

    @needs(VIEW_DEVICES)
    def post(self, request: OrgRequest) -> HttpResponse:
        """For a form, which may be longer than an address; stores nothing."""
        return _preview(request, request.POST)


class RolloutExcluded(OrgView):
    """The devices that a plan would leave out for one reason."""

    @needs(VIEW_DEVICES)
    def post(self, request: OrgRequest) -> HttpResponse:
        """The first of them by name, for a form; stores nothing."""
        data, code = request.POST, request.GET.get("code", "")
        release_id, _channel = release_in(data.get("release", ""))
        page = list_excluded(
            request.actor,
            release_id,
            target_of(data),
            excluded_of(data),
            code=code,
            page=PageRequest(size=EXCLUDED_SHOWN),
            allows_downgrade="downgrade" in data,
        )
        context = {"actor": request.actor, "page": page, "code": code}
        return render(request, "updates/rollout_excluded.html", context)


def _preview(request: OrgRequest, data: QueryDict) -> HttpResponse:
    if not request.actor.has_perm(CREATE_ROLLOUT.name) and "group" not in data:
        return render(request, "updates/rollout_preview.html", {"is_open": True})
    context = {"actor": request.actor, "summary": summary_of(request.actor, data)}
    return render(request, "updates/rollout_preview.html", context)


def _changeable(request: OrgRequest, rollout_id: UUID) -> Any:
    """The rollout, where its plan may still change; else None, with a message that says so."""
    rollout = get_rollout(request.actor, rollout_id)
    if not actor_at_rollout(request.actor, rollout).may_somewhere(CREATE_ROLLOUT.name):
        raise PermissionDenied
    state = RolloutState(rollout.state)
    if state is RolloutState.DRAFT or can_rollout_become(state, RolloutState.DRAFT):
        return rollout
    messages.error(request, _("Only a rollout that was not started can be changed."))
    return None


def _left(request: OrgRequest, rollout: Any) -> HttpResponse:
    """What comes of a button: rows of the form, the next step, or the stored plan."""
    data = request.POST.copy()
    here, wanted = step_named(request.GET.get("step")), data.get("go", "save")
    to = step_named(wanted) if wanted in STEPS else REVIEW
    if act := data.get("act"):
        return _acted(request, rollout, data, here, act)
    if rollout is None and to == WHAT:
        return _page(request, None, data, to)
    if rollout is None and (here, to) == (WHAT, WHO):
        return _to_targets(request, data)
    if rollout and rollout.state != RolloutState.DRAFT and wanted != "save":
        return _page(request, rollout, data, to)
    try:
        plan = filled(data, rollout.planned() if rollout else None)
        if rollout and _was_changed_since(rollout, data) and not _is_same(rollout, plan):
            return _overtaken(request, rollout, data, here)
        saved = _store(request, rollout, plan)
    except PermissionDenied:
        raise
    except FleetdError as error:
        return _refused(request, rollout, data, (here, to), errors_at(error, data))
    if rollout is None:
        messages.success(
            request, _("The draft is stored. Nothing reaches a device before it starts.")
        )
    return redirect(f"{resolve_url('rollout-plan', saved.id)}?{urlencode({'step': to})}")


def _was_changed_since(rollout: Any, data: QueryDict) -> bool:
    """Whether the stored plan is another one than the form was filled from."""
    return bool(data.get("seen")) and data["seen"] != rollout.plan_hash


def _overtaken(request: OrgRequest, rollout: Any, data: QueryDict, here: str) -> HttpResponse:
    """The same step again: storing it would undo what somebody else has stored meanwhile."""
    data["seen"] = rollout.plan_hash
    text = _(
        "This plan was changed in another window or by somebody else since you opened it."
        " Go on to store yours instead, or open the page again to see theirs."
    )
    return _page(request, rollout, data, here, {"form": [text]}, status=409)


def _acted(request: OrgRequest, rollout: Any, data: QueryDict, here: str, act: str) -> HttpResponse:
    """The same step after one of its buttons; nothing is stored."""
    errors = {}
    try:
        acted(data, act, request.FILES)
    except FleetdError as error:
        errors = errors_at(error, data)
    return _page(request, rollout, data, here, errors)


def _to_targets(request: OrgRequest, data: QueryDict) -> HttpResponse:
    """To the second step, before there is a draft: what is filled in stays in the address."""
    if not data.get("name", "").strip():
        error = invalid("name", "invalid_name", _("Give the rollout a name."))
        return _page(request, None, data, WHAT, errors_at(error, data), status=400)
    told = {name: values for name, values in data.lists() if any(values) and name in _TELLING}
    address = urlencode({"step": WHO, **told}, doseq=True)
    if len(address) > LONGEST_ADDRESS:
        return _page(request, None, data, WHO)
    return redirect(f"{resolve_url('rollout-new')}?{address}")


_TELLING = ("name", "release", "filter", "tags", "group", "devices", "strategy")


def _refused(
    request: OrgRequest,
    rollout: Any,
    data: QueryDict,
    way: tuple[str, str],
    errors: dict[str, list[str]],
) -> HttpResponse:
    """Nothing is stored: forward it stays at the first mistake, back it goes all the same."""
    here, to = way
    place = first_wrong(errors) or here
    if is_before(to, here) or is_before(to, place):
        return _page(request, rollout, data, to, errors)
    return _page(request, rollout, data, place, errors, status=400)


def _store(request: OrgRequest, rollout: Any, plan: Filled) -> Any:
    """Makes the draft, or changes it where something is different."""
    with transaction.atomic():
        if rollout is None:
            return create_rollout(request.actor, **plan.arguments())
        if _is_same(rollout, plan):
            return rollout
        return update_rollout(request.actor, rollout.id, **plan.arguments())


def _is_same(rollout: Any, plan: Filled) -> bool:
    excluded = plan.excluded.stored() if plan.excluded else {}
    stored = Plan.restore(rollout.plan).dump() if rollout.plan else None
    return (
        plan.name == rollout.name
        and plan.release_id == rollout.release_id
        and plan.target.stored() == rollout.target
        and excluded == rollout.excluded
        and _named(plan.plan) == stored
        and plan.requires_approval == rollout.requires_approval
        and plan.deployment_timeout_seconds == rollout.deployment_timeout_seconds
    )


def _named(plan: Plan) -> dict[str, Any] | None:
    """The plan as it would be stored; None for one that cannot be, which the service says."""
    try:
        return plan.checked().dump()
    except ValueError:
        return None


def _page(
    request: OrgRequest,
    rollout: Any,
    data: QueryDict,
    step: str,
    errors: dict[str, list[str]] | None = None,
    *,
    status: int = 200,
) -> HttpResponse:
    context = page_context(request.actor, rollout, data, step, errors or {})
    return render(request, "updates/rollout_plan.html", context, status=status)
