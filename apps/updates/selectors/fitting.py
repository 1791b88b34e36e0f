"""Which releases fit onto which devices, and which way leads a device to one."""

from collections.abc import Sequence
from uuid import UUID

from django.db.models import Prefetch

from apps.core.actors import Actor
from apps.core.authz import require
from apps.core.filters.versions import version_key
from apps.devices.models import Device
from apps.devices.selectors import get_device
from apps.updates.domain.compatibility import (
    Obstacle,
    ReleaseFacts,
    Unreachable,
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


def obstacles_for(
    device: Device, release: ReleaseFacts, line: Sequence[ReleaseFacts]
) -> tuple[Obstacle, ...]:
    """What keeps a device from installing a release now; none means that it fits."""
    return obstacles(device.installed, release, line, version_key)


def plan_release_path(
    actor: Actor, release_id: UUID, device_id: UUID
) -> tuple[ReleaseFacts, ...] | Unreachable:
    """The releases to install, in their order, to bring a device to this one; empty: it is there.

    Recalled releases are never on the way. Raises `NotFound` for a release or device out of sight.
    """
    require(actor, VIEW_RELEASES)
    goal = reread_release(actor, release_id)
    device = get_device(actor, device_id)
    if goal.is_recalled:
        return Unreachable("release_recalled", f"{goal} was recalled: {goal.recall_reason}")
    releases = _facts(actor.organization_id)
    return plan_path(device.installed, releases, facts_of(goal), version_key)


def _facts(organization_id: UUID, **narrowed: str) -> list[ReleaseFacts]:
    parts = Component.objects.for_org(organization_id).order_by("position")
    rows = Release.objects.for_org(organization_id).filter(recalled_at=None, **narrowed)
    return [facts_of(r) for r in rows.prefetch_related(Prefetch("components", queryset=parts))]
