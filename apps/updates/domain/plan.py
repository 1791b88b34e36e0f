"""The plan of a rollout: its phases with their gates, when it may work, and how devices install.

A plan is a value: it is checked once, stored as JSON, hashed for approvals, and never changes
while the rollout runs.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any
from uuid import UUID

from apps.updates.domain.gates import BadPolicy, GatePolicy
from apps.updates.domain.installation import Installation, Mode
from apps.updates.domain.notifications import Notifications
from apps.updates.domain.problems import BadPlan
from apps.updates.domain.schedule import Schedule
from apps.updates.domain.sites import SiteLimit

MAX_PHASES = 20
WHOLE = (100,)
MIN_TIMEOUT_SECONDS = 60
MAX_TIMEOUT_SECONDS = 7 * 24 * 3600
MAX_PER_MINUTE = 1_000_000
MAX_GROWTH_PERCENT = 1_000
MOST_GROWING_MINUTES = 1_400
MAX_PRIORITY = 100
LATE_PLACES = 2**32


@dataclass(frozen=True, slots=True)
class Rate:
    """How many devices may start per minute, from the minute in which the phase opened.

    With a growth of 100 percent each minute allows as many as the one before; with 200 twice as
    many, up to `maximum_per_minute` (0: without end).
    """

    per_minute: int
    growth_percent: int = 100
    maximum_per_minute: int = 0

    def allowed(self, minute: int) -> int:
        """How many devices may start in this minute, counted from 0, of a phase that is open.

        What one minute did not use is gone: after a night or a pause there is no rush.
        """
        most = self.maximum_per_minute or MAX_PER_MINUTE
        # One percent more each minute leads from 1 to the limit within so many.
        minute = min(minute, MOST_GROWING_MINUTES)
        grown: int = self.per_minute * self.growth_percent**minute // 100**minute
        return min(grown, most)


@dataclass(frozen=True, slots=True)
class PhasePlan:
    """One phase: which devices it takes, what its gate demands, and how fast they start.

    A phase with a `filter` takes every target that matches it and that no earlier filter takes;
    what no filter takes is shared out among the phases without one. There `percent` is cumulative,
    and where `devices` is not 0 the phase ends after so many devices instead. `maximum_in_flight`
    is 0 for no limit.
    """

    percent: int
    devices: int = 0
    name: str = ""
    gate: GatePolicy = field(default_factory=GatePolicy)
    needs_approval: bool = False
    rate: Rate | None = None
    maximum_in_flight: int = 0
    filter: str = ""

    @property
    def is_limited(self) -> bool:
        """Whether its devices may not all start at once."""
        return self.rate is not None or self.maximum_in_flight > 0


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that decides what happens to the devices of a rollout, and when."""

    phases: tuple[PhasePlan, ...] = (PhasePlan(100),)
    schedule: Schedule = field(default_factory=Schedule)
    installation: Installation = field(default_factory=Installation)
    # Of two rollouts that want the same device the higher one goes first; then the older one.
    priority: int = 0
    # Devices that match the target later join, until the rollout is closed or ends.
    is_dynamic: bool = False
    # Who is told by mail what happens.
    notifications: Notifications = field(default_factory=Notifications)
    # What each site bears; None for as much as anybody wants.
    site_limit: SiteLimit | None = None
    # Devices that wait in older rollouts of releases with this name leave those once it is their
    # turn here: who was away installs the newest version only.
    supersedes: bool = False

    @property
    def is_limited(self) -> bool:
        """Whether claims have to look at numbers and clocks before they hand anything out."""
        is_paced = self.site_limit is not None or any(phase.is_limited for phase in self.phases)
        return is_paced or not self.schedule.is_always_open

    @property
    def told(self) -> "Plan":
        """The plan as its devices are told it: each has its share of what its site bears."""
        share = self.site_limit.share if self.site_limit else 0
        if not share:
            return self
        own = self.installation.maximum_bytes_per_second or share
        rules = replace(self.installation, maximum_bytes_per_second=min(own, share))
        return replace(self, installation=rules)

    def checked(self) -> "Plan":
        """The same plan with every phase named; raises `BadPlan` for one that cannot be."""
        _check_phases(self.phases)
        _check_number("priority", self.priority, -MAX_PRIORITY, MAX_PRIORITY)
        self.schedule.check()
        self.installation.check()
        self.notifications.check()
        if self.site_limit is not None:
            self.site_limit.check()
        if self.supersedes and self.installation.mode is Mode.DOWNLOAD_ONLY:
            message = "A rollout that only downloads cannot take the place of one that installs."
            raise BadPlan("supersedes", message)
        named = (
            replace(phase, name=phase.name or f"Phase {place}")
            for place, phase in enumerate(self.phases, start=1)
        )
        return replace(self, phases=tuple(named))

    def dump(self) -> dict[str, Any]:
        """The plan as JSON can hold it; `restore` reads it back without loss."""
        return {
            "phases": [_dump_phase(phase) for phase in self.phases],
            "schedule": self.schedule.dump(),
            "installation": self.installation.dump(),
            "priority": self.priority,
            **({"notifications": self.notifications.dump()} if self.notifications.email else {}),
            **({"is_dynamic": True} if self.is_dynamic else {}),
            **({"site_limit": self.site_limit.dump()} if self.site_limit else {}),
            **({"supersedes": True} if self.supersedes else {}),
        }

    @classmethod
    def restore(cls, dumped: Mapping[str, Any]) -> "Plan":
        """The plan that `dump` was given."""
        return cls(
            phases=tuple(_restore_phase(phase) for phase in dumped["phases"]),
            schedule=Schedule.restore(dumped["schedule"]),
            installation=Installation.restore(dumped["installation"]),
            priority=dumped["priority"],
            notifications=Notifications.restore(dumped.get("notifications", {})),
            is_dynamic=dumped.get("is_dynamic", False),
            site_limit=SiteLimit.restore(dumped["site_limit"]) if "site_limit" in dumped else None,
            supersedes=dumped.get("supersedes", False),
        )


