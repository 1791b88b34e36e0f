"""Promoting releases to channels, and closing channels."""

from uuid import UUID

from django.db import connection

from apps.audit.services.entries import record
from apps.core import clock
from apps.core.actors import Actor
from apps.core.authz import require
from apps.core.errors import NotFound, invalid
from apps.events.services.outbox import publish
from apps.updates.domain.channels import is_channel
from apps.updates.errors import ChannelMoved, checked_reason
from apps.updates.models import Release, ReleasePromotion
from apps.updates.permissions import PROMOTE_RELEASE
from apps.updates.selectors.channels import open_promotions
from apps.updates.services.recalls import refuse_recalled
from apps.updates.types import ReleaseChannelClosed, ReleasePromoted


def promote_release(
    actor: Actor, release_id: UUID, *, channel: str, reason: str = ""
) -> ReleasePromotion:
    """Makes a channel of the release's name point at this release from now on.

    Rollouts that were planned before keep the release that they have. What the channel pointed at
    stays in its history. A channel never points at something that may change, so the release is
    locked. Promoting it again changes nothing. Raises `InvalidRequest` for a name that no channel
    has, `RecalledRelease`.
    """
    rows = Release.objects.for_org(actor.organization_id).select_for_update(no_key=True)
    release: Release | None = rows.filter(id=release_id).first()
    if release is None:
        raise NotFound("There is no such release.")
    require(actor, PROMOTE_RELEASE)
    _check_channel(channel)
    why = checked_reason(reason) if reason.strip() else ""
    _lock(actor, release.name, channel)
    before = open_promotions(actor, release.name).filter(channel=channel).first()
    if before is not None and before.release_id == release.id:
        return before
    refuse_recalled(actor, release.id)
    promotion = _replace(actor, release, channel, why, before)
    versions = [before.release.version if before else None, release.version]
    changes = {"channel": channel, "version": versions, **({"reason": why} if why else {})}
    record(actor, PROMOTE_RELEASE.name, release, changes=changes)
    publish(actor, ReleasePromoted(release_id=release.id, channel=channel))
    return promotion


def close_release_channel(actor: Actor, promotion_id: UUID, *, reason: str) -> ReleasePromotion:
    """Takes a channel away: it points at nothing until a release is promoted to it again.

    Closing one that is closed, or that points at another release by now, changes nothing. Raises
    `InvalidRequest` without a reason.
    """
    rows = ReleasePromotion.objects.for_org(actor.organization_id).select_related("release")
    found: ReleasePromotion | None = rows.filter(id=promotion_id).first()
    if found is None:
        raise NotFound("There is no such channel.")
    require(actor, PROMOTE_RELEASE)
    why = checked_reason(reason)
    _lock(actor, found.release_name, found.channel)
    found.refresh_from_db(fields=["ended_at"])
    if found.ended_at is not None:
        return found
    found.ended_at = clock.now()
    found.save(update_fields=["ended_at"])
    changes = {"closed": found.channel, "reason": why}
    record(actor, PROMOTE_RELEASE.name, found.release, changes=changes)
    publish(actor, ReleaseChannelClosed(release_id=found.release_id, channel=found.channel))
    return found


def require_channel(actor: Actor, release: Release, channel: str) -> None:
    """Raises `ChannelMoved` unless the channel points at this release.

    For the services that plan rollouts, which have asked for their own right.
    """
    current = open_promotions(actor, release.name).filter(channel=channel).first()
    if current is None or current.release_id != release.id:
        told = {"channel": channel, "version": current.release.version if current else None}
        raise ChannelMoved(data=told)


def _replace(
    actor: Actor, release: Release, channel: str, reason: str, before: ReleasePromotion | None
) -> ReleasePromotion:
    now = clock.now()
    if before is not None:
        before.ended_at = now
        before.save(update_fields=["ended_at"])
    if release.locked_at is None:
        release.locked_at = now
        release.save(update_fields=["locked_at"])
    promotion = ReleasePromotion(
        organization_id=actor.organization_id,
        release=release,
        release_name=release.name,
        channel=channel,
        reason=reason,
        promoted_at=now,
        promoted_by=actor.label,
    )
    promotion.save(force_insert=True)
    return promotion


def _check_channel(channel: str) -> None:
    if not is_channel(channel):
        message = "A channel has 1 to 32 of a-z, 0-9 and single dashes, the first one a letter."
        raise invalid("channel", "invalid_channel", message)


def _lock(actor: Actor, name: str, channel: str) -> None:
    """Until the transaction ends, nobody else moves this channel."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))",
            [f"channel:{actor.organization_id}:{name}@{channel}"],
        )
