"""How devices behaved lately, as forecasts take it: two statements for each thousand devices.

When they were online is read from `DevicePresence`, how fast they are from deployments that ended.
Times in which a device was offline count neither as downloading nor as installing.
"""

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID

from django.db import connection
from psycopg import Cursor

from apps.core.actors import Actor
from apps.core.authz import require_somewhere
from apps.updates.domain.forecast import LEAST_WATCHED, DeviceHistory
from apps.updates.domain.states import DeploymentState
from apps.updates.permissions import VIEW_ROLLOUTS

KEPT = timedelta(days=30)
DEVICES_AT_ONCE = 1000
# Spans of all devices together, so that memory is bounded; and of one, however few there are.
MAXIMUM_SPANS = 1_000_000
SPANS_OF_ONE = 400
UPDATES_OF_ONE = 10
# Smaller files say nothing about how fast a device downloads: it is the way there that takes time.
TELLING_BYTES = 256 * 1024
SHORTEST_SECONDS = 0.1
# Devices get work as it comes up: gateways push it to whoever is connected.
CHECK_IN_GAPS = (0.5, 1.0, 2.0)
HOUR = 3600.0

# A span without an end lasts until now, unless the device's deadline has passed unnoticed.
_SPANS = """
SELECT device.id, extract(epoch FROM device.created_at)::float8,
  coalesce(device.inventory -> 'facts' ->> 'time_zone', ''), spans.begins, spans.ends
FROM unnest(%(devices)b::uuid[]) AS wanted (id)
JOIN devices_device AS device
  ON device.organization_id = %(organization_id)b AND device.id = wanted.id
LEFT JOIN devices_device_state AS state
  ON state.organization_id = device.organization_id AND state.device_id = device.id
CROSS JOIN LATERAL (
  SELECT array_agg(extract(epoch FROM online_at)::float8 ORDER BY online_at) AS begins,
    array_agg(extract(epoch FROM coalesce(offline_at, CASE WHEN state.offline_at > %(now)b
      THEN %(now)b ELSE coalesce(state.last_seen_at, online_at) END))::float8
      ORDER BY online_at) AS ends
  FROM (
    SELECT online_at, offline_at FROM devices_device_presence AS presence
    WHERE presence.organization_id = device.organization_id
      AND presence.device_id = device.id
      AND (presence.offline_at IS NULL OR presence.offline_at > %(since)b)
    ORDER BY online_at DESC LIMIT %(spans)b) AS newest) AS spans
"""
# Whoever came too late for a deadline was offline: that is told by the spans, not as a failure.
_UPDATES = """
SELECT wanted.id, past.state, past.release_id, extract(epoch FROM past.started_at)::float8,
  extract(epoch FROM past.downloaded_at)::float8, extract(epoch FROM past.finished_at)::float8
FROM unnest(%(devices)b::uuid[]) AS wanted (id)
CROSS JOIN LATERAL (
  SELECT state, release_id, started_at, downloaded_at, finished_at FROM updates_deployment
  WHERE organization_id = %(organization_id)b AND device_id = wanted.id
    AND state = ANY(%(states)b::text[]) AND finished_at IS NOT NULL AND reason_code <> %(kept)b
  ORDER BY id DESC LIMIT %(updates)b) AS past
"""
_SIZES = """
SELECT component.release_id, sum(artifact.size_bytes)::bigint
FROM updates_component AS component
JOIN updates_artifact AS artifact ON artifact.organization_id = component.organization_id
  AND artifact.id = component.artifact_id
WHERE component.organization_id = %(organization_id)b
  AND component.release_id = ANY(%(releases)b::uuid[])
GROUP BY component.release_id
"""
FAILED = (DeploymentState.FAILED.value, DeploymentState.ROLLED_BACK.value)
ENDED = (DeploymentState.SUCCEEDED.value, *FAILED)
DOWNLOADED_ONLY = "downloaded_only"


@dataclass(frozen=True, slots=True)
class Histories:
    """The devices, in the order asked for; how many of them were watched for a quarter of an hour
    or more, and how many days the longest past goes back."""

    devices: list[DeviceHistory]
    known: int
    days: float


@dataclass(slots=True)
class _Past:
    """What is read of one device."""

    created: float = 0.0
    time_zone: str = ""
    begins: Sequence[float] = ()
    ends: Sequence[float] = ()
    is_cut: bool = False
    updates: list[tuple[str, UUID, float | None, float | None, float]] = field(default_factory=list)


