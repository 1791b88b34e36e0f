"""Which topics exist, who may hear them, and what of a hint: whoever may read what it is about.

The organization's topics tell of all devices and rollouts. Whoever may see some of them only hears
of the others that something changed, and nothing else: pages read again, and find what they may.
"""

from collections.abc import Callable, Collection, Hashable
from typing import Any
from uuid import UUID

from apps.audit.permissions import VIEW_ENTRIES
from apps.core.actors import Actor
from apps.core.authz import Permission, require_somewhere
from apps.core.errors import FleetdError, NotFound
from apps.core.ids import parse_uuid
from apps.devices.permissions import VIEW_DEVICES
from apps.devices.selectors import get_device
from apps.devices.selectors.places import list_groups_granted, seen_device_ids
from apps.enrollment.permissions import VIEW_ENROLLMENT_TOKENS
from apps.enrollment.selectors import get_enrollment_token
from apps.updates.permissions import VIEW_ROLLOUTS
from apps.updates.selectors.rollouts import get_rollout_id, seen_rollout_ids

MAX_LENGTH = 100
OF_ORGANIZATION: dict[str, Permission] = {
    "summary": VIEW_DEVICES,
    "devices": VIEW_DEVICES,
    "rollouts": VIEW_ROLLOUTS,
    "audit": VIEW_ENTRIES,
}
OF_OBJECT: dict[str, tuple[Permission, Callable[[Actor, UUID], object]]] = {
    "device": (VIEW_DEVICES, get_device),
    "rollout": (VIEW_ROLLOUTS, get_rollout_id),
    "enroll": (VIEW_ENROLLMENT_TOKENS, get_enrollment_token),
}
CHANGED = "changed"


def may_hear(actor: Actor, topic: str) -> bool:
    """Whether the actor may subscribe; a topic that is nothing is one it may not."""
    return refusal_of(actor, topic) is None


def refusal_of(actor: Actor, topic: str) -> FleetdError | None:
    """Why the actor may not subscribe, None where it may. Who asks is told only that it is not."""
    try:
        _authorize(actor, topic)
    except FleetdError as error:
        return error
    return None


def audible(actor: Actor, topics: Collection[str]) -> set[str]:
    """Those of these topics that the actor may hear now; all devices in one look."""
    devices = {t: UUID(t.removeprefix("device.")) for t in topics if t.startswith("device.")}
    seen = seen_device_ids(actor, devices.values()) if devices else set()
    others = {t for t in topics if t not in devices and may_hear(actor, t)}
    return others | {topic for topic, device_id in devices.items() if device_id in seen}


def reach_of(actor: Actor) -> Hashable:
    """A value that changes whenever what the actor may do, or where, has changed."""
    grants = frozenset((g.permissions, g.team_id, g.group_id) for g in actor.grants)
    groups = list_groups_granted(actor) if actor.grants else []
    return actor.permissions, grants, tuple((g.id, g.tag, g.team_id) for g in groups)


def is_limited(actor: Actor, topic: str) -> bool:
    """Whether hints of the topic may tell of something that the actor may not see."""
    kind, _, rest = topic.partition(".")
    part = rest.partition(".")[2]
    permission = OF_ORGANIZATION.get(part, VIEW_DEVICES)
    return kind in ("org", "device", "rollout") and not actor.has_perm(permission.name)


def readable(actor: Actor, envelope: dict[str, Any]) -> dict[str, Any]:
    """A hint of a limited topic as the actor may read it."""
    data = dict(envelope["data"])
    if isinstance(data.get("devices"), list):
        states = [state for state in data["devices"] if isinstance(state, dict)]
        seen = seen_device_ids(actor, _ids(state.get("id") for state in states))
        data["devices"] = [state for state in states if parse_uuid(state.get("id")) in seen]
        return {**envelope, "data": data}
    if "device_ids" in data:
        seen = seen_device_ids(actor, _ids(data["device_ids"]))
        data["device_ids"] = sorted(str(device_id) for device_id in seen)
    is_own = not envelope["topic"].startswith("org.") or _is_seen(actor, data)
    return {**envelope, "data": data} if is_own else bare(envelope)


def _is_seen(actor: Actor, data: dict[str, Any]) -> bool:
    """Whether the one device or rollout that a hint is about may be seen."""
    device_ids, rollout_ids = _ids([data.get("device_id")]), _ids([data.get("rollout_id")])
    if device_ids:
        return bool(seen_device_ids(actor, device_ids))
    return bool(rollout_ids and seen_rollout_ids(actor, rollout_ids))


def bare(envelope: dict[str, Any]) -> dict[str, Any]:
    """A hint that says of nothing in particular that it changed."""
    return {**envelope, "type": CHANGED, "data": {}}


def _ids(texts: Any) -> list[UUID]:
    return [found for text in texts if (found := parse_uuid(text)) is not None]


def _authorize(actor: Actor, topic: str) -> None:
    """Raises unless the topic exists and the actor may read what it is about."""
    kind, _, rest = topic.partition(".")
    identifier, _, part = rest.partition(".")
    found = parse_uuid(identifier)
    if found is None or identifier != str(found):
        raise NotFound
    if kind == "org" and part in OF_ORGANIZATION and found == actor.organization_id:
        require_somewhere(actor, OF_ORGANIZATION[part])
    elif kind in OF_OBJECT and not part and "." not in rest:
        permission, find = OF_OBJECT[kind]
        require_somewhere(actor, permission)
        find(actor, found)
    else:
        raise NotFound