def simple_plan(percents: Sequence[int] = ()) -> Plan:
    """Phases that end at these cumulative percentages and accept no failure; not checked."""
    return Plan(tuple(PhasePlan(percent) for percent in tuple(percents) or WHOLE))


def shared_phases(phases: Sequence[PhasePlan]) -> tuple[int, ...]:
    """The indexes of the phases that share out what no filter takes."""
    return tuple(index for index, phase in enumerate(phases) if not phase.filter)


def phase_ends(total: int, phases: Sequence[PhasePlan]) -> tuple[int, ...]:
    """How many of `total` devices are in or before each of these: percentages rounded up.

    Rounded up, so that the first phase of a small rollout is not empty. A later phase never ends
    before an earlier one, and the last one ends with the last device. Filters take no part.
    """
    ends: list[int] = []
    for phase in phases:
        end = phase.devices or (total * phase.percent + 99) // 100
        ends.append(max(min(end, total), ends[-1] if ends else 0))
    return (*ends[:-1], total)


def phase_sizes(
    total: int, phases: Sequence[PhasePlan], taken: Mapping[int, int] | None = None
) -> tuple[int, ...]:
    """How many of `total` devices each phase holds; they add up to `total`.

    `taken` says how many the filters take, by the phase's index.
    """
    sizes = dict(taken or {})
    shared = shared_phases(phases)
    ends = phase_ends(total - sum(sizes.values()), [phases[index] for index in shared])
    sizes |= {i: end - start for i, (start, end) in zip(shared, pairwise((0, *ends)), strict=True)}
    return tuple(sizes.get(index, 0) for index in range(len(phases)))


def phase_of(position: int, ends: Sequence[int]) -> int:
    """The index of the phase that the device at this place, counted from 0, belongs to."""
    return sum(end <= position for end in ends)


def late_bounds(total: int, phases: Sequence[PhasePlan]) -> tuple[int, ...]:
    """Where each of these phases ends for latecomers, whose places are 0 to `LATE_PLACES` - 1.

    `total` is how many devices they shared out at the start: a number of devices means the same
    share of those that come later.
    """
    ends: list[int] = []
    for phase in phases[:-1]:
        share = phase.devices * LATE_PLACES // max(total, 1)
        end = share if phase.devices else phase.percent * LATE_PLACES // 100
        ends.append(max(min(end, LATE_PLACES), ends[-1] if ends else 0))
    return (*ends, LATE_PLACES)


def late_place(device_id: UUID, rollout_id: UUID) -> int:
    """The place of a device that comes later: the first four bytes of its `order_key`."""
    return int.from_bytes(order_key(device_id, rollout_id)[:4], "big")


