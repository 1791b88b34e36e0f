"""What a manifest says, in the engine's own words."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from apps.updates.domain.manifest.problems import Place
from apps.updates.domain.plan import Plan

DEFAULT_TIMEOUT_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class Selection:
    """Devices: as `Target`, but groups by name or id."""

    device_ids: tuple[UUID, ...] = ()
    tags: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    filter: str = ""
    failed_in: UUID | None = None
    failed_because: str = ""
    percent: int = 0
    maximum: int = 0

    @property
    def names_nothing(self) -> bool:
        """Whether it says no device, tag, group or filter."""
        return not (self.device_ids or self.tags or self.groups or self.filter)


@dataclass(frozen=True, slots=True)
class ReleaseName:
    """A release that is there, by its version or by a channel that points at it."""

    name: str
    version: str
    channel: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """A component of a release to be made; `size` is what the manifest says of the file, if so."""

    name: str
    kind: str
    sha256: str
    place: Place = field(compare=False)
    size: int | None = None
    target: str = ""
    file_mode: int = 0
    hooks: Mapping[str, Any] = field(default_factory=dict)
    install_options: Mapping[str, str] = field(default_factory=dict)
    checks: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition of a release, as a filter over devices."""

    filter: str
    place: Place = field(compare=False)


@dataclass(frozen=True, slots=True)
class NewRelease:
    """A release of artifacts that are stored: to be found with this content, or made."""

    name: str
    version: str
    bundle_mode: str
    parts: tuple[Part, ...]
    requirements: tuple[Requirement, ...] = ()
    notes: str = ""


@dataclass(frozen=True, slots=True)
class Manifest:
    """A rollout as a manifest says it.

    `share_in_flight` is a percentage of the target: so many devices are at work at most in each
    phase of `shared`. With `is_organization_zone` windows are in the organization's time zone.
    `places` says where in the text the fields of the engine come from.
    """

    name: str
    selection: Selection
    release: ReleaseName | NewRelease
    plan: Plan
    excluded: Selection | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    requires_approval: bool = False
    timeout_seconds: int = DEFAULT_TIMEOUT_SECONDS
    share_in_flight: int = 0
    shared: frozenset[int] = frozenset()
    is_organization_zone: bool = False
    places: Mapping[str, Place] = field(default_factory=dict, compare=False)

    def plan_for(self, devices: int, organization_zone: str) -> Plan:
        """The plan for a target of so many devices, with every percentage and zone filled in."""
        plan = self.plan
        if self.is_organization_zone:
            plan = replace(plan, schedule=replace(plan.schedule, time_zone=organization_zone))
        if not self.share_in_flight:
            return plan
        most = max(devices * self.share_in_flight // 100, 1)
        phases = (
            replace(phase, maximum_in_flight=most) if index in self.shared else phase
            for index, phase in enumerate(plan.phases)
        )
        return replace(plan, phases=tuple(phases))

    def place_of(self, field_name: str) -> Place:
        """Where a field of the engine, such as "phases.0.gate.alpha", comes from in the text."""
        name = field_name
        while name and name not in self.places:
            name = name.rpartition(".")[0]
        return self.places.get(name, Place(path="spec"))
