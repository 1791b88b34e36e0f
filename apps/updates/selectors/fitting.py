"""Which releases fit onto which devices, and which way leads a device to one."""

from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from operator import and_
from uuid import UUID

from django.db.models import Prefetch, Q

from apps.core.actors import Actor
from apps.core.authz import require
from apps.core.filters import Filter, parse
from apps.core.filters.lexer import quoted
from apps.core.filters.versions import version_key
from apps.devices.filters import DEVICE_FIELDS, DeviceContext
from apps.devices.models import Device
from apps.devices.selectors import get_device
from apps.updates.domain.compatibility import (
    Obstacle,
    ReleaseFacts,
    Unreachable,
    VersionRule,
    obstacles,
    parse_rule,
    plan_path,
)
from apps.updates.models import Component, Release
from apps.updates.permissions import VIEW_RELEASES
from apps.updates.selectors.releases import reread_release


def facts_of(release: Release) -> ReleaseFacts:
    """As much of a release as says onto what it fits; its components should be prefetched."""
    return ReleaseFacts(
        id=str(release.id),
        name=release.name,
        version=release.version,
        components=tuple(component.name for component in release.components.all()),
        requires=tuple(parse_rule(r["component"], r["versions"]) for r in release.requires),
        conflicts=tuple(parse_rule(r["component"], r["versions"]) for r in release.conflicts),
        is_stepping_stone=release.is_stepping_stone,
    )


def line_of(organization_id: UUID, name: str) -> list[ReleaseFacts]:
    """All releases of one name that were not recalled: what has to be passed through is there.

    A recalled release is no stepping stone any more.
    """
    return _facts(organization_id, name=name)


@dataclass(frozen=True, slots=True)
class Fit:
    """Onto which devices a release can be installed now: one rule, as a query and for one device.

    A test compares the two.
    """

    release: ReleaseFacts
    line: tuple[ReleaseFacts, ...]
    compatible: Filter | None

    def q(self, now: datetime) -> Q:
        """The devices that it fits onto."""
        return reduce(and_, self.conditions(now).values())

    def conditions(self, now: datetime) -> dict[str, Q]:
        """What has to hold for a device, by the code of the reason where it does not.

        The codes are those of `domain.eligibility`, where `OBSTACLES` says which obstacle is which.
        """
        context = DeviceContext(now)
        requires = [_rule(rule).to_q(context) for rule in self.release.requires]
        conflicts = [~_rule(rule).to_q(context) for rule in self.release.conflicts]
        stones = []
        for component, version in self._stones().items():
            below = f"version({quoted(component)}) < {quoted(version)}"
            stones.append(~parse(below, DEVICE_FIELDS).to_q(context))
        return {
            "not_compatible": self.compatible.to_q(context) if self.compatible else Q(),
            "requires": reduce(and_, requires, Q()),
            "conflicts": reduce(and_, conflicts, Q()),
            "stepping_stone": reduce(and_, stones, Q()),
        }

    def obstacles(self, device: Device, now: datetime) -> tuple[Obstacle, ...]:
        """What keeps a device, read with its state, from installing it; none means that it fits.

        Beside those of `domain.compatibility` the code not_compatible: `wanted` is the comparison
        that the device fails, `found` its own value.
        """
        found = obstacles(device.installed, self.release, self.line, version_key)
        return (*self._incompatible(device, now), *found)

    def _incompatible(self, device: Device, now: datetime) -> tuple[Obstacle, ...]:
        context = DeviceContext(now)
        if self.compatible is None or self.compatible.matches(device, context):
            return ()
        failed = [f for f in self.compatible.findings(device, context) if not f.holds]
        if not failed:  # a comparison that must not hold does
            return (Obstacle("not_compatible", "", str(self.compatible), ""),)
        values = ((finding.text, finding.actual) for finding in failed)
        return tuple(
            Obstacle("not_compatible", "", text, "" if value is None else str(value)[:200])
            for text, value in values
        )

    def _stones(self) -> dict[str, str]:
        """The newest stepping stone before the release, by component: older ones are behind it."""
        goal = version_key(self.release.version)
        stones = [r for r in self.line if r.is_stepping_stone and version_key(r.version) < goal]
        stones.sort(key=lambda stone: version_key(stone.version))
        return {name: stone.version for stone in stones for name in stone.components}


def fit_of(release: Release) -> Fit:
    """What decides onto which devices a release fits; its components should be prefetched."""
    facts = facts_of(release)
    line = line_of(release.organization_id, release.name)
    compatible = parse(release.compatible, DEVICE_FIELDS) if release.compatible else None
    return Fit(facts, tuple(line), compatible)


def _rule(rule: VersionRule) -> Filter:
    """A rule about installed versions as a filter."""
    component = f"version({quoted(rule.component)})"
    comparisons = [f"{component} {c.operator} {quoted(c.version)}" for c in rule.comparisons]
    return parse(" AND ".join(comparisons) or f"{component}:*", DEVICE_FIELDS)


def plan_release_path(
    actor: Actor, release_id: UUID, device_id: UUID
) -> tuple[ReleaseFacts, ...] | Unreachable:
    """The releases to install, in their order, to bring a device to this one; empty: it is there.

    Recalled releases are never on the way, nor those without their files. Raises `NotFound` for a
    release or device out of sight.
    """
    require(actor, VIEW_RELEASES)
    goal = reread_release(actor, release_id)
    device = get_device(actor, device_id)
    if goal.is_recalled:
        return Unreachable("release_recalled", f"{goal} was recalled: {goal.recall_reason}")
    if goal.files_removed_at is not None:
        return Unreachable("release_files_removed", f"The files of {goal} were removed.")
    releases = _facts(actor.organization_id)
    return plan_path(device.installed, releases, facts_of(goal), version_key)


def _facts(organization_id: UUID, **narrowed: str) -> list[ReleaseFacts]:
    parts = Component.objects.for_org(organization_id).order_by("position")
    usable = Release.objects.for_org(organization_id).filter(
        recalled_at=None, files_removed_at=None
    )
    rows = usable.filter(**narrowed)
    return [facts_of(r) for r in rows.prefetch_related(Prefetch("components", queryset=parts))]