def order_key(device_id: UUID, rollout_id: UUID) -> bytes:
    """Devices are taken in the order of this key: the SHA-256 of both ids' texts.

    Each rollout orders anew, so that it is not always the same devices that go first. PostgreSQL
    computes the same: `sha256((device_id::text || rollout_id::text)::bytea)`.
    """
    return hashlib.sha256(f"{device_id}{rollout_id}".encode()).digest()


def plan_hash(plan: Mapping[str, Any]) -> str:
    """SHA-256 of the plan as canonical JSON (sorted keys, no white space), 64 hex digits.

    `plan` holds texts, whole numbers, booleans, None, lists and mappings of those.
    """
    text = json.dumps(plan, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _check_phases(phases: Sequence[PhasePlan]) -> None:
    if not 0 < len(phases) <= MAX_PHASES:
        raise BadPlan("phases", f"A rollout has 1 to {MAX_PHASES} phases.")
    for place, phase in enumerate(phases):
        _check_phase(f"phases.{place}", phase)
    if phases[0].needs_approval:
        message = "The first phase opens with the start: let the plan itself need approval."
        raise BadPlan("phases.0.needs_approval", message)
    shared = [phases[index] for index in shared_phases(phases)]
    _check_rising("percentages", [phase.percent for phase in shared if not phase.devices])
    _check_rising("numbers of devices", [phase.devices for phase in shared if phase.devices])
    if phases[-1].filter or phases[-1].devices or phases[-1].percent != 100:
        raise BadPlan("phases", "The last phase must end at 100 percent.")


def _check_rising(what: str, numbers: Sequence[int]) -> None:
    if any(a >= b for a, b in pairwise(numbers)):
        raise BadPlan("phases", f"The {what} must rise from one phase to the next.")


def _check_phase(place: str, phase: PhasePlan) -> None:
    if len(phase.name) > 100 or not phase.name.isprintable():
        raise BadPlan(f"{place}.name", "A phase's name has at most 100 printable characters.")
    if phase.filter and (phase.percent or phase.devices):
        message = "A phase with a filter takes all that match: it has no share and no number."
        raise BadPlan(f"{place}.filter", message)
    if not phase.devices and not phase.filter:
        _check_number(f"{place}.percent", phase.percent, 1, 100)
    _check_number(f"{place}.devices", phase.devices, 0, 10_000_000)
    _check_number(f"{place}.maximum_in_flight", phase.maximum_in_flight, 0, 10_000_000)
    try:
        phase.gate.checked()
    except BadPolicy as bad:
        raise BadPlan(f"{place}.gate.{bad.field}", bad.message) from bad
    if phase.rate is not None:
        _check_rate(f"{place}.rate", phase.rate)


def _check_rate(place: str, rate: Rate) -> None:
    _check_number(f"{place}.per_minute", rate.per_minute, 1, MAX_PER_MINUTE)
    _check_number(f"{place}.growth_percent", rate.growth_percent, 100, MAX_GROWTH_PERCENT)
    _check_number(f"{place}.maximum_per_minute", rate.maximum_per_minute, 0, MAX_PER_MINUTE)
    if 0 < rate.maximum_per_minute < rate.per_minute:
        raise BadPlan(f"{place}.maximum_per_minute", "The maximum is below the first minute's.")


def _check_number(place: str, number: int, low: int, high: int) -> None:
    if isinstance(number, bool) or not isinstance(number, int) or not low <= number <= high:
        raise BadPlan(place, f"This is a whole number from {low} to {high}.")


def _dump_phase(phase: PhasePlan) -> dict[str, Any]:
    rate = phase.rate and [
        phase.rate.per_minute,
        phase.rate.growth_percent,
        phase.rate.maximum_per_minute,
    ]
    return {
        "name": phase.name,
        "percent": phase.percent,
        "devices": phase.devices,
        "gate": phase.gate.dump(),
        "needs_approval": phase.needs_approval,
        "rate": rate,
        "maximum_in_flight": phase.maximum_in_flight,
        **({"filter": phase.filter} if phase.filter else {}),
    }


def _restore_phase(dumped: Mapping[str, Any]) -> PhasePlan:
    return PhasePlan(
        name=dumped["name"],
        percent=dumped["percent"],
        devices=dumped["devices"],
        gate=GatePolicy.restore(dumped["gate"]),
        needs_approval=dumped["needs_approval"],
        rate=Rate(*dumped["rate"]) if dumped["rate"] else None,
        maximum_in_flight=dumped["maximum_in_flight"],
        filter=dumped.get("filter", ""),
    )
