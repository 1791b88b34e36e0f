"""What keeps releases from being removed: whatever could still install them."""

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Count, Exists, OuterRef, Q

from apps.core import clock
from apps.core.actors import Actor
from apps.core.filters.versions import version_key
from apps.updates.domain.compatibility import parse_rule
from apps.updates.domain.states import FINAL_DEPLOYMENT_STATES, RolloutState
from apps.updates.models import (
    Artifact,
    Component,
    Deployment,
    Release,
    ReleasePromotion,
    Rollout,
)
from apps.updates.selectors.rollouts import seen_rollout_ids

# A halted rollout can go on without some devices, so it lets go only once it is cancelled.
OVER = (RolloutState.COMPLETED, RolloutState.ROLLED_BACK, RolloutState.CANCELLED)
MOST_FILES = 2000
# What was made or stored so lately may be about to be used.
GRACE = timedelta(days=1)

# Any component counts: a device with a part of a release may need the rest of it.
_INSTALLED = """
    SELECT release.id, count(DISTINCT device.id)
    FROM devices_device AS device
    CROSS JOIN LATERAL jsonb_each_text(device.installed) AS part(name, version)
    JOIN updates_component AS component ON component.organization_id = device.organization_id
        AND component.name = part.name
    JOIN updates_release AS release ON release.organization_id = device.organization_id
        AND release.id = component.release_id AND release.version = part.version
    WHERE device.organization_id = %(organization_id)s AND release.id = ANY(%(ids)s)
        AND device.lifecycle <> 'decommissioned'
    GROUP BY 1
"""
# What each device would go back to: of each name the two releases that it installed last.
_EARLIER = """
    SELECT release_id, count(DISTINCT device_id) FROM (
        SELECT device_id, release_id, row_number() OVER (
            PARTITION BY device_id, name ORDER BY installed_at DESC) AS place
        FROM (
            SELECT deployment.device_id, release.name, deployment.release_id,
                max(deployment.finished_at) AS installed_at
            FROM updates_deployment AS deployment
            JOIN updates_release AS release
                ON release.organization_id = deployment.organization_id
                AND release.id = deployment.release_id AND release.name = ANY(%(names)s)
                AND release.files_removed_at IS NULL
            JOIN devices_device AS device
                ON device.organization_id = deployment.organization_id
                AND device.id = deployment.device_id AND device.lifecycle <> 'decommissioned'
            WHERE deployment.organization_id = %(organization_id)s
                AND deployment.state = 'succeeded'
            GROUP BY 1, 2, 3
        ) AS installed
    ) AS ordered
    WHERE place <= 2 AND release_id = ANY(%(ids)s)
    GROUP BY 1
"""


@dataclass(slots=True)
class Holding:
    """Why a release stays."""

    channels: list[str] = field(default_factory=list)
    rollouts: list[str] = field(default_factory=list)
    deployments: int = 0
    installed_on: int = 0
    way_back_of: int = 0
    needed_by: list[str] = field(default_factory=list)
    is_stepping_stone: bool = False

    @property
    def lines(self) -> list[str]:
        """The reasons in words, none where nothing keeps it."""
        found = [f"channel {name}" for name in self.channels]
        found += [f"rollout {name} is not over" for name in self.rollouts]
        found += [f"{n} of its deployments {be} not over" for n, be in _counted(self.deployments)]
        found += [f"installed on {n} device{s}" for n, s in _plural(self.installed_on)]
        found += [f"{n} device{s} would go back to it" for n, s in _plural(self.way_back_of)]
        found += [f"{name} requires it" for name in self.needed_by]
        if self.is_stepping_stone:
            found.append("a stepping stone for devices with older versions")
        return found


