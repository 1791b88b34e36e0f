"""Why a device gets a rollout's deployment, or does not: the facts for `domain.eligibility`."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import Any
from uuid import UUID

from django.db.models import Prefetch, Q, QuerySet

from apps.core import clock
from apps.core.actors import Actor, system_actor
from apps.core.authz import require_somewhere
from apps.core.errors import FleetdError
from apps.devices.domain.connectivity import connectivity_of
from apps.devices.domain.connectivity import explain as explain_connectivity
from apps.devices.domain.states import Lifecycle
from apps.devices.models import Device
from apps.devices.selectors import get_device
from apps.updates.domain.eligibility import (
    DEPLOYMENT,
    ChoiceFacts,
    DeploymentFacts,
    DeviceFacts,
    Facts,
    HoldFacts,
    Part,
    Reason,
    RolloutFacts,
    Turn,
    explain,
    is_chosen,
    is_eligible,
)
from apps.updates.domain.holds import HoldKind
from apps.updates.domain.plan import Plan, order_key
from apps.updates.domain.rooms import SiteRoom, room_of
from apps.updates.domain.schedule import device_zone
from apps.updates.domain.sites import SiteLimit
from apps.updates.domain.states import ACTIVE_DEPLOYMENT_STATES, DeploymentState, RolloutState
from apps.updates.models import Deployment, Phase, Rollout
from apps.updates.permissions import VIEW_ROLLOUTS
from apps.updates.selectors.candidates import (
    count_taken,
    newcomers,
    place_among,
    receiving_devices,
)
from apps.updates.selectors.clauses import clauses_of
from apps.updates.selectors.receiving import holds_at, receiving
from apps.updates.selectors.releases import components_of
from apps.updates.selectors.rollouts import (
    get_rollout,
    rollouts_within,
    seen_rollout_ids,
    target_devices,
)
from apps.updates.selectors.sites import at_work_by_site, sites_of
from apps.updates.selectors.zones import organization_zone
from apps.updates.types import Target

UNDER_WAY = (
    RolloutState.PENDING_APPROVAL,
    RolloutState.SCHEDULED,
    RolloutState.RUNNING,
    RolloutState.PAUSED,
)
EXPLAINED = 10


@dataclass(frozen=True, slots=True)
class Explanation:
    """Every condition for one device in one rollout, in order."""

    device: Device
    rollout: Rollout
    reasons: tuple[Reason, ...]
    # The last attempt's state; empty where the device has no deployment in the rollout.
    state: str = ""

    @property
    def is_eligible(self) -> bool:
        """Whether the device is handed its deployment when it asks now."""
        return is_eligible(self.reasons)

    @property
    def is_chosen(self) -> bool:
        """Whether the rollout has the device, or a start now would choose it."""
        return is_chosen(self.reasons)

    @property
    def decisive(self) -> Reason | None:
        """What happened to its deployment, else the first condition that does not hold."""
        own = next((r for r in self.reasons if r.code == DEPLOYMENT and not r.holds), None)
        if own is not None and self.state:
            return own
        return next((reason for reason in self.reasons if not reason.holds), None)

    @property
    def verdict(self) -> str:
        """The whole in one sentence."""
        return self.decisive.words if self.decisive else "It gets its deployment now."


def explain_device(actor: Actor, device_id: UUID, rollout_id: UUID) -> Explanation:
    """Why a device gets a rollout's deployment now, or why not.

    The same as what claims and starts decide. For those who may see both; what is missing or out
    of sight raises `NotFound`.
    """
    require_somewhere(actor, VIEW_ROLLOUTS)
    device = get_device(actor, device_id)
    return _Gathering(actor, device, clock.now()).explained(get_rollout(actor, rollout_id))


def explain_under_way(actor: Actor, device_id: UUID) -> list[Explanation]:
    """The same for the newest rollouts that are under way, or about to be, and in sight."""
    require_somewhere(actor, VIEW_ROLLOUTS)
    device = get_device(actor, device_id)
    phases = Phase.objects.for_org(actor.organization_id).order_by("index")
    rows = Rollout.objects.for_org(actor.organization_id).filter(
        state__in=[state.value for state in UNDER_WAY]
    )
    rollouts = (
        rollouts_within(actor, VIEW_ROLLOUTS, rows)
        .select_related("release")
        .prefetch_related(
            Prefetch("phases", queryset=phases),
            Prefetch("release__components", queryset=components_of(actor)),
        )
        .order_by("-id")[:EXPLAINED]
    )
    gathering = _Gathering(actor, device, clock.now())
    return [gathering.explained(rollout) for rollout in rollouts]


@dataclass
class _Gathering:
    """What is known of one device, for explanations of as many rollouts as one likes."""

    actor: Actor
    device: Device
    now: datetime
    _phases: dict[tuple[UUID, int], Phase] = field(default_factory=dict)

    @property
    def organization_id(self) -> UUID:
        """Whose device it is."""
        return self.actor.organization_id

    def explained(self, rollout: Rollout) -> Explanation:
        """All conditions in one rollout."""
        facts = self.facts(rollout)
        state = facts.own.state.value if facts.own else ""
        return Explanation(self.device, rollout, explain(facts), state)

    def facts(self, rollout: Rollout) -> Facts:
        """What the conditions look at."""
        row = self._own(rollout)
        own = self._deployment(row, rollout) if row else None
        return Facts(
            now=self.now,
            rollout=_rollout_facts(rollout),
            device=self.device_facts,
            choice=self._choice(rollout, is_settled=own is not None),
            turn=own.turn if own else self._turn(rollout, 0, None),
            own=own,
            others=tuple(o for o in self.others if o.turn.rollout.id != rollout.id),
        )

    @cached_property
    def device_facts(self) -> DeviceFacts:
        """The device itself."""
        device = self.device
        holds = holds_at(self.organization_id, self.now).filter(device_id=device.id)
        return DeviceFacts(
            lifecycle=device.lifecycle,
            connectivity=connectivity_of(device.state, self.now).value,
            connectivity_words=explain_connectivity(device.state, self.now),
            lifecycle_reason=device.lifecycle_reason,
            holds=tuple(
                HoldFacts(HoldKind(hold.kind), hold.reason, hold.created_at, hold.until)
                for hold in holds
            ),
        )

    @cached_property
    def others(self) -> tuple[DeploymentFacts, ...]:
        """What it is at, and what waits for it in running rollouts."""
        active = Q(state__in=[state.value for state in ACTIVE_DEPLOYMENT_STATES])
        waiting = Q(state=DeploymentState.WAITING.value, rollout__state=RolloutState.RUNNING.value)
        rows = list(self._rows().filter(active | waiting).select_related("rollout"))
        self._read_phases(row.rollout for row in rows)
        seen = seen_rollout_ids(self.actor, {row.rollout_id for row in rows})
        for row in rows:
            if row.rollout_id not in seen:
                row.rollout.name = ""  # it decides, and stays unknown
        return tuple(self._deployment(row, row.rollout) for row in rows)

    def _rows(self) -> QuerySet[Deployment]:
        rows = Deployment.objects.for_org(self.organization_id)
        return rows.filter(device_id=self.device.id, is_retried=False)

    def _own(self, rollout: Rollout) -> Deployment | None:
        self._read_phases([rollout])
        return self._rows().filter(rollout_id=rollout.id).order_by("-attempt").first()

    def _read_phases(self, rollouts: Iterable[Rollout]) -> None:
        """The counters of limited rollouts, which say how much room there is."""
        limited = {rollout.id for rollout in rollouts if rollout.is_limited}
        wanted = limited - {rollout_id for rollout_id, _ in self._phases}
        rows = Phase.objects.for_org(self.organization_id).filter(rollout_id__in=wanted)
        self._phases |= {(phase.rollout_id, phase.index): phase for phase in rows}

    def _deployment(self, row: Deployment, rollout: Rollout) -> DeploymentFacts:
        return DeploymentFacts(
            id=row.id,
            state=DeploymentState(row.state),
            turn=self._turn(rollout, row.phase_index, row.not_before),
            attempt=row.attempt,
            position=row.position,
            since=row.state_changed_at,
            reason_code=row.reason_code,
            message=row.message,
        )

    def _turn(self, rollout: Rollout, phase_index: int, not_before: datetime | None) -> Turn:
        facts = _rollout_facts(rollout)
        if not rollout.is_limited:
            return Turn(facts, phase_index, not_before)
        plan = rollout.planned()
        phase = self._phases.get((rollout.id, phase_index))
        default = device_zone(organization_zone(self.device.organization_id))
        zone = plan.schedule.zone(device_zone(_zone_name(self.device), default))
        turn = Turn(facts, phase_index, not_before)
        if phase is not None and phase.opened_at is not None:
            turn = replace(turn, room=room_of(plan.phases[phase_index], phase.use, self.now))
        if plan.site_limit is not None:
            turn = replace(turn, room=replace(turn.room, site=self._site_room(rollout, plan)))
        if plan.schedule.is_always_open or plan.schedule.is_open(self.now, zone):
            return turn
        return replace(turn, is_closed=True, opens_at=plan.schedule.opens_at(self.now, zone))

    def _site_room(self, rollout: Rollout, plan: Plan) -> SiteRoom:
        """What is left of the limits of the device's site: as claims count it."""
        limit = plan.site_limit or SiteLimit()
        found = sites_of(self.organization_id, [limit.label], [self.device.id])
        site = found[limit.label, self.device.id]
        at_work = at_work_by_site(self.organization_id, [rollout.id])
        room = limit.in_flight - at_work.get((rollout.id, site), 0)
        return SiteRoom(site, room, shares=limit.bytes_per_second > 0)

    def _choice(self, rollout: Rollout, *, is_settled: bool) -> ChoiceFacts:
        """What a start would decide; the devices of a roll back follow from another rollout."""
        installed = {str(name): str(version) for name, version in self.device.installed.items()}
        if is_settled or rollout.rolls_back_id is not None:
            return ChoiceFacts(is_meant=True, installed=installed)
        allowed = rollout.planned().installation.allow_downgrade
        rule = receiving(rollout.release, allows_downgrade=allowed)
        names = {*rule.installs}
        try:
            return ChoiceFacts(
                **self._meant(rollout),
                obstacles=rule.fit.obstacles(self.device, self.now),
                installed={name: installed[name] for name in names & installed.keys()},
                has_it=rule.is_on(self.device),
                has_later=rule.has_later(self.device, self.now),
                part=self._part(rollout),
            )
        except FleetdError as error:
            words = f"The target cannot be asked any more: {error.message}"
            return ChoiceFacts(is_meant=False, installed=installed, why_not=words)

    def _meant(self, rollout: Rollout) -> dict[str, Any]:
        """Target and exclusion, as a start asks them, with what each clause says."""
        target, excluded = Target.restore(rollout.target), Target.restore(rollout.excluded)
        platform = system_actor(self.organization_id)
        compared = clauses_of(platform, target, self.device)
        found: dict[str, Any] = {
            "target": compared,
            "is_meant": self._is_among(platform, target)
            if self.device.lifecycle == Lifecycle.ACTIVE
            else not compared or any(each.holds for each in compared),
        }
        if not excluded.is_everything:
            found["is_excluded"] = self._is_among(platform, excluded)
            found["exclusion"] = clauses_of(platform, excluded, self.device)
        return found

    def _part(self, rollout: Rollout) -> Part | None:
        """Where the device comes among those that could get the release, if not all of them do."""
        target = Target.restore(rollout.target)
        if not target.is_partial:
            return None
        platform = system_actor(self.organization_id)
        if rollout.started_at is not None and not rollout.status().is_dynamic:
            return _part_at_start(platform, rollout, self.device.id)
        has_begun = rollout.started_at is not None
        devices = (newcomers if has_begun else receiving_devices)(platform, rollout)
        if not devices.filter(id=self.device.id).exists():
            return None  # something else leaves it out
        taken = count_taken(platform, rollout) if has_begun else 0
        before = taken + place_among(devices, rollout.id, self.device.id)
        return Part(target.places(taken + devices.count()), before + 1)

    def _is_among(self, platform: Actor, target: Target) -> bool:
        return target_devices(platform, target).filter(id=self.device.id).exists()


