"""The live state of devices, written in batches: thousands of devices speak at once.

Each write is one statement over arrays, whatever the number of devices. The statement remembers
what connectivity was before, so that it can tell transitions exactly, even where two gateways or
the sweep write the same row. Totals and events follow from transitions, in the same transaction.

Rows are locked in the order device, state, totals, as everywhere.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any, cast
from uuid import UUID

from django.core.cache import cache
from django.db import connection
from psycopg import Cursor

from apps.core import clock
from apps.core.actors import Actor, Source, system_actor
from apps.core.authz import require
from apps.core.transactions import after_commit
from apps.devices.domain import connectivity as rules
from apps.devices.domain.facts import clean_text
from apps.devices.domain.states import CONNECTED, Connectivity
from apps.devices.models import Device, DeviceState
from apps.devices.permissions import REPORT_STATE
from apps.devices.selectors import sweep_stamp
from apps.devices.services.counts import count_moves
from apps.devices.services.devices import require_own
from apps.devices.services.presence import (
    begin_presence,
    end_presence,
    find_lapsed,
    renew_presence,
)
from apps.devices.types import (
    Beat,
    Closing,
    DeviceEvent,
    DeviceOffline,
    DeviceOnline,
    Opening,
    Transition,
)
from apps.events.services.outbox import publish

SWEEP_BATCH = 2000
SWEEP_STAMP_SECONDS = 15
MAX_REASON_LENGTH = 200
CLOSING_COLUMNS = (
    *("previous_connectivity", "connectivity", "session_id"),
    *("disconnected_at", "disconnect_reason", "offline_at"),
)
BEAT_COLUMNS = tuple(f.name for f in fields(Beat))

# %b: arrays travel in binary, which is what makes a flush of 10,000 rows quick.
_VERSIONS = """
UPDATE devices_device d SET agent_version = i.agent_version
FROM unnest(%(device_id)b::uuid[], %(agent_version)b::text[]) AS i (device_id, agent_version)
WHERE d.organization_id = %(organization_id)b AND d.id = i.device_id
  AND i.agent_version <> '' AND d.agent_version <> i.agent_version
"""
_OPEN = """
UPDATE devices_device_state s SET
  previous_connectivity = s.connectivity,
  connectivity = CASE WHEN i.connectivity = 'online' AND s.disk_ratio >= %(full_disk)b
    THEN 'degraded' ELSE i.connectivity END,
  session_id = i.session_id, connected_at = %(now)b, last_seen_at = %(now)b,
  disconnected_at = NULL, disconnect_reason = '',
  offline_at = %(now)b + i.grace_seconds * interval '1 second',
  heartbeat_seconds = i.heartbeat_seconds, ip_address = i.ip_address, boot_id = i.boot_id,
  clock_skew_seconds = i.clock_skew_seconds
FROM unnest(
  %(device_id)b::uuid[], %(session_id)b::uuid[], %(connectivity)b::text[],
  %(grace_seconds)b::float8[], %(heartbeat_seconds)b::int[], %(ip_address)b::text[],
  %(boot_id)b::text[], %(clock_skew_seconds)b::float8[]
) AS i (device_id, session_id, connectivity, grace_seconds, heartbeat_seconds, ip_address,
  boot_id, clock_skew_seconds)
WHERE s.organization_id = %(organization_id)b AND s.device_id = i.device_id
  AND (s.session_id IS NULL OR s.session_id < i.session_id)
RETURNING s.device_id, s.previous_connectivity, s.connectivity
"""
_BEATS = """
UPDATE devices_device_state s SET
  previous_connectivity = s.connectivity, connectivity = i.connectivity,
  connected_at = CASE s.connectivity WHEN 'offline' THEN %(now)b ELSE s.connected_at END,
  disconnected_at = CASE s.connectivity WHEN 'offline' THEN NULL ELSE s.disconnected_at END,
  disconnect_reason = CASE s.connectivity WHEN 'offline' THEN '' ELSE s.disconnect_reason END,
  last_seen_at = %(now)b,
  offline_at = %(now)b
    + greatest(%(missed)b * s.heartbeat_seconds, %(min_grace)b) * interval '1 second',
  cpu_ratio = i.cpu_ratio, memory_ratio = i.memory_ratio, disk_ratio = i.disk_ratio,
  temperature_celsius = i.temperature_celsius, uptime_seconds = i.uptime_seconds,
  clock_skew_seconds = i.clock_skew_seconds
FROM unnest(
  %(device_id)b::uuid[], %(session_id)b::uuid[], %(connectivity)b::text[],
  %(cpu_ratio)b::float8[], %(memory_ratio)b::float8[], %(disk_ratio)b::float8[],
  %(temperature_celsius)b::float8[], %(uptime_seconds)b::bigint[],
  %(clock_skew_seconds)b::float8[]
) AS i (device_id, session_id, connectivity, cpu_ratio, memory_ratio, disk_ratio,
  temperature_celsius, uptime_seconds, clock_skew_seconds)