def find_holding(actor: Actor, releases: Collection[Release]) -> dict[UUID, Holding]:
    """What keeps each of these releases, in a handful of queries for all; components prefetched.

    For services that have asked for their right, and for pages that show a release. It counts all
    devices, in sight or not: what somebody cannot see keeps a release all the same.
    """
    found: dict[UUID, Holding] = {release.id: Holding() for release in releases}
    if not found:
        return found
    _note_channels(actor, found)
    _note_rollouts(actor, found)
    given = {
        "organization_id": actor.organization_id,
        "ids": list(found),
        "names": sorted({release.name for release in releases}),
    }
    for release_id, number in _counts(_INSTALLED, given):
        found[release_id].installed_on = number
    for release_id, number in _counts(_EARLIER, given):
        found[release_id].way_back_of = number
    needed = _needed(actor, releases)
    for release in releases:
        found[release.id].is_stepping_stone = release.is_stepping_stone and not release.is_recalled
        found[release.id].needed_by = needed.get(release.id, [])
    return found


def _note_channels(actor: Actor, found: dict[UUID, Holding]) -> None:
    rows = ReleasePromotion.objects.for_org(actor.organization_id)
    pointing = rows.filter(release_id__in=found, ended_at=None).order_by("channel")
    for release_id, channel in pointing.values_list("release_id", "channel"):
        found[release_id].channels.append(channel)


def _note_rollouts(actor: Actor, found: dict[UUID, Holding]) -> None:
    rows = Rollout.objects.for_org(actor.organization_id).filter(release_id__in=found)
    going = list(
        rows.exclude(state__in=OVER).order_by("-id").values_list("id", "release_id", "name")
    )
    seen = seen_rollout_ids(actor, {rollout_id for rollout_id, _, _ in going})
    for rollout_id, release_id, name in going:
        # It keeps the release, and its name is not for everybody.
        shown = name if rollout_id in seen else "out of your sight"
        found[release_id].rollouts.append(shown)
    deployments = Deployment.objects.for_org(actor.organization_id).filter(release_id__in=found)
    unfinished = deployments.exclude(state__in=[s.value for s in FINAL_DEPLOYMENT_STATES])
    counted = unfinished.values_list("release_id").annotate(number=Count("id"))
    for release_id, number in counted.order_by():
        found[release_id].deployments = number


def _counts(statement: str, given: dict[str, Any]) -> list[tuple[UUID, int]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, given)
        return [(release_id, int(number)) for release_id, number in cursor.fetchall()]


def _needed(actor: Actor, releases: Iterable[Release]) -> dict[UUID, list[str]]:
    """Releases that ask for a version of one of these, for those that nothing newer can replace."""
    rows = Release.objects.for_org(actor.organization_id)
    asking = rows.filter(files_removed_at=None, recalled_at=None).exclude(requires=[])
    rules = [
        (asker, parse_rule(rule["component"], rule["versions"]))
        for asker in asking.only("id", "name", "version", "requires", "organization_id")
        for rule in asker.requires
    ]
    found: dict[UUID, list[str]] = defaultdict(list)
    for release in releases if rules else ():
        installed = {part.name: release.version for part in release.components.all()}
        for asker, rule in rules:
            if asker.id != release.id and rule.holds(installed, version_key):
                found[release.id].append(str(asker))
    return found


def files_of(actor: Actor, release_ids: Collection[UUID] = ()) -> list[Artifact]:
    """The stored files that only these releases need, and those that were removed before.

    Of the latter only those that nobody stored again within a day: a new release may follow.
    """
    parts = Component.objects.for_org(actor.organization_id)
    rows = Release.objects.for_org(actor.organization_id)
    going = rows.filter(Q(id__in=release_ids) | Q(files_removed_at__isnull=False))
    staying = rows.filter(files_removed_at=None).exclude(id__in=release_ids)

    def named(releases: Any) -> Q:
        part = parts.filter(artifact_id=OuterRef("id"), release_id__in=releases.values("id"))
        return Q(Exists(part)) | Q(Exists(releases.filter(sbom_id=OuterRef("id"))))

    stored = Artifact.objects.for_org(actor.organization_id).filter(file_removed_at=None)
    again = Q(stored_again_at__gte=clock.now() - GRACE)
    found = stored.filter(named(going)).exclude(named(staying)).exclude(again)
    return list(found.order_by("id")[:MOST_FILES])


def _plural(number: int) -> list[tuple[int, str]]:
    return [(number, "" if number == 1 else "s")] if number else []


def _counted(number: int) -> list[tuple[int, str]]:
    return [(number, "is" if number == 1 else "are")] if number else []