def _part_at_start(platform: Actor, rollout: Rollout, device_id: UUID) -> Part | None:
    """The place behind all that were taken, of a device that comes after them; it had its chance
    where it comes before."""
    rows = Deployment.objects.for_org(platform.organization_id).filter(rollout_id=rollout.id)
    last = rows.order_by("-position").first()
    if last is None or order_key(device_id, rollout.id) < order_key(last.device_id, rollout.id):
        return None
    taken, target = last.position + 1, Target.restore(rollout.target)
    is_full = bool(target.percent) or taken >= target.maximum
    return Part(taken, taken + 1) if is_full else None


def _rollout_facts(rollout: Rollout) -> RolloutFacts:
    status = rollout.status()
    return RolloutFacts(
        id=rollout.id,
        name=rollout.name,
        release=str(rollout.release),
        state=RolloutState(rollout.state),
        priority=rollout.priority,
        started_at=rollout.started_at,
        start_at=rollout.start_at,
        open_phase=rollout.open_phase,
        phase_count=len(status.phases),
        requires_approval=rollout.requires_approval,
        is_approved=bool(rollout.approved_hash),
        awaits_approval=status.awaits_approval,
        is_dynamic=status.takes_devices(clock.now()),
        is_rollback=rollout.rolls_back_id is not None,
    )


def _zone_name(device: Device) -> str:
    """The time zone that its agent told."""
    facts = device.inventory.get("facts")
    name = facts.get("time_zone") if isinstance(facts, dict) else None
    return name if isinstance(name, str) else ""
