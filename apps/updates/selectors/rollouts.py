"""Reading rollouts, and checking their logs."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, TypeVar
from uuid import UUID

from django.db.models import Model, Prefetch, QuerySet

from apps.core import clock
from apps.core.actors import Actor, ActorHere
from apps.core.authz import Permission, require, require_somewhere
from apps.core.errors import NotFound, invalid
from apps.core.pagination import Page, PageRequest, paginate
from apps.devices.models import Device, DeviceGroup
from apps.devices.selectors import resolve_target
from apps.devices.selectors.places import (
    group_ids_in_reach,
    place_of_group,
    reaches_groups,
)
from apps.updates.domain import engine
from apps.updates.domain.gates import GatePolicy
from apps.updates.domain.states import (
    FAILED_DEPLOYMENT_STATES,
    DeploymentState,
    RolloutState,
)
from apps.updates.domain.whatif import WhatIf, what_if
from apps.updates.models import (
    Deployment,
    Phase,
    Release,
    Rollout,
    RolloutEvent,
)
from apps.updates.permissions import (
    VIEW_ROLLOUTS,
)
from apps.updates.selectors.reason_terms import with_reason
from apps.updates.selectors.receiving import receiving
from apps.updates.selectors.releases import components_of
from apps.updates.types import Target

M = TypeVar("M", bound=Model)


@dataclass(frozen=True, slots=True)
class LogCheck:
    """What a rollout's log replays to, and where the stored rows say something else."""

    status: engine.RolloutStatus
    replayed_hash: str
    stored_hash: str
    differences: tuple[str, ...]


def rollouts_within(
    actor: Actor, permission: Permission, rows: QuerySet[M], *, via: str = ""
) -> QuerySet[M]:
    """Those of `rows` whose rollout the actor's right reaches; `via` is the link that leads to it.

    A rollout stands in the groups that its target names: all have to be within reach. One to chosen
    devices, tags or everything is the organization's.
    """
    group_ids = group_ids_in_reach(actor, permission)
    if group_ids is None:
        return rows
    target = f"{via}__target" if via else "target"
    named: dict[str, Any] = {f"{target}__device_ids": [], f"{target}__tags": []}
    reached = {f"{target}__group_ids__contained_by": [str(each) for each in group_ids]}
    found = rows.filter(**named, **reached).exclude(**{f"{target}__group_ids": []})
    return found.exclude(**{f"{target}__has_key": "filter"})


def reaches_rollout(actor: Actor, permission: Permission, target: Target) -> bool:
    """The same for one target: of a rollout, or of one that is being planned."""
    if actor.reach(permission.name) is None:
        return True
    return target.is_groups and reaches_groups(actor, permission, target.group_ids)


def actor_at_rollout(actor: Actor, rollout: Rollout) -> ActorHere:
    """The actor for the page of one rollout: buttons ask what it may do to this one."""
    target = Target.restore(rollout.target)
    groups: list[DeviceGroup] = []
    if actor.grants and target.is_groups:
        rows = DeviceGroup.objects.for_org(actor.organization_id)
        groups = list(rows.filter(id__in=target.group_ids))
    is_whole = bool(groups) and len(groups) == len(target.group_ids)
    places = [place_of_group(group) for group in groups]
    return ActorHere(
        actor, lambda name: is_whole and all(actor.may(name, place) for place in places)
    )


def seen_rollout_ids(actor: Actor, rollout_ids: Collection[UUID]) -> set[UUID]:
    """Those of these rollouts that the actor may see."""
    if actor.reach(VIEW_ROLLOUTS.name) is None:
        return set(rollout_ids)
    rows = Rollout.objects.for_org(actor.organization_id).filter(id__in=rollout_ids)
    return set(rollouts_within(actor, VIEW_ROLLOUTS, rows).values_list("id", flat=True))


def list_rollouts(
    actor: Actor, page: PageRequest, *, state: str = "", states: Collection[RolloutState] = ()
) -> Page[Rollout]:
    """The rollouts that the actor may see, with release and phases, newest first.

    Those in one state, in any of some, or all.
    """
    require_somewhere(actor, VIEW_ROLLOUTS)
    rows = rollouts_within(actor, VIEW_ROLLOUTS, _rollouts(actor))
    if state:
        rows = rows.filter(state=known_state(RolloutState, state))
    if states:
        rows = rows.filter(state__in=[each.value for each in states])
    return paginate(rows, page, order_by=["-id"])


