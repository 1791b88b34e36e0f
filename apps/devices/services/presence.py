"""When devices could be reached, as forecasts want to know it: a row for each stretch of time.

Everything here is one statement for many devices, in the transaction of the write that changed
their connectivity and after it, under the same row's lock.
"""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection

from apps.core import clock
from apps.core.actors import Actor
from apps.core.authz import require
from apps.core.ids import uuid7
from apps.devices.permissions import REPORT_STATE

KEPT = timedelta(days=30)
# A device that comes and goes all the time leaves no more rows than this.
MAXIMUM_PER_DEVICE = 1000
REMOVED_AT_ONCE = 20_000

_BEGIN = """
    INSERT INTO devices_device_presence (id, organization_id, device_id, online_at)
    SELECT i.id, %(organization_id)s, i.device_id, %(now)s
    FROM unnest(%(ids)s::uuid[], %(devices)s::uuid[]) AS i (id, device_id)
    WHERE NOT EXISTS (SELECT 1 FROM devices_device_presence AS present
        WHERE present.organization_id = %(organization_id)s
          AND present.device_id = i.device_id AND present.offline_at IS NULL)
    ON CONFLICT DO NOTHING
"""
# The end is when the stream was seen to end, or else when the device last spoke.
_END = """
    UPDATE devices_device_presence AS presence
    SET offline_at = greatest(presence.online_at,
        coalesce(state.disconnected_at, state.last_seen_at, presence.online_at))
    FROM devices_device_state AS state
    WHERE presence.organization_id = %(organization_id)s AND presence.offline_at IS NULL
      AND presence.device_id = ANY(%(devices)s)
      AND state.organization_id = presence.organization_id
      AND state.device_id = presence.device_id
"""
_LAPSED = """
    SELECT device_id, coalesce(disconnected_at, last_seen_at) FROM devices_device_state
    WHERE organization_id = %(organization_id)s AND device_id = ANY(%(devices)s)
      AND connectivity IN ('online', 'degraded') AND offline_at <= %(now)s
"""
_END_AT = """
    UPDATE devices_device_presence AS presence SET offline_at = greatest(online_at, i.at)
    FROM unnest(%(devices)s::uuid[], %(ends)s::timestamptz[]) AS i (device_id, at)
    WHERE presence.organization_id = %(organization_id)s AND presence.offline_at IS NULL
      AND presence.device_id = i.device_id
"""
_OLD = """
    DELETE FROM devices_device_presence WHERE id IN (
        SELECT id FROM devices_device_presence
        WHERE organization_id = %(organization_id)s AND offline_at < %(before)s
        ORDER BY offline_at LIMIT %(limit)s)
"""
_TOO_MANY = """
    DELETE FROM devices_device_presence WHERE id IN (
        SELECT surplus.id FROM (
            SELECT device_id FROM devices_device_presence
            WHERE organization_id = %(organization_id)s
            GROUP BY device_id HAVING count(*) > %(most)s) AS restless
        CROSS JOIN LATERAL (
            SELECT id FROM devices_device_presence
            WHERE organization_id = %(organization_id)s AND device_id = restless.device_id
            ORDER BY online_at DESC OFFSET %(most)s) AS surplus
        LIMIT %(limit)s)
"""


def begin_presence(organization_id: UUID, device_ids: Collection[UUID]) -> None:
    """Notes that these devices can be reached from now on; nothing where that is noted already."""
    _write(organization_id, _BEGIN, device_ids)


def end_presence(organization_id: UUID, device_ids: Collection[UUID]) -> None:
    """Notes that these devices cannot be reached any more, since when their states say."""
    _write(organization_id, _END, device_ids)


def find_lapsed(organization_id: UUID, device_ids: Collection[UUID]) -> dict[UUID, datetime]:
    """Those of these devices whose deadline has passed unnoticed, and when they last spoke.

    Ask before they open a stream. A gateway that was killed has noted no end, and while nothing
    ran no sweep did. Without a lock: states are locked in one order by the write that follows.
    """
    scope: dict[str, Any] = {
        "organization_id": organization_id,
        "devices": [*device_ids],
        "now": clock.now(),
    }
    with connection.cursor() as cursor:
        cursor.execute(_LAPSED, scope)
        return dict(cursor.fetchall())


def renew_presence(
    organization_id: UUID, device_ids: Collection[UUID], lapsed: Mapping[UUID, datetime]
) -> None:
    """As `begin_presence`, after the end of what had lapsed was noted."""
    if lapsed:
        ends: dict[str, Any] = {"devices": [*lapsed], "ends": [*lapsed.values()]}
        with connection.cursor() as cursor:
            cursor.execute(_END_AT, {"organization_id": organization_id, **ends})
    begin_presence(organization_id, device_ids)


def remove_old_presence(actor: Actor) -> int:
    """Forgets what is older than 30 days, and more than 1000 rows of one device.

    Returns how many rows went, a limited number at a time. Safe to repeat.
    """
    require(actor, REPORT_STATE)
    scope: dict[str, Any] = {
        "organization_id": actor.organization_id,
        "before": clock.now() - KEPT,
        "most": MAXIMUM_PER_DEVICE,
        "limit": REMOVED_AT_ONCE,
    }
    removed = 0
    with connection.cursor() as cursor:
        for statement in (_OLD, _TOO_MANY):
            cursor.execute(statement, scope)
            removed += cursor.rowcount
    return removed


def _write(organization_id: UUID, statement: str, device_ids: Collection[UUID]) -> None:
    devices = sorted(device_ids)
    if not devices:
        return
    ids = [uuid7() for _ in devices]
    scope: dict[str, Any] = {
        "organization_id": organization_id,
        "devices": devices,
        "ids": ids,
        "now": clock.now(),
    }
    with connection.cursor() as cursor:
        cursor.execute(statement, scope)
