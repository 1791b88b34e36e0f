"""Where releases and artifacts are in use."""

from collections import defaultdict
from collections.abc import Collection, Iterable
from uuid import UUID

from django.db.models import Count

from apps.core.actors import Actor
from apps.core.authz import require
from apps.devices.domain.states import Lifecycle
from apps.devices.models import Device
from apps.devices.permissions import VIEW_DEVICES
from apps.devices.selectors import count_installed_versions
from apps.devices.selectors.places import within
from apps.updates.models import Component, Release, Rollout
from apps.updates.permissions import VIEW_ARTIFACTS, VIEW_RELEASES, VIEW_ROLLOUTS
from apps.updates.selectors.rollouts import rollouts_within

COUNTED_VERSIONS = 1000
SHOWN_ROLLOUTS = 20


def count_devices_on(actor: Actor, release: Release) -> int | None:
    """How many devices in sight have all components of a release in its version.

    None for those who see no devices. The components should be prefetched.
    """
    require(actor, VIEW_RELEASES)
    if not actor.may_somewhere(VIEW_DEVICES.name):
        return None
    installed = {part.name: release.version for part in release.components.all()}
    rows = Device.objects.for_org(actor.organization_id).filter(installed__contains=installed)
    rows = rows.exclude(lifecycle=Lifecycle.DECOMMISSIONED)
    return int(within(actor, VIEW_DEVICES, rows).count())


def count_devices_by_release(actor: Actor, releases: Iterable[Release]) -> dict[UUID, int]:
    """The same for a page of releases, from one count that is up to 30 s old.

    Of a release with several components the rarest one counts. Versions beyond the 1,000 most
    common ones are left out; so is everything for those who see no devices.
    """
    require(actor, VIEW_RELEASES)
    releases = list(releases)
    if not releases or not actor.may_somewhere(VIEW_DEVICES.name):
        return {}
    counted = count_installed_versions(actor, limit=COUNTED_VERSIONS)
    found = {(each.name, each.version): each.count for each in counted}
    is_whole = len(counted) < COUNTED_VERSIONS
    counts = {}
    for release in releases:
        parts = [found.get((c.name, release.version)) for c in release.components.all()]
        if is_whole or None not in parts:
            counts[release.id] = min((part or 0 for part in parts), default=0)
    return counts


def count_rollouts_by_release(actor: Actor, releases: Iterable[Release]) -> dict[UUID, int]:
    """How many rollouts in sight use each of these; empty for those who see no rollouts."""
    ids = [release.id for release in releases]
    if not ids or not actor.may_somewhere(VIEW_ROLLOUTS.name):
        return {}
    rows = Rollout.objects.for_org(actor.organization_id).filter(release_id__in=ids)
    counted = rollouts_within(actor, VIEW_ROLLOUTS, rows).values_list("release_id")
    found = dict(counted.annotate(number=Count("id", distinct=True)).order_by())
    return {release_id: found.get(release_id, 0) for release_id in ids}


def list_rollouts_of(actor: Actor, release_id: UUID) -> list[Rollout]:
    """The newest rollouts of a release that the actor may see."""
    if not actor.may_somewhere(VIEW_ROLLOUTS.name):
        return []
    rows = Rollout.objects.for_org(actor.organization_id).filter(release_id=release_id)
    return list(rollouts_within(actor, VIEW_ROLLOUTS, rows).order_by("-id")[:SHOWN_ROLLOUTS])


def releases_by_artifact(actor: Actor, artifact_ids: Collection[UUID]) -> dict[UUID, list[Release]]:
    """The releases that are made of these artifacts, newest first."""
    require(actor, VIEW_ARTIFACTS)
    rows = Component.objects.for_org(actor.organization_id).filter(artifact_id__in=artifact_ids)
    found: dict[UUID, list[Release]] = defaultdict(list)
    for part in rows.select_related("release").order_by("-release_id"):
        if part.release not in found[part.artifact_id]:
            found[part.artifact_id].append(part.release)
    return dict(found)