def get_rollout(actor: Actor, rollout_id: UUID) -> Rollout:
    """One rollout with its release, components and phases."""
    return reread_rollout(actor, get_rollout_id(actor, rollout_id))


def reread_rollout(actor: Actor, rollout_id: UUID) -> Rollout:
    """The same, for services that have asked for another permission already."""
    rows = _rollouts(actor).prefetch_related(
        Prefetch("release__components", queryset=components_of(actor))
    )
    found: Rollout | None = rows.filter(id=rollout_id).first()
    if found is None:
        raise NotFound
    return found


def count_target_devices(
    actor: Actor,
    target: Target,
    excluded: Target | None = None,
    release: Release | None = None,
    *,
    allows_downgrade: bool = False,
) -> int:
    """How many active devices a target means now, for those who could see a rollout to it; with a
    release only those that would get it. No more than the target's percentage and maximum."""
    if not reaches_rollout(actor, VIEW_ROLLOUTS, target):
        require(actor, VIEW_ROLLOUTS)
    devices = target_devices(actor, target, excluded)
    if release:
        devices = fitting(devices, release, allows_downgrade=allows_downgrade)
    number = devices.count()
    return target.places(number)


def fitting(
    devices: QuerySet[Device], release: Release, *, allows_downgrade: bool
) -> QuerySet[Device]:
    """Those of the devices that a rollout of the release would begin with now."""
    rule = receiving(release, allows_downgrade=allows_downgrade)
    return devices.filter(rule.q(clock.now()))


def target_devices(
    actor: Actor, target: Target, excluded: Target | None = None
) -> QuerySet[Device]:
    """The active devices that a target means now, without those that are left out.

    Raises `NotFound` for groups, devices and rollouts that it names and the actor does not see.
    """
    devices = _resolved(actor, target)
    if target.failed_in:
        rollout_id = get_rollout_id(actor, target.failed_in)
        devices = devices.filter(id__in=_failed_in(actor, rollout_id, target.failed_because))
    if excluded is not None:
        without = target_devices(actor, excluded)
        devices = devices.exclude(id__in=without.order_by().values("id"))
    return devices


def _resolved(actor: Actor, target: Target) -> QuerySet[Device]:
    return resolve_target(
        actor,
        device_ids=target.device_ids,
        tags=target.tags,
        group_ids=target.group_ids,
        filter=target.filter,
    )


def _failed_in(actor: Actor, rollout_id: UUID, reason: str) -> QuerySet[Deployment]:
    """The devices whose last attempt in a rollout failed, for this reason or, without, for any."""
    rows = Deployment.objects.for_org(actor.organization_id).filter(
        rollout_id=rollout_id, is_retried=False, state__in=FAILED_DEPLOYMENT_STATES
    )
    return (rows.filter(with_reason(reason)) if reason else rows).values("device_id")


def list_rollout_events(
    actor: Actor, rollout_id: UUID, page: PageRequest, *, after_sequence: int = 0
) -> Page[RolloutEvent]:
    """A rollout's log from the event after `after_sequence` on, oldest first."""
    get_rollout_id(actor, rollout_id)
    rows = RolloutEvent.objects.for_org(actor.organization_id).filter(
        rollout_id=rollout_id, sequence__gt=after_sequence
    )
    return paginate(rows, page, order_by=["sequence"])


def get_rollout_id(actor: Actor, rollout_id: UUID) -> UUID:
    """The id itself, where the actor may see a rollout with this id; `NotFound` otherwise."""
    require_somewhere(actor, VIEW_ROLLOUTS)
    rows = Rollout.objects.for_org(actor.organization_id).filter(id=rollout_id)
    if not rollouts_within(actor, VIEW_ROLLOUTS, rows).exists():
        raise NotFound
    return rollout_id


def list_live_rollout_ids(actor: Actor) -> list[UUID]:
    """Rollouts whose scheduler has something to watch: running, paused, or still finishing."""
    require(actor, VIEW_ROLLOUTS)
    rows = Rollout.objects.for_org(actor.organization_id)
    live = rows.filter(state__in=[RolloutState.RUNNING, RolloutState.PAUSED])
    over = rows.exclude(state__in=[RolloutState.RUNNING, RolloutState.PAUSED])
    finishing = over.filter(phases__active__gt=0)
    # Of a halted one devices wait for a decision; of any other that is over none may.
    left = over.exclude(state=RolloutState.HALTED).filter(
        started_at__isnull=False, phases__waiting__gt=0
    )
    return sorted(
        {id_ for found in (live, finishing, left) for id_ in found.values_list("id", flat=True)}
    )