def list_histories(actor: Actor, device_ids: Sequence[UUID], now: datetime) -> Histories:
    """What is known of these devices from the last thirty days, and of their last ten updates.

    Whoever asks has settled that the actor may know of these devices' rollout.
    """
    require_somewhere(actor, VIEW_ROLLOUTS)
    spans = max(20, min(SPANS_OF_ONE, MAXIMUM_SPANS // max(len(device_ids), 1)))
    pasts = {device_id: _Past() for device_id in device_ids}
    scope = {
        "organization_id": actor.organization_id,
        "now": now,
        "since": now - KEPT,
        "spans": spans,
        "updates": UPDATES_OF_ONE,
        "states": list(ENDED),
        "kept": DOWNLOADED_ONLY,
    }
    for chunk in _chunks(device_ids):
        _read(pasts, {**scope, "devices": chunk}, spans)
    sizes = _sizes(actor, {update[1] for past in pasts.values() for update in past.updates})
    return _histories(pasts, sizes, now)


def _read(pasts: dict[UUID, _Past], scope: dict[str, Any], most: int) -> None:
    for device_id, created, time_zone, begins, ends in _rows(_SPANS, scope):
        past = pasts[device_id]
        past.created, past.time_zone = created, time_zone
        past.begins, past.ends = begins or (), ends or ()
        past.is_cut = len(past.begins) >= most
    for device_id, *update in _rows(_UPDATES, scope):
        pasts[device_id].updates.append(tuple(update))


def _sizes(actor: Actor, release_ids: set[UUID]) -> dict[UUID, int]:
    """How many bytes releases have."""
    scope = {"organization_id": actor.organization_id, "releases": list(release_ids)}
    return dict(_rows(_SIZES, scope)) if release_ids else {}


def _histories(pasts: dict[UUID, _Past], sizes: dict[UUID, int], now: datetime) -> Histories:
    """Nobody was watched before the first device was, or before it was enrolled itself."""
    to, earliest = now.timestamp(), (now - KEPT).timestamp()
    first = min((past.begins[0] for past in pasts.values() if past.begins), default=to)
    devices, known, longest = [], 0, 0.0
    for device_id, past in pasts.items():
        since = max(earliest, first, past.created)
        since = max(since, past.begins[0]) if past.is_cut else since
        history = _history(str(device_id), past, min(since, to), to)
        devices.append(_with_updates(history, past, sizes))
        span = history.observed_to - history.observed_from
        known += span >= LEAST_WATCHED
        longest = max(longest, span)
    return Histories(devices, known, longest / (24 * HOUR))


def _history(device_id: str, past: _Past, since: float, to: float) -> DeviceHistory:
    online = array("d")
    for begin, end in zip(past.begins, past.ends, strict=True):
        begin, end = max(begin, since, online[-1] if online else since), min(end, to)
        if end > begin:
            online.extend((begin, end))
    return DeviceHistory(
        device_id,
        online,
        observed_from=since,
        observed_to=to,
        check_in_gaps=CHECK_IN_GAPS,
        time_zone=past.time_zone,
    )


def _with_updates(history: DeviceHistory, past: _Past, sizes: dict[UUID, int]) -> DeviceHistory:
    """How fast the device was, and how often it failed."""
    rates, installs, failures = [], [], 0
    for state, release_id, started, downloaded, finished in past.updates:
        failures += state in FAILED
        if started is None or downloaded is None:
            continue
        download = _online_within(history, started, downloaded)
        install, size = _online_within(history, downloaded, finished), sizes.get(release_id, 0)
        if size < TELLING_BYTES:
            install += download
        elif download > 0:
            rates.append(size / max(download, SHORTEST_SECONDS))
        if state == DeploymentState.SUCCEEDED:
            installs.append(install)
    return replace(
        history,
        attempts=len(past.updates),
        failures=failures,
        bytes_per_second=rates,
        install_seconds=installs,
    )


def _online_within(history: DeviceHistory, begin: float, end: float) -> float:
    """Seconds of this time in which the device was there; all of it where nobody watched."""
    if begin < history.observed_from or not history.online:
        return max(end - begin, 0.0)
    online, seconds = history.online, 0.0
    for place in range(bisect_right(online, begin) // 2 * 2, len(online) - 1, 2):
        if online[place] >= end:
            break
        seconds += min(online[place + 1], end) - max(online[place], begin)
    return max(seconds, 0.0)


def _chunks(ids: Sequence[UUID]) -> Iterator[list[UUID]]:
    for start in range(0, len(ids), DEVICES_AT_ONCE):
        yield list(ids[start : start + DEVICES_AT_ONCE])


def _rows(statement: str, scope: dict[str, Any]) -> Iterable[Any]:
    """Rows of a statement on Django's connection; binary, since most of it are numbers."""
    connection.ensure_connection()
    with Cursor(cast(Any, connection.connection)) as cursor:
        cursor.execute(statement, scope, binary=True)
        return cursor.fetchall()
