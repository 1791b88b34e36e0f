"""What a rollout would do, before anybody plans it: how many devices, and why not the others."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import Case, CharField, Count, Q, QuerySet, Value, When

from apps.core import clock
from apps.core.actors import Actor
from apps.core.authz import require, require_somewhere
from apps.core.errors import invalid
from apps.core.pagination import Page, PageRequest, paginate
from apps.devices.models import Device
from apps.updates.domain.eligibility import (
    BUSY_WORDS,
    EXCLUDED,
    LEFT_OUT_WORDS,
    OTHER_DEPLOYMENT,
    TARGET_LIMIT,
)
from apps.updates.domain.plan import PhasePlan, phase_sizes
from apps.updates.domain.states import (
    ACTIVE_DEPLOYMENT_STATES,
    DeploymentState,
    RolloutState,
)
from apps.updates.models import Deployment, Release
from apps.updates.permissions import VIEW_ROLLOUTS
from apps.updates.selectors.candidates import first_devices
from apps.updates.selectors.phases import preview_phases
from apps.updates.selectors.receiving import receiving
from apps.updates.selectors.releases import reread_release
from apps.updates.selectors.rollouts import reaches_rollout, target_devices
from apps.updates.types import Target

SAMPLE = 5


@dataclass(frozen=True, slots=True)
class ReasonCount:
    """How many devices of a target there is something to say of; `leaves_out`: they get nothing."""

    code: str
    words: str
    count: int
    leaves_out: bool = True


@dataclass(frozen=True, slots=True)
class TargetPreview:
    """What a start would do now.

    `matched` active devices are meant; `will_update` of them get a deployment, `sample` are the
    first of these by name. Whoever is left out is counted under the first reason that applies, so
    that `matched` is the sum. In another rollout are devices that get one all the same. Which ones
    come first is settled with the rollout's id: where only some of a target are taken nothing is
    said of who they are.
    """

    matched: int
    will_update: int
    reasons: tuple[ReasonCount, ...]
    sample: tuple[Device, ...] = ()


def preview_target(
    actor: Actor,
    release_id: UUID,
    target: Target,
    excluded: Target | None = None,
    *,
    allows_downgrade: bool = False,
) -> TargetPreview:
    """How many devices a rollout of the release would update, and why not the others.

    The same devices that `create_deployments` would choose. For those who could see a rollout to
    the target. Raises `NotFound`, `FilterError`.
    """
    rows = _judged(actor, release_id, target, excluded, allows_downgrade)
    counted: dict[str, int] = dict(
        rows.order_by().values_list("left_out").annotate(number=Count("id"))
    )
    chosen = rows.filter(left_out="")
    matched, able = sum(counted.values()), counted.pop("", 0)
    taken = target.places(able)
    counted[TARGET_LIMIT] = able - taken
    reasons = [
        ReasonCount(code, words, counted[code])
        for code, words in LEFT_OUT_WORDS.items()
        if counted.get(code)
    ]
    if taken < able or not able:
        return TargetPreview(matched, taken, tuple(reasons))
    if busy := chosen.filter(id__in=_busy(actor)).count():
        reasons.append(ReasonCount(OTHER_DEPLOYMENT, BUSY_WORDS, busy, leaves_out=False))
    sample = tuple(chosen.order_by("name", "id")[:SAMPLE])
    return TargetPreview(matched, taken, tuple(reasons), sample)


def list_excluded(
    actor: Actor,
    release_id: UUID,
    target: Target,
    excluded: Target | None = None,
    *,
    code: str,
    page: PageRequest,
    allows_downgrade: bool = False,
) -> Page[Device]:
    """The devices that a start would leave out for this reason, by name, with their state.

    `code` is one that `preview_target` counts; with `other_deployment` those that are in another
    rollout too. Raises what `preview_target` does, `InvalidRequest` for another code.
    """
    known = (*LEFT_OUT_WORDS, OTHER_DEPLOYMENT)
    if code not in known:
        raise invalid("code", "unknown_code", f"code is one of {', '.join(known)}.")
    if code == TARGET_LIMIT:
        message = "Who comes after the others is settled with the rollout: ask why of one device."
        raise invalid("code", "not_settled", message)
    rows = _judged(actor, release_id, target, excluded, allows_downgrade).select_related("state")
    if code == OTHER_DEPLOYMENT:
        rows = rows.filter(left_out="", id__in=_busy(actor))
    else:
        rows = rows.filter(left_out=code)
    return paginate(rows, page, order_by=["name", "id"], bound_to=code)


def preview_sizes(
    actor: Actor,
    release_id: UUID,
    target: Target,
    excluded: Target | None,
    phases: Sequence[PhasePlan],
    *,
    allows_downgrade: bool = False,
) -> tuple[int, ...]:
    """How many devices each phase of a plan would get if the rollout started now."""
    judged = _judged(actor, release_id, target, excluded, allows_downgrade)
    chosen = judged.filter(left_out="").order_by()
    if target.is_partial and phases:
        number = target.places(chosen.count())
        if not any(phase.filter for phase in phases):
            return phase_sizes(number, phases)
        # Which devices they will be is settled with the rollout's id: these are as good as any.
        chosen = first_devices(actor, chosen, release_id, number)
    return preview_phases(actor, chosen, phases) if phases else ()


def _judged(
    actor: Actor,
    release_id: UUID,
    target: Target,
    excluded: Target | None,
    allows_downgrade: bool,
) -> QuerySet[Any]:
    """The active devices that a target means, each with the first reason to leave it out."""
    require_somewhere(actor, VIEW_ROLLOUTS)
    if not reaches_rollout(actor, VIEW_ROLLOUTS, target):
        require(actor, VIEW_ROLLOUTS)
    release: Release = reread_release(actor, release_id)
    cases = []
    if excluded is not None and not excluded.is_everything:
        without = target_devices(actor, excluded).order_by().values("id")
        cases.append(When(Q(id__in=without), then=Value(EXCLUDED)))
    rule = receiving(release, allows_downgrade=allows_downgrade)
    conditions = rule.conditions(clock.now())
    cases += [When(~q, then=Value(code)) for code, q in conditions.items() if q]
    found = Case(*cases, default=Value(""), output_field=CharField())
    return target_devices(actor, target).annotate(left_out=found)


def _busy(actor: Actor) -> QuerySet[Any]:
    """Devices that have something to do in a rollout, or are at it."""
    rows = Deployment.objects.for_org(actor.organization_id)
    under_way = [RolloutState.RUNNING.value, RolloutState.PAUSED.value]
    waiting = Q(state=DeploymentState.WAITING.value, rollout__state__in=under_way)
    active = Q(state__in=[state.value for state in ACTIVE_DEPLOYMENT_STATES])
    found: QuerySet[Any] = rows.filter(waiting | active).values("device_id")
    return found