def list_dynamic_rollout_ids(actor: Actor) -> list[UUID]:
    """Running rollouts that devices may join."""
    require(actor, VIEW_ROLLOUTS)
    rows = Rollout.objects.for_org(actor.organization_id)
    dynamic = rows.filter(state=RolloutState.RUNNING, snapshot__is_dynamic=True)
    return list(dynamic.order_by("id").values_list("id", flat=True))


def list_due_rollout_ids(actor: Actor) -> list[UUID]:
    """Rollouts that are ready and whose time to start has come."""
    require(actor, VIEW_ROLLOUTS)
    rows = Rollout.objects.for_org(actor.organization_id)
    due = rows.filter(state=RolloutState.SCHEDULED, start_at__lte=clock.now())
    return list(due.order_by("start_at", "id").values_list("id", flat=True))


def check_log(actor: Actor, rollout_id: UUID, *, until: int | None = None) -> LogCheck:
    """Replays a rollout's log and compares the outcome with what is stored.

    With `until` only the events up to that number are replayed and nothing is compared.
    """
    rollout = get_rollout(actor, rollout_id)
    numbers, events = read_log(actor, rollout_id, until)
    status = engine.replay(events)
    differences = [] if until is not None else _differences(rollout, status)
    if numbers != list(range(1, len(numbers) + 1)):
        differences.append("the log has gaps")
    return LogCheck(status, engine.state_hash(status), rollout.state_hash, tuple(differences))


def judge_log(
    actor: Actor, rollout_id: UUID, gates: Sequence[GatePolicy], *, until: int | None = None
) -> WhatIf:
    """What other gates would have decided: one for all phases, or one for each.

    Raises `ValueError` for another number of gates.
    """
    get_rollout_id(actor, rollout_id)
    return what_if(read_log(actor, rollout_id, until)[1], gates)


def read_log(
    actor: Actor, rollout_id: UUID, until: int | None
) -> tuple[list[int], list[engine.LogEvent]]:
    """The numbers of a rollout's events, and the events, for services that have asked already."""
    rows = RolloutEvent.objects.for_org(actor.organization_id).filter(rollout_id=rollout_id)
    if until is not None:
        rows = rows.filter(sequence__lte=until)
    values = rows.order_by("sequence").values_list("sequence", "type", "time", "data")
    numbers, events = [], []
    for sequence, type_, time, data in values.iterator(chunk_size=2000):
        numbers.append(sequence)
        events.append(engine.LogEvent(type_, time, data))
    return numbers, events


def _differences(rollout: Rollout, status: engine.RolloutStatus) -> list[str]:
    """Names of the stored values that are not what the log says."""
    expected: dict[str, tuple[Any, Any]] = {
        "state_hash": (rollout.state_hash, engine.state_hash(status)),
        "snapshot": (rollout.snapshot, engine.dump(status)),
        "event_count": (rollout.event_count, status.sequence),
    }
    for name in ("state", "plan_hash", "approved_hash", "open_phase", "started_at", "finished_at"):
        expected[name] = (getattr(rollout, name), getattr(status, name))
    for row, phase in zip_longest(rollout.phases.all(), status.phases):
        expected[f"phase {row.index if row else '?'}"] = (
            row and row.shown,
            phase and phase.shown,
        )
    return [name for name, (stored, replayed) in expected.items() if stored != replayed]


def _rollouts(actor: Actor) -> QuerySet[Rollout]:
    rows: QuerySet[Rollout] = Rollout.objects.for_org(actor.organization_id)
    phases = Phase.objects.for_org(actor.organization_id).order_by("index")
    return rows.select_related("release", "created_by").prefetch_related(
        Prefetch("phases", queryset=phases)
    )


def known_state(states: type[RolloutState] | type[DeploymentState], text: str) -> str:
    """A state named from outside."""
    try:
        return states(text).value
    except ValueError as error:
        known = ", ".join(s.value for s in states)
        raise invalid(
            "state", "unknown_state", f"There is no such state; known: {known}."
        ) from error
