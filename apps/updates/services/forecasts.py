"""What a rollout may be expected to do, asked before it starts. Nothing here is stored."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from django.core.cache import cache
from django.db.models import QuerySet

from apps.core import clock
from apps.core.actors import Actor
from apps.core.errors import invalid
from apps.core.limits import take
from apps.devices.models import Device
from apps.devices.permissions import VIEW_DEVICES
from apps.devices.selectors.places import within
from apps.updates.domain import engine
from apps.updates.domain.engine import LogEvent, RolloutStatus
from apps.updates.domain.forecast import (
    DeviceHistory,
    Forecast,
    Scenario,
    Spread,
    forecast,
    runs_of,
)
from apps.updates.domain.installation import Mode
from apps.updates.domain.plan import Plan, order_key, phase_ends, phase_of, shared_phases
from apps.updates.domain.states import RolloutState
from apps.updates.errors import ForecastTooLarge, ForecastTooSlow, RolloutNotForecastable
from apps.updates.models import Release, Rollout
from apps.updates.selectors.candidates import chosen_devices
from apps.updates.selectors.histories import list_histories
from apps.updates.selectors.phases import in_parts
from apps.updates.selectors.rollouts import get_rollout
from apps.updates.selectors.zones import organization_zone

BEFORE_START = (RolloutState.DRAFT, RolloutState.PENDING_APPROVAL, RolloutState.SCHEDULED)
RUNS, MAXIMUM_RUNS, MAXIMUM_SEED = 100, 500, 2**31 - 1
MAXIMUM_DEVICES = 20_000
DEADLINE_SECONDS = 25.0
# Whoever asks again within so many seconds is told the same.
REMEMBERED_SECONDS = 60
# Of an organization within a minute, so that a forecast in a loop does not take the machine from
# the others: one for each forecast, for each thousand devices whose pasts are read, and for each
# ten thousand of them that runs play through (a fifth of a second).
BUDGET = 60
DEVICES_PER_UNIT, VISITS_PER_UNIT = 1000, 10_000


@dataclass(frozen=True, slots=True)
class PhaseForecast:
    """One phase: its devices, and the seconds after the beginning when its gate lets it go on."""

    name: str
    devices: int
    finish: Spread


@dataclass(frozen=True, slots=True)
class RolloutForecast:
    """What a rollout may be expected to do, and what that is based on.

    Seconds count from `begins_at`. Of `devices` the histories of `known` were used, the longest of
    `history_days`; the others were taken as like them. `unforeseen` names what the plan has and a
    forecast cannot know: approval, confirmation, control, metrics, newcomers, download_only,
    site_limit.
    `at_risk` are devices that miss the end in most runs, as (id, name): those that the reader may
    see of `at_risk_count`.
    """

    rollout_id: UUID
    plan_hash: str
    made_at: datetime
    begins_at: datetime
    ends_at: datetime | None
    seed: int
    devices: int
    known: int
    history_days: float
    phases: tuple[PhaseForecast, ...]
    unforeseen: tuple[str, ...]
    outcome: Forecast
    at_risk: tuple[tuple[UUID, str], ...] = ()

    @property
    def at_risk_count(self) -> int:
        """How many devices are named, seen by the reader or not."""
        return len(self.outcome.at_risk)


def forecast_rollout(
    actor: Actor, rollout_id: UUID, *, seed: int = 1, runs: int = RUNS
) -> RolloutForecast:
    """Runs a rollout that has not started on a virtual clock, over its devices' own histories.

    It takes the plan, the devices and the order that a start would take now (or at the planned
    start). The same seed gives the same answer as long as these and the histories are the same;
    the answer stays for a minute. Raises `RolloutNotForecastable` once it has started,
    `ForecastTooLarge`, `ForecastTooSlow`, `InvalidRequest` for numbers out of range, `LimitReached`
    where it is asked too often.
    """
    rollout = get_rollout(actor, rollout_id)
    _check("seed", seed, 0, MAXIMUM_SEED)
    _check("runs", runs, 1, MAXIMUM_RUNS)
    if rollout.state not in BEFORE_START:
        raise RolloutNotForecastable(data={"state": rollout.state})
    key = f"forecast:{rollout.id}:{rollout.state_hash}:{seed}:{runs}"
    found: RolloutForecast | None = cache.get(key)
    if found is None:
        found = _forecast(actor, rollout, seed, runs)
        cache.set(key, found, timeout=REMEMBERED_SECONDS)
    return replace(found, at_risk=_named(actor, found.outcome.at_risk))


def _forecast(actor: Actor, rollout: Rollout, seed: int, runs: int) -> RolloutForecast:
    deadline = time.monotonic() + DEADLINE_SECONDS
    now, plan, release = clock.now(), rollout.planned(), rollout.release
    begins_at = max(now, plan.schedule.start_at or now)
    parts = _phases(actor, rollout, plan, runs)
    histories = list_histories(actor, [device for part in parts for device in part], now)
    rest = iter(histories.devices)
    phases = [[next(rest) for _ in part] for part in parts]
    outcome = forecast(
        _started(rollout, [len(part) for part in parts], begins_at),
        begins_at,
        _scenario(rollout, plan, phases, release),
        seed=seed,
        runs=runs,
        before_run=lambda: _check_time(deadline),
    )
    return RolloutForecast(
        rollout_id=rollout.id,
        plan_hash=rollout.plan_hash,
        made_at=now,
        begins_at=begins_at,
        ends_at=plan.schedule.end_at,
        seed=seed,
        devices=len(histories.devices),
        known=histories.known,
        history_days=round(histories.days, 3),
        phases=tuple(
            PhaseForecast(phase.name, len(part), finish)
            for phase, part, finish in zip(plan.phases, parts, outcome.phases, strict=True)
        ),
        unforeseen=_unforeseen(rollout, plan),
        outcome=outcome,
    )


def _phases(actor: Actor, rollout: Rollout, plan: Plan, runs: int) -> list[list[UUID]]:
    """The devices of each phase, in the rollout's order: as `create_deployments` would have them.

    A test compares the two.
    """
    devices = chosen_devices(actor, rollout)
    number = _counted(actor, devices, runs)
    # Annotated with a part, which types know nothing of.
    parts: Any = in_parts(actor, devices, plan.phases).order_by()
    rows = parts.values_list("id", "part")
    placed = sorted(rows[: number + 1], key=lambda row: order_key(row[0], rollout.id))
    found: list[list[UUID]] = [[] for _ in plan.phases]
    shared = shared_phases(plan.phases)
    rest = [device_id for device_id, part in placed if part < 0]
    ends = phase_ends(len(rest), [plan.phases[index] for index in shared])
    for device_id, part in placed:
        if part >= 0:
            found[part].append(device_id)
    for place, device_id in enumerate(rest):
        found[shared[phase_of(place, ends[:-1])]].append(device_id)
    return found


def _counted(actor: Actor, devices: QuerySet[Device], runs: int) -> int:
    """How many they are; so many that nobody can wait for it are refused before any work."""
    number = devices.order_by().values("id")[: MAXIMUM_DEVICES + 1].count()
    if number > MAXIMUM_DEVICES:
        text = f"A forecast takes at most {MAXIMUM_DEVICES} devices; this rollout has more."
        raise ForecastTooLarge(text, data={"maximum": MAXIMUM_DEVICES})
    visits = number * runs_of(number, runs)
    cost = min(BUDGET, 1 + number // DEVICES_PER_UNIT + visits // VISITS_PER_UNIT)
    take("forecast", str(actor.organization_id), limit=BUDGET, per_seconds=60, cost=cost)
    return number


def _started(rollout: Rollout, sizes: Sequence[int], at: datetime) -> RolloutStatus:
    """The engine's state as a start at that moment would leave it.

    Who joins a dynamic rollout later is not known: it is over when today's devices are through.
    """
    status = engine.restore({**rollout.snapshot, "is_dynamic": False})
    events = [
        LogEvent(engine.STARTED, at, {"sizes": list(sizes)}),
        LogEvent(engine.PHASE_OPENED, at, {"index": 0}),
    ]
    if status.state is RolloutState.PENDING_APPROVAL:
        approved = {"plan_hash": rollout.plan_hash, "by": ""}
        events.insert(0, LogEvent(engine.APPROVED, at, approved))
    return engine.replay(events, status)


def _scenario(
    rollout: Rollout, plan: Plan, phases: list[list[DeviceHistory]], release: Release
) -> Scenario:
    return Scenario(
        plan=plan.told,
        phases=phases,
        size_bytes=sum(part.artifact.size_bytes for part in release.components.all()),
        timeout_seconds=rollout.deployment_timeout_seconds,
        time_zone=organization_zone(rollout.organization_id),
    )


def _unforeseen(rollout: Rollout, plan: Plan) -> tuple[str, ...]:
    """What the plan has that only people, or devices at the time, can tell."""
    gates = [phase.gate for phase in plan.phases]
    mode = plan.installation.mode
    found = {
        "approval": any(phase.needs_approval for phase in plan.phases),
        "confirmation": mode is Mode.CONFIRMED,
        "download_only": mode is Mode.DOWNLOAD_ONLY,
        "control": any(gate.has_control for gate in gates),
        "metrics": any(gate.conditions for gate in gates),
        "site_limit": plan.site_limit is not None,
        "newcomers": bool(rollout.plan.get("is_dynamic")),
    }
    return tuple(code for code, holds in found.items() if holds)


def _named(actor: Actor, device_ids: Sequence[str]) -> tuple[tuple[UUID, str], ...]:
    """Those of these devices that the reader may see, with their names, in the same order."""
    if not device_ids or not actor.may_somewhere(VIEW_DEVICES.name):
        return ()
    rows = Device.objects.for_org(actor.organization_id).filter(id__in=device_ids)
    names: dict[str, str] = {
        str(id_): name for id_, name in within(actor, VIEW_DEVICES, rows).values_list("id", "name")
    }
    return tuple((UUID(id_), names[id_]) for id_ in device_ids if id_ in names)


def _check_time(deadline: float) -> None:
    if time.monotonic() > deadline:
        raise ForecastTooSlow


def _check(name: str, number: Any, low: int, high: int) -> None:
    if not low <= number <= high:
        raise invalid(name, "out_of_range", f"This is a whole number from {low} to {high}.")