WHERE s.organization_id = %(organization_id)b AND s.device_id = i.device_id
  AND s.session_id = i.session_id
RETURNING s.device_id, s.previous_connectivity, s.connectivity
"""
_SILENT = """
UPDATE devices_device_state s SET
  previous_connectivity = s.connectivity, connectivity = 'offline', disconnect_reason = i.reason
FROM unnest(%(device_id)b::uuid[], %(reason)b::text[]) AS i (device_id, reason)
WHERE s.organization_id = %(organization_id)b AND s.device_id = i.device_id
RETURNING s.device_id, s.previous_connectivity, s.connectivity
"""


def open_session(actor: Actor, opening: Opening) -> bool:
    """A device said Hello on a new stream. False where a newer stream has it already.

    Repeating it answers False. Raises `PermissionDenied` where a device speaks for another.
    """
    require_own(actor, opening.device_id)
    return opening.session_id in open_sessions(actor.organization_id, [opening])


def open_sessions(organization_id: UUID, openings: Sequence[Opening]) -> set[UUID]:
    """Opens streams of many devices; returns the ids of those that are their devices' newest.

    For gateways, which have settled by certificate who each device is. Call it in `tenant()`.
    """
    newest = {o.device_id: o for o in sorted(openings, key=lambda o: (o.device_id, o.session_id))}
    if not newest:
        return set()
    columns = _columns([_opening_row(o) for o in newest.values()]) | {
        "organization_id": organization_id,
        "now": clock.now(),
        "full_disk": rules.FULL_DISK_RATIO,
    }
    _run(_VERSIONS, columns)
    lapsed = find_lapsed(organization_id, list(newest))
    written = _run(_OPEN, columns)
    _announce(organization_id, written, {})
    # Also where nothing moved: a stream that nobody saw end has lapsed.
    devices = [row.device_id for row in written]
    renew_presence(organization_id, devices, {d: lapsed[d] for d in devices if d in lapsed})
    return {newest[row.device_id].session_id for row in written}


def flush_beats(organization_id: UUID, beats: Sequence[Beat]) -> list[Transition]:
    """Stores the newest heartbeat of each of many devices; returns whose connectivity changed.

    One statement. Beats of a stream that is not the device's newest change nothing. Repeating it
    moves deadlines only. Call it in `tenant()`.
    """
    if not beats:
        return []
    columns: dict[str, Any] = {name: [getattr(b, name) for b in beats] for name in BEAT_COLUMNS}
    columns |= {
        "connectivity": [
            rules.connected_as(b.clock_skew_seconds, b.disk_ratio).value for b in beats
        ],
        "organization_id": organization_id,
        "now": clock.now(),
        "missed": rules.MISSED_ALLOWED,
        "min_grace": rules.MIN_GRACE_SECONDS,
    }
    return _announce(organization_id, _run(_BEATS, columns), {})


def close_session(
    actor: Actor, device_id: UUID, session_id: UUID, *, reason: str, is_graceful: bool
) -> bool:
    """A stream ended. False where it was not the device's newest any more.

    After a goodbye the device is offline at once. Where the connection was lost it stays as it is
    until its deadline, since it may come back in a moment; the reason is kept for then.
    """
    require_own(actor, device_id)
    closing = Closing(device_id, session_id, reason, is_graceful)
    return bool(close_sessions(actor.organization_id, [closing]))


def close_sessions(organization_id: UUID, closings: Sequence[Closing]) -> set[UUID]:
    """Ends the streams of many devices, as `close_session`; returns whose newest they were.

    For gateways, which have settled by certificate who each device is. Call it in `tenant()`.
    """
    at = clock.now()
    ending = {(c.device_id, c.session_id): c for c in closings}
    rows = DeviceState.objects.for_org(organization_id)
    rows = rows.filter(device_id__in={c.device_id for c in closings}).order_by("device_id")
    states = [
        s for s in rows.select_for_update(no_key=True) if (s.device_id, s.session_id) in ending
    ]
    goodbyes = {}
    for state in states:
        closing = ending[state.device_id, state.session_id]
        state.disconnected_at = at
        state.disconnect_reason = _closing_reason(closing)
        if closing.is_graceful:
            goodbyes[state.device_id] = state.disconnect_reason
            _say_goodbye(state)
    DeviceState.objects.for_org(organization_id).bulk_update(states, CLOSING_COLUMNS)
    moved = [
        Transition(s.device_id, s.previous_connectivity, s.connectivity)
        for s in states
        if s.device_id in goodbyes
    ]
    _announce(organization_id, moved, goodbyes)
    return {state.device_id for state in states}


def sweep_offline(actor: Actor) -> int:
    """Marks devices offline whose deadline has passed; returns how many, at most 2000 at a time.

    Connectivity is read with the deadline anyway: the sweep keeps the totals and tells others.
    """
    require(actor, REPORT_STATE)
    now = clock.now()
    late = (
        DeviceState.objects.for_org(actor.organization_id)
        .filter(connectivity__in=CONNECTED, offline_at__lte=now)
        .select_for_update(skip_locked=True, no_key=True)
    )
    states = list(late.order_by("device_id")[:SWEEP_BATCH])
    if len(states) < SWEEP_BATCH:
        stamp = sweep_stamp(actor.organization_id)
        after_commit(lambda: cache.set(stamp, 1, timeout=SWEEP_STAMP_SECONDS))
    if states:
        _mark_silent(actor.organization_id, states, now)
    return len(states)


def _closing_reason(closing: Closing) -> str:
    reason = clean_text(closing.reason, MAX_REASON_LENGTH - len("said goodbye: "))
    if not closing.is_graceful:
        return reason
    return f"said goodbye: {reason}" if reason else "said goodbye"


def _say_goodbye(state: DeviceState) -> None:
    """Ends the session: nothing that still comes on it counts."""
    state.previous_connectivity = state.connectivity
    state.connectivity = Connectivity.OFFLINE.value
    state.offline_at, state.session_id = state.disconnected_at, None


def _mark_silent(organization_id: UUID, states: Sequence[DeviceState], now: datetime) -> None:
    reasons = {s.device_id: rules.silence(s, now)[:MAX_REASON_LENGTH] for s in states}
    rows = [
        {
            "device_id": s.device_id,
            # The reason that a gateway gave stays; without one, this is the reason.
            "reason": s.disconnect_reason or reasons[s.device_id],
        }
        for s in states
    ]
    columns = _columns(rows) | {"organization_id": organization_id}
    _announce(organization_id, _run(_SILENT, columns), reasons)


def _announce(
    organization_id: UUID, written: Sequence[Transition], reasons: Mapping[UUID, str]
) -> list[Transition]:
    """Totals and events for the rows whose connectivity changed.

    Lifecycles are read after the states are locked, by a statement of its own: a device's life
    changes only under the same lock, so what is read here holds until commit.
    """
    moved = [row for row in written if row.before != row.after]
    if not moved:
        return []
    devices = Device.objects.for_org(organization_id).filter(id__in=[m.device_id for m in moved])
    lives = dict(devices.values_list("id", "lifecycle"))
    actor = system_actor(organization_id, source=Source.AGENT)
    count_moves(
        actor,
        [((lives[m.device_id], m.before), (lives[m.device_id], m.after)) for m in moved],
    )
    publish(actor, *[_event(m, reasons.get(m.device_id, "")) for m in moved])
    _note_presence(organization_id, moved)
    return moved


def _note_presence(organization_id: UUID, moved: Sequence[Transition]) -> None:
    """Who came and who went; from well to degraded and back a device stays."""
    gone = [m.device_id for m in moved if m.after not in CONNECTED]
    came = [m.device_id for m in moved if m.after in CONNECTED and m.before not in CONNECTED]
    end_presence(organization_id, gone)
    begin_presence(organization_id, came)


def _event(moved: Transition, reason: str) -> DeviceEvent:
    if moved.after == Connectivity.OFFLINE:
        return DeviceOffline(device_id=moved.device_id, reason=reason)
    return DeviceOnline(device_id=moved.device_id, connectivity=moved.after)


def _opening_row(opening: Opening) -> dict[str, Any]:
    return {
        "device_id": opening.device_id,
        "session_id": opening.session_id,
        "connectivity": rules.connected_as(opening.clock_skew_seconds, 0).value,
        "grace_seconds": rules.grace(opening.heartbeat_seconds).total_seconds(),
        "heartbeat_seconds": opening.heartbeat_seconds,
        "ip_address": clean_text(opening.ip_address, 45),
        "boot_id": clean_text(opening.boot_id, 64),
        "agent_version": clean_text(opening.agent_version, 64),
        "clock_skew_seconds": opening.clock_skew_seconds,
    }


def _columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Rows as arrays, one per column."""
    return {name: [row[name] for row in rows] for name in rows[0]}


def _run(statement: str, parameters: Mapping[str, Any]) -> list[Transition]:
    """Runs a statement on Django's connection, in its transaction, with binary arrays."""
    connection.ensure_connection()
    # Django's own cursor would write the arrays into the statement as text.
    with Cursor(cast(Any, connection.connection)) as cursor:
        cursor.execute(statement, parameters, binary=True)
        return [Transition(*row) for row in cursor.fetchall()] if cursor.description else []
